"""Several workers over one store, their deaths, their fences, and how one stops."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from kalends.clock import RealClock
from kalends.store import due
from kalends.store.door import PostgresStore, SqliteStore, open_store
from kalends.store.schema import due as due_table
from kalends_sim.simulation import START
from sync.rig import Rig, simulate, town
from sync.scripted import Town

ROOM, OTHER = "aspen@example.test", "birch@example.test"
HOUR = timedelta(hours=1)


def test_a_worker_that_stalls_past_its_lease_cannot_write_and_another_carries_on() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.furnish()
        rig.start(seed=1)
        await rig.until(rig.all_in_step, 10)
        await asyncio.sleep(1)
        stalled = await rig.store.run(_take_over_soon, rig)
        hq.book(ROOM).add("fresh", START + HOUR)
        rig.start(seed=2)
        await rig.wake(ROOM)
        await asyncio.sleep(135)
        assert await rig.is_in_step(ROOM), "somebody else did it"

        with pytest.raises(due.LeaseLost):
            await rig.store.run(due.hold, stalled)

    def _take_over_soon(conn, rig: Rig):
        due.wake(conn, "pull", [ROOM], rig.clock.now())
        [lease] = due.claim(conn, ["pull"], rig.clock.now(), timedelta(seconds=130), 1, None)
        return lease

    hq = town("aspen")
    simulate(scenario, {"hq": hq})


def test_a_turn_whose_row_was_taken_writes_nothing_of_what_it_read() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.furnish()
        rig.start(seed=1)
        await rig.until(rig.all_in_step, 10)
        hq.stalled[ROOM] = asyncio.Event()
        hq.book(ROOM).add("fresh", START + HOUR)
        await rig.wake(ROOM)
        await asyncio.sleep(0.5)
        await rig.store.run(_steal)

        hq.stalled[ROOM].set()
        await asyncio.sleep(2)

        assert "fresh" not in await rig.subjects(ROOM)
        assert rig.metrics.lease_lost._value.get() == 1

    def _steal(conn) -> None:
        later = START + timedelta(minutes=30)
        conn.execute(due_table.update().values(leased_until=later, due_at=later))

    hq = town("aspen")
    simulate(scenario, {"hq": hq})


def test_what_a_killed_worker_had_in_hand_is_done_by_another() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.furnish()
        hq.answer_seconds = 5
        rig.start(seed=1)
        await asyncio.sleep(2)
        rig.kill()
        hq.answer_seconds = 0
        hq.at_once.clear()
        rig.start(seed=2)

        took = await rig.until(rig.all_in_step, 200, step=1)

        assert took < 125, "when the leases of the dead end"

    hq = town("aspen", "birch", "cedar")
    simulate(scenario, {"hq": hq})


def test_a_worker_that_stops_lets_running_pulls_end() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.furnish()
        rig.start()
        await rig.until(rig.all_in_step, 10)
        hq.answer_seconds = 3
        hq.book(ROOM).add("fresh", START + HOUR)
        await rig.wake(ROOM)
        await asyncio.sleep(1)

        await rig.stop()

        assert await rig.is_in_step(ROOM)

    hq = town("aspen")
    simulate(scenario, {"hq": hq})


def test_pulls_that_a_stopping_worker_cuts_short_can_be_taken_up_at_once() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.furnish()
        rig.start()
        await rig.until(rig.all_in_step, 10)
        hq.answer_seconds = 60
        hq.book(ROOM).add("fresh", START + HOUR)
        await rig.wake(ROOM)
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()

        await rig.stop()
        assert asyncio.get_running_loop().time() - began < 25
        hq.answer_seconds = 0
        rig.start(seed=2)
        took = await rig.until(lambda: rig.is_in_step(ROOM), 10)

        assert took < 2

    hq = town("aspen")
    simulate(scenario, {"hq": hq})


async def _some_changes(rig: Rig, hq: Town, rng: random.Random, count: int) -> None:
    addresses = sorted(hq.books)
    for number in range(count):
        address = rng.choice(addresses)
        book = hq.book(address)
        if book.meetings and rng.random() < 0.5:
            book.change(rng.choice(sorted(book.meetings)), subject=f"changed {number}")
        else:
            book.add(f"added {number}", rig.clock.now() + rng.randint(1, 100) * HOUR)
        await rig.wake(address)
        await asyncio.sleep(0.01)


@pytest.mark.postgres
@pytest.mark.asyncio
async def test_two_workers_on_postgresql_one_killed_end_in_step_and_never_pull_together(
    postgres: PostgresStore,
) -> None:
    clock = RealClock()
    hq = town(*(f"room{n}" for n in range(60)), start=clock.now())
    rig = Rig(postgres, clock, {"hq": hq})
    rng = random.Random(3)
    await rig.furnish(per_stream=20)
    rig.start(seed=1, places=8)
    rig.start(seed=2, places=8)
    await rig.until(rig.all_in_step, 30, step=0.2)
    hq.answer_seconds = 0.02

    await _some_changes(rig, hq, rng, 60)
    rig.kill(0)
    await asyncio.sleep(0.1)
    await postgres.run(_leases_end, clock)
    await _some_changes(rig, hq, rng, 60)

    await rig.until(rig.all_in_step, 30, step=0.2)
    await rig.stop()
    assert hq.overlaps == 0


def _leases_end(conn, clock: RealClock) -> None:
    """Two minutes pass for what the dead worker held; the living one's turns take milliseconds."""
    due.break_leases(conn, clock.now())


def _everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


@pytest_asyncio.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await open_store(f"sqlite:///{tmp_path / 'kalends.sqlite3'}")
    assert isinstance(opened, SqliteStore)
    yield opened
    await opened.aclose()


@pytest.mark.asyncio
@pytest.mark.parametrize("privacy", ["P0", "P1", "P2", "P3"])
async def test_an_account_stores_what_its_mode_allows_and_leaves_nothing_readable_on_the_disk(
    sqlite: SqliteStore, tmp_path: Path, privacy: str
) -> None:
    clock = RealClock()
    hq = town("aspen", start=clock.now())
    hq.book(ROOM).add("Zanzibar takeover", clock.now() + HOUR)
    hq.book(ROOM).add("Zanzibar weekly", clock.now() + HOUR, repeats=True)
    rig = Rig(sqlite, clock, {"hq": hq})
    await rig.furnish(privacy=privacy)
    rig.start()
    await rig.until_state(ROOM, "in_sync", 10)
    hq.book(ROOM).change("uid-4", subject="Zanzibar, renamed")
    await rig.wake(ROOM)
    await asyncio.sleep(0.3)
    await rig.stop()
    held = repr(await rig.stored(ROOM))

    await sqlite.aclose()
    kept = _everything_in(tmp_path)

    assert ("Zanzibar, renamed" in held) is (privacy in ("P2", "P3"))
    assert ("Ada Example" in held) is (privacy in ("P2", "P3"))
    assert b"uid-4" in kept, "the search would find it"
    assert b"Zanzibar" not in kept
    assert b"Ada Example" not in kept
