"""`kalends accounts remove`: what goes is said first, goes wholly, and is in no file afterwards; rooms and panels stay."""

import asyncio
import sqlite3
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kalends.app import Hub, open_hub
from kalends.config import Config
from kalends.model.event import ItemId, Kind
from kalends.model.time import Span
from kalends.providers.protocol import Cursor, Page
from kalends.store import accounts, audit, calendars, due, events, feed, polled, removal, spaces
from kalends.store.door import Connection
from store.store_given import single
from sync.processes import Wanted, config, invoked, rows, set_up

SUBJECT = "Aardvark acquisition"
SETTINGS = {"url": "https://127.0.0.1:1/EWS/Exchange.asmx", "username": "svc"}
ROOMS = ("almond@t.example", "birch@t.example")


@dataclass(frozen=True)
class Scene:
    made: Config
    sealed: bytes
    """The credentials of the account to be removed, as they are stored."""

    def files(self) -> bytes:
        return b"".join(file.read_bytes() for file in sorted(self.made.data_folder.glob("kalends.sqlite3*")))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """Two accounts; of the first two calendars with meetings, one of them shared with a room of the second."""
    made = config(tmp_path)
    set_up(made, [Wanted("old", SETTINGS, "secret-of-old", ROOMS, streams=True)])
    set_up_other(made)

    async def fill() -> bytes:
        async with open_hub(made) as hub:
            return await hub.store.run(_fill, hub)

    return Scene(made, asyncio.run(fill()))


def set_up_other(made: Config) -> None:
    async def work() -> None:
        async with open_hub(made) as hub:
            await hub.store.run(_other, hub)

    asyncio.run(work())


def _other(conn: Connection, hub: Hub) -> None:
    now = hub.clock.now()
    accounts.add(
        conn,
        hub.seal,
        "acc_new",
        hub.organization,
        "exchange",
        "new",
        SETTINGS,
        {"password": "x"},
        "P3",
        now,
        actor="t",
    )
    calendars.add(conn, "cal_new", hub.organization, "acc_new", "almond@t.example", "Almond", now)
    almond = next(s for s in spaces.list_all(conn, hub.organization) if s.name.startswith("almond"))
    spaces.link(conn, almond.id, "cal_new", 1, now, actor="t")


def _fill(conn: Connection, hub: Hub) -> bytes:
    now = hub.clock.now()
    window = Span(now - timedelta(days=7), now + timedelta(days=400))
    account = accounts.by_name(conn, hub.organization, "old")
    assert account is not None
    members = calendars.of_account(conn, account.id)
    for lease in due.claim(conn, ["pull"], now + timedelta(seconds=1), timedelta(minutes=1), 10, None):
        found = [single(f"{lease.id}-{n}", now + timedelta(hours=n), subject=SUBJECT) for n in range(20)]
        series = single("series", now, kind=Kind.SERIES, subject=SUBJECT)
        page = Page((*found, series), frozenset[ItemId](), Cursor("c"), more=False)
        events.apply(conn, lease, lease.id, page, window, now)
    polled.say(conn, [members[0].id], {members[0].id: "By polling, every minute."})
    return account.sealed


def test_what_would_go_is_counted_and_stays(scene: Scene) -> None:
    before = _standing(scene.made)

    done = invoked(scene.made, "accounts", "remove", "old", "--dry-run", "--json")

    [said] = rows(done)
    assert done.exit_code == 0, done.output
    assert said == {"account": "old", "removed": False, "calendars": 2, "meetings": 40, "rooms": 2, "unlinked": 1}
    assert _standing(scene.made) == before


@pytest.mark.parametrize("arguments", [(), ("--confirm", "Old"), ("--confirm", "new")])
def test_without_the_name_letter_by_letter_nothing_goes(scene: Scene, arguments: tuple[str, ...]) -> None:
    before = _standing(scene.made)

    done = invoked(scene.made, "accounts", "remove", "old", *arguments)

    assert done.exit_code == 2
    assert "Nothing was changed" in done.stderr
    assert "2 calendars, 40 meetings; 2 rooms lose a calendar, 1 the only one" in done.stderr
    assert _standing(scene.made) == before


