"""The work table's rules, on every engine. PostgreSQL takes its own time, so tests there move by real milliseconds."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, select

from kalends.store import due
from kalends.store.door import PostgresStore, Store
from kalends.store.due import NEWS, ROUTINE, Lease, LeaseLost, since_after

pytestmark = pytest.mark.asyncio

START = datetime(2026, 11, 23, 9, tzinfo=UTC)
LONG = timedelta(hours=1)
BRIEF = timedelta(milliseconds=30)
NOTHING = timedelta(0)


class Time:
    """`now` for SQLite; on PostgreSQL, whose own clock rules, the same distance is slept."""

    def __init__(self, store: Store) -> None:
        self.now = START
        self._real = isinstance(store, PostgresStore)

    async def passes(self, length: timedelta) -> None:
        self.now += length
        if self._real:
            await asyncio.sleep(length.total_seconds() + 0.005)


@pytest.fixture
def time(store: Store) -> Time:
    return Time(store)


async def claim(store: Store, time: Time, limit: int = 10, lease: timedelta = LONG, **more: Any) -> list[Lease]:
    return await store.run(due.claim, ["pull"], time.now, lease, limit, more.pop("since", None), **more)


async def row(store: Store, id: str) -> Any:
    query = select(due.due).where(due.due.c.id == id)
    return await store.read(lambda conn: conn.execute(query).one())


async def test_what_is_due_is_claimed_once(store: Store, time: Time) -> None:
    await store.run(due.ensure, "pull", ["a", "b"], time.now)

    first = await claim(store, time)
    second = await claim(store, time)

    assert sorted(lease.id for lease in first) == ["a", "b"]
    assert second == []


async def test_what_is_not_due_yet_waits(store: Store, time: Time) -> None:
    await store.run(due.ensure, "pull", ["a"], time.now, BRIEF)

    early = await claim(store, time)
    await time.passes(BRIEF)
    later = await claim(store, time)

    assert early == []
    assert [lease.id for lease in later] == ["a"]


async def test_ensuring_a_row_twice_does_not_move_it(store: Store, time: Time) -> None:
    await store.run(due.ensure, "pull", ["a"], time.now, LONG)

    await store.run(due.ensure, "pull", ["a", "a"], time.now)

    assert await claim(store, time) == []


async def test_a_claim_sets_the_due_time_to_the_lease_end(store: Store, time: Time) -> None:
    await store.run(due.ensure, "pull", ["a"], time.now)

    [lease] = await claim(store, time)

    kept = await row(store, "a")
    assert kept.due_at == kept.leased_until == lease.ends_at
    assert kept.token == lease.token


async def test_a_wake_during_a_turn_is_not_lost(store: Store, time: Time) -> None:
    await store.run(due.ensure, "pull", ["a"], time.now)
    [lease] = await claim(store, time)

    await store.run(due.wake, "pull", ["a"], time.now)
    during = await claim(store, time)
    woken = await store.run(due.finish, lease, time.now, LONG, BRIEF)
    await time.passes(BRIEF)
    after = await claim(store, time)

    assert during == []
    assert woken
    assert [(lease.id, lease.lane) for lease in after] == [("a", NEWS)]


async def test_a_turn_without_a_wake_rests_until_its_next_time(store: Store, time: Time) -> None:
    await store.run(due.ensure, "pull", ["a"], time.now)
    [lease] = await claim(store, time)

    woken = await store.run(due.finish, lease, time.now, BRIEF, NOTHING, failures=3)
    at_once = await claim(store, time)
    await time.passes(BRIEF)
    [later] = await claim(store, time)

    assert not woken
    assert at_once == []
    assert (later.lane, later.failures) == (ROUTINE, 3)


async def test_a_wake_before_an_extension_is_found_at_the_end(store: Store, time: Time) -> None:
    await store.run(due.ensure, "pull", ["a"], time.now)
    [lease] = await claim(store, time)
    await store.run(due.wake, "pull", ["a"], time.now)

    longer, woken = await store.run(due.extend, lease, time.now, LONG)

    assert woken
    assert longer.token > lease.token
    assert await claim(store, time) == []
    assert await store.run(due.finish, longer, time.now, LONG, BRIEF)


async def test_a_wake_that_was_heeded_is_taken_off(store: Store, time: Time) -> None:
    await store.run(due.ensure, "pull", ["a"], time.now)
    [lease] = await claim(store, time)
    await store.run(due.wake, "pull", ["a"], time.now)

    longer, woken = await store.run(due.extend, lease, time.now, LONG, heed=True)

    assert woken
    assert not await store.run(due.finish, longer, time.now, LONG, BRIEF)


async def test_a_wake_after_the_lease_ran_out_is_not_lost_when_the_slow_turn_ends(store: Store, time: Time) -> None:
    await store.run(due.ensure, "pull", ["a"], time.now)
    [lease] = await claim(store, time, lease=BRIEF)
    await time.passes(BRIEF)
    await store.run(due.wake, "pull", ["a"], time.now)

    woken = await store.run(due.finish, lease, time.now, LONG, NOTHING)

    assert woken
    assert [lease.id for lease in await claim(store, time)] == ["a"]


async def test_a_wake_after_the_lease_ran_out_survives_an_extension(store: Store, time: Time) -> None:
    await store.run(due.ensure, "pull", ["a"], time.now)
    [lease] = await claim(store, time, lease=BRIEF)
    await time.passes(BRIEF)
    await store.run(due.wake, "pull", ["a"], time.now)

    longer, woken = await store.run(due.extend, lease, time.now, LONG)

    assert woken
    assert await store.run(due.finish, longer, time.now, LONG, NOTHING)


async def test_a_late_wake_cannot_shorten_anothers_lease(store: Store, time: Time) -> None:
    await store.run(due.ensure, "pull", ["a"], time.now)
    await claim(store, time, lease=BRIEF)
    await time.passes(BRIEF)
    [second] = await claim(store, time)

    await store.run(due.wake, "pull", ["a"], time.now - LONG)

    assert await claim(store, time) == []
    assert (await row(store, "a")).leased_until == second.ends_at
    await store.run(due.hold, second)


async def test_a_dead_workers_row_is_taken_over_when_its_lease_ends(store: Store, time: Time) -> None:
    await store.run(due.ensure, "pull", ["a"], time.now)
    [dead] = await claim(store, time, lease=BRIEF)
    await time.passes(BRIEF)

    [heir] = await claim(store, time)

    assert heir.token > dead.token


@pytest.mark.parametrize(
    "write",
    [
        due.hold,
        lambda conn, lease: due.extend(conn, lease, START, LONG),
        lambda conn, lease: due.finish(conn, lease, START, LONG, LONG),
    ],
    ids=["hold", "extend", "finish"],
)
async def test_a_zombie_is_refused_once_another_has_its_row(
    store: Store, time: Time, write: Callable[[Connection, Lease], object]
) -> None:
    await store.run(due.ensure, "pull", ["a"], time.now)
    [zombie] = await claim(store, time, lease=BRIEF)
    await time.passes(BRIEF)
    await claim(store, time)
    before = await row(store, "a")

    with pytest.raises(LeaseLost):
        await store.run(write, zombie)

    assert await row(store, "a") == before


async def test_a_turn_that_has_finished_can_not_write_any_more(store: Store, time: Time) -> None:
    await store.run(due.ensure, "pull", ["a"], time.now)
    [lease] = await claim(store, time)
    await store.run(due.finish, lease, time.now, LONG, LONG)

    with pytest.raises(LeaseLost):
        await store.run(due.hold, lease)


async def test_a_forgotten_row_refuses_its_turn(store: Store, time: Time) -> None:
    await store.run(due.ensure, "pull", ["a"], time.now)
    [lease] = await claim(store, time)

    await store.run(due.forget, "pull", ["a"])

    with pytest.raises(LeaseLost):
        await store.run(due.finish, lease, time.now, LONG, LONG)


async def test_two_claims_in_one_instant_of_standing_time_get_different_tokens(inline: Store) -> None:
    await inline.run(due.ensure, "pull", ["a"], START)
    [first] = await inline.run(due.claim, ["pull"], START, LONG, 1, None)
    await inline.run(due.finish, first, START, NOTHING, NOTHING)

    [second] = await inline.run(due.claim, ["pull"], START, LONG, 1, None)

    assert second.token == first.token + 1
    with pytest.raises(LeaseLost):
        await inline.run(due.hold, first)


async def test_a_turn_that_ends_exactly_at_an_old_lease_end_does_not_revive_the_old_lease(inline: Store) -> None:
    await inline.run(due.ensure, "pull", ["a"], START)
    [old] = await inline.run(due.claim, ["pull"], START, LONG, 1, None)
    [heir] = await inline.run(due.claim, ["pull"], START + LONG, LONG, 1, None)

    await inline.run(due.finish, heir, old.ends_at, LONG, LONG)

    with pytest.raises(LeaseLost):
        await inline.run(due.hold, old)


async def test_news_comes_before_routine_and_routine_keeps_a_fifth(store: Store, time: Time) -> None:
    await store.run(due.ensure, "pull", [f"routine{n}" for n in range(30)], time.now)
    await time.passes(BRIEF)
    await store.run(due.ensure, "pull", [f"news{n}" for n in range(30)], time.now, lane=NEWS)

    leases = await claim(store, time, limit=10)

    assert [lease.lane for lease in leases] == [NEWS] * 8 + [ROUTINE] * 2


async def test_slots_that_one_lane_does_not_need_go_to_the_other(store: Store, time: Time) -> None:
    await store.run(due.ensure, "pull", ["r1"], time.now)
    await store.run(due.ensure, "pull", [f"n{n}" for n in range(30)], time.now, lane=NEWS)

    leases = await claim(store, time, limit=10)

    assert [lease.lane for lease in leases].count(NEWS) == 9
    assert len({lease.id for lease in leases}) == 10


async def test_a_worker_with_one_free_slot_may_owe_it_to_routine(store: Store, time: Time) -> None:
    await store.run(due.ensure, "pull", ["r"], time.now)
    await store.run(due.ensure, "pull", ["n"], time.now, lane=NEWS)

    [lease] = await claim(store, time, limit=1, routine=1)

    assert lease.id == "r"


async def test_a_wake_moves_an_overdue_row_to_where_the_bounded_scan_of_news_sees_it(store: Store, time: Time) -> None:
    await store.run(due.ensure, "pull", ["overdue"], time.now, -LONG)
    since = {("pull", NEWS): datetime.now(UTC) if isinstance(store, PostgresStore) else time.now}

    await store.run(due.wake, "pull", ["overdue"], time.now)
    leases = await claim(store, time, since=since)

    assert [(lease.id, lease.lane) for lease in leases] == [("overdue", NEWS)]


async def test_the_bounded_scan_looks_a_little_below_the_last_claim_and_a_sweep_sees_all(
    store: Store, time: Time
) -> None:
    await store.run(due.ensure, "pull", ["first"], time.now)
    since = since_after({}, await claim(store, time))
    await store.run(due.ensure, "pull", ["slightly late"], time.now, timedelta(seconds=-3))
    await store.run(due.ensure, "pull", ["very late"], time.now, timedelta(seconds=-9))

    bounded = await claim(store, time, since=since)
    sweep = await claim(store, time, since=None)

    assert [lease.id for lease in bounded] == ["slightly late"]
    assert [lease.id for lease in sweep] == ["very late"]


async def test_a_wake_counts_the_rows_it_found(store: Store, time: Time) -> None:
    await store.run(due.ensure, "pull", ["a", "b"], time.now, LONG)

    found = await store.run(due.wake, "pull", ["a", "b", "unknown"], time.now)

    assert found == 2
    assert len(await claim(store, time)) == 2


async def test_kinds_do_not_mix(store: Store, time: Time) -> None:
    await store.run(due.ensure, "stream", ["a"], time.now)
    await store.run(due.ensure, "pull", ["a"], time.now, LONG)

    await store.run(due.forget, "stream", ["a"])

    assert await claim(store, time) == []
    assert await store.run(due.wake, "pull", ["a"], time.now) == 1


async def test_how_long_until_something_is_due(store: Store, time: Time) -> None:
    nothing = await store.run(due.next_due, ["pull"], time.now)
    await store.run(due.ensure, "pull", ["a"], time.now, LONG)
    waiting = await store.run(due.next_due, ["pull"], time.now)
    await store.run(due.wake, "pull", ["a"], time.now)
    ripe = await store.run(due.next_due, ["pull"], time.now)
    await claim(store, time, lease=LONG)
    leased = await store.run(due.next_due, ["pull"], time.now)

    assert nothing is None
    assert waiting is not None
    assert LONG - timedelta(minutes=1) < waiting <= LONG
    assert ripe == NOTHING
    assert leased is not None
    assert leased > LONG - timedelta(minutes=1)


async def test_the_backlog_counts_what_is_due_and_free(store: Store, time: Time) -> None:
    await store.run(due.ensure, "pull", ["a", "b"], time.now, -LONG)
    await store.run(due.ensure, "pull", ["c"], time.now, LONG)
    await store.run(due.ensure, "pull", ["d"], time.now, lane=NEWS)
    await claim(store, time, limit=1, routine=0)

    backlog = await store.read(due.backlog, time.now)

    assert {place: found.rows for place, found in backlog.items()} == {("pull", ROUTINE): 2}
    assert LONG <= backlog[("pull", ROUTINE)].oldest < LONG + timedelta(minutes=1)


@pytest.mark.postgres
async def test_workers_side_by_side_never_claim_the_same_row(postgres: PostgresStore) -> None:
    await postgres.run(due.ensure, "pull", [f"c{n}" for n in range(200)], START)

    async def work() -> list[str]:
        mine: list[str] = []
        while leases := await postgres.run(due.claim, ["pull"], START, LONG, 7, None):
            mine += [lease.id for lease in leases]
        return mine

    shares = await asyncio.gather(*(work() for _ in range(8)))

    claimed = [id for share in shares for id in share]
    assert len(claimed) == len(set(claimed)) == 200


@pytest.mark.postgres
async def test_wakes_of_the_same_rows_in_different_orders_do_not_block_each_other(postgres: PostgresStore) -> None:
    ids = [f"c{n}" for n in range(50)]
    await postgres.run(due.ensure, "pull", ids, START, LONG)

    found = await asyncio.gather(
        *(postgres.run(due.wake, "pull", ids[::-1] if n % 2 else ids, START) for n in range(16))
    )

    assert found == [50] * 16
