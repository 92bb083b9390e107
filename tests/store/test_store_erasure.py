"""What a privacy mode does not allow is erased, counted, told and gone from the disk; what it allows anew is read again."""

import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, update
from store_given import (
    ACCOUNT,
    ALL,
    CALENDAR,
    CONTENTS,
    DAY,
    HOUR,
    NOW,
    ORG,
    SEAL,
    WINDOW,
    given_calendar,
    given_lease,
    page,
    series,
    single,
)

from kalends.bus import LocalBus
from kalends.model.event import Attendee, Event, Party, Role, Sensitivity, Zone
from kalends.model.privacy import Mode
from kalends.model.time import Span
from kalends.store import accounts, audit, calendars, due, erasure, events, feed
from kalends.store.door import SqliteStore, Store, open_store
from kalends.store.due import Lease, LeaseLost
from kalends.store.schema import bases, meta
from kalends.store.schema import calendars as calendars_
from kalends.store.schema import events as table
from kalends.sync.forgetting import Forgetting

pytestmark = pytest.mark.asyncio
SIGHT = Span(NOW - 9 * DAY, NOW + 400 * DAY)
MASTER = replace(series("M", "uid-M"), subject="Board")


def meeting(item: str, days: float = 1) -> Event:
    return single(
        item,
        NOW + timedelta(days=days),
        subject=f"Takeover {item}",
        location="Vault",
        description="Papers",
        organizer=Party("Ada Example", "ada@example.test"),
        attendees=(Attendee(Party("Bob Guest", "bob@example.test"), Role.REQUIRED),),
        zone=Zone("W. Europe Standard Time", "Europe/Berlin"),
        sensitivity=Sensitivity.NORMAL,
    )


HELD = (meeting("past", days=-1), meeting("next"), meeting("later", days=2), MASTER)


class Standing:
    """A clock that shows what it is told."""

    factor = 1.0

    def __init__(self) -> None:
        self.at = NOW

    def now(self):  # type: ignore[no-untyped-def]
        return self.at


async def given(store: Store, *held: Event, mode: str = "P3") -> Lease:
    lease = await store.run(given_lease)
    if mode != "P3":
        await store.run(erasure.change_mode, ACCOUNT, Mode(mode), NOW, actor="test")
        await forgetting(store).once()
        lease = await turn(store)
    await store.run(events.apply, CONTENTS, lease, CALENDAR, page(*held), WINDOW, NOW)
    return lease


async def turn(store: Store) -> Lease:
    def claim(conn: Connection) -> Lease:
        [lease] = due.claim(conn, ["pull"], NOW + DAY, HOUR, 1, None)
        return lease

    return await store.run(claim)


def forgetting(store: Store, at: timedelta = timedelta(0)) -> Forgetting:
    clock = Standing()
    clock.at = NOW + at
    return Forgetting(store, CONTENTS, LocalBus(), clock)  # type: ignore[arg-type]


async def held(store: Store) -> dict[str, Event]:
    """Every row, masters too, by item."""

    def read(conn: Connection) -> dict[str, Event]:
        keys = list(conn.execute(select(table.c.key)).scalars())
        found = events.by_keys(conn, CONTENTS, keys)
        return {event.item: event for pairs in found.values() for _, event in pairs}

    return await store.read(read)


async def lower(store: Store, mode: str) -> int:
    await store.run(erasure.change_mode, ACCOUNT, Mode(mode), NOW, actor="cli:root")
    return await forgetting(store).erase(ACCOUNT, "cli:root")


async def sealed(store: Store) -> list[bytes]:
    query = select(table.c.content).where(table.c.content.is_not(None)).order_by(table.c.id)
    return [bytes(one) for one in await store.read(lambda conn: conn.execute(query).scalars().all())]


@pytest.mark.parametrize(
    ("mode", "texts", "zone"),
    [
        ("P2", ["Takeover later", "Takeover next", None, None], "Europe/Berlin"),
        ("P1", [None, None, None, None], "Europe/Berlin"),
        ("P0", [None, None, None, None], ""),
    ],
)
async def test_a_lower_mode_holds_only_what_it_allows(store: Store, mode: str, texts: list[str], zone: str) -> None:
    await given(store, *HELD)

    erased = await lower(store, mode)

    found = await held(store)
    assert erased == 4
    assert sorted((event.subject for event in found.values()), key=str) == sorted(texts, key=str)
    assert all((e.location, e.description, e.attendees, e.recurrence) == (None, None, (), None) for e in found.values())
    assert (found["next"].organizer is not None) is (mode == "P2")
    assert found["next"].zone.original == zone
    assert found["next"].span == HELD[1].span
    assert len(await sealed(store)) == sum(text is not None for text in texts)


