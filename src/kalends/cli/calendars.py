"""`kalends calendars`: how fresh calendars are; pull one now; release one that the breaker stopped."""

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from kalends.cli.session import NOT_FOUND, dry_run_option, fail, json_option, show, with_hub

if TYPE_CHECKING:
    from kalends.app import Hub
    from kalends.store.calendars import Calendar


@click.group()
def calendars() -> None:
    """See how fresh calendars are; pull or release one."""


@calendars.command("list")
@click.option("--trouble", is_flag=True, help="Only those that are not in sync.")
@json_option
@click.pass_context
def list_(ctx: click.Context, trouble: bool, as_json: bool) -> None:
    """Every calendar: its state and why, when it last changed and was last proved in step, and its lag."""

    async def work(hub: "Hub") -> None:
        from kalends.store import calendars as rows

        healths = await hub.store.read(rows.list_health, hub.organization)
        listed = [
            {
                "address": h.calendar.address, "account": h.account_name, "state": h.calendar.state,
                "changed": h.calendar.changed_at and h.calendar.changed_at.isoformat(timespec="seconds"),
                "verified": h.calendar.verified_at and h.calendar.verified_at.isoformat(timespec="seconds"),
                "lag_p50_ms": h.lag_p50_ms, "lag_p95_ms": h.lag_p95_ms, "events": h.events,
                "unreadable": h.unreadable, "reason": h.calendar.reason, "polling": h.polling,
            }
            for h in healths
            if not trouble or h.calendar.state != "in_sync" or h.unreadable
        ]  # fmt: skip
        show(listed, as_json, "Nothing to show.")

    with_hub(ctx, work)


@calendars.command()
@click.argument("address")
@click.pass_context
def pull(ctx: click.Context, address: str) -> None:
    """Look at a calendar now instead of when its turn comes."""

    async def work(hub: "Hub") -> None:
        from kalends.store import due

        for calendar in await _named(hub, address):
            await hub.store.run(due.wake, "pull", [calendar.id], hub.clock.now())
        click.echo(f"{address} is looked at next.", err=True)

    with_hub(ctx, work)


@calendars.command()
@click.argument("address")
@click.option("--hours", type=click.FloatRange(0.1, 24), default=1.0, show_default=True, help="For how long.")
@dry_run_option
@click.pass_context
def release(ctx: click.Context, address: str, hours: float, dry_run: bool) -> None:
    """Believe a large removal that the breaker stopped: you have looked, and the meetings are really gone."""

    async def work(hub: "Hub") -> None:
        from kalends.store import calendars as rows
        from kalends.store import due

        for calendar in await _named(hub, address):
            click.echo(f"{address}: {calendar.reason}", err=True)
            if dry_run:
                continue
            now = hub.clock.now()
            until = now + hub.clock.stretch(timedelta(hours=hours))
            await hub.store.run(rows.release, calendar.id, until, now, actor="cli")
            await hub.store.run(due.wake, "pull", [calendar.id], now)
            click.echo(f"{address} may lose meetings until {until:%Y-%m-%d %H:%M} UTC.", err=True)

    with_hub(ctx, work)


async def _named(hub: "Hub", address: str) -> "list[Calendar]":
    from kalends.store import calendars as rows

    found = await hub.store.read(rows.find, hub.organization, address.lower())
    if not found:
        fail(NOT_FOUND, f"No calendar has the address {address}. kalends calendars list shows all.")
    return found
