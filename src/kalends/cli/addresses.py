"""`kalends accounts discover` and `kalends accounts address`: where an account's Exchange is, found or said, then kept.

Nothing is sent to a host that is neither the mail domain's own, nor typed, nor confirmed here by typing its name.
"""

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kalends.cli.account import named
from kalends.cli.accounts_exchange import OPTIONS, apply, options, secret_of, settings_of
from kalends.cli.session import dry_run_option, fail, json_option, run, say, with_hub

if TYPE_CHECKING:
    from random import Random

    from kalends.app import Hub
    from kalends.clock import Clock
    from kalends.providers.protocol import Finding

_Command = TypeVar("_Command", bound=Callable[..., Any])
_SIGN_IN = ("--sign-in", "--user", "--token-url", "--client-id", "--scope", "--password-file", "--client-secret-file")
_KNOWN = {flag: OPTIONS[flag] for flag in (*_SIGN_IN, "--ca", "--pin")}
_NEW: dict[str, dict[str, Any]] = {"--sign-in": {"default": "ntlm", "show_default": True}, "--user": {"required": True}}
_NOT_SAID = {flag.lstrip("-").replace("-", "_"): None for flag in ("--password-file", "--client-secret-file")}
_SEARCH: dict[str, dict[str, Any]] = {
    "--mailbox": {"help": "Whose address is asked about. Else the user, if that is a mail address."},
    "--autodiscover-url": {"help": "Ask this autodiscover service, whoever it belongs to, instead of looking for one."},
    "--yes-host": {"multiple": True, "help": "A host that may be asked, or used, without typing its name later."},
}


@click.command()
@options(_KNOWN, _NEW)
@options(_SEARCH)
@json_option
@click.pass_context
def discover(_: click.Context, /, as_json: bool, **given: Any) -> None:
    """Find Exchange by autodiscover, before there is an account. Shows each step and keeps nothing."""
    unsaid = dict.fromkeys(("url", "impersonation", "calls_at_once", "max_per_connection"))
    settings, credentials = settings_of(given | unsaid), secret_of(given["sign_in"], given)

    async def work() -> None:
        from kalends.clock import RealClock
        from kalends.ids import RandomIds

        found = await _search(settings, credentials, given, as_json, RandomIds().rng, RealClock())
        _show(found, as_json)
        if not as_json:
            click.echo(_next(found, given), err=True)

    run(work)


@click.command()
@click.argument("name")
@click.option("--url", help="The EWS address to use from outside.")
@click.option("--internal-url", help="The EWS address inside the organisation's network.")
@click.option("--use", type=click.Choice(["external", "internal"]), help="Which of the two is used.")
@click.option("--version", help="Ask for what this Exchange knows: 2013, 2013_SP1, 2016, 2019, SE; or detect.")
@click.option("--discover", "searches", is_flag=True, help="Find both addresses by autodiscover, as this account.")
@options(_SEARCH)
@dry_run_option
@json_option
@click.pass_context
def address(ctx: click.Context, /, name: str, searches: bool, dry_run: bool, as_json: bool, **given: Any) -> None:
    """Show an account's EWS addresses, find them by autodiscover, or change them and the version asked for."""
    said = {"url": given["url"], "internal_url": given["internal_url"], "version": given["version"]}
    if given["use"] is not None:
        said["use_internal"] = given["use"] == "internal"

    async def work(hub: "Hub") -> None:

        account = await named(hub, name)
        found = await _found_by(hub, account.id, account.settings, given, as_json) if searches else {}
        changed = found | {setting: value for setting, value in said.items() if value is not None}
        without = {"version"} if changed.get("version") == "detect" else set()
        changed = {setting: value for setting, value in changed.items() if setting not in without}
        if changed or without:
            await apply(hub, name, without, changed, _NOT_SAID, dry_run)
        after = {setting: value for setting, value in account.settings.items() if setting not in without} | changed
        _show({"account": name, **_addresses(after)}, as_json)

    with_hub(ctx, work)


