"""The mailbox servers behind one address, and the subscriptions that live on each of them.

A subscription exists on one node only, in memory: whoever is led to another node does not find it. Neighbours: streaming.py
opens and reads streams, notifications.py fills the queues, events.py has the histories that pull and push read instead.
"""

import asyncio
import base64
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http.cookies import CookieError, SimpleCookie
from random import Random

from kalends_sandbox.exchange.events import Event, History, Terms
from kalends_sandbox.exchange.settings import Settings
from kalends_sandbox.exchange.soap import Refusal
from kalends_sandbox.http import Headers
from kalends_sandbox.mailbox import Mailbox

OVERRIDE_COOKIE = "X-BackEndOverrideCookie"


@dataclass(frozen=True, slots=True)
class Node:
    """`stamp` is the number that its cookies carry."""

    name: str
    stamp: int

    @property
    def cookie(self) -> str:
        return f"{self.name}~{self.stamp}"


@dataclass(eq=False, slots=True)
class Subscription:
    """`queue` holds a streaming one's events as XML, oldest first; `place` is how far the others have been told."""

    id: str
    node: Node
    owner: str
    mailbox: Mailbox
    terms: Terms
    idle_since: float
    place: int = 0
    queue: deque[str] = field(default_factory=deque)
    stream: "Stream | None" = None
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Stream:
    """One open GetStreamingEvents: what it listens to and what is new."""

    def __init__(self, subscriptions: list[Subscription]) -> None:
        self.subscriptions = {one.id: one for one in subscriptions}
        self.news = asyncio.Event()
        self.fresh: dict[str, Subscription] = {}
        self.lost: list[str] = []

    def hear(self, subscription: Subscription) -> None:
        self.fresh[subscription.id] = subscription
        self.news.set()

    def lose(self, subscription_id: str) -> None:
        """The subscription is gone; the client is told by its id."""
        self.subscriptions.pop(subscription_id, None)
        self.fresh.pop(subscription_id, None)
        self.lost.append(subscription_id)
        self.news.set()


