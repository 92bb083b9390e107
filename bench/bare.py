"""The floor: the least a program could do that learns of changes from Exchange and reads what changed.

One streaming connection per group as the hub has, a search for ids in the bytes instead of parsing, and one GetItem round
trip for each item named. Nothing is stored and nobody is told.
"""

import asyncio
import base64
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bench.wire import Line, chunks, head, trusting_anyone
from bench.worlds import PASSWORD, USER

GROUP = 200
ROUND_TRIPS = 4
"""Connections for GetItem."""
_MESSAGES = "http://schemas.microsoft.com/exchange/services/2006/messages"
_TYPES = "http://schemas.microsoft.com/exchange/services/2006/types"
_SUBSCRIPTION = re.compile(rb"<m:SubscriptionId>([^<]+)<")
_NAMED = re.compile(
    rb"SubscriptionId>([^<]+)</|<t:(?:Created|Modified)Event><t:TimeStamp>[^<]*</t:TimeStamp><t:ItemId Id=\"([^\"]+)\""
)
_SUBJECT = re.compile(rb"<t:Subject>(change-[0-9]+)<")
_COOKIE = re.compile(r"X-BackEndOverrideCookie=[^;]+")


@dataclass
class Bare:
    """`arrived` holds when each change's subject was first seen, on the monotonic clock."""

    exchange: str
    rooms: list[str]
    arrived: dict[str, float] = field(default_factory=dict)
    bytes_read: int = 0
    reads_items: bool = True

    async def run(self, listening: asyncio.Event) -> None:
        """Listens until cancelled; `listening` is set once every stream stands."""
        groups = [self.rooms[at : at + GROUP] for at in range(0, len(self.rooms), GROUP)]
        standing = [asyncio.Event() for _ in groups]
        named: asyncio.Queue[tuple[str, str]] = asyncio.Queue(maxsize=10_000)
        async with asyncio.TaskGroup() as tasks:
            for group, stands in zip(groups, standing, strict=True):
                tasks.create_task(self._listen(group, stands, named))
            for _ in range(ROUND_TRIPS):
                tasks.create_task(self._read_items(named))
            for stands in standing:
                await stands.wait()
            listening.set()

    async def _listen(self, group: list[str], stands: asyncio.Event, named: asyncio.Queue[tuple[str, str]]) -> None:
        line = self._line()
        routed = {"X-AnchorMailbox": group[0], "X-PreferServerAffinity": "true"}
        subscriptions: dict[bytes, str] = {}
        for room in group:
            reader = await line.send("POST", self._path, _subscribe(room), routed)
            _, fields = await head(reader)
            body = await reader.readexactly(int(fields["content-length"]))
            subscriptions[_first(_SUBSCRIPTION, body)] = room
            if found := _COOKIE.search(fields.get("set-cookie", "")):
                routed["Cookie"] = found[0]
        reader = await line.send("POST", self._path, _stream(group[0], list(subscriptions)), routed)
        await head(reader)
        is_first = True
        async for chunk in chunks(reader):
            self.bytes_read += len(chunk)
            if is_first:
                stands.set()
                is_first = False
            for job in dict.fromkeys(_named(chunk, subscriptions)) if self.reads_items else ():
                await named.put(job)

    async def _read_items(self, named: asyncio.Queue[tuple[str, str]]) -> None:
        line = self._line()
        while True:
            room, item = await named.get()
            body = await line.ask("POST", self._path, _get_item(room, item))
            if found := _SUBJECT.search(body):
                self.arrived.setdefault(found[1].decode(), time.monotonic())

    def _line(self) -> Line:
        secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        fields = {"Authorization": f"Basic {secret}", "Content-Type": "text/xml; charset=utf-8"}
        return Line(self.exchange, trusting_anyone() if self.exchange.startswith("https") else None, fields)

    @property
    def _path(self) -> str:
        return urlsplit(self.exchange).path


def _named(chunk: bytes, subscriptions: Mapping[bytes, str]) -> Iterator[tuple[str, str]]:
    """Room and item of every event in the order of the document."""
    room = ""
    for subscription, item in _NAMED.findall(chunk):
        if subscription:
            room = subscriptions.get(subscription, room)
        else:
            yield room, item.decode()


def _first(pattern: re.Pattern[bytes], body: bytes) -> bytes:
    found = pattern.search(body)
    assert found is not None, body[:500]
    return found[1]


def _envelope(room: str, content: str) -> bytes:
    return (
        f'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:m="{_MESSAGES}" xmlns:t="{_TYPES}">'
        '<s:Header><t:RequestServerVersion Version="Exchange2016"/><t:ExchangeImpersonation><t:ConnectingSID>'
        f"<t:PrimarySmtpAddress>{room}</t:PrimarySmtpAddress></t:ConnectingSID></t:ExchangeImpersonation></s:Header>"
        f"<s:Body>{content}</s:Body></s:Envelope>"
    ).encode()


def _subscribe(room: str) -> bytes:
    kinds = "".join(f"<t:EventType>{kind}Event</t:EventType>" for kind in ("Created", "Deleted", "Modified", "Moved"))
    return _envelope(
        room,
        '<m:Subscribe><m:StreamingSubscriptionRequest><t:FolderIds><t:DistinguishedFolderId Id="calendar"/>'
        f"</t:FolderIds><t:EventTypes>{kinds}</t:EventTypes></m:StreamingSubscriptionRequest></m:Subscribe>",
    )


def _stream(room: str, subscriptions: list[bytes]) -> bytes:
    ids = "".join(f"<t:SubscriptionId>{one.decode()}</t:SubscriptionId>" for one in subscriptions)
    return _envelope(
        room,
        f"<m:GetStreamingEvents><m:SubscriptionIds>{ids}</m:SubscriptionIds>"
        "<m:ConnectionTimeout>30</m:ConnectionTimeout></m:GetStreamingEvents>",
    )


def _get_item(room: str, item: str) -> bytes:
    return _envelope(
        room,
        "<m:GetItem><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape><t:AdditionalProperties><t:FieldURI "
        'FieldURI="item:Subject"/></t:AdditionalProperties></m:ItemShape><m:ItemIds>'
        f'<t:ItemId Id="{item}"/></m:ItemIds></m:GetItem>',
    )
