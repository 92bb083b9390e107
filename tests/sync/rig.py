"""The shipped worker over scripted towns: a store, accounts, calendars, and hands to move things along."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from kalends.bus import LocalBus, Topic
from kalends.clock import Clock
from kalends.ids import SeededIds
from kalends.metrics import Metrics
from kalends.model.event import Event
from kalends.model.time import Span
from kalends.seal import Seal
from kalends.store import accounts, calendars, due, events, organizations, spaces
from kalends.store.accounts import Account
from kalends.store.calendars import Calendar
from kalends.store.door import Store, StoreError, inline_store
from kalends.sync.connections import Connections
from kalends.sync.turn import Turns
from kalends.sync.worker import Worker
from kalends_sim import simulation
from kalends_sim.clocks import hub_clock
from kalends_sim.loop import SimLoop
from sync.scripted import Town, factory

ORG = "org_1"
FAR = timedelta(days=300)


@dataclass
class Mortal:
    """One process's way to the store. After its death nothing gets through."""

    store: Store
    is_dead: bool = False
    trouble: str = ""

    @property
    def where(self) -> str:
        return self.store.where

    async def run(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self._check()
        return await self.store.run(f, *args, **kwargs)

    async def read(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self._check()
        return await self.store.read(f, *args, **kwargs)

    async def erase(self) -> bool:
        self._check()
        return await self.store.erase()

    async def aclose(self) -> None: ...

    def _check(self) -> None:
        if self.is_dead:
            raise StoreError("This process was killed.")


@dataclass
class Rig:
    """`towns` by account name. Everything in it is made by `furnish`."""

    store: Store
    clock: Clock
    towns: Mapping[str, Town]
    ids: SeededIds = field(default_factory=lambda: SeededIds(random.Random(5)))
    bus: LocalBus = field(default_factory=LocalBus)
    traits: dict[str, Any] = field(default_factory=dict)
    workers: list[tuple[Worker, "asyncio.Task[None]", Mortal]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.seal = Seal([b"k" * 32], self.ids.noise)
        self.metrics = Metrics()

    async def furnish(self, privacy: str = "P3", per_stream: int | None = None, password: str = "right") -> None:
        """An account per town, a calendar and a space per book, everything due, and stream groups if wanted."""

        def make(conn: Connection) -> None:
            now = self.clock.now()
            organizations.ensure_default(conn, ORG, "Aurora", "local", now)
            for name, town in self.towns.items():
                args = ({"town": name}, {"password": password}, privacy, now)
                accounts.add(conn, self.seal, name, ORG, "scripted", name, *args, actor="test")
                for address in sorted(town.books):
                    self._calendar(conn, name, address, now)
                if per_stream:
                    self._group(conn, name, per_stream, now)

        await self.store.run(make)

    def _calendar(self, conn: Connection, account: str, address: str, now: datetime) -> None:
        calendars.add(conn, address, ORG, account, address, address.partition("@")[0], now)
        spaces.add(conn, f"spc-{address}", ORG, address, now, actor="test", building="", zone="UTC")
        spaces.link(conn, f"spc-{address}", address, 0, now, actor="test")
        due.ensure(conn, "pull", [address], now, lane=due.NEWS)

    def _group(self, conn: Connection, account: str, per_stream: int, now: datetime) -> None:
        groups = calendars.assign_stream(conn, account, per_stream)
        due.ensure(conn, "stream", groups, now)
        due.wake(conn, "stream", groups, now)

    async def add_calendar(self, account: str, address: str, per_stream: int) -> None:
        def add(conn: Connection) -> None:
            now = self.clock.now()
            self._calendar(conn, account, address, now)
            self._group(conn, account, per_stream, now)

        await self.store.run(add)
        self.bus.hint(Topic.DUE)
        self.bus.hint(Topic.STREAMS)

    def start(self, *, seed: int = 1, places: int = 16, streams: int = 16) -> Worker:
        """One more worker, as another process would be."""
        rng, store = random.Random(seed), Mortal(self.store)
        build = factory(self.towns, **self.traits)
        connections = Connections(store, self.seal, {"scripted": build}, self.clock, rng)
        turns = Turns(store, self.bus, self.clock, rng, self.metrics, connections, max(1, places // 2))
        worker = Worker(store, self.bus, self.clock, turns, places, streams)
        task = asyncio.get_running_loop().create_task(worker.run(), name=f"worker-{seed}")
        self.workers.append((worker, task, store))
        return worker

    async def stop(self) -> None:
        for worker, _, _ in self.workers:
            worker.stop()
        await asyncio.gather(*(task for _, task, _ in self.workers))
        self.workers.clear()

    def kill(self, number: int = 0) -> None:
        """The process is gone: its tasks stop where they are and write nothing more."""
        _, task, store = self.workers.pop(number)
        store.is_dead = True
        task.cancel()

    async def wake(self, address: str) -> None:
        await self.store.run(due.wake, "pull", [address], self.clock.now())
        self.bus.hint(Topic.DUE)

    async def calendar(self, address: str) -> Calendar:
        found = await self.store.read(calendars.get, address)
        assert found is not None
        return found

    async def account(self, name: str = "hq") -> Account:
        found = await self.store.read(accounts.get, name)
        assert found is not None
        return found

    async def new_password(self, password: str, name: str = "hq") -> None:
        def replace(conn: Connection) -> None:
            now = self.clock.now()
            accounts.update_credentials(conn, self.seal, name, {"password": password}, now, actor="test")
            members = calendars.of_account(conn, name)
            due.wake(conn, "stream", sorted({c.stream for c in members if c.stream}), now)
            due.wake(conn, "pull", [c.id for c in members], now)

        await self.store.run(replace)
        self.bus.hint(Topic.DUE)
        self.bus.hint(Topic.STREAMS)

    async def stored(self, address: str, around: timedelta = FAR) -> list[Event]:
        now = self.clock.now()
        found = await self.store.read(events.in_span, [address], Span(now - timedelta(days=6), now + around))
        return found[address]

    async def subjects(self, address: str) -> list[str | None]:
        return sorted((event.subject for event in await self.stored(address)), key=str)

    async def is_in_step(self, address: str) -> bool:
        """The store holds what is true, meeting by meeting."""
        book = next(town.books[address] for town in self.towns.values() if address in town.books)
        now = self.clock.now()
        span = Span(now - timedelta(days=6), now + FAR)
        held = [_line(event) for event in await self.stored(address)]
        return sorted(held) == sorted(_line(event) for event in book.within(span) if _is_readable(book, event))

    async def all_in_step(self) -> bool:
        return all([await self.is_in_step(address) for town in self.towns.values() for address in town.books])

    async def until(self, holds: Callable[[], Awaitable[bool]], within: float, step: float = 0.05) -> float:
        """Waits until it holds and returns how long that took, in the loop's seconds."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not await holds():
            assert loop.time() - began <= within, f"not within {within:g} s: {await self._states()}"
            await asyncio.sleep(step)
        return loop.time() - began

    async def until_state(self, address: str, state: str, within: float) -> Calendar:
        async def holds() -> bool:
            return (await self.calendar(address)).state == state

        await self.until(holds, within)
        return await self.calendar(address)

    async def _states(self) -> list[str]:
        found = await self.store.read(calendars.list_health, ORG)
        return [f"{h.calendar.address} {h.calendar.state}: {h.calendar.reason}" for h in found]


def _line(event: Event) -> tuple[str, ...]:
    return (event.uid, str(event.original_start), str(event.span.start), str(event.span.end), str(event.subject))


def _is_readable(book: Any, event: Event) -> bool:
    return bool(book.meetings[event.uid].is_readable)


def town(*names: str, meetings: int = 3, start: datetime = simulation.START) -> Town:
    """A town with a calendar of each name, a few meetings in each."""
    made = Town()
    for name in names:
        book = made.book(f"{name}@example.test")
        for number in range(meetings):
            book.add(f"{name} {number}", start + timedelta(hours=3 * number + 1))
    return made


def simulate(scenario: Callable[[Rig], Awaitable[None]], towns: Mapping[str, Town], seed: int = 1, **more: Any) -> None:
    """Runs the scenario under virtual time; `more` goes to the rig."""

    async def main(loop: SimLoop) -> None:
        store = inline_store()
        rig = Rig(store, hub_clock(loop, simulation.START), towns, **more)
        try:
            await scenario(rig)
            if rig.workers:
                await rig.stop()
        finally:
            tasks = [task for _, task, _ in rig.workers]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await store.aclose()

    simulation.run(main, seed)
