"""Listens for a group of calendars: the turn behind a due row of kind `stream`.

The turn lasts as long as the stream does. While it listens it renews its lease, so that no second worker opens the same
group. What it hears only wakes calendars; what it heard is forgotten at once.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from kalends.bus import Bus, Topic
from kalends.clock import Clock
from kalends.metrics import Metrics
from kalends.model.event import CalendarId
from kalends.providers.protocol import Heard, ProviderError, Streamer, Traits, Unavailable
from kalends.store import calendars, due, polled
from kalends.store.calendars import Calendar
from kalends.store.door import Connection, Store
from kalends.store.due import NEWS, ROUTINE, Lease
from kalends.sync import grouping
from kalends.sync.circuit import Circuit

LEASE = timedelta(seconds=100)
"""Longer than the longest silence; soon over when a worker dies."""
RENEW = timedelta(seconds=20)
"""On the clock: how often, at most, the lease is renewed and the calendars' proof of life is written."""
SILENCE_SECONDS = 95.0
"""Streamers promise a sign of life every 90 s; the lease must not run out over one that breaks the promise."""


@dataclass
class Listening:
    """One turn. `lease` moves on with every renewal."""

    store: Store
    bus: Bus
    clock: Clock
    metrics: Metrics
    lease: Lease
    members: tuple[Calendar, ...]
    streamer: Streamer
    circuit: Circuit
    traits: Traits
    deaf: dict[CalendarId, ProviderError] = field(default_factory=dict)
    """Calendars that the stream can't listen to, until it names them after all. They are polled."""

    async def run(self) -> None:
        """Returns when the group's membership changed. Raises ProviderError and LeaseLost."""
        ids = {CalendarId(member.address): member.id for member in self.members}
        renewed: datetime | None = None
        async with aclosing(self.streamer.listen(frozenset(ids))) as hearing:  # type: ignore[type-var]
            while (heard := await self._next(hearing)) is not None:
                self.circuit.succeeded()  # the server is alive, whatever single calls say
                self._note(heard)
                await self._wake(heard, ids)
                now = self.clock.now()
                if renewed is not None and now - renewed < RENEW and not heard.failed:
                    continue
                renewed = now
                self.lease, woken = await self.store.run(self._renew, heard.failed, ids)
                if woken:
                    return

    async def _next(self, hearing: AsyncIterator[Heard]) -> Heard | None:
        """None when the stream ended. What proved itself once starts its waits anew when it breaks."""
        try:
            async with asyncio.timeout(SILENCE_SECONDS) as limit:
                heard = await anext(hearing, None)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise Unavailable(
                "The stream fell silent without ending. It is opened again, and its calendars are polled meanwhile."
            ) from error
        self.lease = replace(self.lease, failures=0)
        return heard

    def _note(self, heard: Heard) -> None:
        for address in heard.calendars:
            self.deaf.pop(address, None)
        self.deaf.update(heard.failed)

    async def _wake(self, heard: Heard, ids: Mapping[CalendarId, str]) -> None:
        woken = sorted(ids[address] for address in heard.calendars if address in ids)
        if not woken:
            return
        self.metrics.heard.labels(self.traits.kind).inc(len(woken))
        await self.store.run(due.wake, "pull", woken, self.clock.now(), NEWS)
        self.bus.hint(Topic.DUE)

    def _renew(
        self, conn: Connection, failed: Mapping[CalendarId, ProviderError], ids: Mapping[CalendarId, str]
    ) -> tuple[Lease, bool]:
        """The renewed lease, and whether the group has changed and must be listened to anew."""
        now = self.clock.now()
        lease, woken = due.extend(conn, self.lease, now, self.clock.stretch(LEASE))
        alive = [id_ for address, id_ in ids.items() if address not in self.deaf]
        calendars.heard(conn, lease, alive, now)
        lost = [ids[address] for address in failed if address in ids]
        calendars.unheard(conn, lost)
        due.wake(conn, "pull", lost, now, ROUTINE)
        polled.say(conn, list(ids.values()), self.why_polled(None))
        return lease, woken

    def why_polled(self, of_all: str | None) -> dict[str, str]:
        """Each polled calendar's own reason; `of_all` is that of the others, None while they are listened to."""
        own = {address: str(error) for address, error in self.deaf.items()}
        said = {member.id: own.get(CalendarId(member.address), of_all) for member in self.members}
        return {id_: grouping.for_now(self.traits, why) for id_, why in said.items() if why is not None}
