"""A calendar system of a few hundred lines for the engine's tests: a tiny truth, and a script of what goes wrong.

`Town` is the server: its calendars, its password, its troubles, and what it saw of us. `Scripted` is one account's line to
it, and passes the contract of all providers (test_scripted_contract.py), so what the engine makes of it counts.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from kalends.model.event import CalendarId, Event, ItemId, Kind, Party, Unreadable, Version
from kalends.model.time import Span
from kalends.providers.protocol import (
    AuthLost,
    CalendarGone,
    Cursor,
    CursorExpired,
    Heard,
    InWindow,
    Known,
    OfSeries,
    Page,
    ProviderError,
    RemoteCalendar,
    Scope,
    Traits,
)

WEEK, DAY = timedelta(days=7), timedelta(days=1)
HEARTBEAT_SECONDS = 45.0
TRAITS = Traits(
    kind="scripted",
    poll_every=timedelta(minutes=1),
    poll_every_while_listening=timedelta(minutes=10),
    reconcile_every=timedelta(hours=6),
    calls_at_once=8,
)


@dataclass
class Meeting:
    """A single meeting, or a weekly series of `count` (None: endless)."""

    id: str
    uid: str
    subject: str
    start: datetime
    length: timedelta
    repeats: bool = False
    count: int | None = None
    version: int = 1
    moved: dict[datetime, datetime] = field(default_factory=dict)
    dropped: set[datetime] = field(default_factory=set)
    is_readable: bool = True
    changed_at: datetime | None = None

    def within(self, span: Span) -> list[Event]:
        """What takes place in the span."""
        if not self.repeats:
            events = [self._event(self.id, Kind.SINGLE, None, self.start)]
        else:
            events = [self._instance(original) for original in self._originals(span) if original not in self.dropped]
        return [event for event in events if event.span.overlaps(span)]

    def master(self) -> Event:
        assert self.repeats
        return self._event(self.id, Kind.SERIES, None, self.start)

    def _originals(self, span: Span) -> list[datetime]:
        last = span.end + WEEK  # exceptions may have been moved into the span from beyond it
        most = 2000 if self.count is None else self.count
        starts = (self.start + number * WEEK for number in range(most))
        return [start for start in starts if start <= last]

    def _instance(self, original: datetime) -> Event:
        kind = Kind.EXCEPTION if original in self.moved else Kind.INSTANCE
        event = self._event(f"{self.id}@{original.isoformat()}", kind, original, self.moved.get(original, original))
        return replace(event, master=ItemId(self.id))

    def _event(self, item: str, kind: Kind, original: datetime | None, start: datetime) -> Event:
        return Event(
            uid=self.uid,
            original_start=original,
            item=ItemId(item),
            version=Version(str(self.version)),
            kind=kind,
            span=Span(start, start + self.length),
            subject=self.subject,
            organizer=Party("Ada Example", "ada@example.test"),
            location="Upstairs",
            modified_at=self.changed_at,
        )


@dataclass
class Book:
    """One calendar's truth and the log of its changes, from which deltas are read."""

    meetings: dict[str, Meeting] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    """Item ids, oldest change first."""
    generation: int = 0
    """Cursors of an earlier one are refused."""
    made: int = 0

    def add(self, subject: str, start: datetime, length: timedelta = timedelta(hours=1), **more: Any) -> str:
        self.made += 1
        key = f"uid-{self.made}"
        self.meetings[key] = Meeting(f"item-{self.made}", key, subject, start, length, **more)
        self.log.append(self.meetings[key].id)
        return key

    def change(self, key: str, **values: Any) -> None:
        meeting = self.meetings[key]
        for name, value in values.items():
            setattr(meeting, name, value)
        self.touch(key)

    def touch(self, key: str) -> None:
        self.meetings[key].version += 1
        self.log.append(self.meetings[key].id)

    def drop(self, key: str) -> None:
        self.log.append(self.meetings.pop(key).id)

    def change_id(self, key: str) -> None:
        old = self.meetings[key].id
        self.made += 1
        self.meetings[key].id = f"item-{self.made}"
        self.log += [old, self.meetings[key].id]

    def forget_cursors(self) -> None:
        self.generation += 1

    def by_id(self, item: str) -> Meeting | None:
        return next((meeting for meeting in self.meetings.values() if meeting.id == item), None)

    def within(self, span: Span) -> list[Event]:
        return [event for meeting in self.meetings.values() for event in meeting.within(span)]


@dataclass(frozen=True, slots=True)
class Call:
    """One pull that reached the server."""

    calendar: str
    at: float
    """Loop seconds."""
    was_full: bool


Lie = Callable[[Page], Page]


