"""Streams: who listens for whom, what happens when one dies, and that nothing is missed meanwhile."""

import asyncio
from datetime import timedelta

from kalends.model.event import CalendarId
from kalends.providers.protocol import Heard, Rejected, Throttled, Unavailable
from kalends.store import polled
from kalends_sim.simulation import START
from sync.rig import Rig, simulate, town

ROOM, OTHER = "aspen@example.test", "birch@example.test"
HOUR = timedelta(hours=1)


def loop_time() -> float:
    return asyncio.get_running_loop().time()


async def listening(rig: Rig, per_stream: int = 10) -> None:
    await rig.furnish(per_stream=per_stream)
    rig.start()
    await rig.until(rig.all_in_step, 10)
    await asyncio.sleep(1)


async def polling(rig: Rig) -> dict[str, str]:
    return await rig.store.read(polled.reasons)


def test_a_stream_that_dies_makes_its_calendars_poll_and_comes_back() -> None:
    async def scenario(rig: Rig) -> None:
        await listening(rig)
        hq.streams_refused = Unavailable("The connection broke.")
        hq.cut_streams(Unavailable("The connection broke."))
        await asyncio.sleep(1)
        calendar = await rig.calendar(ROOM)
        assert calendar.heard_at is None, "nothing listens, so nothing vouches for it"
        hq.book(ROOM).add("fresh", START + HOUR)
        await rig.until(lambda: rig.is_in_step(ROOM), 70, step=1)

        hq.streams_refused = None
        hq.book(OTHER).add("fresh", START + HOUR)
        await rig.until(lambda: rig.is_in_step(OTHER), 130, step=1)

        assert len(hq.listeners) == 1

    hq = town("aspen", "birch")
    simulate(scenario, {"hq": hq})


def test_every_calendar_is_pulled_after_each_reconnect() -> None:
    async def scenario(rig: Rig) -> None:
        await listening(rig)
        hq.deaf = True
        for address in (ROOM, OTHER):
            hq.book(address).add("missed", START + HOUR)
        hq.cut_streams(Unavailable("The connection broke."))

        took = await rig.until(rig.all_in_step, 30)

        assert took < 8
        assert len(hq.opened) == 2 or took < 1

    hq = town("aspen", "birch")
    simulate(scenario, {"hq": hq})


def test_a_stream_that_had_listened_well_comes_back_within_seconds() -> None:
    """However often it had failed before it stood."""

    async def scenario(rig: Rig) -> None:
        await rig.furnish(per_stream=10)
        hq.streams_refused = Unavailable("The connection broke.")
        rig.start()
        await asyncio.sleep(90)  # five attempts or so
        hq.streams_refused = None
        await rig.until(_listens, 200, step=1)
        await asyncio.sleep(60)
        hq.cut_streams(Unavailable("The connection broke."))
        await asyncio.sleep(0.1)

        took = await rig.until(_listens, 200)

        assert took < 10

    async def _listens() -> bool:
        return bool(hq.listeners)

    hq = town("aspen")
    simulate(scenario, {"hq": hq})


def test_many_streams_cut_together_do_not_come_back_together() -> None:
    async def scenario(rig: Rig) -> None:
        await listening(rig, per_stream=1)
        before = len(hq.opened)
        hq.cut_streams(Unavailable("The server restarts."))

        await asyncio.sleep(8)

        reopened = [at for at, _ in hq.opened[before:]]
        assert len(reopened) == 12
        assert max(reopened) - min(reopened) > 1

    hq = town(*(f"room{n}" for n in range(12)))
    simulate(scenario, {"hq": hq})


def test_a_new_calendar_joins_the_stream_of_its_group() -> None:
    async def scenario(rig: Rig) -> None:
        await listening(rig)
        hq.book("cedar@example.test").add("fresh", START + HOUR)

        await rig.add_calendar("hq", "cedar@example.test", per_stream=10)
        await rig.until(_heard, 60, step=1)

        assert len(hq.listeners) == 1

    async def _heard() -> bool:
        return any("cedar@example.test" in listener.calendars for listener in hq.listeners)

    hq = town("aspen")
    simulate(scenario, {"hq": hq})


def test_two_workers_never_open_a_group_twice() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.furnish(per_stream=2)
        rig.start(seed=1)
        rig.start(seed=2)

        await asyncio.sleep(300)

        groups = [listener.calendars for listener in hq.listeners]
        assert len(groups) == len(set(groups)) == 3
        assert len(hq.opened) == 3

    hq = town(*(f"room{n}" for n in range(6)))
    simulate(scenario, {"hq": hq})