async def _found_by(
    hub: "Hub", account: str, settings: Mapping[str, Any], given: Mapping[str, Any], as_json: bool
) -> dict[str, Any]:
    """The addresses that autodiscover tells this account, once the admin has typed where they lead."""
    from kalends.store import accounts as rows

    credentials = await hub.store.read(rows.credentials, hub.seal, account)
    asking = {"user": settings.get("username"), **given}
    found = await _search(settings, credentials, asking, as_json, hub.ids.rng, hub.clock)
    _show(found, as_json)
    known = {_host(settings["url"]), *(host.lower() for host in given["yes_host"])}
    for url in (found["url"], found["internal_url"]):
        if url is not None and _host(url) not in known and not _typed(_host(url), "The account is to sign in there."):
            fail(2, f"{_host(url)} was not confirmed, so nothing is changed. Type its name, or give --yes-host.")
        known.add(_host(url or ""))
    return {setting: found[setting] for setting in ("url", "internal_url") if found[setting] is not None}


async def _search(
    settings: Mapping[str, Any],
    credentials: Mapping[str, Any],
    given: Mapping[str, Any],
    as_json: bool,
    rng: "Random",
    clock: "Clock",
) -> dict[str, Any]:
    from kalends.app import discovery
    from kalends.providers.protocol import Rejected

    mailbox = given["mailbox"] or given["user"] or ""
    if "@" not in mailbox:
        fail(2, "Whose address is to be asked about? The user is no mail address: give --mailbox name@example.com.")
    wanted = {"mailbox": mailbox, "typed": given["autodiscover_url"], "confirmed": given["yes_host"]}
    try:
        search = discovery(settings, credentials, rng, clock, **wanted)
    except Rejected as error:
        fail(2, str(error))

    async def confirm(question: Any) -> bool:
        return _typed(question.host, f"{question.why[0].upper()}{question.why[1:]}.")

    def tell(step: "Finding") -> None:
        facts = {"step": step.step, "ok": step.ok, "detail": step.detail}
        say(facts, as_json, f"{'✓' if step.ok else '✗'} {step.step}: {step.detail}")

    try:
        found = await search.run(confirm, tell)
    finally:
        await search.aclose()
    url = found.external or found.internal
    return {
        "url": url,
        "internal_url": None if found.internal == url else found.internal,
        "server": found.server,
        "group": found.group,
        "told_by": found.source,
    }


def _typed(host: str, why: str) -> bool:
    """Whether the admin types the name of a host, shown as it is looked up."""
    if not _is_terminal():
        click.echo(f"{why} {host} needs your word: give --yes-host {host}, or run this in a terminal.", err=True)
        return False
    click.echo(f"{why} Nothing has been sent to {host}.", err=True)
    answer = click.prompt("Type its name to allow it, or press Enter to leave it out", default="", show_default=False,
                          err=True)  # fmt: skip
    return str(answer).strip().lower() == host


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _show(facts: Mapping[str, Any], as_json: bool) -> None:
    lines = [f"{name.replace('_', ' '):<14}{value}" for name, value in facts.items() if value is not None]
    say(facts, as_json, "\n".join(lines))


def in_use(settings: Mapping[str, Any]) -> str:
    """The address that an account's stored settings lead to; empty for an account that has none."""
    internal = settings.get("internal_url") if settings.get("use_internal") else None
    return str(internal or settings.get("url", ""))


def _addresses(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "url": settings["url"],
        "internal_url": settings.get("internal_url"),
        "in_use": "internal" if settings.get("use_internal") else "external",
        "version": settings.get("version", "detect"),
    }


def _next(found: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """What a stranger's server said goes into a shell here, so it is quoted."""
    from shlex import quote

    add = f"--url {quote(found['url'])} --sign-in {given['sign_in']} --user {quote(given['user'])}"
    lines = [
        "Look at these addresses: whoever answers there is shown the account's credentials. If they are yours:",
        f"  kalends accounts add exchange --name NAME {add}",
    ]
    if found["internal_url"] is not None:
        lines.append(f"  kalends accounts address NAME --internal-url {quote(found['internal_url'])}")
    return "\n".join(lines)


def _host(url: str) -> str:
    from urllib.parse import urlsplit

    return urlsplit(url).netloc.lower()