@dataclass
class Town:
    """The server: what is true, what goes wrong, and what it saw."""

    books: dict[str, Book] = field(default_factory=dict)
    password: str = "right"
    page_size: int = 50
    """Changes per page of a delta."""
    answer_seconds: float = 0.0
    """How long a pull takes."""
    failing: dict[str, list[Exception | None]] = field(default_factory=dict)
    """Per calendar (`*`: every one) what its next pulls meet; the last one stays."""
    stalled: dict[str, asyncio.Event] = field(default_factory=dict)
    """Pulls of these calendars wait until the event is set."""
    lies: dict[str, Lie] = field(default_factory=dict)
    """What is done to every page of a calendar before it is sent."""
    streams_refused: ProviderError | None = None
    deaf: bool = False
    """Changes are told to no stream."""
    mute: bool = False
    """New streams are opened and never say anything, not even that they are alive."""

    calls: list[Call] = field(default_factory=list)
    asked: list[list[ItemId]] = field(default_factory=list)
    """Items whose details were asked for."""
    refused: int = 0
    """Sign-ins with a wrong password."""
    at_once: dict[str, int] = field(default_factory=dict)
    overlaps: int = 0
    """Pulls of a calendar that was being pulled already."""
    listeners: list["Listener"] = field(default_factory=list)
    opened: list[tuple[float, frozenset[CalendarId]]] = field(default_factory=list)
    """When which groups were listened to."""

    def book(self, address: str) -> Book:
        return self.books.setdefault(address, Book())

    def tell(self, *addresses: str) -> None:
        """The streams that listen for these calendars name them."""
        for listener in self.listeners if not self.deaf else []:
            named = frozenset(map(CalendarId, addresses)) & listener.calendars
            if named:
                listener.queue.put_nowait(Heard(named))

    def cut_streams(self, error: Exception) -> None:
        for listener in self.listeners:
            listener.queue.put_nowait(error)

    def pulls_of(self, address: str) -> list[float]:
        return [call.at for call in self.calls if call.calendar == address]

    def trouble(self, address: str) -> Exception | None:
        for whom in (address, "*"):
            script = self.failing.get(whom)
            if script:
                return script.pop(0) if len(script) > 1 else script[0]
        return None


@dataclass(eq=False)
class Listener:
    calendars: frozenset[CalendarId]
    queue: asyncio.Queue[Heard | Exception] = field(default_factory=asyncio.Queue)


