"""Reading a hundred rooms for the first time: the hub into its store, and exchangelib into its memory, from one sandbox.

The hub does more than its peer meanwhile (it subscribes, commits durably, writes the feed); nothing of that is taken off.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator

from bench.figures import Figure, Tell
from bench.stage import Stage, in_step, stage
from bench.worlds import World

GOAL = 8.0
CONNECTIONS = 8
"""As many as the hub uses."""


async def measure(quick: bool, tell: Tell) -> AsyncIterator[Figure]:
    rooms, meetings = (3, 10) if quick else (100, 200)
    tell(f"the sandbox founds {rooms} rooms with {meetings} meetings each …")
    async with stage(World(rooms, singles=0, meetings=meetings, guests=2), panels=False) as ground:
        tell("the hub reads them …")
        reached = await in_step(ground)
        seconds = reached["all_in_step"] - reached["ready"]
        cpu, memory = ground.hub.cpu_seconds(), ground.hub.memory_mb("VmHWM")
        tell("exchangelib reads them …")
        theirs = await _theirs(ground, rooms)
    events = rooms * meetings
    assert theirs["events"] == events, f"exchangelib read {theirs['events']} events instead of {events}"
    times = theirs["seconds"] / seconds
    yield Figure(
        "sync_beside_exchangelib",
        events / seconds,
        "events/s",
        peer="exchangelib 5.6.0, a pool of 8, the same rooms, 13 fields, into memory",
        peer_value=theirs["events"] / theirs["seconds"],
        goal=f"≥ {GOAL:g} times as fast, at no more memory",
        met=times >= GOAL and memory <= theirs["memory_mb"],
        details={
            "rooms": rooms,
            "events": events,
            "cpu_s": cpu,
            "peer_cpu_s": theirs["cpu_s"],
            "memory_mb": memory,
            "peer_memory_mb": theirs["memory_mb"],
            "cpu_times": theirs["cpu_s"] / cpu,
        },
        note="CPU and memory are those of the whole process; the hub's include its web server.",
    )


async def _theirs(ground: Stage, rooms: int) -> dict[str, float]:
    arguments = "-m", "bench.their_sync", ground.sandbox.exchange, str(rooms), str(CONNECTIONS)
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert process.returncode == 0, "exchangelib failed; what it said stands above"
    measured: dict[str, float] = json.loads(out)
    return measured
