"""The feed: readers by cursor see everything, once, in one order."""

import asyncio
from random import Random

import pytest
from sqlalchemy import Connection, text
from store_given import HOUR, NOW, ORG

from kalends.store import feed, organizations
from kalends.store.door import PostgresStore, Store
from kalends.store.feed import BadCursor, News

pytestmark = pytest.mark.asyncio


def given_organization(conn: Connection, id: str = ORG) -> None:
    organizations.ensure_default(conn, id, "Aurora", "local", NOW)


def tell(conn: Connection, *keys: str) -> None:
    feed.append(conn, ORG, NOW, [News("event.created", key, "1", "cal_1", NOW, NOW + HOUR) for key in keys])


async def keys_after(store: Store, cursor: str | None, limit: int = 1000) -> tuple[list[str], str]:
    batch = await store.read(feed.after, ORG, cursor, limit)
    return [change.key for change in batch.changes], batch.cursor


async def test_a_reader_goes_on_where_it_stopped(store: Store) -> None:
    await store.run(given_organization)
    await store.run(tell, "a", "b", "c")

    first, cursor = await keys_after(store, None, 2)
    second, cursor = await keys_after(store, cursor, 2)
    nothing, same = await keys_after(store, cursor, 2)
    await store.run(tell, "d")
    third, _ = await keys_after(store, same)

    assert (first, second, nothing, third) == (["a", "b"], ["c"], [], ["d"])
    assert same == cursor


async def test_a_change_says_what_became_different(store: Store) -> None:
    await store.run(given_organization)
    await store.run(tell, "a")

    batch = await store.read(feed.after, ORG, None)

    [change] = batch.changes
    assert (change.kind, change.calendar, change.key, change.version) == ("event.created", "cal_1", "a", "1")
    assert (change.at, change.start, change.end) == (NOW, NOW, NOW + HOUR)
    assert change.cursor == batch.cursor


async def test_the_latest_cursor_has_nothing_behind_it_yet(store: Store) -> None:
    await store.run(given_organization)
    empty = await store.read(feed.latest)
    await store.run(tell, "a")

    latest = await store.read(feed.latest)
    await store.run(tell, "b")

    assert await keys_after(store, empty) == (["a", "b"], (await keys_after(store, latest))[1])
    assert (await keys_after(store, latest))[0] == ["b"]


async def test_organizations_do_not_see_each_others_changes(store: Store) -> None:
    await store.run(given_organization)
    await store.run(tell, "a")

    batch = await store.read(feed.after, "org_2", None)

    assert batch.changes == ()


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "1", "1.", "-1.0", "1.2.3", " 1.2", "1.2\n", "9999999999999999999.0", "1.9999999999999999999", "٣.٤"],
)
async def test_a_cursor_that_was_never_given_out_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(BadCursor, match="Leave it away"):
        await store.read(feed.after, ORG, cursor)


async def test_what_is_rolled_back_never_appears(store: Store) -> None:
    def tell_and_fail(conn: Connection) -> None:
        tell(conn, "ghost")
        raise ZeroDivisionError

    await store.run(given_organization)
    with pytest.raises(ZeroDivisionError):
        await store.run(tell_and_fail)

    assert (await keys_after(store, None))[0] == []


@pytest.mark.postgres
async def test_a_reader_beside_eight_slow_writers_misses_nothing_and_sees_nothing_twice(
    postgres: PostgresStore,
) -> None:
    await postgres.run(given_organization)
    rng = Random(11)
    pauses = [[rng.random() * 0.02 for _ in range(25)] for _ in range(8)]
    writing = 8

    def slowly(conn: Connection, key: str, pause: float) -> None:
        tell(conn, key)
        conn.execute(text("SELECT pg_sleep(:pause)"), {"pause": pause})
        tell(conn, f"{key}'")

    async def write(n: int) -> None:
        nonlocal writing
        for m, pause in enumerate(pauses[n]):
            await postgres.run(slowly, f"{n}-{m}", pause)
        writing -= 1

    async def read() -> list[str]:
        seen: list[str] = []
        cursor: str | None = None
        while True:
            over = writing == 0
            found, cursor = await keys_after(postgres, cursor, 7)
            seen += found
            if over and not found:
                return seen

    seen, *_ = await asyncio.gather(read(), *(write(n) for n in range(8)))

    written = [key for n in range(8) for m in range(25) for key in (f"{n}-{m}", f"{n}-{m}'")]
    assert sorted(seen) == sorted(written)
    assert [key for key in seen if key.startswith("3-")] == [key for key in written if key.startswith("3-")]


@pytest.mark.postgres
async def test_a_change_waits_until_nothing_older_can_still_appear(postgres: PostgresStore) -> None:
    await postgres.run(given_organization)
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def older(conn: Connection) -> None:
        tell(conn, "older")
        loop.call_soon(begun.set)
        conn.execute(text("SELECT pg_sleep(0.1)"))

    slow = asyncio.ensure_future(postgres.run(older))
    await begun.wait()
    await postgres.run(tell, "younger")
    during, cursor = await keys_after(postgres, None)
    await slow
    after, _ = await keys_after(postgres, cursor)

    assert during == []
    assert after == ["older", "younger"]
