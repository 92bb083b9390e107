"""From a change in the sandbox's calendar to the panel on the room's door, with every room streaming and every panel open.

The peer listens to the same rooms in the same run: what a notification and one round trip cost without any hub.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from bench.bare import Bare
from bench.doors import Doors
from bench.figures import Figure, Tell, percentile
from bench.stage import Stage, in_step, quiet, stage
from bench.worlds import World

GOAL_MS = 300.0
PER_SECOND = 20.0
SETTLE_SECONDS = 5.0


async def measure(quick: bool, tell: Tell) -> AsyncIterator[Figure]:
    rooms, seconds = (12, 2) if quick else (500, 30)
    async with stage(World(rooms)) as ground:
        tell(f"{rooms} rooms are being read for the first time …")
        await in_step(ground)
        doors = Doors(ground.url, ground.panels)
        bare = Bare(ground.sandbox.exchange, [panel.address for panel in ground.panels])
        async with listening(doors), listening(bare):
            await quiet(ground, 1.0 if quick else 3.0)
            tell(f"{rooms} panels and a bare listener are listening; {PER_SECOND:g} changes/s for {seconds} s …")
            cpu = ground.hub.cpu_seconds(), ground.sandbox.running.cpu_seconds()
            began = time.monotonic()
            committed = await _changes(ground, seconds, random.Random(1))
            await asyncio.sleep(1.0 if quick else SETTLE_SECONDS)
            took = time.monotonic() - began
            busy = (ground.hub.cpu_seconds() - cpu[0]) / took, (ground.sandbox.running.cpu_seconds() - cpu[1]) / took
        yield _figure(rooms, seconds, committed, doors, bare, busy)


@asynccontextmanager
async def listening(listener: Doors | Bare) -> AsyncIterator[None]:
    """The listener runs as long as the block lasts, which begins when it hears."""
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(listener.run(ready))
        async with asyncio.timeout(120):
            await ready.wait()
        yield
        running.cancel()


async def _changes(ground: Stage, seconds: float, rng: random.Random) -> dict[str, float]:
    """Changes subjects of what is going on in random rooms; when each was committed, by the sandbox's own stamp."""
    committed: dict[str, float] = {}
    meetings = {panel.address: await _meeting(ground, panel.address) for panel in ground.panels}
    offset = time.time() - time.monotonic()
    began = time.monotonic()
    for number in range(int(seconds * PER_SECOND)):
        await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
        room, subject = rng.choice(ground.panels).address, f"change-{number}"
        act = {"verb": "edit", "mailbox": room, "meeting": meetings[room], "subject": subject}
        item = (await ground.sandbox.control.json("POST", "/act", act))["item"]
        assert isinstance(item, dict)
        committed[subject] = datetime.fromisoformat(item["modified"]).timestamp() - offset
    return committed


async def _meeting(ground: Stage, room: str) -> str:
    found = await ground.sandbox.control.json("GET", f"/truth?mailbox={room}")
    mailboxes = found["mailboxes"]
    assert isinstance(mailboxes, list)
    uid = mailboxes[0]["items"][0]["uid"]
    assert isinstance(uid, str)
    return uid


def _figure(
    rooms: int, seconds: float, committed: dict[str, float], doors: Doors, bare: Bare, busy: tuple[float, float]
) -> Figure:
    ours = [(doors.arrived[one] - at) * 1000 for one, at in committed.items() if one in doors.arrived]
    floor = [(bare.arrived[one] - at) * 1000 for one, at in committed.items() if one in bare.arrived]
    p99 = percentile(ours, 99)
    return Figure(
        "change_to_panel_p99",
        p99,
        "ms",
        peer="bare listener: notification + one GetItem, same rooms, same run (p99)",
        peer_value=percentile(floor, 99),
        goal=f"p99 ≤ {GOAL_MS:g} ms",
        met=p99 <= GOAL_MS,
        details={
            "rooms": rooms,
            "panels": len(doors.panels),
            "changes": len(committed),
            "per_second": PER_SECOND,
            "seconds": seconds,
            "seen": len(ours),
            "floor_seen": len(floor),
            "p50_ms": percentile(ours, 50),
            "p95_ms": percentile(ours, 95),
            "max_ms": max(ours),
            "floor_p50_ms": percentile(floor, 50),
            "floor_p95_ms": percentile(floor, 95),
            "hub_cores": busy[0],
            "sandbox_cores": busy[1],
        },
        note="A change that was overtaken by the next one to its room within the same read is not shown and not counted.",
    )
