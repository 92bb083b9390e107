"""Our codec and client against exchangelib 5.6 on the same calendar of the same sandbox: a view, then every meeting read.

Both must give the same fields before anything is timed. CPU time of this process, since waiting is the server's.
"""

import asyncio
import random
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from bench.figures import Figure, Tell
from bench.stage import Sandbox, sandbox
from bench.worlds import PASSWORD, USER, World, address
from kalends.model.event import CalendarId, Event, ItemId, Version
from kalends.model.time import Span
from kalends.providers.exchange import codec, faults, read, requests
from kalends.providers.exchange.client import Client
from kalends.providers.exchange.provider import ExchangeProvider
from kalends.providers.exchange.settings import ExchangeSettings

ROUNDS = 5
Facts = dict[str, tuple[object, ...]]
"""By item id: subject, start, end, show-as, organizer's address, attendees' addresses."""


async def measure(quick: bool, tell: Tell) -> AsyncIterator[Figure]:
    items, rounds = (20, 1) if quick else (500, ROUNDS)
    world = World(1, singles=0, meetings=items)
    with tempfile.TemporaryDirectory(prefix="kalends-bench-") as folder:
        async with sandbox(Path(folder), world) as server:
            ours, theirs = _Ours(server), await asyncio.to_thread(_Theirs, server)
            try:
                mine, other = await ours.read(), await asyncio.to_thread(theirs.read)
                assert mine == other, f"the two clients differ: {_difference(mine, other)}"
                assert len(mine) == items, f"{len(mine)} meetings were read instead of {items}"
                samples: list[tuple[float, float]] = []
                for number in range(rounds):
                    tell(f"{items} meetings by both clients, {number + 1} of {rounds} …")
                    samples.append((await _timed_ours(ours), await asyncio.to_thread(_timed, theirs.read)))
            finally:
                await ours.aclose()
    yield Figure(
        "ews_read",
        median(one for one, _ in samples),
        "CPU ms",
        [one for one, _ in samples],
        peer="exchangelib 5.6.0, the same calendar, the same fields",
        peer_value=median(two for _, two in samples),
        details={"items": items, "items_per_cpu_s": items / median(one for one, _ in samples) * 1000},
        note="A ratio below 1 means less CPU than the peer. Both over https with full attendee lists.",
    )


async def _timed_ours(ours: "_Ours") -> float:
    began = time.process_time()
    await ours.read()
    return (time.process_time() - began) * 1000


def _timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1000


def _span() -> Span:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Span(today - timedelta(days=1), today + timedelta(days=90))


class _Ours:
    def __init__(self, server: Sandbox) -> None:
        settings = {"url": server.exchange, "username": USER, "fingerprint": server.fingerprint}
        provider = ExchangeProvider(ExchangeSettings.of(settings), {"password": PASSWORD}, random.Random(1))
        self._provider = provider
        self._client: Client = provider._client

    async def read(self) -> Facts:
        calendar = CalendarId(address(0))
        shown = await self._client.call(requests.view(calendar, _span()), calendar)
        rows = [row for row in codec.rows(faults.only(shown, calendar)) if isinstance(row, codec.Row)]
        wanted: dict[ItemId, Version] = {row.item: row.version for row in rows}
        found = await read.meetings(self._client, calendar, wanted)
        return {item: _facts(event) for item, event in found.items() if isinstance(event, Event)}

    async def aclose(self) -> None:
        await self._provider.aclose()


def _facts(event: Event) -> tuple[object, ...]:
    organizer = event.organizer.address if event.organizer else None
    people = tuple(sorted(one.party.address or "" for one in event.attendees))
    return event.subject, event.span.start, event.span.end, event.show_as.value, organizer, people


class _Theirs:
    """Unpatched, told everything it would otherwise find out by further calls."""

    def __init__(self, server: Sandbox) -> None:
        import exchangelib  # type: ignore[import-untyped]  # it ships no types
        from exchangelib.protocol import (  # type: ignore[import-untyped]
            BaseProtocol,
            NoVerifyHTTPAdapter,
        )
        from urllib3.exceptions import InsecureRequestWarning

        BaseProtocol.HTTP_ADAPTER_CLS = NoVerifyHTTPAdapter
        warnings.simplefilter("ignore", InsecureRequestWarning)
        self._exchangelib = exchangelib
        config = exchangelib.Configuration(
            service_endpoint=server.exchange,
            credentials=exchangelib.Credentials(USER, PASSWORD),
            auth_type=exchangelib.BASIC,
            version=exchangelib.Version(exchangelib.version.EXCHANGE_2016),
            max_connections=1,
        )
        self._account = exchangelib.Account(
            address(0), config=config, autodiscover=False, access_type=exchangelib.IMPERSONATION
        )

    def read(self) -> Facts:
        span, zone = _span(), self._exchangelib.UTC
        start, end = (self._exchangelib.EWSDateTime.from_datetime(at).astimezone(zone) for at in (span.start, span.end))
        fields = "subject", "start", "end", "legacy_free_busy_status", "organizer", "required_attendees"
        shown = self._account.calendar.view(start=start, end=end).only(*fields)
        return {one.id: _their_facts(one) for one in shown}


def _their_facts(item: object) -> tuple[object, ...]:
    subject, start, end, status, organizer, people = (
        getattr(item, name)
        for name in ("subject", "start", "end", "legacy_free_busy_status", "organizer", "required_attendees")
    )
    addresses = tuple(sorted(one.mailbox.email_address for one in people or ()))
    at = [datetime.fromtimestamp(one.timestamp(), UTC) for one in (start, end)]
    return subject, at[0], at[1], status.lower(), organizer.email_address if organizer else None, addresses


def _difference(mine: Facts, other: Facts) -> object:
    for item, facts in mine.items():
        if other.get(item) != facts:
            return facts, other.get(item)
    return sorted(other.keys() - mine.keys())[:3]