async def test_what_was_erased_is_counted_audited_and_told_in_the_feed(store: Store) -> None:
    await given(store, *HELD)
    before = await store.read(feed.latest)

    await lower(store, "P1")

    told = (await store.read(feed.after, ORG, before)).changes
    entries = await store.read(audit.list_entries, ORG, 10, ACCOUNT)
    assert [change.kind for change in told] == ["account.privacy", *["event.updated"] * 4]
    assert [(entry.actor, entry.action, entry.why) for entry in entries[:2]] == [
        ("cli:root", "events.erased", "meetings that held more than P1 allows: 4"),
        ("cli:root", "account.privacy", "privacy mode P3 → P1"),
    ]


async def test_counting_before_erasing_changes_nothing(store: Store) -> None:
    await given(store, *HELD)
    before = await sealed(store)

    step = await store.read(erasure.excess, CONTENTS, ACCOUNT, "P1", erasure.BEGINNING, NOW)

    assert (step.erased, step.last) == (4, None)
    assert await sealed(store) == before


async def test_an_erasure_that_died_halfway_is_ended_by_the_next_worker(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "AT_ONCE", 2)
    await given(store, *HELD)
    await store.run(erasure.change_mode, ACCOUNT, Mode.BUSY_ONLY, NOW, actor="cli:root")
    step = await store.run(erasure.erase_some, CONTENTS, ACCOUNT, erasure.BEGINNING, NOW, actor="cli:root")
    left = len(await sealed(store))

    await forgetting(store).once()

    assert (step.erased, step.last is not None, left) == (2, True, 2)
    assert await sealed(store) == []
    assert await store.read(erasure.pending) == []


async def test_every_calendar_of_the_account_and_no_other_is_walked_in_small_steps(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "AT_ONCE", 2)
    await given(store, *HELD)
    for id_ in ("cal_2", "cal_3"):
        await store.run(given_calendar, id_, f"{id_}@aurora.test")
        await store.run(events.apply, CONTENTS, await turn(store), id_, page(*HELD[:3]), WINDOW, NOW)
    await store.run(_moves_to_another_account, "cal_3")

    erased = await lower(store, "P1")

    assert erased == 4 + 3
    assert len(await sealed(store)) == 3, "what belongs to another account stays"


async def test_minimal_forgets_all_that_is_over_however_much(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "AT_ONCE", 2)
    await given(store, *(meeting(f"n{n}") for n in range(5)), mode="P2")

    await forgetting(store, DAY + HOUR).once()

    assert await sealed(store) == []


async def test_a_turn_that_began_under_the_old_mode_writes_nothing_more(store: Store) -> None:
    lease = await given(store, *HELD)
    await lower(store, "P1")

    with pytest.raises(LeaseLost):
        await store.run(events.apply, CONTENTS, lease, CALENDAR, page(meeting("new")), WINDOW, NOW)

    fresh = await turn(store)
    await store.run(events.apply, CONTENTS, fresh, CALENDAR, page(meeting("new")), WINDOW, NOW)
    assert (await held(store))["new"].subject is None


async def test_after_an_erasure_the_same_meetings_are_no_news(store: Store) -> None:
    await given(store, *HELD)
    await lower(store, "P1")
    before = await store.read(feed.latest)

    again = replace(page(*HELD), complete=(ALL,))
    await store.run(events.apply, CONTENTS, await turn(store), CALENDAR, again, WINDOW, NOW)

    assert (await store.read(feed.after, ORG, before)).changes == ()


@pytest.mark.parametrize(("old", "new"), [("P1", "P3"), ("P2", "P3"), ("P1", "P2"), ("P0", "P1"), ("P1", "P0")])
async def test_what_a_mode_allows_anew_is_read_again_in_full(store: Store, old: str, new: str) -> None:
    await given(store, *HELD, mode=old)

    await store.run(erasure.change_mode, ACCOUNT, Mode(new), NOW, actor="cli:root")

    calendar = await store.read(calendars.get, CALENDAR)
    known = await store.read(events.known, CALENDAR)
    backlog = await store.read(due.backlog, NOW + DAY)
    assert calendar is not None
    assert (calendar.cursor, calendar.reconciled_at) == (None, None)
    assert {one.version for one in known.values()} == {""}, "no version is known, so every meeting is fetched"
    assert backlog["pull", due.NEWS].rows == 1
    await store.run(events.apply, CONTENTS, await turn(store), CALENDAR, page(*HELD), WINDOW, NOW)
    assert (await held(store))["next"].subject == (None if new in ("P0", "P1") else "Takeover next")


async def test_the_same_mode_again_changes_nothing(store: Store) -> None:
    await given(store, *HELD)
    before = await store.read(feed.latest)

    await store.run(erasure.change_mode, ACCOUNT, Mode.FULL, NOW, actor="cli:root")

    assert (await store.read(feed.after, ORG, before)).changes == ()
    assert await store.read(erasure.pending) == []


