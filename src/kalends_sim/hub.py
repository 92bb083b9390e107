"""The hub in the simulation: the shipped worker, provider and store, each running as a process that can be killed or stalled.

All of them work on one database file, which is all that outlives them. Neighbours: `process.py`, `hour.py`.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kalends.app import Hub, factories
from kalends.bus import LocalBus
from kalends.clock import Clock
from kalends.config import Config
from kalends.ids import SeededIds
from kalends.seal import KEY_BYTES, Noise, Seal
from kalends.store import accounts, due, organizations
from kalends.store.contents import Contents
from kalends.store.door import Connection, InlineStore, inline_store
from kalends.sync.connections import Connections
from kalends.sync.details import LiveDetails
from kalends.sync.directory import Linked, Linker, rooms_of
from kalends_sandbox.world import ServiceAccount
from kalends_sim.loop import SimLoop
from kalends_sim.process import Process

PRIVACY = "P3"
_ACTOR = "sim"


@contextmanager
def disk() -> Iterator[Path]:
    """A database file that outlives the hub's processes, and nothing else."""
    with tempfile.TemporaryDirectory(prefix="kalends-sim-") as folder:
        yield Path(folder) / "kalends.sqlite3"


@dataclass
class Site:
    """Where Kalends runs: a machine with a clock, a disk and a key."""

    loop: SimLoop
    file: Path
    clock: Clock
    starts: int = 0

    def contents(self, conn: Connection, organization: str) -> Contents:
        """Opens what the hub sealed."""
        noise = SeededIds(self.loop.randomness("reading")).noise
        return organizations.contents(conn, self._seal(noise), noise, organization)

    def _seal(self, noise: Noise) -> Seal:
        return Seal([self.loop.randomness("key").randbytes(KEY_BYTES)], noise)

    def open(self) -> Hub:
        """A fresh hub over what the disk holds. Its store is `close`d by whoever opened it."""
        self.starts += 1
        ids = SeededIds(self.loop.randomness(f"hub {self.starts}"))
        seal = self._seal(ids.noise)
        store = inline_store(self.file)
        with store.engine.begin() as conn:
            now = self.clock.now()
            organization = organizations.ensure_default(conn, ids.new("org"), "Tidewater", "sim", now)
            contents = organizations.contents(conn, seal, ids.noise, organization.id)
        makers = factories(ids.rng, self.clock)
        config = Config(data_folder=self.file.parent)
        return Hub(
            config,
            self.clock,
            ids,
            store,
            LocalBus(),
            seal,
            contents,
            organization.id,
            LiveDetails(store, Connections(store, seal, makers, self.clock, ids.rng), self.clock),
            makers,
        )


async def set_up(site: Site, url: str, sign_in: ServiceAccount) -> list[Linked]:
    """One account, and every room it can find linked."""
    hub = site.open()
    account_id, now = hub.ids.new("acc"), hub.clock.now()
    settings = {"url": url, "username": sign_in.user, "allow_plain": True}
    credentials = {"password": sign_in.password}
    args = (hub.seal, account_id, hub.organization, "exchange", "Exchange", settings, credentials, PRIVACY, now)
    await hub.store.run(accounts.add, *args, actor=_ACTOR)
    account = await hub.store.read(accounts.get, account_id)
    assert account is not None
    connections = hub.connections()
    try:
        provider = (await connections.of(account)).provider
        linker = Linker(hub.store, hub.clock, hub.ids, account, provider, "Europe/Berlin", _ACTOR)
        return await linker.link(await rooms_of(provider))
    finally:
        await connections.aclose()
        await hub.store.aclose()


class Worker:
    """One worker process on the site. Start it, kill it, start it again."""

    def __init__(self, site: Site, name: str) -> None:
        self._site, self._name = site, name
        self._process: Process | None = None
        self._hub: Hub | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self, *, takes_over: bool) -> None:
        """`takes_over`: it is the only worker, so what its predecessor had in hand is free at once (SQLite's way)."""
        assert self._process is None, "it runs already"
        hub = self._hub = self._site.open()
        assert isinstance(hub.store, InlineStore)
        if takes_over:
            with hub.store.engine.begin() as conn:
                due.break_leases(conn, hub.clock.now())
        self._process = Process(self._site.loop, f"{self._name}.{self._site.starts}")
        self._process.start(hub.worker().run())

    async def death(self, after_steps: int) -> None:
        """Returns once it has been killed, at its so-many-th step from now. The kernel closes its files and connections."""
        assert self._process is not None
        assert self._hub is not None
        self._process.kill_after(after_steps)
        try:
            await self._process.died.wait()
        except asyncio.CancelledError:
            self._process.spare()
            raise
        assert isinstance(self._hub.store, InlineStore)
        self._hub.store.engine.dispose()
        self._process = self._hub = None

    def stall(self) -> None:
        assert self._process is not None
        self._process.stall()

    def go_on(self) -> None:
        assert self._process is not None
        self._process.go_on()