class Nodes:
    """All nodes, all subscriptions, all open streams. `primary_of` gives a mailbox's primary address for any of its own."""

    def __init__(self, settings: Settings, rng: Random, primary_of: Callable[[str], str]) -> None:
        self._settings = settings
        self._rng = rng
        self._primary_of = primary_of
        names = [f"mbx{number:02}.sandbox" for number in range(1, settings.nodes + 1)]
        self.nodes = [Node(name, rng.randrange(10**9, 2 * 10**9)) for name in names]
        self._subscriptions: dict[str, Subscription] = {}
        self._of_mailbox: dict[str, dict[str, Subscription]] = {}
        self._streams: Counter[str] = Counter()
        self._histories: dict[str, History] = {}
        self.pushed: asyncio.Queue[Subscription] = asyncio.Queue()  # new ones, for push.py; subscriptions are limited

    # --- routing

    def home(self, name: str) -> Node:
        """Where a mailbox (by any of its addresses) or an account lives; it stays there."""
        return self.nodes[zlib.crc32(self._primary_of(name).lower().encode()) % len(self.nodes)]

    def route(self, headers: Headers, otherwise: str) -> Node:
        """The node that the request's cookie leads to, else its anchor's, else the home of `otherwise`."""
        if (headers.get("X-PreferServerAffinity") or "").lower() == "true":
            override = cookie_of(headers, OVERRIDE_COOKIE)
            known = next((node for node in self.nodes if node.cookie == override), None)
            if known is not None:
                return known
        return self.home(headers.get("X-AnchorMailbox") or otherwise)

    # --- subscriptions

    def subscribe(self, node: Node, owner: str, mailbox: Mailbox, terms: Terms, place: int = 0) -> Subscription:
        now = asyncio.get_running_loop().time()
        own = self._of_mailbox.setdefault(mailbox.primary, {})
        for one in [one for one in own.values() if self._is_stale(one, now)]:
            self._forget(one)
        if len(own) >= self._settings.subscriptions_per_mailbox:
            raise Refusal("ErrorExceededSubscriptionCount", "The mailbox has as many subscriptions as it may have.")
        name = node.name.encode()
        raw = bytes([len(name)]) + name + self._rng.randbytes(24)
        subscription = Subscription(base64.b64encode(raw).decode(), node, owner, mailbox, terms, now, place)
        self._subscriptions[subscription.id] = subscription
        self._of_mailbox.setdefault(mailbox.primary, own)[subscription.id] = subscription
        if terms.kind == "push":
            self.pushed.put_nowait(subscription)
        return subscription

    def find(self, node: Node, subscription_id: str) -> Subscription | None:
        """None when it is gone, has expired, or lives on another node."""
        found = self._subscriptions.get(subscription_id)
        if found is None or found.node is not node:
            return None
        if self._is_stale(found, asyncio.get_running_loop().time()):
            self._forget(found)
            return None
        return found

    def lives(self, subscription: Subscription) -> bool:
        return subscription.id in self._subscriptions

    def touch(self, subscription: Subscription) -> None:
        """Somebody has asked: its time begins anew."""
        subscription.idle_since = asyncio.get_running_loop().time()

    def unsubscribe(self, subscription: Subscription) -> None:
        self._forget(subscription)

    def drop(self, mailboxes: str = "*") -> int:
        """Lose the subscriptions of all mailboxes that match the pattern, as a failover does; how many there were."""
        found = [one for one in self._subscriptions.values() if fnmatchcase(one.mailbox.primary, mailboxes.lower())]
        for one in found:
            self._forget(one)
        return len(found)

    def listening(self, mailbox: Mailbox) -> list[Subscription]:
        """The mailbox's living subscriptions; empty for most mailboxes most of the time, and then it costs nothing."""
        own = self._of_mailbox.get(mailbox.primary)
        if not own:
            return []
        now = asyncio.get_running_loop().time()
        return [one for one in own.values() if not self._is_stale(one, now)]

    def history(self, mailbox: Mailbox) -> History:
        """What has happened in the mailbox since this was first asked for."""
        name = f"{_store(mailbox)} {self.nodes[0].cookie}"  # of another run of the server it is another one
        return self._histories.setdefault(_store(mailbox), History(name, self._settings.queued_events))

    def keep(self, mailbox: Mailbox, events: Iterable[Event]) -> None:
        """For who reads by watermark; nothing is kept for a mailbox where nobody ever did."""
        history = self._histories.get(_store(mailbox))
        if history is None:
            return
        for event in events:
            history.keep(event)
        for one in self._of_mailbox.get(mailbox.primary, {}).values():
            one.news.set()

    def has_history(self, mailbox: Mailbox) -> bool:
        return _store(mailbox) in self._histories

    def queue(self, subscription: Subscription, events: list[str]) -> None:
        """Events for the subscription, if it still lives; one that nobody empties is lost in the end."""
        if subscription.id not in self._subscriptions:
            return
        subscription.queue.extend(events)
        if len(subscription.queue) > self._settings.queued_events:
            self._forget(subscription)
        elif subscription.stream is not None:
            subscription.stream.hear(subscription)

    def _is_stale(self, subscription: Subscription, now: float) -> bool:
        if subscription.terms.kind == "push" or subscription.stream is not None:
            return False
        return now - subscription.idle_since > subscription.terms.patience_s

    def _forget(self, subscription: Subscription) -> None:
        self._subscriptions.pop(subscription.id, None)
        own = self._of_mailbox.get(subscription.mailbox.primary, {})
        own.pop(subscription.id, None)
        if not own:
            self._of_mailbox.pop(subscription.mailbox.primary, None)
        if subscription.stream is not None:
            subscription.stream.lose(subscription.id)
            subscription.stream = None
        subscription.news.set()

    # --- streams

    def may_open(self, charged: str) -> bool:
        return self._streams[charged] < self._settings.streams_at_once

    def open(self, charged: str, subscriptions: list[Subscription]) -> Stream:
        """A stream takes its subscriptions over from any older one and starts with what they have queued."""
        stream = Stream(subscriptions)
        self._streams[charged] += 1
        for one in subscriptions:
            if one.stream is not None:
                one.stream.lose(one.id)
            one.stream = stream
            if one.queue:
                stream.hear(one)
        return stream

    def close(self, charged: str, stream: Stream) -> None:
        self._streams[charged] -= 1
        if not self._streams[charged]:
            del self._streams[charged]
        now = asyncio.get_running_loop().time()
        for one in stream.subscriptions.values():
            if one.stream is stream:
                one.stream, one.idle_since = None, now

    # --- counting

    @property
    def streams_open(self) -> int:
        return sum(self._streams.values())

    def subscriptions_alive(self) -> int:
        now = asyncio.get_running_loop().time()
        return sum(not self._is_stale(one, now) for one in self._subscriptions.values())


def _store(mailbox: Mailbox) -> str:
    """Where the mailbox lies: a migration takes it elsewhere, and its history stays behind."""
    return mailbox.folders["root"].id


def cookie_of(headers: Headers, name: str) -> str | None:
    for line in headers.get_all("Cookie"):
        try:
            cookies = SimpleCookie(line)
        except CookieError:
            continue
        if name in cookies:
            return cookies[name].value
    return None
