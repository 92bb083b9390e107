"""When calendars are looked at: wakes, polls, the window, full reads and pages, under virtual time."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from kalends.providers.protocol import CursorExpired
from kalends.store import due
from kalends_sim.simulation import START
from sync.rig import Rig, simulate, town

ROOM, OTHER = "aspen@example.test", "birch@example.test"
HOUR = timedelta(hours=1)
BRISK = {
    "poll_every": timedelta(seconds=6),
    "poll_every_while_listening": timedelta(seconds=30),
    "reconcile_every": timedelta(seconds=120),
}
"""A provider that is looked at more often: an hour of idling costs the test as much as an hour of work."""


def loop_time() -> float:
    return asyncio.get_running_loop().time()


async def in_step(rig: Rig, per_stream: int | None = None) -> None:
    await rig.furnish(per_stream=per_stream)
    rig.start()
    await rig.until(rig.all_in_step, 10)
    await asyncio.sleep(1)


def test_the_first_wake_pulls_at_once() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig, per_stream=10)
        hq.book(ROOM).add("fresh", START + HOUR)
        woken = loop_time()

        hq.tell(ROOM)
        took = await rig.until(lambda: rig.is_in_step(ROOM), 1, step=0.001)

        assert took < 0.05
        assert hq.pulls_of(ROOM)[-1] - woken < 0.05

    hq = town("aspen", "birch")
    simulate(scenario, {"hq": hq})


def test_wakes_during_a_pull_are_not_lost_and_fold_into_one_trailing_pull() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig, per_stream=10)
        hq.lies[ROOM] = lambda page: replace(page, events=(), complete=())  # answered before the changes were made
        hq.answer_seconds = 0.5
        before = len(hq.calls)
        hq.tell(ROOM)
        await asyncio.sleep(0.1)
        for _ in range(5):
            hq.tell(ROOM)
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        hq.lies.clear()
        hq.book(ROOM).add("late", START + HOUR)

        await rig.until(lambda: rig.is_in_step(ROOM), 5)
        await asyncio.sleep(4)

        first, trailing = hq.pulls_of(ROOM)[-2:]
        assert len(hq.calls) - before == 2
        assert 0.65 < trailing - first < 0.85, "0.5 s of pulling and 200 ms of folding"

    hq = town("aspen")
    simulate(scenario, {"hq": hq})


def test_without_a_stream_every_calendar_is_polled() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        before = len(hq.pulls_of(ROOM))

        await asyncio.sleep(60)

        assert 9 <= len(hq.pulls_of(ROOM)) - before <= 12

    hq = town("aspen")
    simulate(scenario, {"hq": hq}, traits=BRISK)


def test_with_a_stream_a_calendar_is_polled_seldom() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig, per_stream=10)
        await asyncio.sleep(30)
        before = len(hq.pulls_of(ROOM))

        await asyncio.sleep(180)

        assert 5 <= len(hq.pulls_of(ROOM)) - before <= 7

    hq = town("aspen")
    simulate(scenario, {"hq": hq}, traits={**BRISK, "reconcile_every": HOUR})


def test_polls_of_many_calendars_do_not_come_together() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        await asyncio.sleep(50)
        recent = [call.at for call in hq.calls if call.at > loop_time() - 6]

        assert len({round(at, 1) for at in recent}) > 10

    hq = town(*(f"room{n}" for n in range(30)))
    simulate(scenario, {"hq": hq}, traits=BRISK)


def test_what_notifications_lost_is_found_by_the_seldom_poll() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig, per_stream=10)
        hq.deaf = True
        hq.book(ROOM).add("never told", START + HOUR)

        took = await rig.until(lambda: rig.is_in_step(ROOM), 70, step=1)

        assert took > 10

    hq = town("aspen")
    simulate(scenario, {"hq": hq}, traits=BRISK)


def test_everything_is_read_again_on_time_and_what_no_delta_told_is_found() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        meetings = hq.book(ROOM).meetings
        meetings["uid-1"].subject, meetings["uid-1"].version = "changed behind the log", 7
        await asyncio.sleep(60)
        assert not await rig.is_in_step(ROOM), "no delta names it"

        await asyncio.sleep(70)

        assert await rig.is_in_step(ROOM)
        assert [call.was_full for call in hq.calls].count(True) == 2

    hq = town("aspen")
    simulate(scenario, {"hq": hq}, traits=BRISK)


def test_a_lost_cursor_is_a_full_read_at_once() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        hq.book(ROOM).forget_cursors()
        hq.book(ROOM).drop("uid-1")

        await rig.wake(ROOM)
        took = await rig.until(lambda: rig.is_in_step(ROOM), 2)

        assert took < 1
        assert (await rig.calendar(ROOM)).state == "in_sync"

    hq = town("aspen")
    simulate(scenario, {"hq": hq})


def test_a_server_that_refuses_every_cursor_is_not_hammered() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        hq.failing[ROOM] = [CursorExpired("Lost again.")]
        before = len(hq.calls)
        await rig.wake(ROOM)

        await asyncio.sleep(60)

        assert len(hq.calls) - before < 12

    hq = town("aspen")
    simulate(scenario, {"hq": hq})


def test_a_delta_of_many_pages_is_read_to_its_end_in_one_turn() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        hq.page_size = 7
        for number in range(40):
            hq.book(ROOM).add(f"bulk {number}", START + number * HOUR)

        await rig.wake(ROOM)
        took = await rig.until(lambda: rig.is_in_step(ROOM), 5)

        assert took < 1
        assert [call.was_full for call in hq.calls].count(True) == 1

    hq = town("aspen")
    simulate(scenario, {"hq": hq})


def test_a_crash_between_pages_goes_on_where_it_was() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.furnish()
        hq.answer_seconds = 10
        rig.start()
        await asyncio.sleep(25)  # two of the three pages of the full read are committed
        rig.kill()

        rig.start(seed=2)
        await rig.until(lambda: rig.is_in_step(ROOM), 300, step=1)

        assert [call.was_full for call in hq.calls] == [True, False, False, False], "the third page was asked for twice"

    hq = town("aspen")
    hq.book(ROOM).add("last week", START - timedelta(days=3))
    simulate(scenario, {"hq": hq})


def test_a_pull_that_takes_longer_than_a_lease_keeps_it_and_ends() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.furnish()
        hq.answer_seconds = 200
        rig.start()
        rig.start(seed=2)

        await rig.until(lambda: rig.is_in_step(ROOM), 700, step=1)

        assert hq.overlaps == 0
        assert len(hq.calls) == 3

    hq = town("aspen")
    hq.book(ROOM).add("last week", START - timedelta(days=3))
    simulate(scenario, {"hq": hq})


def test_news_and_routine_share_the_places_of_a_busy_worker() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.furnish()
        rig.start(places=5)
        await rig.until(rig.all_in_step, 10)
        hq.answer_seconds = 1.0
        loud = [f"loud{n}@example.test" for n in range(10)]

        async def shout() -> None:
            for _ in range(1000):
                for address in loud:
                    await rig.wake(address)
                await asyncio.sleep(0.5)

        shouting = asyncio.get_running_loop().create_task(shout())
        before = len(hq.pulls_of(ROOM))
        await asyncio.sleep(25)
        shouting.cancel()

        assert len(hq.pulls_of(ROOM)) - before >= 2, "the quiet room's polls are not starved"

    hq = town("aspen", *(f"loud{n}" for n in range(10)))
    simulate(scenario, {"hq": hq}, traits=BRISK)


def test_a_row_made_due_in_the_past_is_found_without_spinning() -> None:
    """A transaction that stamped its row and then waited for the database commits a `due_at` below the scan's bound."""

    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        await asyncio.sleep(70)
        await rig.wake(OTHER)
        await asyncio.sleep(1)
        await rig.store.run(due.forget, "pull", [ROOM])
        hq.book(ROOM).add("fresh", START + HOUR)
        await rig.store.run(due.ensure, "pull", [ROOM], rig.clock.now() - timedelta(seconds=30))

        took = await rig.until(lambda: rig.is_in_step(ROOM), 10)

        assert took < 3

    hq = town("aspen", "birch")
    simulate(scenario, {"hq": hq})
