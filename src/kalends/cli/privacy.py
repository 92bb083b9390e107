"""`kalends accounts privacy`: see and change how much an account lets Kalends hold."""

from typing import TYPE_CHECKING

import click

from kalends.cli.account import named
from kalends.cli.session import dry_run_option, json_option, say, with_hub

if TYPE_CHECKING:
    from kalends.app import Hub
    from kalends.store.accounts import Account


@click.command()
@click.argument("name")
@click.argument("mode", type=click.Choice(["P0", "P1", "P2", "P3"]), required=False)
@dry_run_option
@json_option
@click.pass_context
def privacy(ctx: click.Context, name: str, mode: str | None, dry_run: bool, as_json: bool) -> None:
    """See or change how much an account lets Kalends hold of its meetings.

    \b
    P0  when somebody is busy; details are read when a page asks, and never stored
    P1  when somebody is busy, and nothing else
    P2  also subject and organizer, until the meeting is over
    P3  whole meetings

    A lower mode erases the difference at once. A higher one reads the account's calendars again in full.
    """

    async def work(hub: "Hub") -> None:

        account = await named(hub, name)
        if mode is None or mode == account.privacy:
            _say_mode(account, as_json)
        elif dry_run:
            count = await _count(hub, account, mode)
            sentence = f"Meetings of “{name}” of which something would be erased under {mode}: {count}."
            say({"account": name, "privacy": mode, "erased": count, "changed": False}, as_json, sentence)
        else:
            count = await _change(hub, account, mode)
            sentence = f"The account “{name}” is in mode {mode}. Meetings of which something was erased: {count}."
            say({"account": name, "privacy": mode, "erased": count, "changed": True}, as_json, sentence)
            click.echo(_what_follows(hub, account.privacy, mode, count), err=True)

    with_hub(ctx, work)


def _say_mode(account: "Account", as_json: bool) -> None:
    from kalends.features import words

    facts = {"account": account.name, "privacy": account.privacy, "changed": False}
    say(facts, as_json, f"The account “{account.name}” is in mode {account.privacy}: {words.privacy(account.privacy)}.")


async def _count(hub: "Hub", account: "Account", mode: str) -> int:
    from kalends.store import erasure

    count, after = 0, erasure.BEGINNING
    while True:
        step = await hub.store.read(erasure.excess, hub.contents, account.id, mode, after, hub.clock.now())
        count += step.erased
        if step.last is None:
            return count
        after = step.last


async def _change(hub: "Hub", account: "Account", mode: str) -> int:
    from kalends.model.privacy import Mode
    from kalends.store import erasure
    from kalends.sync.forgetting import Forgetting

    await hub.store.run(erasure.change_mode, account.id, Mode(mode), hub.clock.now(), actor="cli")
    if mode > account.privacy:
        return 0
    return await Forgetting(hub.store, hub.contents, hub.bus, hub.clock).erase(account.id, "cli")


def _what_follows(hub: "Hub", old: str, new: str, erased: int) -> str:
    """What is still to happen, and what nobody but the operator can do."""
    if new > old:
        return "Its calendars are read again in full; what is allowed now appears as they are read."
    again = " Its calendars are read again once, for their hashes." if new == "P0" else ""
    if not erased:
        return f"Nothing that was held had to be erased.{again}"
    if hub.config.url.startswith("postgresql"):
        return (
            "PostgreSQL overwrites the old rows when it vacuums; VACUUM FULL events does it now. Its log and your older "
            f"backups still hold them, sealed.{again}"
        )
    return (
        "The last traces leave the database's log within a minute while Kalends runs, or when it starts next. Backups "
        f"made before still hold what was erased, sealed: delete them.{again}"
    )
