"""`kalends accounts`: connect calendar systems and check them. What Exchange needs to be told is in `accounts_exchange`."""

import sys
from typing import TYPE_CHECKING

import click

from kalends.cli.account import named
from kalends.cli.accounts_debug import debug
from kalends.cli.accounts_exchange import change, credentials, exchange
from kalends.cli.addresses import address, discover
from kalends.cli.privacy import privacy
from kalends.cli.removal import remove
from kalends.cli.rights import rights
from kalends.cli.session import FAILED, json_option, say, show, with_hub
from kalends.cli.trust import trust

if TYPE_CHECKING:
    from kalends.app import Hub


@click.group()
def accounts() -> None:
    """Connect calendar systems and check them."""


@accounts.group()
def add() -> None:
    """Connect a calendar system."""


@accounts.command("list")
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Every account with its state and the reason."""

    async def work(hub: "Hub") -> None:
        from kalends.store import accounts as rows

        found = await hub.store.read(rows.list_all, hub.organization)
        listed = [
            {"name": a.name, "kind": a.kind, "state": a.state, "since": a.since.isoformat(), "privacy": a.privacy,
             "reason": a.reason}
            for a in found
        ]  # fmt: skip
        show(listed, as_json, "There are no accounts yet. Connect one: kalends accounts add exchange --help")

    with_hub(ctx, work)


@accounts.command()
@click.argument("name")
@click.option("--calendar", help="Also try to open this calendar.")
@json_option
@click.pass_context
def check(ctx: click.Context, name: str, calendar: str | None, as_json: bool) -> None:
    """Try the account step by step. Exit 1 if a step fails; each says what to do."""

    async def work(hub: "Hub") -> bool:
        from kalends.model.event import CalendarId
        from kalends.providers.protocol import Checker

        account = await named(hub, name)
        connections, good = hub.connections(), True
        try:
            provider = (await connections.of(account)).provider
            assert isinstance(provider, Checker)
            async for finding in provider.check(CalendarId(calendar.lower()) if calendar else None):
                mark = "!" if finding.warning else "✓" if finding.ok else "✗"
                facts = {"step": finding.step, "ok": finding.ok, "warning": finding.warning, "detail": finding.detail}
                say(facts, as_json, f"{mark} {finding.step}: {finding.detail}")
                good = good and finding.ok
        finally:
            await connections.aclose()
        return good

    if not with_hub(ctx, work):
        sys.exit(FAILED)


add.add_command(exchange)
for command in (credentials, change, discover, address, rights, trust, privacy, debug, remove):
    accounts.add_command(command)
