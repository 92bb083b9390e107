"""A simulated Exchange Server for tests: one organisation with a few rooms, reached over loopback https or plain http.

The hub's side talks to it over a real socket only; the tests reach into its world to change it and to know the truth.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from kalends.model.event import CalendarId
from kalends.model.time import Span
from kalends.providers.exchange.provider import ExchangeProvider
from kalends.providers.exchange.settings import ExchangeSettings, Way
from kalends_sandbox import series
from kalends_sandbox.attendant import Attendant
from kalends_sandbox.clock import Clock
from kalends_sandbox.desk import Desk
from kalends_sandbox.exchange.server import Exchange
from kalends_sandbox.exchange.settings import Settings
from kalends_sandbox.faults import Faults
from kalends_sandbox.folder import Folder
from kalends_sandbox.http import serve
from kalends_sandbox.identity import Identity, Tokens
from kalends_sandbox.item import Item, Override, Party
from kalends_sandbox.post import Post
from kalends_sandbox.recurrence import DAYS, Recurrence, Weekly
from kalends_sandbox.tls import self_signed
from kalends_sandbox.world import Application, RoomList, ServiceAccount, World
from kalends_sandbox.zones import Zone, zone
from providers.contract import NOON, Line, Stage

USER, PASSWORD = "EXAMPLE\\kalends", "correct horse"
APPLICATION, SECRET = "kalends-app", "battery/+ staple"
ROOM = CalendarId("almond@example.test")
UTC_ZONE = zone("UTC")
OFFERS: dict[Way, tuple[str, ...]] = {"basic": ("basic",), "ntlm": ("negotiate", "ntlm"), "oauth": ("oauth",)}


@dataclass
class ExchangeStage(Stage):
    exchange: Exchange
    faults: Faults
    url: str
    provider: ExchangeProvider
    settings: ExchangeSettings
    tokens: Tokens
    calendar: CalendarId = ROOM
    providers: list[ExchangeProvider] = field(default_factory=list)

    @property
    def world(self) -> World:
        return self.exchange.site.world

    @property
    def folder(self) -> Folder:
        return self.folder_of(self.calendar)

    def folder_of(self, address: str) -> Folder:
        mailbox = self.world.mailbox(address)
        assert mailbox is not None
        assert mailbox.calendar is not None
        return mailbox.calendar

    def another(self, password: str = PASSWORD, secret: str = SECRET, **settings: Any) -> ExchangeProvider:
        """A further provider with other settings on the same server."""
        credentials = {"password": password, "client_secret": secret}
        made = ExchangeProvider(replace(self.settings, **settings), credentials, Random(1), self.world.clock.now)
        self.providers.append(made)
        return made

    def add(self, address: str = ROOM, **fields: Any) -> Item:
        """An item straight into a calendar, whatever Outlook would say to it."""
        given: dict[str, Any] = {
            "uid": self.world.ids.uid(NOON),
            "subject": "meeting",
            "start": NOON,
            "end": NOON + timedelta(hours=1),
            "zone": UTC_ZONE,
            "organizer": Party("Ada Example", "ada@example.test"),
            **fields,
        }
        return self.folder_of(address).add(Item(**given))

    def book(self, subject: str, start: datetime, length: timedelta = timedelta(hours=1)) -> str:
        return self.add(subject=subject, start=start, end=start + length).uid

    def book_series(self, subject: str, start: datetime, count: int | None) -> str:
        pattern = Weekly((DAYS[start.weekday()],))
        recurrence = Recurrence(pattern, start.date(), count=count)
        return self.add(subject=subject, start=start, end=start + timedelta(hours=1), recurrence=recurrence).uid

    def _item(self, key: str) -> Item:
        (item,) = self.folder.by_uid(key)
        return item

    def rename(self, key: str, subject: str) -> None:
        self.folder.save(replace(self._item(key), subject=subject))

    def move(self, key: str, start: datetime) -> None:
        item = self._item(key)
        moved = replace(item, start=start, end=start + (item.end - item.start))
        if item.recurrence is not None:
            recurrence = replace(item.recurrence, pattern=Weekly((DAYS[start.weekday()],)), start=start.date())
            moved = replace(moved, recurrence=recurrence, exceptions={}, deleted=(), generation=item.generation + 1)
        self.folder.save(moved)

    def move_one(self, key: str, original: datetime, start: datetime) -> None:
        item = self._item(key)
        if original in item.deleted or not series.falls_on(item, original):
            return
        change = Override(start=start, end=start + timedelta(hours=1))
        self.folder.save(replace(item, exceptions={**item.exceptions, original: change}))

    def drop_one(self, key: str, original: datetime) -> None:
        item = self._item(key)
        if original in item.deleted or not series.falls_on(item, original):
            return
        kept = {at: change for at, change in item.exceptions.items() if at != original}
        self.folder.save(replace(item, exceptions=kept, deleted=(*item.deleted, original)))

    def drop(self, key: str) -> None:
        self.folder.remove(self._item(key).item_id)

    def change_id(self, key: str) -> None:
        mailbox = self.world.mailbox(self.calendar)
        assert mailbox is not None
        mailbox.move(self._item(key).item_id, self.folder)

    def lose_cursor(self) -> None:
        self.faults.add("invalid_sync_state", count=1)

    def truth(self, span: Span) -> list[Line]:
        found = self.folder.view(span.start, span.end)
        return sorted(
            ((one.uid, one.original_start, one.start, one.end, one.subject, one.is_all_day) for one in found), key=repr
        )

    def calls(self) -> int:
        counted = self.exchange.counters()["calls"]
        assert isinstance(counted, dict)
        return sum(counted.values())

    def calls_of(self, operation: str) -> int:
        counted = self.exchange.counters()["calls"]
        assert isinstance(counted, dict)
        return int(counted.get(operation, 0))


@asynccontextmanager
async def exchange_stage(
    folder: Path | None = None, way: Way = "basic", pace: float = 0.0, **settings: Any
) -> AsyncIterator[ExchangeStage]:
    """Over https with a pinned self-signed certificate when a folder is given for it, else over plain http.

    The provider signs in by `way`, which is what the server offers unless `settings` (the server's) say otherwise.
    The world's clock stands still unless it has a pace.
    """
    settings.setdefault("sign_in", OFFERS[way])
    world = World(Clock(NOON, factor=pace), Random(7), "example.test", "Example", UTC_ZONE)
    _furnish(world)
    faults = Faults(Random(8))
    post = Post(world, Random(14))
    Attendant(world, post)
    certificate = None if folder is None else self_signed(folder, Random(10))
    channel = None if certificate is None else certificate.channel
    tokens = Tokens(world, Random(12))
    exchange = Exchange(world, Desk(world, post), faults, Random(9), Settings(**settings), channel, tokens)
    context = None if certificate is None else certificate.context
    server = await serve(exchange.handle, "127.0.0.1", 0, context)
    desk = await serve(Identity(world, faults, tokens, Random(13)).handle, "127.0.0.1", 0, context)
    scheme = "http" if certificate is None else "https"
    url = f"{scheme}://127.0.0.1:{server.port}/EWS/Exchange.asmx"
    stored: dict[str, Any] = {"url": url, "username": USER, "sign_in": way, "allow_plain": certificate is None}
    if way == "oauth":
        stored["token_url"] = f"{scheme}://127.0.0.1:{desk.port}/example.test/oauth2/v2.0/token"
        stored |= {"client_id": APPLICATION, "username": ROOM}
    if certificate is not None:
        stored["fingerprint"] = certificate.sha256
    chosen = ExchangeSettings.of(stored)
    credentials = {"password": PASSWORD, "client_secret": SECRET}
    provider = ExchangeProvider(chosen, credentials, Random(11), world.clock.now)
    stage = ExchangeStage(exchange, faults, url, provider, chosen, tokens)
    try:
        yield stage
    finally:
        for each in (provider, *stage.providers):
            await each.aclose()
        exchange.close()
        for each_server in (desk, server):
            with suppress(TimeoutError):
                await each_server.close()


def _furnish(world: World) -> None:
    for name in ("Almond", "Birch", "Cedar", "Dogwood"):
        world.add_mailbox(name, f"{name.lower()}@example.test", "room", aliases=(f"{name.lower()}.old@example.test",))
    world.add_mailbox("Empty", "empty@example.test", with_calendar=False)
    world.add_mailbox("Ada Example", "ada@example.test")
    world.add_mailbox("Secret", "secret@elsewhere.test")
    world.room_lists.append(RoomList("House", "house@example.test", ("almond@example.test", "birch@example.test")))
    world.room_lists.append(RoomList("Annex", "annex@example.test", ("birch@example.test", "cedar@example.test")))
    world.accounts.append(ServiceAccount(USER, PASSWORD, ("*@example.test",)))
    world.applications.append(Application(APPLICATION, SECRET, "Kalends", ("*@example.test",)))


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


def windows(name: str, iana: str = "Etc/UTC") -> Zone:
    """A zone under a name of any kind."""
    return Zone(name, iana)
