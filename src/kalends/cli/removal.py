"""`kalends accounts remove`: says what goes with an account, asks for its name, and takes it out."""

import sys
from typing import TYPE_CHECKING

import click

from kalends.cli.account import named
from kalends.cli.session import dry_run_option, fail, json_option, say, with_hub

if TYPE_CHECKING:
    from kalends.app import Hub
    from kalends.store.accounts import Account
    from kalends.store.removal import Consequence


@click.command()
@click.argument("name")
@click.option("--confirm", help="The account's name once more, for scripts; else it is asked for.")
@dry_run_option
@json_option
@click.pass_context
def remove(ctx: click.Context, name: str, confirm: str | None, dry_run: bool, as_json: bool) -> None:
    """Remove an account, its credentials and all that was read through it. Rooms and panels stay, without its calendars."""

    async def work(hub: "Hub") -> None:
        from dataclasses import asdict

        from kalends.store import removal

        account = await named(hub, name)
        gone = await hub.store.read(removal.consequence, account.id)
        facts = {"account": name, "removed": not dry_run, **asdict(gone)}
        if dry_run:
            say(facts, as_json, f"“{name}” would be removed: {gone}. Nothing is changed at the calendar system.")
            return
        click.echo(f"With “{name}” go {gone}. Nothing is changed at the calendar system.", err=True)
        typed(name, confirm, f"Type the account's name ({name}) to remove it")
        wiped = await _remove(hub, account, gone)
        click.echo(_of_files(wiped), err=True)
        say(facts, as_json, f"“{name}” is removed.")

    with_hub(ctx, work)


async def _remove(hub: "Hub", account: "Account", gone: "Consequence") -> bool:
    """Calendar by calendar, so that nobody else waits for long. Returns whether the files are wiped already."""
    from kalends.bus import Topic
    from kalends.store import erasure, removal

    now = hub.clock.now()
    await hub.store.run(removal.begin, account.id, now, actor="cli")
    while await hub.store.run(removal.step, account.id, now, actor="cli"):
        pass
    await hub.store.run(removal.finish, account.id, gone, now, actor="cli")
    hub.bus.hint(Topic.FEED)
    traces = await hub.store.read(erasure.traces)
    if traces is None or not await hub.store.scrub():
        return traces is None
    await hub.store.run(erasure.scrubbed, traces)
    return True


def _of_files(wiped: bool) -> str:
    if wiped:
        return "Its credentials and meetings are wiped from the database. Backups made before still hold them."
    return "The running server wipes its credentials and meetings from the files within a minute."


def typed(wanted: str, given: str | None, question: str) -> None:
    """Goes on when `wanted` was typed or given, letter by letter; else exit 2, and nothing was changed."""
    if given is None:
        if not sys.stdin.isatty():
            fail(2, f"{question}: give --confirm, or run this in a terminal. Nothing was changed.")
        given = str(click.prompt(question, default="", show_default=False, err=True))
    if given != wanted:
        fail(2, f"“{given}” is not “{wanted}”. Nothing was changed.")
