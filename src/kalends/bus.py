"""The bus: hints from those who wrote to those who wait. Never the truth: every waiter also polls once a second.

In one process a hint is an event set; between processes on PostgreSQL it travels by LISTEN/NOTIFY (`store/notify.py`).
"""

import asyncio
from contextlib import suppress
from enum import StrEnum
from typing import Protocol


class Topic(StrEnum):
    DUE = "due"
    """A calendar became due earlier than expected."""
    STREAMS = "streams"
    """A stream group did. Apart from DUE, since news comes all day and streams begin once."""
    FEED = "feed"
    """The feed grew."""


POLL_SECONDS = 1.0


class Bus(Protocol):
    def mark(self, topic: Topic) -> int:
        """How many hints there have been. Take it before reading, so that a hint during the read is not slept through."""
        ...

    def hint(self, topic: Topic) -> None:
        """Wakes whoever waits for the topic. Returns at once; may be lost."""
        ...

    async def wait(self, topic: Topic, mark: int, seconds: float = POLL_SECONDS) -> None:
        """Returns once there are more hints than `mark`, or after `seconds` of real time."""
        ...


class LocalBus:
    """Hints within one process."""

    def __init__(self) -> None:
        self._hints = dict.fromkeys(Topic, 0)
        self._waiting: dict[Topic, dict[asyncio.Future[None], None]] = {topic: {} for topic in Topic}

    def mark(self, topic: Topic) -> int:
        return self._hints[topic]

    def hint(self, topic: Topic) -> None:
        self._hints[topic] += 1
        for waiter in list(self._waiting[topic]):
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, topic: Topic, mark: int, seconds: float = POLL_SECONDS) -> None:
        if self._hints[topic] > mark:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[topic][waiter] = None
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await waiter
        finally:
            del self._waiting[topic][waiter]
