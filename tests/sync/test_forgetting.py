"""The worker keeps what privacy modes promise, while it goes about its work."""

import asyncio
from datetime import timedelta

from kalends.model.privacy import Mode
from kalends.store import erasure
from kalends_sim import simulation
from sync.rig import Rig, simulate, town

ROOM = "aspen@example.test"


def test_who_and_what_of_a_meeting_is_forgotten_within_two_minutes_of_its_end() -> None:
    hq = town("aspen", meetings=0)
    hq.book(ROOM).add("Zanzibar takeover", simulation.START + timedelta(minutes=10))

    async def scenario(rig: Rig) -> None:
        await rig.furnish(privacy="P2")
        rig.start()
        await rig.until_state(ROOM, "in_sync", 10)
        [before] = await rig.stored(ROOM)
        left = (before.span.end - rig.clock.now()).total_seconds()

        await asyncio.sleep(left - 1)
        during = await rig.subjects(ROOM)
        await asyncio.sleep(121)
        after = await rig.subjects(ROOM)

        assert (before.subject, during, after) == ("Zanzibar takeover", ["Zanzibar takeover"], [None])
        assert await rig.store.read(erasure.traces) is None

    simulate(scenario, {"hq": hq})


def test_a_mode_that_is_lowered_and_raised_while_everything_runs_ends_with_what_is_true() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.furnish()
        rig.start()
        await rig.until_state(ROOM, "in_sync", 10)
        await rig.store.run(erasure.change_mode, "hq", Mode.BUSY_ONLY, rig.clock.now(), actor="test")
        await asyncio.sleep(90)
        lowered = await rig.subjects(ROOM)

        await rig.store.run(erasure.change_mode, "hq", Mode.FULL, rig.clock.now(), actor="test")
        took = await rig.until(lambda: rig.is_in_step(ROOM), 60)

        assert lowered == [None] * 3
        assert took < 60
        assert await rig.subjects(ROOM) == ["aspen 0", "aspen 1", "aspen 2"]

    simulate(scenario, {"hq": town("aspen")})


def test_a_worker_that_is_killed_while_it_erases_leaves_the_rest_to_the_next() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.furnish()
        rig.start()
        await rig.until_state(ROOM, "in_sync", 10)
        rig.kill()
        await rig.store.run(erasure.change_mode, "hq", Mode.BUSY_ONLY, rig.clock.now(), actor="test")

        rig.start(seed=2)
        await asyncio.sleep(5)

        assert await rig.subjects(ROOM) == [None] * 3
        assert await rig.store.read(erasure.pending) == []

    simulate(scenario, {"hq": town("aspen")})
