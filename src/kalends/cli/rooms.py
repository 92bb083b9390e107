"""`kalends rooms`: find rooms and link them to calendars."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from kalends.cli.account import named
from kalends.cli.session import NOT_FOUND, PARTLY, dry_run_option, fail, json_option, show, with_hub

if TYPE_CHECKING:
    from kalends.app import Hub
    from kalends.store.spaces import Space
    from kalends.sync.directory import Linked

_account_option = click.option("--account", required=True, help="The account that reaches them.")
_zone_option = click.option(
    "--zone", default="UTC", show_default=True, help="The wall clock on their doors, as Europe/Berlin."
)


@click.group()
def rooms() -> None:
    """Find rooms and link them to calendars."""


@rooms.command()
@_account_option
@_zone_option
@dry_run_option
@json_option
@click.pass_context
def discover(ctx: click.Context, account: str, zone: str, dry_run: bool, as_json: bool) -> None:
    """Link every room that the account's room lists hold. A second run changes nothing."""
    _link(ctx, account, None, zone, dry_run, as_json)


@rooms.command()
@click.argument("addresses", nargs=-1, required=True)
@_account_option
@_zone_option
@dry_run_option
@json_option
@click.pass_context
def add(ctx: click.Context, addresses: tuple[str, ...], account: str, zone: str, dry_run: bool, as_json: bool) -> None:
    """Link rooms by any of their addresses. Exit 3 if some were refused; each says why."""
    _link(ctx, account, addresses, zone, dry_run, as_json)


def _link(
    ctx: click.Context, account_name: str, addresses: Sequence[str] | None, zone: str, dry_run: bool, as_json: bool
) -> None:
    _check_zone(zone)

    async def work(hub: "Hub") -> "list[Linked]":
        from kalends.sync.directory import Linker, resolved, rooms_of

        account = await named(hub, account_name)
        connections = hub.connections()
        try:
            provider = (await connections.of(account)).provider
            refused: list[Linked] = []
            if addresses is None:
                found = await rooms_of(provider)
            else:
                found, refused = await resolved(provider, addresses)
            linker = Linker(hub.store, hub.clock, hub.ids, account, provider, zone, "cli")
            return [*await linker.link(found, dry_run), *refused]
        finally:
            await connections.aclose()

    results = with_hub(ctx, work)
    rows = [
        {"address": r.address, "name": r.name, "building": r.building, "result": r.result.value, "reason": r.reason}
        for r in results
    ]
    show(rows, as_json, "The account's room lists hold no rooms. Add them by address: kalends rooms add --help")
    if any(r.reason for r in results):
        sys.exit(PARTLY)


@rooms.command()
@click.argument("room")
@dry_run_option
@click.pass_context
def remove(ctx: click.Context, room: str, dry_run: bool) -> None:
    """Take a room (its id or name) out of Kalends, with its panels. Nothing is changed at the calendar system."""

    async def work(hub: "Hub") -> None:
        from kalends.sync.directory import take_away

        space = await named_room(hub, room)
        if dry_run:
            click.echo(f"{space.name} would be removed, with {len(space.calendars)} calendars.", err=True)
            return
        gone = await hub.store.run(take_away, space, hub.clock.now(), "cli")
        click.echo(f"{space.name} is removed. No longer read: {', '.join(gone) or 'nothing'}", err=True)

    with_hub(ctx, work)


@rooms.command()
@click.argument("room")
@click.option("--name", help="What it is called.")
@click.option("--building", help="Where it is.")
@click.option("--floor", help="On which floor.")
@click.option("--capacity", type=click.IntRange(1, 100_000), help="How many it holds.")
@click.option("--zone", help="The wall clock on its door, as Europe/Berlin.")
@click.pass_context
def change(ctx: click.Context, /, room: str, **values: str | int | None) -> None:
    """Change what is said about a room (its id or name)."""
    given = {name: value for name, value in values.items() if value is not None}
    if "zone" in given:
        _check_zone(str(given["zone"]))

    async def work(hub: "Hub") -> None:
        from kalends.store import spaces

        space = await named_room(hub, room)
        await hub.store.run(spaces.change, space.id, hub.clock.now(), actor="cli", **given)
        click.echo(f"{given.get('name', space.name)} is changed.", err=True)

    with_hub(ctx, work)


async def named_room(hub: "Hub", room: str) -> "Space":
    """The one room of this id or name, or exit 4."""
    from kalends.store import spaces

    found = await hub.store.read(spaces.list_all, hub.organization)
    matching = [space for space in found if room in (space.id, space.name)]
    if len(matching) != 1:
        many = "Several rooms have" if matching else "No room has"
        fail(NOT_FOUND, f"{many} the name or id “{room}”. kalends rooms list shows ids.")
    return matching[0]


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        fail(2, f"There is no time zone “{zone}”. Use an IANA name such as Europe/Berlin.")


@rooms.command("list")
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Every room with its building and calendars."""

    async def work(hub: "Hub") -> None:
        from kalends.features import words
        from kalends.store import calendars, spaces

        found = await hub.store.read(spaces.list_all, hub.organization)
        healths = await hub.store.read(calendars.list_health, hub.organization)
        by_id = {h.calendar.id: h.calendar for h in healths}
        found_by = {h.calendar.id: words.found(h.polling, h.calendar.heard_at is not None) for h in healths}
        rows = [
            {
                "id": s.id, "name": s.name, "building": s.building, "floor": s.floor, "zone": s.zone,
                "calendars": ", ".join(by_id[c].address for c in s.calendars if c in by_id),
                "state": ", ".join(by_id[c].state for c in s.calendars if c in by_id),
                "changes": " ".join(dict.fromkeys(found_by[c] for c in s.calendars if c in found_by)),
            }
            for s in found
        ]  # fmt: skip
        show(rows, as_json, "There are no rooms yet. Find them: kalends rooms discover --help")

    with_hub(ctx, work)
