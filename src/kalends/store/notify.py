"""The bus between processes on PostgreSQL: hints travel by NOTIFY, and every process LISTENs on a connection of its own.

Hints only: many within a moment become one, and while the connection is down they are not sent at all. Nothing is lost by
that, since everybody who waits also polls once a second (see `bus`).
"""

import asyncio
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # asyncpg ships no types
import structlog

from kalends.bus import POLL_SECONDS, LocalBus, Topic
from kalends.store.errors import StoreError, translated
from kalends.store.postgres import connect, place

CHANNEL = "kalends"
_log = structlog.get_logger("kalends")
GATHER_SECONDS = 0.005
"""Hints within this time travel as one: NOTIFY takes a lock that all commits of the database share."""
_TOPICS = {topic.value: topic for topic in Topic}
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 15.0


class PgBus:
    """A Bus whose hints also reach other processes while `run` runs."""

    def __init__(self, url: str) -> None:
        self._url, self._where = url, place(url)
        self._is_out = False
        self._local = LocalBus()
        self._outgoing: dict[Topic, None] = {}
        self._rings = asyncio.Event()

    def mark(self, topic: Topic) -> int:
        return self._local.mark(topic)

    def hint(self, topic: Topic) -> None:
        self._local.hint(topic)
        self._outgoing[topic] = None
        self._rings.set()

    async def wait(self, topic: Topic, mark: int, seconds: float = POLL_SECONDS) -> None:
        await self._local.wait(topic, mark, seconds)

    async def run(self) -> None:
        """Carries hints until cancelled; a lost connection is made again. Each outage is said once, and its end."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                with translated(self._where):
                    connection = await connect(self._url)
                    pause = FIRST_PAUSE_SECONDS
                    try:
                        await self._carry(connection)
                    finally:
                        connection.terminate()
                self._lost(f"{self._where} closed the connection for hints.")
            except StoreError as error:
                self._lost(str(error))
            except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                self._lost(f"{self._where} broke the connection for hints ({type(error).__name__}).")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _lost(self, reason: str) -> None:
        if not self._is_out:
            _log.warning("bus.lost", reason=f"{reason} Until it is back, changes are found by looking once a second.")
        self._is_out = True

    def _back(self) -> None:
        if self._is_out:
            _log.info("bus.back")
        self._is_out = False

    async def _carry(self, connection: Any) -> None:
        own = connection.get_server_pid()

        def receive(_: object, sender: int, __: str, payload: str) -> None:
            if sender != own and payload in _TOPICS:
                self._local.hint(_TOPICS[payload])

        await connection.add_listener(CHANNEL, receive)
        connection.add_termination_listener(lambda _: self._rings.set())
        self._back()
        for topic in Topic:  # whatever was hinted while nobody listened
            self._local.hint(topic)
        while not connection.is_closed():
            await self._rings.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._rings.clear()
            topics, self._outgoing = list(self._outgoing), {}
            for topic in topics:
                await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, topic.value)
