"""A hub's web side over a seeded store: what the engine would have written, written directly."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

import httpx2
from prometheus_client import CollectorRegistry

from kalends.bus import LocalBus, Topic
from kalends.clock import Clock
from kalends.features.access import password_hash
from kalends.ids import SeededIds
from kalends.model.event import Attendee, Event, ItemId, Kind, Party, Response, Role, Sensitivity, ShowAs, Version, Zone
from kalends.model.privacy import Details
from kalends.model.time import Dates, Span
from kalends.providers.protocol import Cursor, Page
from kalends.seal import Seal
from kalends.store import access, accounts, calendars, due, events, organizations, spaces
from kalends.store.contents import Contents
from kalends.store.door import Connection, Store, inline_store
from kalends.web.app import Web, make_web

START = datetime(2026, 11, 23, 9, 20, tzinfo=UTC)
PASSWORD = "a long enough pass phrase"


@dataclass
class StandingClock:
    """Stands until told to move."""

    at: datetime = START
    factor: float = 1.0
    real: float = 1000.0

    def now(self) -> datetime:
        return self.at

    def stretch(self, real: timedelta) -> timedelta:
        return real * self.factor

    def seconds_until(self, at: datetime) -> float:
        return max(0.0, (at - self.at).total_seconds() / self.factor)

    def monotonic(self) -> float:
        return self.real

    def move(self, by: timedelta) -> None:
        self.at += by
        self.real += by.total_seconds() / self.factor


@dataclass
class Told:
    """A calendar system that can be asked for details: what it says by item, and how often it was asked."""

    events: dict[ItemId, Event] = field(default_factory=dict)
    missing: str = ""
    asked: list[tuple[str, tuple[ItemId, ...]]] = field(default_factory=list)

    async def read(self, calendar: str, events: Sequence[Event]) -> Details:
        self.asked.append((calendar, tuple(event.item for event in events)))
        return Details({e.item: self.events[e.item] for e in events if e.item in self.events}, self.missing)


@dataclass
class Wires:
    """What `make_web` needs, for a test."""

    store: Store
    clock: Clock
    ids: SeededIds
    organization: str = "org_1"
    contents: Contents = field(default_factory=lambda: Contents(b"c" * 32, SeededIds(Random(8)).noise))
    details: Told = field(default_factory=Told)
    base_url: str = "http://127.0.0.1"
    version: str = "0.1.0"
    bus: LocalBus = field(default_factory=LocalBus)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    @property
    def stale_after(self) -> timedelta:
        return self.clock.stretch(timedelta(seconds=90))


def meeting(
    uid: str,
    start: datetime,
    minutes: int = 60,
    subject: str | None = "Weekly planning",
    organizer: str | None = "Anna Novak",
    sensitivity: Sensitivity = Sensitivity.NORMAL,
    show_as: ShowAs = ShowAs.BUSY,
    cancelled: bool = False,
    description: str | None = None,
    location: str | None = None,
    dates: Dates | None = None,
    response: Response = Response.ACCEPTED,
) -> Event:
    party = Party(organizer, "anna@example.org") if organizer else None
    return Event(
        uid=uid,
        original_start=None,
        item=ItemId(f"item-{uid}"),
        version=Version("1"),
        kind=Kind.SINGLE,
        span=Span(start, start + timedelta(minutes=minutes)),
        dates=dates,
        zone=Zone("W. Europe Standard Time", "Europe/Berlin"),
        subject=subject,
        location=location,
        description=description,
        organizer=party,
        attendees=(Attendee(party, Role.REQUIRED),) if party else (),
        show_as=show_as,
        sensitivity=sensitivity,
        is_cancelled=cancelled,
        response=response,
    )


def seed_account(
    conn: Connection, wires: Wires, id_: str = "acc_1", name: str = "Exchange", privacy: str = "P3"
) -> None:
    organizations.ensure_default(conn, wires.organization, "Example", "local", wires.clock.now())
    seal = Seal([b"k" * 32], wires.ids.noise)
    settings, secret = {"url": "https://mail.example.org/EWS"}, {"password": "CANARY-credential"}
    now = wires.clock.now()
    accounts.add(
        conn, seal, id_, wires.organization, "exchange", name, settings, secret, privacy, now, actor="cli:test"
    )
    accounts.recovered(conn, id_, now)


def seed_room(
    conn: Connection,
    wires: Wires,
    key: str,
    name: str,
    held: Iterable[Event] = (),
    building: str = "Harbour House",
    floor: str = "2",
    capacity: int | None = 8,
    zone: str = "Europe/Berlin",
    account: str = "acc_1",
    verified: bool = True,
) -> None:
    """A room with one calendar that holds these events, in step as of now."""
    now, space, calendar = wires.clock.now(), f"spc_{key}", f"cal_{key}"
    place = {"building": building, "floor": floor, "capacity": capacity, "zone": zone}
    spaces.add(conn, space, wires.organization, name, now, actor="cli:test", **place)
    calendars.add(conn, calendar, wires.organization, account, f"{key}@example.org", name, now)
    spaces.link(conn, space, calendar, 1, now, actor="cli:test")
    due.ensure(conn, "pull", [calendar], now)
    if verified:
        put(conn, wires, key, held)


def put(conn: Connection, wires: Wires, key: str, held: Iterable[Event], removed: Iterable[str] = ()) -> None:
    """The calendar holds these events too, and no more those with the removed uids; it is in step as of now."""
    now, calendar = wires.clock.now(), f"cal_{key}"
    due.wake(conn, "pull", [calendar], now)
    leases = due.claim(conn, ["pull"], now, timedelta(minutes=2), 10_000, None)
    [lease] = [lease for lease in leases if lease.id == calendar]
    gone = frozenset(ItemId(f"item-{uid}") for uid in removed)
    window = Span(now - timedelta(days=7), now + timedelta(days=400))
    page = Page(events=tuple(held), removed=gone, cursor=Cursor("1"), more=False)
    events.apply(conn, wires.contents, lease, calendar, page, window, now, measure_lag=True)
    calendars.verified(conn, calendar, now)
    for one in leases:
        due.finish(conn, one, now, timedelta(minutes=5), timedelta(0))


def seed_admin(conn: Connection, wires: Wires) -> None:
    organizations.ensure_default(conn, wires.organization, "Example", "local", wires.clock.now())
    hashed = _hashed(wires)
    access.add_user(conn, "usr_1", wires.organization, "admin", hashed, "admin", wires.clock.now(), actor="cli:test")


_HASHES: list[str] = []


def _hashed(wires: Wires) -> str:
    """Made once: a hash takes a tenth of a second."""
    if not _HASHES:
        _HASHES.append(password_hash(PASSWORD, wires.ids))
    return _HASHES[0]


def new_wires(clock: Clock | None = None) -> Wires:
    return Wires(inline_store(), clock or StandingClock(), SeededIds(Random(7)))


@dataclass
class House:
    """The web side over a seeded store, its follower running, and a client that asks it in memory."""

    wires: Wires
    web: Web
    client: httpx2.AsyncClient

    async def sign_in(self) -> None:
        answer = await self.client.post("/sign-in", data={"name": "admin", "password": PASSWORD}, headers=OWN_PAGE)
        assert answer.status_code == 303, answer.text

    async def tell(self, key: str, *held: Event, removed: Iterable[str] = ()) -> None:
        """The calendar changes, and the follower hears of it."""
        version = self.web.kit.follower.version
        await self.wires.store.run(put, self.wires, key, held, removed)
        self.wires.bus.hint(Topic.FEED)
        await until(lambda: self.web.kit.follower.version > version)


OWN_PAGE = {"origin": "http://127.0.0.1", "sec-fetch-site": "same-origin"}


async def until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  # it watches what knows nothing of tests
            await asyncio.sleep(0.002)


@asynccontextmanager
async def running(wires: Wires) -> AsyncIterator[House]:
    web = make_web(wires)
    async with web.app.router.lifespan_context(web.app):
        transport = httpx2.ASGITransport(web)
        async with httpx2.AsyncClient(transport=transport, base_url=wires.base_url) as client:
            await web.kit.follower.ready.wait()
            yield House(wires, web, client)
    await wires.store.aclose()


async def seeded(*rooms: tuple[str, list[Event]], clock: StandingClock | None = None) -> Wires:
    """An admin, an account and a room for each (key, events); the name is the key with a capital."""
    wires = new_wires(clock)
    await wires.store.run(seed_admin, wires)
    await wires.store.run(seed_account, wires)
    for key, held in rooms:
        await wires.store.run(seed_room, wires, key, key.capitalize(), held)
    return wires


async def paired(house: House, key: str) -> str:
    """A panel's secret, as its cookie holds it."""
    doorkeeper = house.web.kit.doorkeeper
    code = await doorkeeper.offer_pairing(f"spc_{key}", key, "admin")
    _, secret = await doorkeeper.pair(code, "127.0.0.1")
    return secret


async def token(house: House, name: str = "script") -> str:
    secret = house.wires.ids.secret()
    now = house.wires.clock.now()
    new = house.wires.ids.new("tok")
    await house.wires.store.run(access.add_token, new, house.wires.organization, name, secret, now, actor="cli:test")
    return secret
