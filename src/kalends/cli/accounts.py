"""`kalends accounts`: connect calendar systems and check them."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kalends.cli.removal import remove
from kalends.cli.rights import rights
from kalends.cli.session import (
    CONFLICT,
    FAILED,
    NOT_FOUND,
    dry_run_option,
    fail,
    json_option,
    say,
    show,
    with_hub,
)
from kalends.cli.trust import trust

if TYPE_CHECKING:
    from datetime import datetime

    from kalends.app import Hub
    from kalends.store.accounts import Account
    from kalends.store.door import Connection


@click.group()
def accounts() -> None:
    """Connect calendar systems and check them."""


@accounts.group()
def add() -> None:
    """Connect a calendar system."""


@add.command()
@click.option("--name", required=True, help="What you call it.")
@click.option("--url", required=True, help="The EWS address, such as https://mail.example.com/EWS/Exchange.asmx.")
@click.option("--user", required=True, help="The service account: DOMAIN\\name or name@domain.")
@click.option("--password-file", type=click.Path(path_type=Path, dir_okay=False), help="Else it is asked for.")
@click.option("--ca", type=click.Path(path_type=Path, dir_okay=False), help="A private authority's certificate (PEM).")
@click.option("--pin", help="SHA-256 of the server's certificate: trust this one and no other.")
@click.option("--no-impersonation", is_flag=True, help="Open mailboxes as a delegate; polling only.")
@click.option("--calls-at-once", type=int, default=8, show_default=True, help="Requests under way.")
@click.option("--max-per-connection", type=int, default=200, show_default=True, help="Calendars per stream.")
@click.option("--privacy", type=click.Choice(["P1", "P3"]), default="P3", show_default=True,
              help="P1 keeps only when a room is busy; P3 keeps subjects and organizers too.")  # fmt: skip
@dry_run_option
@json_option
@click.pass_context
def exchange(
    ctx: click.Context, name: str, url: str, user: str, password_file: Path | None, ca: Path | None, pin: str | None,
    no_impersonation: bool, calls_at_once: int, max_per_connection: int, privacy: str, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Connect an Exchange Server (2013 to SE) by EWS."""
    settings: dict[str, Any] = {
        "url": url,
        "username": user,
        "impersonate": not no_impersonation,
        "calls_at_once": calls_at_once,
        "max_per_connection": max_per_connection,
    }
    if ca is not None:
        settings["authority_pem"] = _text(ca)
    if pin is not None:
        settings["fingerprint"] = pin
    credentials = {"password": _password(password_file)}

    async def work(hub: "Hub") -> None:
        await _add(hub, "exchange", name, settings, credentials, privacy, dry_run)
        done = "could be added." if dry_run else f'is added. Next: kalends accounts check "{name}"'
        say({"account": name, "added": not dry_run}, as_json, f"The account “{name}” {done}")

    with_hub(ctx, work)


async def _add(
    hub: "Hub",
    kind: str,
    name: str,
    settings: Mapping[str, Any],
    credentials: Mapping[str, Any],
    privacy: str,
    dry_run: bool,
) -> None:
    from kalends.providers.protocol import Rejected
    from kalends.store import accounts as rows

    if await hub.store.read(rows.by_name, hub.organization, name) is not None:
        fail(
            CONFLICT,
            f"There is an account “{name}” already: choose another name, or see kalends accounts change --help.",
        )
    try:
        await hub.factories[kind](settings, credentials).aclose()
    except Rejected as error:
        fail(2, str(error))
    if not dry_run:
        args = (hub.seal, hub.ids.new("acc"), hub.organization, kind, name, settings, credentials, privacy)
        await hub.store.run(rows.add, *args, hub.clock.now(), actor="cli")


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


@accounts.command()
@click.argument("name")
@click.option("--password-file", type=click.Path(path_type=Path, dir_okay=False), help="Else it is asked for.")
@click.pass_context
def credentials(ctx: click.Context, name: str, password_file: Path | None) -> None:
    """Give an account a new password. Its calendars are read again at once."""
    given = {"password": _password(password_file)}

    async def work(hub: "Hub") -> None:
        from kalends.store import accounts as rows
        from kalends.store.door import Connection

        account = await named(hub, name)
        now = hub.clock.now()

        def replace(conn: Connection) -> None:
            rows.update_credentials(conn, hub.seal, account.id, given, now, actor="cli")
            try_again(conn, account.id, now)

        await hub.store.run(replace)
        click.echo(f"The account “{name}” has new credentials and is being tried again.", err=True)

    with_hub(ctx, work)


