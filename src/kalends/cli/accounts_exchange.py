"""`kalends accounts add exchange`, `change` and `credentials`: what an Exchange account is told, and its secrets."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kalends.cli.account import named, try_again
from kalends.cli.session import CONFLICT, dry_run_option, fail, json_option, say, with_hub

if TYPE_CHECKING:
    from kalends.app import Hub

_Command = TypeVar("_Command", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path, dir_okay=False)
_TRUST = {"authority_pem", "fingerprint", "unverified"}
_OF_OAUTH = {"token_url", "client_id", "scope"}
_SECRETS: dict[str, dict[str, Any]] = {
    "--password-file": {"type": _FILE, "help": "Else it is asked for."},
    "--client-secret-file": {"type": _FILE, "help": "OAuth: the application's secret. Else it is asked for."},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "--url": {"help": "The EWS address, such as https://mail.example.com/EWS/Exchange.asmx."},
    "--sign-in": {"type": click.Choice(["ntlm", "basic", "oauth"]), "help": "How the account signs in."},
    "--user": {"help": "The service account: DOMAIN\\name or name@domain. OAuth: a mailbox to look rooms up as."},
    "--token-url": {"help": "OAuth: where tokens are given out, such as https://…/oauth2/token."},
    "--client-id": {"help": "OAuth: the application's id."},
    "--scope": {"help": "OAuth: what the token is for, if not https://(server of the EWS address)/.default."},
    **_SECRETS,
    "--ca": {"type": _FILE, "help": "A private authority's certificate (PEM)."},
    "--pin": {"help": "SHA-256 of the server's certificate: trust this one and no other."},
    "--impersonation/--no-impersonation": {
        "default": None,
        "help": "Act as each mailbox, or open it as a delegate; polling only.",
    },
    "--calls-at-once": {"type": int, "help": "Requests under way."},
    "--max-per-connection": {"type": int, "help": "Calendars per stream."},
}
"""What an Exchange account may be told."""
_NEW: dict[str, dict[str, Any]] = {
    "--url": {"required": True},
    "--user": {"required": True},
    "--sign-in": {"default": "ntlm", "show_default": True},
    "--impersonation/--no-impersonation": {"default": True},
    "--calls-at-once": {"default": 8, "show_default": True},
    "--max-per-connection": {"default": 200, "show_default": True},
}
_CHANGED: dict[str, dict[str, Any]] = {
    "--password-file": {"help": "A new password; asked for when the way to sign in needs one that is not there."},
    "--client-secret-file": {"help": "OAuth: a new secret; asked for like the password."},
}


def options(
    options: Mapping[str, dict[str, Any]], more: Mapping[str, dict[str, Any]] = MappingProxyType({})
) -> Callable[[_Command], _Command]:
    def decorate(command: _Command) -> _Command:
        for flag in reversed(list(options)):
            command = click.option(flag, **options[flag] | more.get(flag, {}))(command)
        return command

    return decorate


@click.command()
@click.option("--name", required=True, help="What you call it.")
@options(OPTIONS, _NEW)
@click.option("--privacy", type=click.Choice(["P0", "P1", "P2", "P3"]), default="P3", show_default=True,
              help="What is kept. P0, P1: when a room is busy (P0 reads details on demand); P2: who and what until it is "
                   "over; P3: whole meetings.")  # fmt: skip
@dry_run_option
@json_option
@click.pass_context
def exchange(ctx: click.Context, /, name: str, privacy: str, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Connect an Exchange Server (2013 to SE) by EWS."""
    settings, credentials = settings_of(given), secret_of(given["sign_in"], given)

    async def work(hub: "Hub") -> None:
        await _add(hub, name, settings, credentials, privacy, dry_run)
        done = "could be added." if dry_run else f'is added. Next: kalends accounts check "{name}"'
        say({"account": name, "added": not dry_run}, as_json, f"The account “{name}” {done}")

    with_hub(ctx, work)


