"""Our client and codec against exchangelib 5.6 on the same bytes: a view of a calendar, then every meeting read.

What the sandbox answered once is served again from memory (`canned.py`), so that both read the same bytes for the same
meeting and the server costs nothing. Both must give the same thirteen fields before anything is timed. CPU time of
this process, since waiting is the server's.
"""

import asyncio
import base64
import pickle
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from bench.canned import Recording
from bench.figures import Figure, Tell
from bench.stage import Sandbox, sandbox
from bench.wire import Line, trusting_anyone
from bench.worlds import PASSWORD, USER, World, address
from kalends.clock import RealClock
from kalends.model.event import CalendarId, Event, ItemId, Role, Version
from kalends.model.time import Span
from kalends.providers.exchange import codec, faults, read, requests
from kalends.providers.exchange.client import Affinity, Client
from kalends.providers.exchange.provider import ExchangeProvider
from kalends.providers.exchange.settings import ExchangeSettings
from kalends.providers.http import Answer

ROUNDS = 5
GOAL = 15.0
Facts = dict[str, tuple[object, ...]]
"""By item id, in the order of FIELDS."""
FIELDS = (
    *("subject", "sensitivity", "uid", "start", "end", "is_all_day", "legacy_free_busy_status", "location"),
    *("is_cancelled", "type", "organizer", "required_attendees", "optional_attendees"),
)
ASKED = frozenset(
    (
        *(
            "ItemId",
            "Subject",
            "Sensitivity",
            "UID",
            "Start",
            "End",
            "IsAllDayEvent",
            "LegacyFreeBusyStatus",
            "Location",
        ),
        *("IsCancelled", "CalendarItemType", "Organizer", "RequiredAttendees", "OptionalAttendees"),
    )
)
"""The same on the wire."""


async def measure(quick: bool, tell: Tell) -> AsyncIterator[Figure]:
    items, rounds = (20, 1) if quick else (500, ROUNDS)
    yield await _compared("ews_read", ASKED, items, rounds, tell)
    yield await _compared("ews_read_all_fields", None, items, rounds, tell)


async def _compared(name: str, fields: frozenset[str] | None, items: int, rounds: int, tell: Tell) -> Figure:
    async with _canned(items, fields) as url:
        ours, theirs = _Ours({"url": url, "allow_plain": True}), await asyncio.to_thread(_Theirs, url)
        try:
            mine, other = ours.facts(await ours.read()), theirs.facts(await asyncio.to_thread(theirs.read))
            assert mine == other, f"the two clients differ: {_difference(mine, other)}"
            assert len(mine) == items, f"{len(mine)} meetings were read instead of {items}"
            samples: list[tuple[float, float]] = []
            for number in range(rounds):
                tell(f"{items} meetings by both clients, {number + 1} of {rounds} …")
                samples.append((await _timed_ours(ours), await asyncio.to_thread(_timed, theirs.read)))
        finally:
            await ours.aclose()
    value, peer = (median(column) for column in zip(*samples, strict=True))
    return Figure(
        name,
        value,
        "CPU ms",
        [one for one, _ in samples],
        peer="exchangelib 5.6.0, the same bytes, the same 13 fields",
        peer_value=peer,
        goal=f"≥ {GOAL:g} times less" if fields else "",
        met=peer / value >= GOAL if fields else None,
        details={"items": items, "items_per_cpu_s": items / value * 1000, "times": peer / value},
        note="The answers hold the 13 fields." if fields else "The answers hold the 25 fields that Kalends asks for.",
    )


@asynccontextmanager
async def _canned(items: int, fields: frozenset[str] | None) -> AsyncIterator[str]:
    """The address of a server that answers from memory what the sandbox answered."""
    with tempfile.TemporaryDirectory(prefix="kalends-bench-") as folder:
        recording = Path(folder) / "answers"
        async with sandbox(Path(folder), World(1, singles=0, meetings=items)) as server:
            recording.write_bytes(pickle.dumps(await _recorded(server, fields)))
        arguments = "-m", "bench.canned", str(recording)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=pipe, stdout=pipe)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(await process.stdout.readline())}/EWS/Exchange.asmx"
        finally:
            process.stdin.close()
            await process.wait()


async def _recorded(server: Sandbox, fields: frozenset[str] | None) -> Recording:
    ours = _Ours({"url": server.exchange, "fingerprint": server.fingerprint})
    answers: list[bytes] = []
    post = ours.client._post

    async def heard(body: bytes, calendar: CalendarId | None, affinity: Affinity | None) -> Answer:
        answer = await post(body, calendar, affinity)
        answers.append(answer.body)
        return answer

    ours.client._post = heard  # type: ignore[method-assign]
    await ours.read()
    await ours.aclose()
    line = Line(server.exchange, trusting_anyone())
    folders = {name: await line.ask("POST", "/EWS/Exchange.asmx", _folder(name), _signed_in()) for name in _FOLDERS}
    line.close()
    return Recording.of(answers[0], answers[1:], fields, {name.encode(): answer for name, answer in folders.items()})


