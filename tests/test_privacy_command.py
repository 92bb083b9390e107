"""`kalends accounts privacy`: what it says, what it erases, and that it is really gone."""

import asyncio
import json
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kalends.app import Hub, open_hub
from kalends.cli import kalends as program
from kalends.config import Config
from kalends.model.event import Event, ItemId, Kind, Party, Version
from kalends.model.time import Span
from kalends.providers.protocol import Cursor, Page
from kalends.store import accounts, calendars, due, erasure, events
from kalends.store.door import Connection
from kalends.sync.forgetting import Forgetting
from sync.processes import Wanted, config, set_up, variables

ADDRESS = "r1@t.example"


@pytest.fixture
def hub(tmp_path: Path) -> Config:
    """An account in mode P3 with 30 meetings to come."""
    made = config(tmp_path)
    set_up(
        made, [Wanted("hq", {"url": "https://old.example.test/EWS/Exchange.asmx", "username": "svc"}, "s", [ADDRESS])]
    )
    asyncio.run(_fill(made))
    return made


async def _fill(made: Config) -> None:
    async with open_hub(made) as hub:
        [calendar] = await hub.store.read(calendars.find, hub.organization, ADDRESS)
        await hub.store.run(_hold, hub, calendar.id)


def _hold(conn: Connection, hub: Hub, calendar: str) -> None:
    now = hub.clock.now()
    [lease] = due.claim(conn, ["pull"], now, timedelta(hours=1), 1, None)
    span = Span(now + timedelta(hours=1), now + timedelta(hours=2))
    ada = Party("Ada Example", "ada@example.test")
    held = [
        Event(f"u{n}", None, ItemId(f"i{n}"), Version("1"), Kind.SINGLE, span, subject=f"Takeover {n}", organizer=ada)
        for n in range(30)
    ]
    page = Page(tuple(held), frozenset(), Cursor("c"), more=False)
    events.apply(conn, hub.contents, lease, calendar, page, Span(now, now + timedelta(days=9)), now)


def privacy(made: Config, *arguments: str) -> Result:
    return CliRunner(env=variables(made)).invoke(program, ["accounts", "privacy", *arguments])


def subjects(made: Config) -> list[str | None]:
    async def look() -> list[str | None]:
        async with open_hub(made) as hub:
            [calendar] = await hub.store.read(calendars.find, hub.organization, ADDRESS)
            now = hub.clock.now()
            span = Span(now, now + timedelta(days=1))
            held = await hub.store.read(events.in_span, hub.contents, [calendar.id], span)
            return sorted({event.subject for event in held[calendar.id]}, key=str)

    return asyncio.run(look())


def test_it_says_the_mode_in_words(hub: Config) -> None:
    said = privacy(hub, "hq")

    assert said.exit_code == 0, said.output
    assert said.output == "The account “hq” is in mode P3: whole meetings, sealed.\n"


def test_a_dry_run_counts_and_changes_nothing(hub: Config) -> None:
    done = privacy(hub, "hq", "P1", "--dry-run", "--json")

    assert json.loads(done.stdout) == {"account": "hq", "privacy": "P1", "erased": 30, "changed": False}
    assert len(subjects(hub)) == 30


def test_a_lower_mode_erases_at_once_and_leaves_nothing_in_database_log_or_backup(hub: Config, tmp_path: Path) -> None:
    sealed = _sealed(tmp_path)
    before = _files(tmp_path)

    done = privacy(hub, "hq", "P1")

    after = _files(tmp_path)
    assert done.exit_code == 0, done.output
    assert "Meetings of which something was erased: 30." in done.output
    assert "delete them" in done.output
    assert subjects(hub) == [None]
    assert len(sealed) == 30
    assert all(any(one in held for held in before.values()) for one in sealed), "the search would find them"
    assert [name for name, held in after.items() for one in sealed if one in held] == []


def test_beside_a_running_server_the_log_is_emptied_within_its_next_minute(hub: Config, tmp_path: Path) -> None:
    sealed = _sealed(tmp_path)

    async def beside() -> tuple[Result, dict[str, bytes]]:
        async with open_hub(hub, exclusive=True) as server:
            done = await asyncio.to_thread(privacy, hub, "hq", "P1")
            await Forgetting(server.store, server.contents, server.bus, server.clock).once()
            assert await server.store.read(erasure.pending) == []
            return done, _files(tmp_path)

    done, after = asyncio.run(beside())

    assert done.exit_code == 0, done.output
    assert [name for name, held in after.items() for one in sealed if one in held] == []


def test_a_higher_mode_reads_the_calendars_again(hub: Config) -> None:
    privacy(hub, "hq", "P1")

    done = privacy(hub, "hq", "P3")

    calendar, mode = _calendar(hub)
    assert "read again in full" in done.output
    assert (calendar.cursor, calendar.reconciled_at, mode) == (None, None, "P3")


def test_an_unknown_account_is_named_with_those_there_are(hub: Config) -> None:
    done = privacy(hub, "HQ2", "P1")

    assert done.exit_code == 4
    assert "There is “hq”." in done.output


def _calendar(made: Config) -> tuple[calendars.Calendar, str]:
    async def look() -> tuple[calendars.Calendar, str]:
        async with open_hub(made) as hub:
            [calendar] = await hub.store.read(calendars.find, hub.organization, ADDRESS)
            account = await hub.store.read(accounts.get, calendar.account)
            assert account is not None
            return calendar, account.privacy

    return asyncio.run(look())


def _sealed(folder: Path) -> list[bytes]:
    with sqlite3.connect(folder / "kalends.sqlite3") as database:
        found = [row[0] for row in database.execute("SELECT content FROM events WHERE content IS NOT NULL")]
    database.close()
    return found


def _files(folder: Path) -> dict[str, bytes]:
    copy = folder / "backup"
    copy.unlink(missing_ok=True)
    with sqlite3.connect(folder / "kalends.sqlite3") as source, sqlite3.connect(copy) as target:
        source.backup(target)
    source.close()
    target.close()
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if "sqlite3" in path.name or path == copy}


def test_after_a_rotation_the_new_key_alone_opens_what_the_old_one_sealed(hub: Config) -> None:
    done = CliRunner(env=variables(hub)).invoke(program, ["keys", "rotate"])

    lines = hub.key_file.read_text().splitlines()
    hub.key_file.write_text(lines[0] + "\n")
    assert done.exit_code == 0, done.output
    assert len(lines) == 2
    assert len(subjects(hub)) == 30


def test_without_the_key_nothing_starts_and_it_is_said_what_to_do(hub: Config) -> None:
    hub.key_file.unlink()

    done = privacy(hub, "hq")

    assert done.exit_code == 78
    assert "Put it back from your backup" in done.output
