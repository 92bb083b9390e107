"""What a page of a pull changes in what the store holds. Pure: `events` loads the rows, and writes what comes out.

An item's row is found by its id; failing that, by its key among the rows that this page takes away: providers change ids
when items move, and a meeting that comes back under another id in the same page is the same meeting. A row that the page
says nothing about is never taken for a moved one, since a calendar may hold two copies of one meeting.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from kalends.model.event import Event, ItemId, Kind, Version
from kalends.model.time import Span
from kalends.providers.protocol import InWindow, Page, Scope
from kalends.store.event_rows import key_of


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store holds of one item, as far as merging needs it."""

    id: int
    item: ItemId
    key: str
    version: Version
    kind: Kind
    master: ItemId | None
    span: Span
    digest: bytes


@dataclass(frozen=True, slots=True)
class Plan:
    created: tuple[Event, ...]
    updated: tuple[tuple[Stored, Event], ...]
    """Content that became different."""
    touched: tuple[tuple[Stored, Event], ...]
    """Only ids, version or time of change: written, but no news to anybody."""
    removed: tuple[Stored, ...]
    """Without what was over before the window began: that is forgotten, and no news either."""

    @property
    def vanishing(self) -> tuple[Stored, ...]:
        """Masters and singles among the removed."""
        return tuple(row for row in self.removed if is_countable(row.kind))


def is_countable(kind: Kind) -> bool:
    """What the destructive-change breaker counts: not the instances of a series."""
    return kind in (Kind.SINGLE, Kind.SERIES)


def is_over(kind: Kind, span: Span, since: datetime) -> bool:
    """Wholly before `since`. A series never is: nobody knows its last meeting."""
    return kind is not Kind.SERIES and span.end <= since and span.start < since


def plan(
    calendar_id: str, page: Page, window: Span, stored: Sequence[Stored], digest: Callable[[Event], bytes]
) -> Plan:
    """`stored` must hold every row that the page names, all instances of removed masters, and what its scopes cover.

    `digest` is what the rows' digests were made with; what leaves does not depend on it.
    """
    events = {event.item: event for event in page.events}
    present = {*events, *page.unchanged, *(item.item for item in page.unreadable)}
    leaving = {row.id: row for row in sorted(stored, key=lambda row: row.id) if _leaves(row, page, present)}
    matched = _match(calendar_id, events.values(), stored, leaving)
    created: list[Event] = []
    updated: list[tuple[Stored, Event]] = []
    touched: list[tuple[Stored, Event]] = []
    for event, row in matched:
        if is_over(event.kind, event.span, window.start):
            if row is not None:
                leaving[row.id] = row  # moved to before the window
        elif row is None:
            created.append(event)
        elif row.digest != digest(event):
            updated.append((row, event))
        elif (row.item, row.version, row.master) != (event.item, event.version, event.master):
            touched.append((row, event))
    removed = (row for row in leaving.values() if not is_over(row.kind, row.span, window.start))
    return Plan(tuple(created), tuple(updated), tuple(touched), tuple(removed))


def _leaves(row: Stored, page: Page, present: set[ItemId]) -> bool:
    if row.item in present:
        return False
    if row.item in page.removed or (row.master is not None and row.master in page.removed):
        return True
    return any(_covers(scope, row) for scope in page.complete)


def _covers(scope: Scope, row: Stored) -> bool:
    if row.kind is Kind.SERIES or not row.span.overlaps(scope.span):
        return False
    return isinstance(scope, InWindow) or row.master == scope.master


def _match(
    calendar_id: str, events: Iterable[Event], stored: Sequence[Stored], leaving: dict[int, Stored]
) -> list[tuple[Event, Stored | None]]:
    """Each event with its row, if it has one. A leaving row that was found again no longer leaves."""
    by_item = {row.item: row for row in stored}
    by_key = {row.key: row for row in reversed(list(leaving.values()))}
    pairs: list[tuple[Event, Stored | None]] = []
    for event in events:
        row = by_item.get(event.item) or by_key.pop(key_of(calendar_id, event), None)
        if row is not None:
            leaving.pop(row.id, None)
        pairs.append((event, row))
    return pairs
