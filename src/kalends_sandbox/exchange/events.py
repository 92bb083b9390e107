"""What subscriptions tell: events as XML, and the history of them that pull and push subscriptions read by watermark.

A mailbox has no history until somebody asks for a watermark; from then on everything that happens in it is kept, up to a
number of events. A watermark is a place in it, sealed to its mailbox and to this run of the server. Neighbours:
notifications.py makes the events, nodes.py keeps the histories.
"""

import base64
import hashlib
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from kalends_sandbox.exchange.soap import flag, leaf

_LAYOUT: Final = ">8sQ"  # the history's own seal, the place
_EVENTS_PER_NOTIFICATION: Final = 50


@dataclass(frozen=True, slots=True)
class Terms:
    """What a subscription hears and how it is told. `folders` None: every folder of the mailbox.

    `patience_s` is how long it lives with nobody listening or asking; for push, how long nothing is said or answered.
    """

    kind: Literal["streaming", "pull", "push"]
    kinds: frozenset[str]
    folders: frozenset[str] | None
    patience_s: float
    url: str = ""  # push only

    def cover(self, folders: frozenset[str]) -> bool:
        return self.folders is None or not self.folders.isdisjoint(folders)


@dataclass(frozen=True, slots=True)
class Event:
    """`content` is what stands inside its element; `folders` are those whose subscribers hear of it."""

    kind: str
    content: str
    folders: frozenset[str]

    def xml(self, watermark: str = "") -> str:
        return f"<t:{self.kind}>{leaf('Watermark', watermark) if watermark else ''}{self.content}</t:{self.kind}>"

    def concerns(self, terms: Terms) -> bool:
        return self.kind in terms.kinds and terms.cover(self.folders)


class History:
    """The last `limit` events of one mailbox, each at a place of its own; `name` seals its watermarks."""

    def __init__(self, name: str, limit: int) -> None:
        self._seal = hashlib.sha256(f"watermark {name}".encode()).digest()[:8]
        self._events: deque[Event] = deque(maxlen=limit)
        self.place = 0  # of the newest event

    @property
    def oldest(self) -> int:
        """The earliest place from which nothing is missing."""
        return self.place - len(self._events)

    def keep(self, event: Event) -> None:
        self._events.append(event)
        self.place += 1

    def since(self, place: int) -> Iterator[tuple[int, Event]]:
        """What came after a place, with its own."""
        for number, event in enumerate(self._events, self.oldest + 1):
            if number > place:
                yield number, event

    def watermark(self, place: int) -> str:
        return base64.b64encode(struct.pack(_LAYOUT, self._seal, place)).decode()

    def read(self, watermark: str) -> int | None:
        """The place that a watermark means; None when it is none of this history's."""
        try:
            seal, place = struct.unpack(_LAYOUT, base64.b64decode(watermark, validate=True))
        except (ValueError, struct.error):
            return None
        return int(place) if seal == self._seal and place <= self.place else None


def notification(subscription_id: str, terms: Terms, history: History, place: int) -> tuple[str, int]:
    """A Notification of what came after a place, and the place of its last watermark; a StatusEvent when nothing did."""
    heard = [(at, event) for at, event in history.since(place) if event.concerns(terms)]
    shown, more = heard[:_EVENTS_PER_NOTIFICATION], len(heard) > _EVENTS_PER_NOTIFICATION
    until = shown[-1][0] if shown else history.place
    inside = "".join(event.xml(history.watermark(at)) for at, event in shown)
    if not shown:
        inside = f"<t:StatusEvent>{leaf('Watermark', history.watermark(until))}</t:StatusEvent>"
    head = leaf("SubscriptionId", subscription_id) + leaf("PreviousWatermark", history.watermark(place))
    return f"<m:Notification>{head}{flag('MoreEvents', more)}{inside}</m:Notification>", until
