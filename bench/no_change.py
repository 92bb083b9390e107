"""What a quiet day costs: calls and CPU per room and hour while every room streams and nothing changes.

The peer is a process that does nothing but read the same streams.
"""

import asyncio
import time
from collections.abc import AsyncIterator

from bench.bare import Bare
from bench.change_to_panel import listening
from bench.figures import Figure, Tell
from bench.stage import Stage, in_step, quiet, stage, total_calls
from bench.worlds import World


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
        yield Figure("no_change_calls", asked * per_room_hour, "calls/room/h", details={**details, "calls": asked})
        yield Figure(
            "no_change_cpu",
            used * per_room_hour,
            "CPU s/room/h",
            peer="the driver, which only reads the same streams",
            peer_value=floor_used * per_room_hour,
            details={**details, "cpu_s": used},
            note="With no panel open. Includes the store, the web side's looks at freshness and the leases.",
        )


async def _calls(ground: Stage) -> int:
    return total_calls(await ground.sandbox.control.json("GET", "/counters"))
