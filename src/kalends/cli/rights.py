"""`kalends accounts rights`: what to grant on the server, and the proof that nothing more was granted."""

import sys
from typing import TYPE_CHECKING

import click

from kalends.cli.account import named
from kalends.cli.session import FAILED, fail, json_option, say, with_hub

if TYPE_CHECKING:
    from kalends.app import Hub
    from kalends.providers.protocol import Finding, Restricted


@click.command()
@click.argument("name")
@click.option("--group", help="Also let it open the members of this distribution group, such as people with phones.")
@click.option("--prove", metavar="PERSON@DOMAIN", help="Show that this person's calendar is refused instead.")
@json_option
@click.pass_context
def rights(ctx: click.Context, name: str, group: str | None, prove: str | None, as_json: bool) -> None:
    """Print the commands that give an account the rooms and nobody else, or prove it. Exit 1 if a person can be read."""
    if group is not None and prove is not None:
        fail(2, "Give --group to print commands or --prove to try the rights, not both.")

    async def work(hub: "Hub") -> bool:
        from kalends.providers.protocol import Restricted
        from kalends.store import calendars

        account = await named(hub, name)
        connections = hub.connections()
        try:
            provider = (await connections.of(account)).provider
            if not isinstance(provider, Restricted):
                fail(2, f"The account “{name}” needs no rights that could be limited.")
            if prove is None:
                script = provider.rights(group)
                say({"account": name, "script": script}, as_json, script)
                return True
            known = [member.address for member in await hub.store.read(calendars.of_account, account.id)]
            findings = await _proof(provider, prove, [room for room in known if room != prove.strip().lower()])
        finally:
            await connections.aclose()
        for finding in findings:
            facts = {"step": finding.step, "ok": finding.ok, "detail": finding.detail}
            say(facts, as_json, f"{'✓' if finding.ok else '✗'} {finding.step}: {finding.detail}")
        return all(finding.ok for finding in findings)

    if not with_hub(ctx, work):
        sys.exit(FAILED)


async def _proof(provider: "Restricted", person: str, rooms: list[str]) -> "list[Finding]":
    """One room must open, or the refusal of a person says nothing about who is allowed."""
    from kalends.model.event import CalendarId

    found = [await provider.opens(CalendarId(rooms[0]))] if rooms else []
    return [*found, await provider.refuses(person)]