_FOLDERS = ("root", "calendar")


def _signed_in() -> dict[str, str]:
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    return {"Authorization": f"Basic {token}", "Content-Type": "text/xml; charset=utf-8"}


def _folder(name: str) -> bytes:
    place = f'<t:DistinguishedFolderId Id="{name}"><t:Mailbox><t:EmailAddress>{address(0)}</t:EmailAddress></t:Mailbox>'
    shape = "<m:FolderShape><t:BaseShape>Default</t:BaseShape></m:FolderShape>"
    who = f"<t:ConnectingSID><t:PrimarySmtpAddress>{address(0)}</t:PrimarySmtpAddress></t:ConnectingSID>"
    return (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages"'
        ' xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types">'
        f"<s:Header><t:ExchangeImpersonation>{who}</t:ExchangeImpersonation></s:Header>"
        f"<s:Body><m:GetFolder>{shape}<m:FolderIds>{place}</t:DistinguishedFolderId></m:FolderIds></m:GetFolder></s:Body>"
        "</s:Envelope>"
    ).encode()


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
    def __init__(self, settings: dict[str, object]) -> None:
        full = ExchangeSettings.of({"username": USER, **settings})
        self._provider = ExchangeProvider(full, {"password": PASSWORD}, random.Random(1), RealClock().now)
        self.client: Client = self._provider._client

    async def read(self) -> list[Event]:
        calendar = CalendarId(address(0))
        shown = await self.client.call(requests.view(calendar, _span()), calendar)
        rows = [row for row in codec.rows(faults.only(shown, calendar)) if isinstance(row, codec.Row)]
        wanted: dict[ItemId, Version] = {row.item: row.version for row in rows}
        found = await read.meetings(self.client, calendar, wanted)
        return [event for event in found.values() if isinstance(event, Event)]

    def facts(self, events: list[Event]) -> Facts:
        return {event.item: _facts(event) for event in events}

    async def aclose(self) -> None:
        await self._provider.aclose()


def _facts(event: Event) -> tuple[object, ...]:
    people = {role: tuple(one.party.address for one in event.attendees if one.role is role) for role in Role}
    return (
        *(event.subject, event.sensitivity.value, event.uid, event.span.start, event.span.end, event.is_all_day),
        *(event.show_as.value, event.location, event.is_cancelled, event.kind.value),
        *(event.organizer.address if event.organizer else None, people[Role.REQUIRED], people[Role.OPTIONAL]),
    )


class _Theirs:
    """Unpatched, told everything it would otherwise find out by further calls."""

    def __init__(self, url: str) -> None:
        import exchangelib  # type: ignore[import-untyped]  # it ships no types

        self._exchangelib = exchangelib
        config = exchangelib.Configuration(
            service_endpoint=url,
            credentials=exchangelib.Credentials(USER, PASSWORD),
            auth_type=exchangelib.BASIC,
            version=exchangelib.Version(exchangelib.version.EXCHANGE_2016),
            max_connections=1,
        )
        self._account = exchangelib.Account(
            address(0), config=config, autodiscover=False, access_type=exchangelib.IMPERSONATION
        )

    def read(self) -> list[object]:
        span, zone = _span(), self._exchangelib.UTC
        start, end = (self._exchangelib.EWSDateTime.from_datetime(at).astimezone(zone) for at in (span.start, span.end))
        return list(self._account.calendar.view(start=start, end=end).only(*FIELDS))

    def facts(self, items: list[object]) -> Facts:
        return {one.id: _their_facts(one) for one in items}  # type: ignore[attr-defined]


_KINDS = {"Single": "single", "Occurrence": "instance", "Exception": "exception", "RecurringMaster": "series"}


def _their_facts(item: object) -> tuple[object, ...]:
    held = {name: getattr(item, name) for name in FIELDS}
    for name in ("start", "end"):
        held[name] = datetime.fromtimestamp(held[name].timestamp(), UTC)
    for name in ("sensitivity", "legacy_free_busy_status"):
        held[name] = held[name].lower()
    for name in ("required_attendees", "optional_attendees"):
        held[name] = tuple(one.mailbox.email_address.lower() for one in held[name] or ())
    held["type"] = _KINDS[held["type"]]
    held["organizer"] = held["organizer"].email_address.lower() if held["organizer"] else None
    return tuple(held.values())


def _difference(mine: Facts, other: Facts) -> object:
    for item, facts in mine.items():
        if other.get(item) != facts:
            return facts, other.get(item)
    return sorted(other.keys() - mine.keys())[:3]
