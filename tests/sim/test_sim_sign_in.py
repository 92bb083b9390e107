"""Ways to sign in through two virtual hours: connections come and go, tokens end, and nothing is ever refused."""

import asyncio
from contextlib import aclosing
from datetime import timedelta

import pytest

from kalends.model.event import CalendarId
from kalends.providers.exchange.settings import Way
from kalends_sim.loop import SimLoop
from kalends_sim.network import between
from kalends_sim.simulation import run
from providers.contract import NOON, Mirror, window_at
from providers.exchange_stage import exchange_stage

ROOMS = [CalendarId(f"{name}@example.test") for name in ("almond", "birch", "cedar", "dogwood")]


async def two_hours(loop: SimLoop, way: Way) -> tuple[int, int, int]:
    """How often the stream named a room, sign-ins refused, tokens given out."""
    loop.network.latency = between(0.001, 0.2)
    async with exchange_stage(way=way, pace=1.0) as stage:
        mirrors = [Mirror(stage.provider, room) for room in ROOMS]
        named = 0

        async def listen() -> None:
            nonlocal named
            async with aclosing(stage.provider.listen(frozenset(ROOMS))) as hearing:
                async for heard in hearing:
                    named += len(heard.calendars)

        listening = loop.create_task(listen())
        for minute in range(0, 120, 5):
            await asyncio.sleep(300)
            stage.book(f"after {minute} minutes", NOON + timedelta(minutes=minute))
            await asyncio.gather(*[mirror.pull(stage.world.clock.now()) for mirror in mirrors])
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)

        assert mirrors[0].lines(window_at(NOON)) == stage.truth(window_at(NOON))
        refused = stage.exchange.counters()["refused_sign_ins"]
        assert isinstance(refused, int)
        return named, refused, stage.tokens.issued


@pytest.mark.parametrize("way", ["ntlm", "oauth"])
def test_two_hours_of_streaming_and_polling_pass_without_a_refused_sign_in(way: Way) -> None:
    named, refused, issued = run(lambda loop: two_hours(loop, way), seed=3).result

    assert refused == 0
    assert named > 24
    assert issued == (3 if way == "oauth" else 0)
