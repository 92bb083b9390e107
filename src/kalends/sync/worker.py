"""The worker: claims what is due, runs a turn for each, and goes on. Start reading the engine here.

Any number of workers may run over one PostgreSQL database; none leads. A turn is never interrupted by a wake: the wake
lowers `due_at` in the row, and `due.finish` sees it.

    Worker.run ─▶ _keep_claiming("pull")   ─▶ due.claim ─▶ Turns.run ─▶ Pull.run       (turn.py, pull.py)
               └▶ _keep_claiming("stream") ─▶ due.claim ─▶ Turns.run ─▶ Listening.run  (stream.py)
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from kalends.bus import POLL_SECONDS, Bus, Topic
from kalends.clock import Clock
from kalends.store import accounts, due, retention
from kalends.store.door import Connection, Store, StoreError
from kalends.store.due import ROUTINE, SLACK, Lease, Since, since_after
from kalends.sync import pull, stream
from kalends.sync.forgetting import Forgetting
from kalends.sync.turn import Turns

BATCH = 32
"""Rows per claim."""
SWEEP = timedelta(seconds=60)
"""How often everything is looked at, without the lower bound of the scan."""
SOON_SECONDS = 0.05
HOUSEKEEPING = timedelta(hours=1)
KEEP_SECONDS = 30.0
"""How often is looked whether somebody wants deleted rows wiped from the files."""
DRAIN_SECONDS = 20.0
"""How long running pulls may go on after `stop`; each page they commit is kept in any case."""
_HINTS = {"pull": Topic.DUE, "stream": Topic.STREAMS}
_log = structlog.get_logger("kalends.sync")


@dataclass
class Scan:
    """Where the next claim begins to look."""

    claimed: Since = field(default_factory=dict)
    swept_at: float = float("-inf")

    def since(self, clock: Clock) -> Since | None:
        """None once a minute and at start: look at everything."""
        if clock.monotonic() - self.swept_at >= SWEEP.total_seconds():
            self.swept_at = clock.monotonic()
            return None
        # The scan begins `SLACK` of the clock's time below this. Where the clock runs faster than life, that is too little.
        further = clock.stretch(SLACK) - SLACK
        return {place: at - further for place, at in self.claimed.items()}


@dataclass
class Worker:
    store: Store
    bus: Bus
    clock: Clock
    turns: Turns
    turns_at_once: int = 64
    streams_at_once: int = 64
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Works until `stop`; then streams end at once, pulls get a moment, and the connections are closed."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_claiming("pull", self.turns_at_once, pull.LEASE, DRAIN_SECONDS))
                group.create_task(self._keep_claiming("stream", self.streams_at_once, stream.LEASE, 0))
                group.create_task(self._keep_house())
                group.create_task(self._keep_only_accounts())
                group.create_task(self._forgetting().run(self._stopping))
                group.create_task(self.turns.connections.recorder.run(self._stopping))
        finally:
            await self.turns.connections.aclose()

    def stop(self) -> None:
        self._stopping.set()
        for topic in _HINTS.values():
            self.bus.hint(topic)

    async def _keep_claiming(self, kind: str, places: int, length: timedelta, drain_seconds: float) -> None:
        running: dict[asyncio.Task[None], int] = {}  # each turn with the lane it came from
        scan = Scan()
        async with asyncio.TaskGroup() as group:
            while not self._stopping.is_set():
                mark = self.bus.mark(_HINTS[kind])
                limit = min(places - len(running), BATCH)
                routine = min(limit, max(0, places // 5 - list(running.values()).count(ROUTINE)))
                leases = await self._claim(kind, limit, routine, length, scan) if limit else []
                for lease in leases:
                    task = group.create_task(self.turns.run(lease))
                    running[task] = lease.lane
                    task.add_done_callback(lambda done: self._ended(kind, done, running, places))
                if not limit or len(leases) < limit:
                    await self._until_due(kind, mark, scan, is_full=not limit, is_idle=not leases)
            if running and drain_seconds:
                await asyncio.wait(list(running), timeout=drain_seconds)
            for task in list(running):
                task.cancel()

    async def _keep_house(self) -> None:
        """Once an hour lets go of what was kept long enough. Two workers doing it at once do no harm."""
        while not self._stopping.is_set():
            try:
                await self._let_go(retention.trim_feed, retention.FEED)
                await self._let_go(retention.trim_audit, retention.AUDIT)
            except StoreError as error:
                _log.error("retention", verdict="store", reason=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(HOUSEKEEPING.total_seconds()):
                    await self._stopping.wait()

    async def _keep_only_accounts(self) -> None:
        """Nothing of removed accounts is left in memory."""
        while not self._stopping.is_set():
            try:
                await self.turns.connections.keep(await self.store.read(accounts.all_ids))
            except StoreError as error:
                _log.error("keeping", verdict="store", reason=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(KEEP_SECONDS):
                    await self._stopping.wait()

    def _forgetting(self) -> Forgetting:
        return Forgetting(self.store, self.turns.contents, self.bus, self.clock)

    async def _let_go(self, trim: Callable[[Connection, datetime], int], kept: timedelta) -> None:
        before = self.clock.now() - kept
        while True:
            if await self.store.run(trim, before) < retention.AT_ONCE:
                return

    def _ended(self, kind: str, task: asyncio.Task[None], running: dict[asyncio.Task[None], int], places: int) -> None:
        was_full = len(running) >= places
        running.pop(task, None)
        if was_full:
            self.bus.hint(_HINTS[kind])

    async def _claim(self, kind: str, limit: int, routine: int, length: timedelta, scan: Scan) -> list[Lease]:
        """`routine` of the `limit` places are kept for that lane while it has work."""
        since = scan.since(self.clock)
        try:
            stretched = self.clock.stretch(length)
            leases = await self.store.run(due.claim, [kind], self.clock.now(), stretched, limit, since, routine)
        except StoreError as error:
            _log.error("claim", kind=kind, verdict="store", reason=str(error))
            await asyncio.sleep(POLL_SECONDS)
            return []
        scan.claimed = since_after(scan.claimed, leases)
        return leases

    async def _until_due(self, kind: str, mark: int, scan: Scan, is_full: bool, is_idle: bool) -> None:
        """Sleeps until a hint, the next due row, or a second have passed."""
        seconds = POLL_SECONDS
        if not is_full:
            try:
                wait = await self.store.read(due.next_due, [kind], self.clock.now())
            except StoreError:
                wait = None
            if wait is not None:
                seconds = min(POLL_SECONDS, wait.total_seconds() / self.clock.factor)
            if seconds <= 0 and is_idle:
                # Due and yet not claimed: it lies below the scan, or another worker is just taking it.
                scan.swept_at, seconds = float("-inf"), SOON_SECONDS
        await self.bus.wait(_HINTS[kind], mark, seconds)