@dataclass
class Scripted:
    """One account's line to a Town."""

    town: Town
    password: str = "right"
    traits: Traits = TRAITS
    calendars_per_stream: int = 200
    closed: bool = False
    refusal: AuthLost | None = None

    async def calendars(self) -> AsyncIterator[RemoteCalendar]:
        for address in sorted(self.town.books):
            yield RemoteCalendar(CalendarId(address), address.partition("@")[0], is_room=True)

    async def resolve(self, address: str) -> RemoteCalendar:
        if address.lower() not in self.town.books:
            raise CalendarGone(f"{address} has no mailbox here. Check the address.")
        return RemoteCalendar(CalendarId(address.lower()), address.partition("@")[0], is_room=True)

    async def aclose(self) -> None:
        self.closed = True

    async def pull(self, calendar: CalendarId, cursor: Cursor | None, window: Span, known: Known) -> Page:
        self._sign_in()
        town = self.town
        town.calls.append(Call(calendar, asyncio.get_running_loop().time(), cursor is None))
        town.overlaps += town.at_once.get(calendar, 0)
        town.at_once[calendar] = town.at_once.get(calendar, 0) + 1
        try:
            return await self._answer(calendar, cursor, window, known)
        finally:
            town.at_once[calendar] -= 1

    async def details(self, calendar: CalendarId, items: Sequence[ItemId]) -> dict[ItemId, Event]:
        self._sign_in()
        self.town.asked.append(list(items))
        if (gate := self.town.stalled.get(calendar)) is not None:
            await gate.wait()
        if (error := self.town.trouble(calendar)) is not None:
            raise error
        everywhere = Span(datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
        there = {event.item: event for event in self.town.books[calendar].within(everywhere)}
        return {item: there[item] for item in items if item in there}

    async def _answer(self, calendar: CalendarId, cursor: Cursor | None, window: Span, known: Known) -> Page:
        if self.town.answer_seconds:
            await asyncio.sleep(self.town.answer_seconds)
        if (gate := self.town.stalled.get(calendar)) is not None:
            await gate.wait()
        if (error := self.town.trouble(calendar)) is not None:
            raise error
        if calendar not in self.town.books:
            raise CalendarGone(f"{calendar} has no mailbox here. Check the address, or unlink the calendar.")
        page = read(self.town.books[calendar], cursor, window, known, self.town.page_size)
        return self.town.lies.get(calendar, lambda page: page)(page)

    def _sign_in(self) -> None:
        """As the contract of AuthLost asks: a refused password is not sent again."""
        assert not self.closed, "a closed provider is not used"
        if self.refusal is None and self.password != self.town.password:
            self.town.refused += 1
            self.refusal = AuthLost("The server refuses the password. Give the account the right one.")
        if self.refusal is not None:
            raise AuthLost(str(self.refusal))

    async def listen(self, calendars: frozenset[CalendarId]) -> AsyncIterator[Heard]:
        self._sign_in()
        if self.town.streams_refused is not None:
            raise self.town.streams_refused
        listener = Listener(calendars)
        self.town.opened.append((asyncio.get_running_loop().time(), calendars))
        self.town.listeners.append(listener)
        try:
            if self.town.mute:
                await asyncio.Event().wait()
            yield Heard(calendars)
            while True:
                try:
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        said = await listener.queue.get()
                except TimeoutError:
                    said = Heard()
                if isinstance(said, Exception):
                    raise said
                yield said
        finally:
            self.town.listeners.remove(listener)


def read(book: Book, cursor: Cursor | None, window: Span, known: Known, page_size: int) -> Page:
    """One page: the next slice of a full read, or the next changes."""
    if cursor is None:
        seen = Span(window.start, window.end + DAY)
        place = _Place(book.generation, len(book.log), seen, _slices(seen, window.start + WEEK))
        there = {meeting.id for meeting in book.meetings.values()}
        absent = {item for item, held in known.items() if held.master is None and item not in there}
        page = _slice(book, place, known)
        return replace(page, removed=page.removed | frozenset(absent))
    place = _Place.decode(cursor)
    if place.generation != book.generation:
        raise CursorExpired("The server no longer knows where we left off.")
    if place.todo:
        return _slice(book, place, known)
    return _changes(book, place, window, known, page_size)


@dataclass(frozen=True)
class _Place:
    """Where a walk stands; the cursor is its JSON."""

    generation: int
    sequence: int
    seen: Span
    todo: tuple[Span, ...] = ()

    def encode(self) -> Cursor:
        spans = [[span.start.isoformat(), span.end.isoformat()] for span in (self.seen, *self.todo)]
        return Cursor(json.dumps([self.generation, self.sequence, spans]))

    @classmethod
    def decode(cls, cursor: Cursor) -> "_Place":
        generation, sequence, spans = json.loads(cursor)
        seen, *todo = (Span(*map(datetime.fromisoformat, span)) for span in spans)
        return cls(generation, sequence, seen, tuple(todo))


def _slices(seen: Span, now: datetime) -> tuple[Span, ...]:
    """The days around now first."""
    return Span(now - DAY, now + WEEK), Span(now + WEEK, seen.end), Span(seen.start, now - DAY)


def _slice(book: Book, place: _Place, known: Known) -> Page:
    span, *rest = place.todo
    events: list[Event] = []
    bad: list[Unreadable] = []
    for meeting in book.meetings.values():
        inside = meeting.within(span)
        if inside and not meeting.is_readable:
            bad.append(_unreadable(meeting))
        elif inside:
            events += [meeting.master(), *inside] if meeting.repeats else inside
    after = replace(place, todo=tuple(rest))
    return _page(events, set(), after, [InWindow(span)], known, bad, more=bool(rest))


def _changes(book: Book, place: _Place, window: Span, known: Known, page_size: int) -> Page:
    named = book.log[place.sequence : place.sequence + page_size]
    after = replace(place, sequence=place.sequence + len(named))
    if window.end > place.seen.end:
        fresh = Span(place.seen.end, window.end + DAY)
        after = replace(after, seen=Span(place.seen.start, fresh.end), todo=(fresh,))
    events: list[Event] = []
    removed: set[str] = set()
    scopes: list[Scope] = []
    bad: list[Unreadable] = []
    for item in dict.fromkeys(named):
        meeting = book.by_id(item)
        if meeting is None:
            removed.add(item)
        elif not meeting.is_readable:
            bad.append(_unreadable(meeting))
        elif meeting.repeats:
            events += [meeting.master(), *meeting.within(place.seen)]
            scopes.append(OfSeries(ItemId(item), place.seen))
        elif item in known or meeting.within(place.seen):
            events += meeting.within(Span(meeting.start, meeting.start + max(meeting.length, timedelta(minutes=1))))
    more = after.sequence < len(book.log) or bool(after.todo)
    return _page(events, removed, after, scopes, known, bad, more=more)


def _unreadable(meeting: Meeting) -> Unreadable:
    return Unreadable(ItemId(meeting.id), Version(str(meeting.version)), "Its end lies before its start.")


def _page(
    events: list[Event],
    removed: set[str],
    place: _Place,
    scopes: list[Scope],
    known: Known,
    bad: list[Unreadable],
    *,
    more: bool,
) -> Page:
    unchanged = {event.item for event in events if _is_known(event, known)}
    return Page(
        events=tuple(event for event in events if event.item not in unchanged),
        removed=frozenset(map(ItemId, removed)),
        cursor=place.encode(),
        more=more,
        complete=tuple(scopes),
        unchanged=frozenset(unchanged),
        unreadable=tuple(bad),
    )


def _is_known(event: Event, known: Known) -> bool:
    held = known.get(event.item)
    return held is not None and held.version == event.version


def factory(towns: Mapping[str, Town], **traits: Any) -> Callable[[Mapping[str, Any], Mapping[str, Any]], Scripted]:
    """Builds providers for accounts whose settings name their town."""

    def build(settings: Mapping[str, Any], credentials: Mapping[str, Any]) -> Scripted:
        return Scripted(towns[settings["town"]], credentials["password"], replace(TRAITS, **traits))

    return build
