"""The recorder: hears while debugging is on, never holds up the conversation, and leaves no more than its bounds."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from kalends.providers.protocol import Ear, Spoken
from kalends.store import debugging
from kalends.store.debugging import Debugging, Entry
from kalends.store.door import Store, StoreError
from kalends.sync import recording
from kalends.sync.recording import Recorder
from store.store_given import ACCOUNT, HOUR, NOW, given_account
from web.seeding import StandingClock

pytestmark = pytest.mark.asyncio
ALWAYS = NOW - timedelta(days=9)


@dataclass
class Talkative:
    """A provider that says what it is told to say."""

    ear: Ear | None = None
    traits: Any = None

    def overhear(self, ear: Ear | None) -> None:
        self.ear = ear

    def calendars(self) -> Any:
        raise AssertionError("nobody asks")

    async def pull(self, *_: Any) -> Any:
        raise AssertionError("nobody asks")

    async def aclose(self) -> None: ...

    def says(self, number: int, size_bytes: int = 10) -> None:
        if self.ear is not None:
            self.ear.hear(lambda: Spoken(number, "request", f"POST {number}"), size_bytes)


@dataclass
class Broken:
    """A store where nothing can be written."""

    store: Store
    where: str = "nowhere"

    async def run(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        raise StoreError("The disk is full.")

    async def read(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return await self.store.read(f, *args, **kwargs)

    async def aclose(self) -> None: ...


async def given(store: Store, clock: StandingClock, is_on: bool = True) -> tuple[Recorder, Talkative]:
    await store.run(given_account)
    if is_on:
        await store.run(debugging.begin, ACCOUNT, NOW, NOW + HOUR, actor="test")
    recorder, provider = Recorder(store, clock, random.Random(3)), Talkative()
    recorder.attach(ACCOUNT, provider, await store.read(debugging.get, ACCOUNT))
    return recorder, provider


async def recorded(store: Store) -> list[int]:
    found: list[Entry] = await store.read(debugging.entries_after, ACCOUNT, 0, 5_000, ALWAYS)
    return [each.said.conversation for each in found]


async def state(store: Store) -> Debugging:
    found = await store.read(debugging.get, ACCOUNT)
    assert found is not None
    return found


async def test_what_is_said_is_recorded_in_order(inline: Store) -> None:
    recorder, provider = await given(inline, StandingClock(NOW))

    for number in range(120):
        provider.says(number)
    await recorder.flush()

    assert await recorded(inline) == list(range(120))


async def test_while_it_is_off_nobody_listens(inline: Store) -> None:
    _, provider = await given(inline, StandingClock(NOW), is_on=False)

    assert provider.ear is None


async def test_switching_it_on_is_noticed_without_a_restart_and_so_is_switching_it_off(inline: Store) -> None:
    recorder, provider = await given(inline, StandingClock(NOW), is_on=False)

    await inline.run(debugging.begin, ACCOUNT, NOW, NOW + HOUR, actor="test")
    await recorder.look()
    provider.says(1)
    await inline.run(debugging.end, ACCOUNT, NOW + timedelta(minutes=1), actor="test")
    await recorder.flush()
    clock = StandingClock(NOW + timedelta(minutes=2))
    recorder._clock = clock
    await recorder.look()

    assert await recorded(inline) == [1]
    assert provider.ear is None


async def test_it_ends_at_its_time_even_when_nobody_looks(inline: Store) -> None:
    clock = StandingClock(NOW)
    recorder, provider = await given(inline, clock)

    provider.says(1)
    clock.move(HOUR)
    provider.says(2)
    await recorder.flush()

    assert await recorded(inline) == [1]


@pytest.mark.parametrize(("size_bytes", "fit"), [(10, 1_000), (1024 * 1024, 8)])
async def test_what_finds_no_room_is_counted_and_the_conversation_goes_on(
    inline: Store, size_bytes: int, fit: int
) -> None:
    recorder, provider = await given(inline, StandingClock(NOW))

    for number in range(fit + 37):
        provider.says(number, size_bytes)
    await recorder.flush()
    provider.says(9_999)
    await recorder.flush()

    assert await recorded(inline) == [*range(fit), 9_999]
    assert (await state(inline)).lost == 37


async def test_a_store_that_fails_costs_entries_and_nothing_else(inline: Store) -> None:
    recorder, provider = await given(inline, StandingClock(NOW))
    recorder._store = Broken(inline)
    provider.says(1)
    await recorder.flush()

    recorder._store = inline
    provider.says(2)
    await recorder.flush()

    assert await recorded(inline) == [2]
    assert (await state(inline)).lost == 1


async def test_an_entry_that_can_not_be_masked_is_lost_alone_and_kept_nowhere(inline: Store) -> None:
    recorder, provider = await given(inline, StandingClock(NOW))
    assert provider.ear is not None

    provider.ear.hear(lambda: Spoken(1, "answer", str(1 // 0)), 10)
    provider.says(2)
    await recorder.flush()

    assert await recorded(inline) == [2]
    assert (await state(inline)).lost == 1


async def test_two_processes_record_side_by_side(inline: Store) -> None:
    clock = StandingClock(NOW)
    one, first = await given(inline, clock)
    two, second = Recorder(inline, clock, random.Random(4)), Talkative()
    two.attach(ACCOUNT, second, await inline.read(debugging.get, ACCOUNT))

    first.says(1)
    second.says(1)
    await one.flush()
    await two.flush()

    found = await inline.read(debugging.entries_after, ACCOUNT, 0, 9, ALWAYS)
    assert len({each.process for each in found}) == 2


async def test_an_hour_after_its_end_the_record_is_gone(inline: Store) -> None:
    clock = StandingClock(NOW)
    recorder, provider = await given(inline, clock)
    provider.says(1)
    await recorder.flush()

    clock.move(HOUR + debugging.KEPT_AFTER)
    await recorder.look()

    assert await inline.read(debugging.get, ACCOUNT) is None
    assert await recorded(inline) == []


async def test_it_runs_until_it_is_told_to_stop(inline: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "WRITE_SECONDS", 0.001)
    recorder, provider = await given(inline, StandingClock(NOW))
    stopping = asyncio.Event()
    running = asyncio.create_task(recorder.run(stopping))

    provider.says(1)
    async with asyncio.timeout(5):
        while not await recorded(inline):  # noqa: ASYNC110  # the store tells nobody
            await asyncio.sleep(0.001)
    stopping.set()
    await running

    assert await recorded(inline) == [1]