async def _add(
    hub: "Hub",
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
        await hub.factories["exchange"](settings, credentials).aclose()
    except Rejected as error:
        fail(2, str(error))
    if not dry_run:
        args = (hub.seal, hub.ids.new("acc"), hub.organization, "exchange", name, settings, credentials, privacy)
        await hub.store.run(rows.add, *args, hub.clock.now(), actor="cli")


@click.command()
@click.argument("name")
@options(_SECRETS)
@click.pass_context
def credentials(ctx: click.Context, /, name: str, **given: Any) -> None:
    """Give an account a new password or client secret. Its calendars are read again at once."""

    async def work(hub: "Hub") -> None:
        from kalends.store import accounts as rows
        from kalends.store.door import Connection

        account = await named(hub, name)
        secret = secret_of(account.settings.get("sign_in", "basic"), given)
        now = hub.clock.now()

        def replace(conn: Connection) -> None:
            rows.update_credentials(conn, hub.seal, account.id, secret, now, actor="cli")
            try_again(conn, account.id, now)

        await hub.store.run(replace)
        click.echo(f"The account “{name}” has new credentials and is being tried again.", err=True)

    with_hub(ctx, work)


@click.command()
@click.argument("name")
@options(OPTIONS, _CHANGED)
@click.option("--system-trust", is_flag=True, help="Trust what this machine trusts: no private authority, no pin.")
@dry_run_option
@click.pass_context
def change(ctx: click.Context, /, name: str, system_trust: bool, dry_run: bool, **given: Any) -> None:
    """Change an account's settings; what is not given stays. Its calendars are read again at once."""
    if (given["ca"] is not None) + (given["pin"] is not None) + system_trust > 1:
        fail(2, "Give one of --ca, --pin and --system-trust: each replaces the others.")
    settings = settings_of(given)
    without = _TRUST if system_trust or _TRUST & settings.keys() else set()

    async def work(hub: "Hub") -> None:
        await apply(hub, name, without, settings, given, dry_run)
        done = "could be changed." if dry_run else "is changed and being tried again."
        click.echo(f"The account “{name}” {done}", err=True)

    with_hub(ctx, work)


async def apply(
    hub: "Hub", name: str, without: set[str], changed: Mapping[str, Any], given: Mapping[str, Any], dry_run: bool
) -> None:
    from kalends.providers.protocol import Rejected
    from kalends.store import accounts as rows
    from kalends.store.door import Connection
    from kalends.sync import grouping

    account = await named(hub, name)
    settings = {setting: value for setting, value in account.settings.items() if setting not in without} | dict(changed)
    way = settings.get("sign_in", "basic")
    if way != "oauth":
        settings = {setting: value for setting, value in settings.items() if setting not in _OF_OAUTH}
    old = await hub.store.read(rows.credentials, hub.seal, account.id)
    new = old if _is_enough(way, old) and not _is_given(given) else secret_of(way, given)
    now = hub.clock.now()
    try:
        provider = hub.factories[account.kind](settings, new)
    except Rejected as error:
        fail(2, str(error))
    await provider.aclose()

    def replace(conn: Connection) -> None:
        rows.update_settings(conn, account.id, settings, now, actor="cli")
        if new != old:
            rows.update_credentials(conn, hub.seal, account.id, new, now, actor="cli")
        grouping.group(conn, account.id, provider, now)
        try_again(conn, account.id, now)

    if not dry_run:
        await hub.store.run(replace)


def settings_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """What was said on the command line, as an account stores it."""
    said = {
        "url": given["url"],
        "sign_in": given["sign_in"],
        "username": given["user"],
        "token_url": given["token_url"],
        "client_id": given["client_id"],
        "scope": given["scope"],
        "authority_pem": text_of(given["ca"]) if given["ca"] else None,
        "fingerprint": given["pin"],
        "impersonate": given["impersonation"],
        "calls_at_once": given["calls_at_once"],
        "max_per_connection": given["max_per_connection"],
    }
    return {setting: value for setting, value in said.items() if value is not None}


def _is_enough(way: str, secrets: Mapping[str, Any]) -> bool:
    return ("client_secret" if way == "oauth" else "password") in secrets


def _is_given(given: Mapping[str, Any]) -> bool:
    return given["password_file"] is not None or given["client_secret_file"] is not None


def secret_of(way: str, given: Mapping[str, Any]) -> dict[str, str]:
    """What this way to sign in needs, as an account seals it: from the file, or asked for."""
    name, option, other, words = (
        ("client_secret", "--client-secret-file", "password_file", "Client secret")
        if way == "oauth"
        else ("password", "--password-file", "client_secret_file", "Password")
    )
    if given[other] is not None:
        fail(2, f"The account signs in by {way}: give {option}.")
    file = given[f"{name}_file"]
    if file is not None:
        return {name: text_of(file).rstrip("\r\n")}
    if not sys.stdin.isatty():
        fail(2, f"No {words.lower()}: give {option}, or run this in a terminal to be asked.")
    return {name: str(click.prompt(words, hide_input=True, err=True))}


def text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(2, f"{file} can't be read: {error}.")
