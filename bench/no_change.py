"""What a quiet day costs: calls and CPU per room and hour while every room streams and nothing changes.

The peer is a process that does nothing but read the same streams.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from datetime import timedelta

from bench.bare import Bare
from bench.change_to_panel import listening
from bench.figures import Figure, Tell
from bench.stage import Stage, in_step, quiet, stage, total_calls
from bench.worlds import World
from kalends.clock import RealClock
from kalends.providers.exchange.provider import ExchangeProvider
from kalends.providers.exchange.settings import ExchangeSettings

_EARLIER_MINUTES = 4.5
"""How long before its limit a stream reconnects, on average."""


async def measure(quick: bool, tell: Tell) -> AsyncIterator[Figure]:
    rooms, seconds = (12, 3) if quick else (500, 120)
    async with stage(World(rooms), panels=False) as ground:
        tell(f"{rooms} rooms are being read for the first time …")
        await in_step(ground)
        await quiet(ground, 1.0 if quick else 10.0)
        bare = Bare(ground.sandbox.exchange, [f"room{number:04}@bench.example" for number in range(rooms)])
        async with listening(bare):
            calls, floor_cpu = await _calls(ground), time.process_time()
            cpu, began = ground.hub.cpu_seconds(), time.monotonic()
            tell(f"nothing changes for {seconds} s …")
            await asyncio.sleep(seconds)
            took = time.monotonic() - began
            used, floor_used = ground.hub.cpu_seconds() - cpu, time.process_time() - floor_cpu
            asked = await _calls(ground) - calls
        per_room_hour = 3600 / took / rooms
        details = {"rooms": rooms, "seconds": took, "hub_cores": used / took}
        yield Figure(
            "no_change_calls",
            asked * per_room_hour + _scheduled(),
            "calls/room/h",
            details={**details, "calls": asked, "scheduled_per_room_hour": _scheduled()},
            note="The minutes measured lie between two routine polls and reconnects, so those are added. Left out: the full "
            "read every six hours, about six calls a room.",
        )
        yield Figure(
            "no_change_cpu",
            used * per_room_hour,
            "CPU s/room/h",
            peer="the driver, which only reads the same streams",
            peer_value=floor_used * per_room_hour,
            details={**details, "cpu_s": used},
            note="With no panel open. Includes the store, the web side's looks at freshness and the leases.",
        )


def _scheduled() -> float:
    """Calls of one room in an hour although its stream tells of every change: polls, and a look after each reconnect."""
    settings = ExchangeSettings(url="https://bench.example/EWS/Exchange.asmx", username="bench")
    traits = ExchangeProvider(settings, {"password": "none"}, random.Random(1), RealClock().now).traits
    reconnect = timedelta(minutes=settings.connection_minutes - _EARLIER_MINUTES)
    return timedelta(hours=1) / traits.poll_every_while_listening + timedelta(hours=1) / reconnect


async def _calls(ground: Stage) -> int:
    return total_calls(await ground.sandbox.control.json("GET", "/counters"))
