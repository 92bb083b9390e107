"""Listens for one group of calendars over one connection: Exchange's streaming notifications.

    subscribe each ─▶ GetStreamingEvents with all ids ─┬─ notification ─▶ its calendars are named
          ▲                                            ├─ lost ids ─▶ only those subscribe again
          └── every 20–29 min, Closed ─────────────────┘

A subscription lives in the memory of one back-end server, so all of a group are made with one anchor mailbox and the
cookie that the first answer sets, each while acting as its own mailbox; the connection acts as the anchor, whose budget it
then uses. Exchange sends several notifications per change: they are folded per document, and their content is not read.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from kalends.model.event import CalendarId
from kalends.providers.exchange import faults, requests
from kalends.providers.exchange.client import Affinity, Client
from kalends.providers.exchange.settings import ExchangeSettings
from kalends.providers.exchange.soap import Element, M, T
from kalends.providers.protocol import CalendarGone, Heard, ProviderError, Rejected, Throttled, Unavailable

_SPREAD_MINUTES = 9
_SUBSCRIBERS = 8
"""How many subscriptions of a group are made at once."""
_FRUITLESS = 3
"""Connections in a row that lose subscriptions without telling anything."""
_LOST = frozenset(
    {
        "ErrorSubscriptionNotFound",
        "ErrorInvalidSubscription",
        "ErrorExpiredSubscription",
        "ErrorSubscriptionUnsubscribed",
        "ErrorReadEventsFailed",
        "ErrorMissedNotificationEvents",
        "ErrorNewEventStreamConnectionOpened",
    }
)


@dataclass(frozen=True, slots=True)
class _News:
    """What one document of the stream says."""

    subscriptions: frozenset[str]
    lost: frozenset[str]
    is_lost: bool
    is_closed: bool


@dataclass(slots=True)
class Group:
    """The calendars of one connection and where their subscriptions stand."""

    client: Client
    settings: ExchangeSettings
    rng: random.Random
    calendars: frozenset[CalendarId]
    pause_seconds: float = 1.0
    """The longest pause before connecting again."""
    affinity: Affinity | None = None
    held: dict[str, CalendarId] = field(default_factory=dict)
    """Subscription → calendar."""

    async def listen(self) -> AsyncGenerator[Heard, None]:
        """See `protocol.Streamer.listen`."""
        fruitless = 0
        while True:
            async with aclosing(self._subscribe_all()) as made:
                async for heard in made:
                    yield heard
            if not self.held:
                raise Unavailable("None of the group's calendars can be listened to; they are polled. Each says why.")
            fruitless += 1
            async with aclosing(self._stream()) as stream:
                async for heard in stream:
                    fruitless = 0
                    yield heard
            if fruitless >= _FRUITLESS:
                raise Unavailable(
                    "Exchange forgets subscriptions as soon as they are made. Check that load balancers in front of it "
                    "keep cookies (X-BackEndOverrideCookie); the calendars are polled meanwhile."
                )
            # Many groups lose their subscriptions in the same moment, when a server restarts.
            await asyncio.sleep(self.rng.random() * self.pause_seconds)

    async def _subscribe_all(self) -> AsyncGenerator[Heard, None]:
        """Subscribes what has no subscription; afterwards each is held or was named as failed."""
        held = set(self.held.values())
        waiting = sorted(self.calendars - held)
        while self.affinity is None and waiting:
            first = waiting.pop(0)
            affinity = Affinity(first)
            failed = await self._subscribe(first, affinity)
            if failed is None:
                self.affinity = affinity
            yield Heard(failed={} if failed is None else {first: failed})
        while waiting:
            batch, waiting = waiting[:_SUBSCRIBERS], waiting[_SUBSCRIBERS:]
            yield Heard(failed=await self._subscribe_batch(batch))

    async def _subscribe_batch(self, batch: Sequence[CalendarId]) -> dict[CalendarId, ProviderError]:
        assert self.affinity is not None
        try:
            async with asyncio.TaskGroup() as tasks:
                asked = {one: tasks.create_task(self._subscribe(one, self.affinity)) for one in batch}
        except ExceptionGroup as group:
            raise _first(group) from group
        return {one: error for one, task in asked.items() if (error := task.result()) is not None}

    async def _subscribe(self, calendar: CalendarId, affinity: Affinity) -> ProviderError | None:
        """Holds a new subscription, or returns why this calendar can't have one. Raises what concerns all."""
        try:
            answer = await self.client.call(requests.subscribe(calendar), calendar, affinity)
            content = faults.only(answer, calendar)
        except (CalendarGone, Rejected, faults.Broken) as error:
            return error
        except Throttled as error:
            if error.whole_account:
                raise
            return error
        subscription = (content.findtext(f"{M}SubscriptionId") or "").strip()
        if not subscription:
            return Rejected(f"Exchange gave no subscription for {calendar}; it is polled instead.")
        self.held[subscription] = calendar
        return None

    async def _stream(self) -> AsyncGenerator[Heard, None]:
        """One connection. Names every calendar once it stands, then whoever has news; forgets what was lost."""
        assert self.affinity is not None
        most = self.settings.connection_minutes
        minutes = self.rng.randint(max(1, most - _SPREAD_MINUTES), most)
        request = requests.streaming_events(sorted(self.held), minutes)
        is_open = False  # the first document says that the connection stands
        try:
            async with aclosing(self.client.stream(request, self.affinity)) as documents:
                async for document in documents:
                    news = _read(document, self.affinity.anchor)
                    if news.is_lost:
                        self._forget(news.lost)
                        return
                    named = news.subscriptions if is_open else self.held.keys()
                    is_open = True
                    yield Heard(frozenset(self.held[one] for one in named if one in self.held))
                    if news.is_closed:
                        return
        except Rejected as error:
            if is_open or len(self.held) == 1:
                raise
            yield Heard(failed=self._shrink(error))

    def _shrink(self, error: Rejected) -> dict[CalendarId, ProviderError]:
        """Lets half of the calendars go, because the server refuses that many on one connection, and says so of each."""
        kept = sorted(self.held.values())[: len(self.held) // 2]
        left_out = sorted(set(self.held.values()) - set(kept))
        self.calendars = frozenset(kept)
        self.held = {one: calendar for one, calendar in self.held.items() if calendar in self.calendars}
        reason = Rejected(
            f"Exchange refuses this many calendars on one streaming connection ({error}) Some are polled instead: "
            f"set the account's calendars per connection to {len(kept)}."
        )
        return dict.fromkeys(left_out, reason)

    def _forget(self, lost: frozenset[str]) -> None:
        """Drops the named subscriptions; all of them when the server doesn't say which."""
        gone = lost & self.held.keys() or frozenset(self.held)
        for one in gone:
            del self.held[one]
        if not self.held:
            self.affinity = None  # the whole server has forgotten us: perhaps another one answers now


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    """The error that ended a task group; siblings that failed in the same moment say the same."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error


def _read(response: Element, anchor: CalendarId) -> _News:
    subscriptions: set[str] = set()
    lost: set[str] = set()
    is_lost = is_closed = False
    for message in faults.messages(response):
        subscriptions.update(_named(message.content, f"{M}Notifications"))
        lost.update(_named(message.content, f"{M}ErrorSubscriptionIds"))
        if not message.ok and message.code not in _LOST:
            raise faults.error_of(message, anchor)
        is_lost = is_lost or not message.ok or bool(lost)
        is_closed = is_closed or (message.content.findtext(f"{M}ConnectionStatus") or "").strip() == "Closed"
    return _News(frozenset(subscriptions), frozenset(lost), is_lost, is_closed)


def _named(content: Element, path: str) -> Iterator[str]:
    """Subscription ids below an element; servers write them in either namespace, whatever the schema says."""
    inside = content.find(path)
    if inside is None:
        return
    for namespace in (M, T):
        for each in inside.iter(f"{namespace}SubscriptionId"):
            if each.text:
                yield each.text.strip()