async def test_minimal_forgets_who_and_what_once_a_meeting_is_over(store: Store) -> None:
    await given(store, meeting("soon", days=1), meeting("later", days=3), mode="P2")
    before = await store.read(feed.latest)

    await forgetting(store, DAY + HOUR).once()

    found = await held(store)
    told = (await store.read(feed.after, ORG, before)).changes
    [entry, *_] = await store.read(audit.list_entries, ORG, 1, ACCOUNT)
    assert {item: event.subject for item, event in found.items()} == {"soon": None, "later": "Takeover later"}
    assert found["soon"].organizer is None
    assert [change.kind for change in told] == ["event.updated"]
    assert entry.why == "meetings that are over, who and what forgotten (P2): 1"


async def test_what_minimal_forgot_does_not_come_back_and_is_no_news(store: Store) -> None:
    lease = await given(store, meeting("soon"), mode="P2")
    late = NOW + DAY + HOUR
    await forgetting(store, DAY + HOUR).once()
    before = await store.read(feed.latest)

    touched = page(replace(meeting("soon"), version="2"))  # type: ignore[arg-type]
    await store.run(events.apply, CONTENTS, lease, CALENDAR, touched, WINDOW, late)

    assert (await held(store))["soon"].subject is None
    assert (await store.read(feed.after, ORG, before)).changes == ()


async def test_minimal_forgets_in_calendars_that_nobody_reads_any_more(store: Store) -> None:
    """The account may be paused for weeks: what rolled out of the window is not waited for."""
    await given(store, meeting("soon"), mode="P2")
    await store.run(accounts.set_state, ACCOUNT, "paused", "An admin paused it.", NOW)

    await forgetting(store, 30 * DAY).once()

    assert await sealed(store) == []


async def test_minimal_never_holds_who_meets_in_private(store: Store) -> None:
    await given(store, replace(meeting("soon"), sensitivity=Sensitivity.CONFIDENTIAL), mode="P2")

    assert await sealed(store) == []


async def test_what_was_erased_is_in_no_file_any_more(tmp_path: Path) -> None:
    """Not even sealed: not in the database, its free pages, its log, or a backup made afterwards."""
    file = tmp_path / "k.sqlite3"
    store = await open_store(f"sqlite:///{file}")
    assert isinstance(store, SqliteStore)
    await given(store, *HELD, *(replace(meeting(f"n{n}"), description="Papers " * 900) for n in range(40)))
    before, digests = await sealed(store), await store.read(_digests)
    first = _files(file)

    await lower(store, "P1")
    between = _files(file)
    await forgetting(store).once()
    after = _files(file)
    await store.aclose()

    assert len(before) == 44
    assert all(any(one[:60] in held for held in first.values()) for one in before), "the search finds what is there"
    assert any(one[:60] in held for one in before for held in between.values()), "its log is the last place"
    marks = [one[n : n + 60] for one in before for n in range(0, len(one) - 60, 60)] + digests
    assert {name for name, held in after.items() for mark in marks if mark in held} == set()
    assert set(after) >= {"k.sqlite3", "backup.sqlite3"}


async def test_traces_noted_while_the_log_is_emptied_keep_their_mark(store: Store) -> None:
    await store.run(erasure.note_traces)
    seen = await store.read(erasure.traces)
    assert seen is not None
    await store.run(erasure.note_traces)

    await store.run(erasure.scrubbed, seen)
    kept = await store.read(erasure.traces)
    await forgetting(store).once()

    assert kept == seen + 1
    assert await store.read(erasure.traces) is None
    assert await store.read(lambda conn: conn.execute(select(meta.c.key)).all()) == []


async def test_a_command_beside_a_server_leaves_the_log_to_the_server(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'k.sqlite3'}"
    server = await open_store(url)
    command = await open_store(url, exclusive=False)
    await given(command, *HELD)
    await lower(command, "P1")

    by_command = await command.scrub()
    before = (tmp_path / "k.sqlite3-wal").stat().st_size
    await forgetting(server).once()
    after = (tmp_path / "k.sqlite3-wal").stat().st_size
    await command.aclose()
    await server.aclose()

    assert by_command is False
    assert after < before / 5, "it was emptied; what it holds now is the note that it was"


def _moves_to_another_account(conn: Connection, calendar: str) -> None:
    given = ("exchange", "Other", {}, {}, "P3", NOW)
    accounts.add(conn, SEAL, "acc_2", ORG, *given, actor="test")
    conn.execute(update(calendars_).where(calendars_.c.id == calendar).values(account="acc_2"))


def _digests(conn: Connection) -> list[bytes]:
    return [bytes(one) for one in conn.execute(select(bases.c.digest)).scalars()]


def _files(file: Path) -> dict[str, bytes]:
    copy = file.with_name("backup.sqlite3")
    copy.unlink(missing_ok=True)
    with sqlite3.connect(file) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    source.close()
    target.close()
    return {path.name: path.read_bytes() for path in sorted(file.parent.iterdir()) if path.suffix != ".lock"}
