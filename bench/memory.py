"""Resident memory of the hub with 500 rooms and 100,000 events in step. The floor is the same process with nothing linked."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing

from bench.figures import Figure, Tell
from bench.stage import Stage, in_step, quiet, stage
from bench.worlds import World

GOAL_MB = 200.0


async def measure(quick: bool, tell: Tell) -> AsyncIterator[Figure]:
    rooms = 4 if quick else 500
    async with stage(World(1), panels=False) as ground:
        await in_step(ground)
        empty = ground.hub.memory_mb()
    async with stage(World(rooms, half_year_series=1), panels=False) as ground:
        tell(f"{rooms} rooms with a meeting on every day of half a year are being read …")
        reached = await in_step(ground)
        await quiet(ground, 1.0 if quick else 5.0)
        settled, peak = ground.hub.memory_mb(), ground.hub.memory_mb("VmHWM")
        yield Figure(
            "memory",
            settled,
            "MB",
            peer="the same process with one room and one event",
            peer_value=empty,
            goal=f"≤ {GOAL_MB:g} MB",
            met=settled <= GOAL_MB,
            details={
                "rooms": rooms,
                "events": _events(ground),
                "peak_mb": peak,
                "in_step_s": reached["all_in_step"],
                "hub_cpu_s": ground.hub.cpu_seconds(),
            },
            note="VmRSS once everything is in step and quiet; the peak (VmHWM) was reached while reading.",
        )


def _events(ground: Stage) -> int:
    with closing(sqlite3.connect(f"file:{ground.database}?mode=ro", uri=True)) as connection:
        count: int = connection.execute("SELECT count(*) FROM events").fetchone()[0]
    return count
