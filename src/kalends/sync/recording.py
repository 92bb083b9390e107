"""Protocol debugging's recorder: hears what an account and its server say, and takes it to the store in batches.

    http door ─▶ Ear.hear ─▶ a bounded queue ─▶ masked ─▶ debugging.keep          every process records what it says itself

The conversation never waits for its record: hearing appends to the queue, and what finds no room in it is only counted.
Nothing unmasked leaves the queue. While debugging is off for every account, all that happens is one read of a small table
every few seconds.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import structlog

from kalends.clock import Clock
from kalends.providers.protocol import Ear, Overheard, Provider, Spoken
from kalends.store import debugging
from kalends.store.debugging import KEPT_AFTER, Debugging, Entry
from kalends.store.door import Store, StoreError

LOOK_SECONDS = 5.0
"""How often it is looked whether debugging was switched on or off."""
WRITE_SECONDS = 1.0
"""While it is on."""
QUEUE_ENTRIES = 1_000
QUEUE_BYTES = 8 * 1024 * 1024
BATCH = 50
_log = structlog.get_logger("kalends.sync")


@dataclass(frozen=True, slots=True)
class _Heard:
    account: str
    at: datetime
    say: Callable[[], Spoken]
    size_bytes: int


@dataclass(frozen=True)
class _AccountEar(Ear):
    """Hears for one account until its time is over."""

    recorder: "Recorder"
    account: str
    until: datetime

    def hear(self, say: Callable[[], Spoken], size_bytes: int) -> None:
        self.recorder.hear(self.account, self.until, say, size_bytes)


class Recorder:
    def __init__(self, store: Store, clock: Clock, rng: random.Random) -> None:
        self._store, self._clock, self._rng = store, clock, rng
        self._process = ""
        self._providers: dict[str, Overheard] = {}
        self._ears: dict[str, _AccountEar] = {}
        self._queue: deque[_Heard] = deque()
        self._queued_bytes = 0
        self._lost: dict[str, int] = {}
        self._writing = asyncio.Lock()

    def attach(self, account: str, provider: Provider, found: Debugging | None) -> None:
        """The account's conversations are led through this provider now; `found` is what the store says of its debugging."""
        if isinstance(provider, Overheard):
            self._providers[account] = provider
            self._listen(account, found)

    def detach(self, account: str, provider: object) -> None:
        """The provider is closed."""
        if self._providers.get(account) is provider:
            del self._providers[account]
            self._ears.pop(account, None)

    def hear(self, account: str, until: datetime, say: Callable[[], Spoken], size_bytes: int) -> None:
        at = self._clock.now()
        if at >= until:
            return
        if len(self._queue) >= QUEUE_ENTRIES or self._queued_bytes + size_bytes > QUEUE_BYTES:
            self._lost[account] = self._lost.get(account, 0) + 1
            return
        self._queue.append(_Heard(account, at, say, size_bytes))
        self._queued_bytes += size_bytes

    async def run(self, stopping: asyncio.Event) -> None:
        """Listens where debugging is on, writes what was heard, and lets go of what was kept long enough, until stopped."""
        while not stopping.is_set():
            await self.look()
            await self.flush()
            with suppress(TimeoutError):
                async with asyncio.timeout(WRITE_SECONDS if self._ears else LOOK_SECONDS):
                    await stopping.wait()

    async def look(self) -> None:
        """Listens where debugging is on, and nowhere else."""
        try:
            found = await self._store.read(debugging.list_all)
            kept_since = self._clock.now() - self._clock.stretch(KEPT_AFTER)
            if any(each.until <= kept_since for each in found):
                await self._store.run(debugging.let_go, kept_since, self._clock.now())
        except StoreError as error:
            _log.error("debugging", verdict="store", reason=str(error))
            return
        by_account = {each.account: each for each in found}
        for account in sorted(self._providers):
            self._listen(account, by_account.get(account))

    def _listen(self, account: str, found: Debugging | None) -> None:
        until = found.until if found is not None and found.is_on(self._clock.now()) else None
        known = self._ears.get(account)
        if until is None:
            self._ears.pop(account, None)
        elif known is None or known.until != until:
            self._ears[account] = _AccountEar(self, account, until)
        self._providers[account].overhear(self._ears.get(account))

    async def flush(self) -> None:
        """What was heard is in the store, or given up and counted."""
        async with self._writing:
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                self._queued_bytes -= sum(each.size_bytes for each in batch)
                await self._write(batch)
            if self._lost:
                await self._write([])

    async def _write(self, batch: Iterable[_Heard]) -> None:
        by_account: dict[str, list[Entry]] = {account: [] for account in self._lost}
        for heard in batch:
            entries = by_account.setdefault(heard.account, [])
            entry = self._masked(heard)
            if entry is not None:
                entries.append(entry)
            await asyncio.sleep(0)  # a large document takes milliseconds: others go first
        for account, entries in by_account.items():
            lost = self._lost.pop(account, 0)
            try:
                await self._store.run(debugging.keep, account, entries, lost)
            except StoreError as error:
                self._lost[account] = self._lost.get(account, 0) + lost + len(entries)
                _log.error("debugging", verdict="store", reason=str(error))

    def _masked(self, heard: _Heard) -> Entry | None:
        """None if masking failed: that is our mistake, but must cost no more than the entry."""
        self._process = self._process or f"{self._rng.getrandbits(32):08x}"
        try:
            return Entry(heard.at, self._process, heard.say())
        except Exception as error:  # noqa: BLE001  # whatever a server can send must not end the worker
            self._lost[heard.account] = self._lost.get(heard.account, 0) + 1
            _log.error("debugging", verdict="not masked", reason=type(error).__name__)
            return None