def test_the_account_goes_with_all_that_was_read_through_it_and_rooms_stay(scene: Scene) -> None:
    done = invoked(scene.made, "accounts", "remove", "old", "--confirm", "old")

    standing = _standing(scene.made)
    assert done.exit_code == 0, done.output
    assert standing.accounts == ["new"]
    assert standing.rooms == {"almond@t.example": ("cal_new",), "birch@t.example": ()}
    assert standing.counted == {"calendars": 1, "events": 0, "bases": 0, "links": 1, "due": 0, "polled": 0}
    assert ("account.state", "removed") in standing.told
    assert standing.told.count(("calendar.state", "removed")) == 2
    assert any("2 calendars, 40 meetings" in why for why in standing.why)


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite as most systems build it: deleted rows stay in the file until something overwrites them."""
    connect = sqlite3.connect

    def opened(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection = connect(*args, **kwargs)
        connection.execute("PRAGMA secure_delete=OFF")
        return connection

    monkeypatch.setattr(sqlite3, "connect", opened)


@pytest.mark.usefixtures("careless")
def test_no_file_holds_the_credentials_or_a_meeting_afterwards(scene: Scene) -> None:
    assert scene.sealed in scene.files()
    assert SUBJECT.encode() in scene.files()

    done = invoked(scene.made, "accounts", "remove", "old", "--confirm", "old")

    assert "are wiped from the database" in done.stderr
    assert scene.sealed not in scene.files()
    assert SUBJECT.encode() not in scene.files()
    assert b"kalends" in scene.files() or b"acc_new" in scene.files(), "the rest is there"


@pytest.mark.usefixtures("careless")
def test_beside_a_running_server_it_is_the_server_that_wipes_the_files(scene: Scene) -> None:
    async def work() -> tuple[str, bool, bool]:
        async with open_hub(scene.made, exclusive=True) as hub:
            done = await asyncio.to_thread(invoked, scene.made, "accounts", "remove", "old", "--confirm", "old")
            held_before = scene.sealed in scene.files()
            worker = hub.worker()
            working = asyncio.create_task(worker.run())
            async with asyncio.timeout(20):
                while await hub.store.read(removal.is_erasing_wanted):  # noqa: ASYNC110  # as from another process
                    await asyncio.sleep(0.01)
            held_after = scene.sealed in scene.files()
            worker.stop()
            await working
            return done.stderr, held_before, held_after

    said, held_before, held_after = asyncio.run(work())

    assert "The running server wipes" in said
    assert (held_before, held_after) == (True, False)


def test_a_removal_that_was_broken_off_is_finished_by_the_next(scene: Scene) -> None:
    async def half() -> None:
        async with open_hub(scene.made) as hub:
            account = await hub.store.read(accounts.by_name, hub.organization, "old")
            assert account is not None
            await hub.store.run(removal.begin, account.id, hub.clock.now(), actor="t")
            await hub.store.run(removal.step, account.id, hub.clock.now(), actor="t")

    asyncio.run(half())
    assert _standing(scene.made).accounts == ["new", "old"]

    done = invoked(scene.made, "accounts", "remove", "old", "--confirm", "old")

    assert done.exit_code == 0, done.output
    assert _standing(scene.made).accounts == ["new"]


@dataclass(frozen=True)
class Standing:
    """What the store holds."""

    accounts: list[str]
    rooms: dict[str, tuple[str, ...]]
    counted: dict[str, int]
    told: list[tuple[str, str]]
    why: list[str]


def _standing(made: Config) -> Standing:
    async def look() -> Standing:
        async with open_hub(made) as hub:
            return await hub.store.read(_look, hub.organization)

    return asyncio.run(look())


def _look(conn: Connection, organization: str) -> Standing:
    tables = ("calendars", "events", "bases", "links", "due", "polled")
    return Standing(
        accounts=[account.name for account in accounts.list_all(conn, organization)],
        rooms={space.name: space.calendars for space in spaces.list_all(conn, organization)},
        counted={name: conn.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one() for name in tables},
        told=[(change.kind, change.version) for change in feed.after(conn, organization, None).changes],
        why=[entry.why for entry in audit.list_entries(conn, organization, 500)],
    )
