"""The front door to Exchange: one account as a Provider, Streamer, Directory and Checker."""

import random
from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta
from typing import Any

from kalends.model.event import CalendarId
from kalends.model.time import Span
from kalends.providers.exchange import cursor as walk
from kalends.providers.exchange import directory, pull
from kalends.providers.exchange.auth import Auth, Basic
from kalends.providers.exchange.check import Check
from kalends.providers.exchange.client import Client
from kalends.providers.exchange.rights import Rights, room_opens
from kalends.providers.exchange.settings import BadSettings, ExchangeSettings
from kalends.providers.exchange.stream import Group
from kalends.providers.http import Http, Transport
from kalends.providers.protocol import Cursor, Finding, Heard, Known, Page, RemoteCalendar, Traits

_STREAMS = 64
"""More connections than any server's HangingConnectionLimit lets one account hold open."""

_DELEGATE = "the service account opens it as a delegate"


class ExchangeProvider:
    """`credentials` holds `password`. `transport` replaces the network, for tests."""

    def __init__(
        self,
        settings: ExchangeSettings,
        credentials: Mapping[str, Any],
        rng: random.Random,
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
        http = Http(
            settings.trust,
            connections=settings.calls_at_once + _STREAMS,
            allow_plain=settings.allow_plain,
            transport=transport,
        )
        self._client = Client(settings, _auth(settings, credentials), http)

    def calendars(self) -> AsyncGenerator[RemoteCalendar, None]:
        return directory.rooms(self._client)

    async def pull(self, calendar: CalendarId, cursor: Cursor | None, window: Span, known: Known) -> Page:
        return await pull.step(self._client, calendar, cursor, window, known)

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

    def try_again(self) -> None:
        """Lets calls through after a refused sign-in, because an admin said that it was put right on the server."""
        self._client.try_again()

    async def aclose(self) -> None:
        await self._client.aclose()


def _auth(settings: ExchangeSettings, credentials: Mapping[str, Any]) -> Auth:
    password = credentials.get("password")
    if not isinstance(password, str) or not password:
        raise BadSettings("The Exchange account has no password: enter it.")
    return Basic(settings.username, password)
