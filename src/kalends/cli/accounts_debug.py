"""`kalends accounts debug`: record what an account and its server say, masked, for a stated time; read it; forget it."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from kalends.cli.account import named
from kalends.cli.session import NOT_FOUND, fail, json_option, say, with_hub

if TYPE_CHECKING:
    from kalends.app import Hub
    from kalends.features.debugging import Form
    from kalends.store.accounts import Account
    from kalends.store.debugging import Debugging, Entry

_LENGTH = re.compile(r"([1-9][0-9]{0,4})\s*(s|m|min|h)")
_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours"}
_ACTOR = "cli"
_LOOK_SECONDS = 1.0


def _length(ctx: click.Context, option: click.Parameter, value: str | None) -> timedelta | None:
    from kalends.store.debugging import LONGEST

    if value is None:
        return None
    found = _LENGTH.fullmatch(value.strip())
    length = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None
    if length is None or length > LONGEST:
        raise click.BadParameter("give a length such as 30m or 2h, 24h at most.")
    return length


@click.command()
@click.argument("name")
@click.option("--for", "length", callback=_length, help="Record from now on for so long: 30m, 2h, at most 24h.")
@click.option("--off", is_flag=True, help="Stop recording now.")
@click.option("--forget", is_flag=True, help="With --off: delete what was recorded at once.")
@click.option("--show", is_flag=True, help="Print what was recorded.")
@click.option("--follow", is_flag=True, help="With --show: go on printing until recording ends.")
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file what --show prints.")
@json_option
@click.pass_context
def debug(
    ctx: click.Context,
    name: str,
    length: timedelta | None,
    off: bool,
    forget: bool,
    show: bool,
    follow: bool,
    save: Path | None,
    as_json: bool,
) -> None:
    """Record what the account NAME and its server say to each other.

    Passwords, tokens, subjects, bodies, places, names and addresses of people are masked before anything is stored.
    Without an option it says whether recording is on. It ends by itself; an hour later the record is deleted.
    """
    show = show or follow or save is not None
    if sum((length is not None, off, show)) > 1:
        fail(2, "Give one of --for, --off and --show.")
    if forget and not off:
        fail(2, "--forget goes with --off.")

    async def work(hub: "Hub") -> None:

        account = await named(hub, name)
        if length is not None:
            await _begin(hub, account, length, as_json)
        elif off:
            await _end(hub, account, forget, as_json)
        elif show:
            await _show(hub, account, "jsonl" if as_json else "text", follow, save)
        else:
            await _state(hub, account, as_json)

    with_hub(ctx, work)


async def _begin(hub: "Hub", account: "Account", length: timedelta, as_json: bool) -> None:
    from kalends.store import debugging

    now = hub.clock.now()
    until = now + hub.clock.stretch(length)
    await hub.store.run(debugging.begin, account.id, now, until, actor=_ACTOR)
    await _state(hub, account, as_json)


async def _end(hub: "Hub", account: "Account", forgets: bool, as_json: bool) -> None:
    from kalends.store import debugging

    done = await hub.store.run(debugging.end, account.id, hub.clock.now(), actor=_ACTOR, forgets=forgets)
    kept = "What was recorded is deleted." if forgets else "What was recorded can be read for another hour."
    sentence = (
        f"Recording of “{account.name}” has ended. {kept}" if done else f"“{account.name}” was not being recorded."
    )
    say({"account": account.name, "on": False, "changed": done}, as_json, sentence)


async def _state(hub: "Hub", account: "Account", as_json: bool) -> None:
    from kalends.features.debugging import losses, stamp

    found, now = await _found(hub, account), hub.clock.now()
    is_on = found is not None and found.is_on(now)
    until = found.until.isoformat() if found is not None else None
    if found is None:
        sentence = f"“{account.name}” is not being recorded. Begin with: kalends accounts debug NAME --for 30m"
    elif is_on:
        sentence = (
            f"“{account.name}” is being recorded until {stamp(found.until)}. Read it with --show. {losses(found)}"
        )
    else:
        sentence = f"Recording of “{account.name}” ended at {stamp(found.until)}. Read it with --show. {losses(found)}"
    lost = found.lost if found is not None else 0
    say({"account": account.name, "on": is_on, "until": until, "lost": lost}, as_json, sentence.rstrip())


async def _found(hub: "Hub", account: "Account") -> "Debugging | None":
    """What there is to read; None also when its time is over and it only waits to be deleted."""
    from kalends.store import debugging

    found = await hub.store.read(debugging.get, account.id)
    before = hub.clock.now() - hub.clock.stretch(debugging.KEPT_AFTER)
    return found if found is not None and found.until > before else None


async def _show(hub: "Hub", account: "Account", form: "Form", follow: bool, save: Path | None) -> None:
    from kalends.features.debugging import losses, written

    found = await _found(hub, account)
    if found is None:
        fail(NOT_FOUND, f"Nothing is recorded of “{account.name}”. Begin with: kalends accounts debug NAME --for 30m")
    with _opened(save) as out:
        async for entry in _entries(hub, account, follow):
            out.write(written(entry, form))
            out.flush()
    found = await _found(hub, account)
    if found is not None and found.lost:
        click.echo(losses(found), err=True)


async def _entries(hub: "Hub", account: "Account", follow: bool) -> "AsyncIterator[Entry]":
    """What is recorded, the oldest first; with `follow` until nothing more can come."""
    import asyncio

    from kalends.features.debugging import AT_ONCE
    from kalends.store import debugging

    after = 0
    while True:
        found = await _found(hub, account)
        before = hub.clock.now() - hub.clock.stretch(debugging.KEPT_AFTER)
        entries = await hub.store.read(debugging.entries_after, account.id, after, AT_ONCE, before)
        for entry in entries:
            yield entry
            after = entry.seq
        if entries:
            continue
        if not follow or found is None or not found.is_on(hub.clock.now()):
            return
        await asyncio.sleep(_LOOK_SECONDS)


def _opened(save: Path | None) -> IO[str]:
    """A new file that only its owner may read, or the standard output. Exit 2 if it can't be made."""
    if save is None:
        return click.open_file("-", "w", encoding="utf-8")
    try:
        return open(save, "x", encoding="utf-8", opener=_private)
    except OSError as error:
        fail(2, f"{save} can't be written: {error.strerror}. Name a file that is not there yet.")


def _private(path: str, flags: int) -> int:
    import os

    return os.open(path, flags, 0o600)
