"""Once a minute lets go of what may no longer be held: `store.erasure` says what, the worker runs this beside its turns.

Two workers doing it at once do no harm: each finds what the other has left. A change of mode is erased at once by whoever
made it (the command line); this looks once more, so that what died halfway ends here, and empties SQLite's log.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import structlog

from kalends.bus import Bus, Topic
from kalends.clock import Clock
from kalends.store import erasure
from kalends.store.contents import Contents
from kalends.store.door import Store, StoreError

EVERY_SECONDS = 60.0
_log = structlog.get_logger("kalends.sync")


@dataclass(frozen=True)
class Forgetting:
    store: Store
    contents: Contents
    bus: Bus
    clock: Clock

    async def run(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                await self.once()
            except StoreError as error:
                _log.error("forgetting", verdict="store", reason=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_SECONDS):
                    await stopping.wait()

    async def once(self) -> None:
        """Nothing is held any more that its mode does not allow, as of now."""
        for account in await self.store.read(erasure.pending):
            await self.erase(account, erasure.ACTOR)
            await self.store.run(erasure.settled, account)
        while (over := await self.store.run(erasure.forget_over, self.contents, self.clock.now())) > 0:
            self.bus.hint(Topic.FEED)
            if over < erasure.AT_ONCE:
                break
        seen = await self.store.read(erasure.traces)
        if seen is not None and await self.store.scrub():
            await self.store.run(erasure.scrubbed, seen)

    async def erase(self, account: str, actor: str) -> int:
        """Every meeting of the account holds only what its mode allows; returns how many held more."""
        erased, after = 0, erasure.BEGINNING
        while True:
            now = self.clock.now()
            step = await self.store.run(erasure.erase_some, self.contents, account, after, now, actor=actor)
            erased += step.erased
            if step.erased:
                self.bus.hint(Topic.FEED)
            if step.last is None:
                return erased
            after = step.last
