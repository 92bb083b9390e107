"""Protocol debugging in the store: on for a stated time, a ring that stays within its bounds, and nothing left afterwards."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select

from kalends.providers.protocol import Spoken
from kalends.store import audit, debugging, removal
from kalends.store.debugging import Entry
from kalends.store.door import Connection, Store
from kalends.store.schema import spoken
from store.store_given import ACCOUNT, HOUR, NOW, ORG, given_account

pytestmark = pytest.mark.asyncio
LATER = NOW + HOUR
LONG_AGO = NOW - HOUR


def entry(number: int, at: datetime = NOW, body: str = "") -> Entry:
    return Entry(at, "p1", Spoken(number, "answer", f"HTTP {number}", (("Date", "today"),), body, "cut"))


def given_debugging(conn: Connection) -> None:
    given_account(conn)
    debugging.begin(conn, ACCOUNT, NOW, LATER, actor="cli:test")


def rows(conn: Connection) -> int:
    return conn.execute(select(func.count()).select_from(spoken)).scalar_one()


async def test_what_was_said_comes_back_in_order_and_whole(store: Store) -> None:
    await store.run(given_debugging)

    kept = await store.run(debugging.keep, ACCOUNT, [entry(1), entry(2, body="<a/>")], 0)

    found = await store.read(debugging.entries_after, ACCOUNT, 0, 10, LONG_AGO)
    assert kept == 2
    assert [(each.at, each.process, each.said) for each in found] == [
        (each.at, each.process, each.said) for each in (entry(1), entry(2, body="<a/>"))
    ]
    assert [each.said.conversation for each in await store.read(debugging.newest, ACCOUNT, 1, LONG_AGO)] == [2]
    assert await store.read(debugging.entries_after, ACCOUNT, found[1].seq, 10, LONG_AGO) == []


async def test_where_it_was_never_on_nothing_is_kept(store: Store) -> None:
    await store.run(given_account)

    assert await store.run(debugging.keep, ACCOUNT, [entry(1)], 3) == 0
    assert await store.read(rows) == 0


async def test_what_was_said_after_its_end_is_not_kept(store: Store) -> None:
    await store.run(given_debugging)

    kept = await store.run(debugging.keep, ACCOUNT, [entry(1, LATER - timedelta(seconds=1)), entry(2, LATER)], 0)

    assert kept == 1


async def test_the_oldest_make_way_beyond_so_many_entries(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debugging, "MOST_ENTRIES", 5)
    await store.run(given_debugging)

    for first in (1, 4, 7):
        await store.run(debugging.keep, ACCOUNT, [entry(first + n) for n in range(3)], 0)

    found = await store.read(debugging.entries_after, ACCOUNT, 0, 100, LONG_AGO)
    assert [each.said.conversation for each in found] == [5, 6, 7, 8, 9]


async def test_the_oldest_make_way_beyond_so_many_bytes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debugging, "MOST_BYTES", 10_000)
    await store.run(given_debugging)

    await store.run(debugging.keep, ACCOUNT, [entry(n, body="x" * 3000) for n in range(9)], 0)

    found = await store.read(debugging.entries_after, ACCOUNT, 0, 100, LONG_AGO)
    assert [each.said.conversation for each in found] == [6, 7, 8]


async def test_what_was_lost_is_counted_until_it_begins_anew(store: Store) -> None:
    await store.run(given_debugging)
    await store.run(debugging.keep, ACCOUNT, [], 30)
    await store.run(debugging.keep, ACCOUNT, [entry(1)], 7)

    found = await store.read(debugging.get, ACCOUNT)
    await store.run(debugging.begin, ACCOUNT, LATER, LATER + HOUR, actor="cli:test")

    again = await store.read(debugging.get, ACCOUNT)
    assert found is not None
    assert again is not None
    assert (found.lost, again.lost) == (37, 0)


async def test_a_longer_time_goes_on_from_where_it_began(store: Store) -> None:
    await store.run(given_debugging)

    await store.run(debugging.begin, ACCOUNT, NOW + timedelta(minutes=5), LATER + HOUR, actor="cli:test")

    found = await store.read(debugging.get, ACCOUNT)
    assert found is not None
    assert (found.since, found.until) == (NOW, LATER + HOUR)


async def test_it_ends_by_itself_and_the_record_is_read_for_a_while(store: Store) -> None:
    await store.run(given_debugging)
    await store.run(debugging.keep, ACCOUNT, [entry(1)], 0)

    assert await store.read(debugging.names_on, ORG, LATER - timedelta(seconds=1)) == [(ACCOUNT, "HQ", LATER)]
    assert await store.read(debugging.names_on, ORG, LATER) == []
    assert len(await store.read(debugging.newest, ACCOUNT, 9, LATER - timedelta(seconds=1))) == 1
    assert await store.read(debugging.newest, ACCOUNT, 9, LATER) == []


async def test_when_its_time_is_over_nothing_is_left(store: Store) -> None:
    await store.run(given_debugging)
    await store.run(debugging.keep, ACCOUNT, [entry(1)], 0)

    assert await store.run(debugging.let_go, LATER - timedelta(seconds=1), LATER) == 0
    assert await store.run(debugging.let_go, LATER, LATER + HOUR) == 1

    assert await store.read(rows) == 0
    assert await store.read(debugging.get, ACCOUNT) is None


async def test_ending_it_keeps_the_record_and_forgetting_does_not(store: Store) -> None:
    await store.run(given_debugging)
    await store.run(debugging.keep, ACCOUNT, [entry(1)], 0)

    assert await store.run(debugging.end, ACCOUNT, NOW + timedelta(minutes=1), actor="cli:test")
    assert await store.read(rows) == 1
    assert not await store.run(debugging.end, ACCOUNT, NOW + timedelta(minutes=2), actor="cli:test")

    assert await store.run(debugging.end, ACCOUNT, NOW + timedelta(minutes=2), actor="cli:test", forgets=True)
    assert await store.read(rows) == 0
    assert await store.run(debugging.keep, ACCOUNT, [entry(2)], 0) == 0, "what comes late is not taken in"


async def test_who_switched_it_is_in_the_audit_trail(store: Store) -> None:
    await store.run(given_debugging)
    await store.run(debugging.end, ACCOUNT, NOW + timedelta(minutes=1), actor="cli:else")

    found = await store.read(audit.list_entries, ORG, 10, ACCOUNT)
    told = [(each.actor, each.action) for each in found if "debugging" in each.action]
    assert told == [("cli:else", "account.debugging.off"), ("cli:test", "account.debugging.on")]
    assert "2026-11-23T10:00:00+00:00" in next(each.why for each in found if each.action.endswith(".on"))


async def test_a_removed_account_leaves_nothing_of_its_conversations(inline: Store) -> None:
    await inline.run(given_debugging)
    await inline.run(debugging.keep, ACCOUNT, [entry(1)], 0)

    gone = await inline.read(removal.consequence, ACCOUNT)
    await inline.run(removal.finish, ACCOUNT, gone, NOW, actor="cli:test")

    assert await inline.read(rows) == 0
    assert await inline.read(debugging.list_all) == []
