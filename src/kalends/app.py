"""The one place that wires everything: from a configuration to a running hub."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from kalends import __version__
from kalends.bus import Bus, LocalBus
from kalends.clock import Clock, RealClock, ScaledClock
from kalends.config import Config
from kalends.ids import Ids, RandomIds
from kalends.metrics import Metrics
from kalends.providers.protocol import Provider
from kalends.seal import Seal, open_seal
from kalends.store import accounts, due, organizations
from kalends.store.contents import Contents
from kalends.store.door import Connection, Store, open_store
from kalends.sync.connections import Connections, ProviderFactory
from kalends.sync.details import LiveDetails
from kalends.sync.turn import Turns
from kalends.sync.worker import Worker

if TYPE_CHECKING:
    from kalends.providers.exchange.discovery import Discovery


@dataclass(frozen=True)
class Hub:
    """Everything a part of Kalends may need, made once."""

    config: Config
    clock: Clock
    ids: Ids
    store: Store
    bus: Bus
    seal: Seal
    contents: Contents
    organization: str
    details: LiveDetails
    factories: Mapping[str, ProviderFactory]
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def version(self) -> str:
        return __version__

    @property
    def registry(self) -> CollectorRegistry:
        return self.metrics.registry

    @property
    def base_url(self) -> str:
        return self.config.public_url

    @property
    def stale_after(self) -> timedelta:
        """On the clock."""
        return self.clock.stretch(timedelta(seconds=self.config.stale_after_seconds))

    def connections(self) -> Connections:
        return Connections(self.store, self.seal, self.factories, self.clock, self.ids.rng)

    def worker(self) -> Worker:
        at_once = self.config.turns_at_once
        turns = Turns(
            self.store,
            self.bus,
            self.clock,
            self.ids.rng,
            self.metrics,
            self.connections(),
            self.contents,
            max(1, at_once // 2),
        )
        return Worker(self.store, self.bus, self.clock, turns, at_once, self.config.streams_at_once)


@asynccontextmanager
async def open_hub(config: Config, *, exclusive: bool = False) -> AsyncIterator[Hub]:
    """A hub over the configured store, for as long as the block lasts. Raises StoreError and SealError.

    `exclusive`: this process serves. On SQLite nobody else may then, and what a killed predecessor had in hand is taken
    up at once; the command line opens the store beside a server.
    """
    clock, ids = clock_of(config), RandomIds()
    store = await open_store(config.url, exclusive=exclusive)
    try:
        needed = await store.read(_sealing_keys)
        may_create = config.secret_key_file is None and not needed
        seal = open_seal(config.key_file, ids.noise, may_create=may_create)
        seal.require(needed)
        organization = await store.run(_ensure_organization, ids, config.region, clock)
        contents = await store.run(organizations.contents, seal, ids.noise, organization)
        if exclusive and config.url.startswith("sqlite"):
            await store.run(due.break_leases, clock.now())
        async with _bus_of(config) as bus:
            makers = factories(ids.rng, clock)
            details = LiveDetails(store, Connections(store, seal, makers, clock, ids.rng), clock)
            try:
                yield Hub(config, clock, ids, store, bus, seal, contents, organization, details, makers)
            finally:
                await details.aclose()
    finally:
        await store.aclose()


def clock_of(config: Config) -> Clock:
    start = config.clock_starts_at
    return RealClock() if start is None else ScaledClock(start, config.clock_factor, config.clock_origin)


def factories(rng: random.Random, clock: Clock) -> Mapping[str, ProviderFactory]:
    """One line per calendar system. Each is imported only when an account needs it: its code costs start-up time."""

    def exchange(settings: Mapping[str, Any], credentials: Mapping[str, Any]) -> Provider:
        from kalends.providers.exchange.provider import ExchangeProvider
        from kalends.providers.exchange.settings import ExchangeSettings

        return ExchangeProvider(ExchangeSettings.of(settings), credentials, rng, clock.now)

    return {"exchange": exchange}


def discovery(
    settings: Mapping[str, Any],
    credentials: Mapping[str, Any],
    rng: random.Random,
    clock: Clock,
    *,
    mailbox: str,
    typed: str | None,
    confirmed: tuple[str, ...],
) -> "Discovery":
    """The search for an Exchange account's address, which needs no store. Raises Rejected for what can't work."""
    from kalends.providers.exchange.discovery import Discovery, Wanted

    return Discovery.of(settings, credentials, Wanted(mailbox, typed, confirmed), rng, clock.now)


@asynccontextmanager
async def _bus_of(config: Config) -> AsyncIterator[Bus]:
    if not config.url.startswith("postgres"):
        yield LocalBus()
        return
    from kalends.store.notify import PgBus

    bus = PgBus(config.url)
    async with asyncio.TaskGroup() as group:
        carrying = group.create_task(bus.run(), name="bus")
        try:
            yield bus
        finally:
            carrying.cancel()


def _ensure_organization(conn: Connection, ids: Ids, region: str, clock: Clock) -> str:
    found = organizations.ensure_default(conn, ids.new("org"), "This organization", region, clock.now())
    return found.id


def _sealing_keys(conn: Connection) -> list[str]:
    """Ids of the keys without which something stored can't be opened."""
    return sorted({*accounts.sealing_keys(conn), *organizations.sealing_keys(conn)})
