"""Details of accounts in mode P0: read when somebody asks, kept a minute, and never waited for in vain."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

from kalends.model.event import Event
from kalends.providers.protocol import CalendarGone, Throttled, Unavailable
from kalends.store import accounts
from kalends.sync import details
from kalends.sync.connections import Connections
from kalends.sync.details import LiveDetails
from sync.rig import Rig, simulate, town
from sync.scripted import factory

ROOM = "aspen@example.test"
TITLES = ["aspen 0", "aspen 1", "aspen 2"]
Scenario = Callable[[Rig, LiveDetails, list[Event]], Awaitable[None]]


def play(scenario: Scenario, meetings: int = 3, mode: str = "P0") -> None:
    """With an account in this mode that was pulled once; its worker rests meanwhile."""

    async def main(rig: Rig) -> None:
        await rig.furnish(privacy=mode)
        rig.start()
        await rig.until_state(ROOM, "in_sync", 10)
        await rig.stop()
        connections = Connections(rig.store, rig.seal, {"scripted": factory(rig.towns)}, rig.clock, random.Random(3))
        live = LiveDetails(rig.store, connections, rig.clock)
        held = await rig.stored(ROOM)
        assert [event.subject for event in held] == [None] * meetings, "nothing is stored"
        try:
            await scenario(rig, live, held)
        finally:
            await live.aclose()

    simulate(main, {"hq": town("aspen", meetings=meetings)})


def titles(told: details.Details) -> list[str | None]:
    return sorted((event.subject for event in told.events.values()), key=str)


def test_what_is_asked_for_comes_from_the_calendar_as_it_is_now() -> None:
    async def scenario(rig: Rig, live: LiveDetails, held: list[Event]) -> None:
        rig.towns["hq"].books[ROOM].meetings["uid-1"].subject = "Renamed a moment ago"

        told = await live.read(ROOM, held)

        assert titles(told) == ["Renamed a moment ago", "aspen 1", "aspen 2"]
        assert told.missing == ""

    play(scenario)


def test_a_page_opened_again_within_a_minute_asks_nobody_and_after_it_nothing_is_left() -> None:
    async def scenario(rig: Rig, live: LiveDetails, held: list[Event]) -> None:
        await live.read(ROOM, held)
        await asyncio.sleep(59)
        again = await live.read(ROOM, held)
        asked = len(rig.towns["hq"].asked)
        await asyncio.sleep(2)
        left = dict(live._kept)

        await live.read(ROOM, held)

        assert (titles(again), asked, left) == (TITLES, 1, {})
        assert len(rig.towns["hq"].asked) == 2

    play(scenario)


def test_a_changed_meeting_is_asked_for_anew_at_once() -> None:
    async def scenario(rig: Rig, live: LiveDetails, held: list[Event]) -> None:
        await live.read(ROOM, held)
        rig.towns["hq"].books[ROOM].change("uid-2", subject="Moved on")
        rig.start(seed=2)
        await rig.wake(ROOM)
        await asyncio.sleep(2)
        fresh = await rig.stored(ROOM)

        told = await live.read(ROOM, fresh)

        assert titles(told) == ["Moved on", "aspen 0", "aspen 2"]
        assert [len(items) for items in rig.towns["hq"].asked] == [3, 1]

    play(scenario)


def test_memory_stays_bounded() -> None:
    async def scenario(rig: Rig, live: LiveDetails, held: list[Event]) -> None:
        try:
            most, details.MOST_KEPT = details.MOST_KEPT, 2

            told = await live.read(ROOM, held)

            assert len(live._kept) == 2
            assert len(told.events) == 2
        finally:
            details.MOST_KEPT = most

    play(scenario)


def test_a_server_that_does_not_answer_is_waited_for_briefly_and_then_left_alone_for_a_while() -> None:
    async def scenario(rig: Rig, live: LiveDetails, held: list[Event]) -> None:
        loop, hq = asyncio.get_running_loop(), rig.towns["hq"]
        hq.stalled[ROOM] = asyncio.Event()
        began = loop.time()
        first = await live.read(ROOM, held)
        waited = loop.time() - began
        second = await live.read(ROOM, held)
        waited_again = loop.time() - began - waited
        hq.stalled[ROOM].set()
        await asyncio.sleep(details.QUIET_SECONDS)

        third = await live.read(ROOM, held)

        assert first.events == second.events == {}
        assert first.missing == "Details are not available: The calendar's server did not answer in time."
        assert (waited, waited_again < 0.1) == (details.PATIENCE_SECONDS, True)
        assert titles(third) == TITLES

    play(scenario)


def test_what_came_before_the_patience_ended_is_shown() -> None:
    async def scenario(rig: Rig, live: LiveDetails, held: list[Event]) -> None:
        hq = rig.towns["hq"]
        hq.failing[ROOM] = [None, Unavailable("It broke off.")]

        told = await live.read(ROOM, held)

        assert len(told.events) == details.BATCH
        assert told.missing == "Details are not available: It broke off."

    play(scenario, meetings=details.BATCH + 5)


def test_a_server_that_asks_for_a_pause_gets_it() -> None:
    async def scenario(rig: Rig, live: LiveDetails, held: list[Event]) -> None:
        hq = rig.towns["hq"]
        hq.failing[ROOM] = [Throttled(timedelta(seconds=300)), None]
        await live.read(ROOM, held)
        await asyncio.sleep(290)
        early = await live.read(ROOM, held)
        await asyncio.sleep(20)

        late = await live.read(ROOM, held)

        assert (early.events, early.missing) == ({}, "Details are not available: The server is busy.")
        assert titles(late) == TITLES
        assert len(hq.asked) == 2

    play(scenario)


def test_an_account_whose_sign_in_was_refused_or_that_is_paused_is_never_asked() -> None:
    async def scenario(rig: Rig, live: LiveDetails, held: list[Event]) -> None:
        now = rig.clock.now()
        said = []
        for state in (accounts.REAUTHENTICATE, accounts.PAUSED):
            await rig.store.run(accounts.set_state, "hq", state, f"It is {state}.", now)
            said.append((await live.read(ROOM, held)).missing)
        await rig.store.run(accounts.set_state, "hq", accounts.IN_SYNC, "Fine.", now)
        await rig.store.run(accounts.rest_until, "hq", now + timedelta(minutes=5))
        said.append((await live.read(ROOM, held)).missing)

        assert said == [
            "Details are not available: It is reauthenticate.",
            "Details are not available: It is paused.",
            "Details are not available: The calendar's server asked for a pause.",
        ]
        assert rig.towns["hq"].asked == []

    play(scenario)


def test_a_calendar_that_is_gone_does_not_silence_the_others_of_its_account() -> None:
    async def scenario(rig: Rig, live: LiveDetails, held: list[Event]) -> None:
        hq = rig.towns["hq"]
        hq.failing[ROOM] = [CalendarGone("There is no such mailbox."), None]

        first = await live.read(ROOM, held)
        second = await live.read(ROOM, held)

        assert first.missing == "Details are not available: There is no such mailbox."
        assert titles(second) == TITLES

    play(scenario)


def test_a_change_of_what_nobody_stores_is_still_news() -> None:
    """The keyed hash tells it; the feed names the meeting and says nothing of it."""

    async def scenario(rig: Rig, live: LiveDetails, held: list[Event]) -> None:
        before = await rig.news()
        rig.towns["hq"].books[ROOM].change("uid-2", subject="Zanzibar")
        rig.start(seed=2)
        await rig.wake(ROOM)
        await asyncio.sleep(2)

        news = (await rig.news())[len(before) :]

        assert [change.kind for change in news if change.kind.startswith("event.")] == ["event.updated"]
        assert "Zanzibar" not in repr(news)

    play(scenario)