@accounts.command()
@click.argument("name")
@click.option("--url", help="The EWS address.")
@click.option("--user", help="The service account. A new password: kalends accounts credentials NAME.")
@click.option("--ca", type=click.Path(path_type=Path, dir_okay=False), help="A private authority's certificate (PEM).")
@click.option("--pin", help="SHA-256 of the server's certificate: trust this one and no other.")
@click.option("--system-trust", is_flag=True, help="Trust what this machine trusts: no private authority, no pin.")
@click.option("--impersonation/--no-impersonation", default=None, help="Act as each mailbox, or open it as a delegate.")
@click.option("--calls-at-once", type=int, help="Requests under way.")
@click.option("--max-per-connection", type=int, help="Calendars per stream.")
@dry_run_option
@click.pass_context
def change(
    ctx: click.Context, name: str, url: str | None, user: str | None, ca: Path | None, pin: str | None,
    system_trust: bool, impersonation: bool | None, calls_at_once: int | None, max_per_connection: int | None, dry_run: bool,
) -> None:  # fmt: skip
    """Change an account's settings; what is not given stays. Its calendars are read again at once."""
    if (ca is not None) + (pin is not None) + system_trust > 1:
        fail(2, "Give one of --ca, --pin and --system-trust: each replaces the others.")
    given: dict[str, Any] = {
        "url": url,
        "username": user,
        "authority_pem": _text(ca) if ca else None,
        "fingerprint": pin,
        "impersonate": impersonation,
        "calls_at_once": calls_at_once,
        "max_per_connection": max_per_connection,
    }
    given = {setting: value for setting, value in given.items() if value is not None}
    without = {"authority_pem", "fingerprint", "unverified"} if ca or pin or system_trust else set()

    async def work(hub: "Hub") -> None:
        await _change(hub, name, without, given, dry_run)
        done = "could be changed." if dry_run else "is changed and being tried again."
        click.echo(f"The account “{name}” {done}", err=True)

    with_hub(ctx, work)


async def _change(hub: "Hub", name: str, without: set[str], given: Mapping[str, Any], dry_run: bool) -> None:
    from kalends.providers.protocol import Rejected
    from kalends.store import accounts as rows
    from kalends.store.door import Connection
    from kalends.sync import grouping

    account = await named(hub, name)
    settings = {setting: value for setting, value in account.settings.items() if setting not in without} | dict(given)
    now = hub.clock.now()
    try:
        provider = hub.factories[account.kind](settings, await hub.store.read(rows.credentials, hub.seal, account.id))
    except Rejected as error:
        fail(2, str(error))
    await provider.aclose()

    def replace(conn: Connection) -> None:
        rows.update_settings(conn, account.id, settings, now, actor="cli")
        grouping.group(conn, account.id, provider, now)
        try_again(conn, account.id, now)

    if not dry_run:
        await hub.store.run(replace)


accounts.add_command(remove)
accounts.add_command(rights)
accounts.add_command(trust)


def try_again(conn: "Connection", account: str, now: "datetime") -> None:
    from kalends.store import calendars, due

    members = calendars.of_account(conn, account)
    due.wake(conn, "stream", sorted({c.stream for c in members if c.stream}), now)
    due.wake(conn, "pull", [c.id for c in members], now)


async def named(hub: "Hub", name: str) -> "Account":
    """The account of this name, or exit 4 with the names there are."""
    from kalends.store import accounts as rows

    found = await hub.store.read(rows.by_name, hub.organization, name)
    if found is None:
        known = ", ".join(f"“{a.name}”" for a in await hub.store.read(rows.list_all, hub.organization))
        fail(NOT_FOUND, f"There is no account “{name}”. {f'There is {known}.' if known else 'There are none yet.'}")
    return found


def _password(file: Path | None) -> str:
    if file is not None:
        return _text(file).rstrip("\r\n")
    if not sys.stdin.isatty():
        fail(2, "No password: give --password-file, or run this in a terminal to be asked.")
    return str(click.prompt("Password", hide_input=True, err=True))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(2, f"{file} can't be read: {error}.")
