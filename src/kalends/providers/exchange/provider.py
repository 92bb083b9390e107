"""The front door to Exchange: one account as a Provider, Streamer, Details, Directory and Checker."""

import random
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from kalends.model.event import CalendarId, Event, ItemId
from kalends.model.time import Span
from kalends.providers.exchange import cursor as walk
from kalends.providers.exchange import directory, masking, pull, read
from kalends.providers.exchange.check import Check
from kalends.providers.exchange.client import Client
from kalends.providers.exchange.oauth import Now
from kalends.providers.exchange.rights import Rights, room_opens
from kalends.providers.exchange.settings import ExchangeSettings
from kalends.providers.exchange.sign_in import sign_in
from kalends.providers.exchange.stream import Group
from kalends.providers.http import Transport
from kalends.providers.protocol import Cursor, Ear, Finding, Heard, Known, Page, RemoteCalendar, Traits
from kalends.providers.tap import Tap

_DELEGATE = "the service account opens it as a delegate"


class ExchangeProvider:
    """`credentials` holds `password`, for OAuth `client_secret`. `transport` replaces the network, for tests."""

    def __init__(
        self,
        settings: ExchangeSettings,
        credentials: Mapping[str, Any],
        rng: random.Random,
        now: Now,
        *,
        transport: Transport | None = None,
    ) -> None:
        self.traits = Traits(
            kind="exchange",
            poll_every=timedelta(minutes=1),
            poll_every_while_listening=timedelta(minutes=10),
            reconcile_every=timedelta(hours=6),
            calls_at_once=settings.calls_at_once,
            past=walk.PAST,
            never_told="" if settings.impersonate else _DELEGATE,
        )
        self.calendars_per_stream = settings.max_per_connection
        self._settings = settings
        self._rng = rng
        self._tap = Tap(masking.DIALECT)
        self._client = Client(settings, sign_in(settings, credentials, rng, now, transport, tap=self._tap))

    def calendars(self) -> AsyncGenerator[RemoteCalendar, None]:
        return directory.rooms(self._client)

    async def pull(self, calendar: CalendarId, cursor: Cursor | None, window: Span, known: Known) -> Page:
        return await pull.step(self._client, calendar, cursor, window, known)

    async def details(self, calendar: CalendarId, items: Sequence[ItemId]) -> Mapping[ItemId, Event]:
        return await read.details(self._client, calendar, items)

    def listen(self, calendars: frozenset[CalendarId]) -> AsyncGenerator[Heard, None]:
        assert len(calendars) <= self.calendars_per_stream, "the engine keeps groups within calendars_per_stream"
        return Group(self._client, self._settings, self._rng, calendars).listen()

    async def resolve(self, address: str) -> RemoteCalendar:
        return await directory.resolve(self._client, address)

    def check(self, calendar: CalendarId | None) -> AsyncGenerator[Finding, None]:
        return Check(self._client, self._settings).run(calendar)

    def rights(self, group: str | None) -> str:
        return Rights(self._client, self._settings).script(group)

    async def refuses(self, address: str) -> Finding:
        return await Rights(self._client, self._settings).prove(address)

    async def opens(self, calendar: CalendarId) -> Finding:
        return await room_opens(self._client, calendar)

    def overhear(self, ear: Ear | None) -> None:
        """See `protocol.Overheard`."""
        self._tap.ear = ear

    def try_again(self) -> None:
        """Lets calls through after a refused sign-in, because an admin said that it was put right on the server."""
        self._client.try_again()

    async def aclose(self) -> None:
        await self._client.aclose()