def test_another_worker_takes_over_the_streams_of_a_killed_one() -> None:
    async def scenario(rig: Rig) -> None:
        await listening(rig)
        rig.kill()
        await asyncio.sleep(1)
        assert hq.listeners == []
        rig.start(seed=2)

        took = await rig.until(_listens, 400, step=1)

        assert took < 245, "as soon as the lease of the dead worker ends"

    async def _listens() -> bool:
        return bool(hq.listeners)

    hq = town("aspen", "birch")
    simulate(scenario, {"hq": hq})


def test_a_stopped_worker_hands_its_streams_over_at_once() -> None:
    async def scenario(rig: Rig) -> None:
        await listening(rig)
        await rig.stop()
        rig.start(seed=2)

        took = await rig.until(_listens, 10)

        assert took < 2

    async def _listens() -> bool:
        return bool(hq.listeners)

    hq = town("aspen", "birch")
    simulate(scenario, {"hq": hq})


def test_a_calendar_that_cannot_be_listened_to_is_polled_and_the_others_are_heard() -> None:
    async def scenario(rig: Rig) -> None:
        await listening(rig)
        for listener in hq.listeners:
            listener.queue.put_nowait(Heard(failed={CalendarId(ROOM): Rejected("No subscription.")}))
        await asyncio.sleep(60)
        before = len(hq.pulls_of(ROOM)), len(hq.pulls_of(OTHER))

        await asyncio.sleep(250)

        assert len(hq.pulls_of(OTHER)) - before[1] == 0
        assert (await rig.calendar(OTHER)).heard_at is not None
        assert len(hq.pulls_of(ROOM)) - before[0] >= 3, "nobody tells of it, so it is looked at each minute"
        assert (await rig.calendar(ROOM)).heard_at is None, "a stream that does not hear it proves nothing about it"
        assert await polling(rig) == {ROOM: "By polling, every minute: No subscription."}

    hq = town("aspen", "birch")
    simulate(scenario, {"hq": hq})


def test_a_calendar_that_can_be_listened_to_after_all_is_no_longer_polled() -> None:
    async def scenario(rig: Rig) -> None:
        await listening(rig)
        [listener] = hq.listeners
        listener.queue.put_nowait(Heard(failed={CalendarId(ROOM): Rejected("No subscription.")}))
        await asyncio.sleep(60)

        listener.queue.put_nowait(Heard(frozenset({CalendarId(ROOM)})))
        await asyncio.sleep(60)

        assert await polling(rig) == {}
        assert (await rig.calendar(ROOM)).heard_at is not None

    hq = town("aspen", "birch")
    simulate(scenario, {"hq": hq})


def test_calendars_whose_stream_can_not_stand_say_why_they_are_polled() -> None:
    async def scenario(rig: Rig) -> None:
        await listening(rig)
        [listener] = hq.listeners
        listener.queue.put_nowait(Heard(failed={CalendarId(ROOM): Rejected("No subscription.")}))
        await asyncio.sleep(1)
        hq.streams_refused = Throttled(timedelta(minutes=5), "No further stream.", whole_account=False)
        hq.cut_streams(hq.streams_refused)
        await asyncio.sleep(1)

        said = await polling(rig)

        why = "By polling, every minute: "
        assert said == {ROOM: f"{why}No subscription.", OTHER: f"{why}No further stream."}

    hq = town("aspen", "birch")
    simulate(scenario, {"hq": hq})


def test_an_account_that_no_stream_can_serve_opens_none_and_says_why() -> None:
    """As one whose settings changed while it was being listened to."""

    async def scenario(rig: Rig) -> None:
        rig.traits["never_told"] = "it is opened as a delegate"
        await rig.furnish(per_stream=10)
        rig.start()
        await rig.until(rig.all_in_step, 10)
        await asyncio.sleep(130)
        hq.book(ROOM).add("fresh", START + HOUR)

        await rig.until(rig.all_in_step, 70, step=1)

        why = "By polling, every minute, because it is opened as a delegate."
        assert await polling(rig) == {ROOM: why, OTHER: why}
        assert hq.opened == []
        assert (await rig.calendar(ROOM)).stream is None

    hq = town("aspen", "birch")
    simulate(scenario, {"hq": hq})


def test_a_stream_that_falls_silent_is_opened_again() -> None:
    async def scenario(rig: Rig) -> None:
        await listening(rig)
        hq.mute = True
        hq.cut_streams(Unavailable("The connection broke."))
        await asyncio.sleep(10)
        hq.mute = False
        opened = len(hq.opened)

        await asyncio.sleep(150)

        assert len(hq.opened) > opened
        assert len(hq.listeners) == 1

    hq = town("aspen")
    simulate(scenario, {"hq": hq})
