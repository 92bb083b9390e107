"""Door panels as far as the network is concerned: open event streams, and the moment at which each change arrives."""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.stage import Panel
from bench.wire import Failed, Line, head

_SUBJECT = re.compile(rb"change-[0-9]+")
OPENED_AT_ONCE = 20


@dataclass
class Doors:
    """`arrived` holds when each change was first seen on its door, on the monotonic clock."""

    url: str
    panels: Sequence[Panel]
    arrived: dict[str, float] = field(default_factory=dict)
    bytes_read: int = 0

    async def run(self, listening: asyncio.Event) -> None:
        """Listens until cancelled; `listening` is set once every panel has its first face."""
        opening = asyncio.Semaphore(OPENED_AT_ONCE)
        faces = [asyncio.Event() for _ in self.panels]
        async with asyncio.TaskGroup() as tasks:
            for panel, face in zip(self.panels, faces, strict=True):
                tasks.create_task(self._watch(panel, face, opening))
            for face in faces:
                await face.wait()
            listening.set()

    async def _watch(self, panel: Panel, face: asyncio.Event, opening: asyncio.Semaphore) -> None:
        line = Line(self.url, headers={"Cookie": f"kalends_panel={panel.secret}", "Accept": "text/event-stream"})
        async with opening:
            reader = await line.send("GET", f"/panel/{panel.space}/live")
            status, _ = await head(reader)
            if status != 200:
                raise Failed(f"The panel of {panel.address} was refused its stream with {status}.")
        while data := await reader.read(1 << 16):
            now = time.monotonic()
            self.bytes_read += len(data)
            face.set()
            for subject in _SUBJECT.findall(data):
                self.arrived.setdefault(subject.decode(), now)
        raise Failed(f"The stream of the panel of {panel.address} ended.")
