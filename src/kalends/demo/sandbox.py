"""The sandbox as a child process. The hub imports nothing of it: they meet on the wire, and here on standard output."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ZONE = "Europe/Berlin"
"""Where the demo's world lies."""
START_SECONDS = 30.0
STOP_SECONDS = 5.0
LINE_LIMIT = 1 << 20


class SandboxFailed(Exception):
    """The simulated Exchange did not start. The message holds what it said."""


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox. `ready` is what it said when it was: addresses, certificate, accounts."""

    ready: dict[str, Any]
    process: asyncio.subprocess.Process


@asynccontextmanager
async def running(
    arguments: Sequence[str], tell: Callable[[str], None], meanwhile: Callable[[], None] = lambda: None
) -> AsyncIterator[Sandbox]:
    """A sandbox with these arguments, ended at the end of the block. Every line of its story goes to `tell`.

    `meanwhile` is called while it starts.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kalends_sandbox",
        "serve",
        *arguments,
        "--until-input-ends",  # should we be killed, it ends by itself
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_LIMIT,
        env=_environment(),
        start_new_session=True,  # Ctrl-C reaches only us, and we end it in order
    )
    try:
        meanwhile()
        sandbox = Sandbox(await _ready(process), process)
        async with asyncio.TaskGroup() as group:
            relay = group.create_task(_relay(process, tell))
            try:
                yield sandbox
            finally:
                await _end(process)
                await relay  # to its last word
    finally:
        await _end(process)


def _environment() -> dict[str, str]:
    """The child finds the package where we found ours, installed or not."""
    source = str(Path(__file__).parents[2])
    paths = [source, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "PYTHONUNBUFFERED": "1"}


async def _ready(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            line = await process.stdout.readline()
            said = b"" if line else await process.stderr.read(LINE_LIMIT)
    except TimeoutError:
        raise SandboxFailed(f"The simulated Exchange did not start within {START_SECONDS:.0f} s.") from None
    try:
        ready = json.loads(line)
    except ValueError:
        raise SandboxFailed(f"The simulated Exchange did not start. {said.decode(errors='replace').strip()}") from None
    assert isinstance(ready, dict)
    return ready


async def _relay(process: asyncio.subprocess.Process, tell: Callable[[str], None]) -> None:
    assert process.stderr is not None
    async for line in process.stderr:
        tell(line.decode(errors="replace").rstrip())


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
