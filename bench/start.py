"""How long `kalends demo` needs until its address can be opened, and what an interpreter needs to import anything at all."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from statistics import median

from bench.figures import Figure, Tell
from bench.processes import SOURCE

GOAL_SECONDS = 5.0


async def measure(quick: bool, tell: Tell) -> AsyncIterator[Figure]:
    rounds = 1 if quick else 5
    demo: list[float] = []
    floor: list[float] = []
    for number in range(rounds):
        tell(f"the demo starts, {number + 1} of {rounds} …")
        floor.append(_imports())
        demo.append(await _demo())
    seconds = median(demo)
    yield Figure(
        "demo_start",
        seconds,
        "s",
        demo,
        peer="importing fastapi, sqlalchemy and lxml alone",
        peer_value=median(floor),
        goal=f"≤ {GOAL_SECONDS:g} s",
        met=seconds <= GOAL_SECONDS,
    )


def _imports() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import fastapi, sqlalchemy, lxml.etree"], check=True)
    return time.monotonic() - began


async def _demo() -> float:
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kalends",
        "demo",
        "--port",
        "0",
        "--headless",
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            while b"ready at" not in await process.stdout.readline():
                pass
        return time.monotonic() - began
    finally:
        process.send_signal(signal.SIGINT)
        await process.communicate()
