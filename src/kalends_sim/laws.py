"""What must hold when all has calmed down. Each law returns sentences about what breaks it; none means it holds.

The truth is read straight from the sandbox's world, the store's side through the store's own functions or plain SQL.
Neighbours: `hour.py` asks, `people.py` marks what must not leak.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from kalends.model.event import Event
from kalends.model.time import Span
from kalends.store import audit, calendars, events, feed, schema
from kalends.store.calendars import IN_SYNC, Calendar, Health
from kalends.store.contents import Contents
from kalends.store.door import Connection
from kalends_sandbox.item import Item
from kalends_sandbox.world import World
from kalends_sim.people import MARK

PAST, AHEAD = timedelta(days=7), timedelta(days=400)
_SHOWN = 5
_ALL_ENTRIES = 10_000_000
_SHOW_AS = {
    "Free": "free", "Tentative": "tentative", "Busy": "busy", "OOF": "oof", "WorkingElsewhere": "elsewhere",
    "NoData": "unknown",
}  # fmt: skip
_RESPONSES = {"Organizer": "organizer", "Tentative": "tentative", "Accept": "accepted", "Decline": "declined"}

Line = tuple[Any, ...]


@dataclass(frozen=True)
class Court:
    """One look at one moment."""

    conn: Connection
    contents: Contents
    organization: str
    world: World
    now: datetime

    @property
    def window(self) -> Span:
        return Span(self.now - PAST, self.now + AHEAD)

    def health(self) -> list[Health]:
        return calendars.list_health(self.conn, self.organization)


def broken(court: Court, thoroughly: bool) -> list[str]:
    """Sentences of the first law that is broken, or of every one: most looks only ask whether it is time to look closely."""
    laws: Sequence[Callable[[Court], Iterable[str]]] = (
        every_calendar_is_in_sync,
        every_calendar_equals_the_truth,
        nothing_is_left_behind,
        the_feed_leads_to_the_table,
        everything_is_audited,
        nothing_private_is_elsewhere,
    )
    found: list[str] = []
    for law in laws:
        found += law(court)
        if found and not thoroughly:
            break
    return found


def every_calendar_is_in_sync(court: Court) -> Iterator[str]:
    """In sync, with a cursor, proved, nothing unreadable, no lease forgotten."""
    for health in court.health():
        calendar = health.calendar
        if calendar.state != IN_SYNC:
            yield f"{calendar.address} is {calendar.state}: {calendar.reason}"
        if calendar.cursor is None or calendar.verified_at is None or calendar.reconciled_at is None:
            yield f"{calendar.address} has no cursor, or was never read to its end"
        if health.unreadable:
            yield f"{calendar.address} has {health.unreadable} unreadable items"
        if health.account_state != IN_SYNC:
            yield f"the account is {health.account_state}: {health.account_reason}"


def every_calendar_equals_the_truth(court: Court) -> Iterator[str]:
    """What the store has on in the window is what the mailbox has, each meeting exactly once."""
    here = [health.calendar for health in court.health()]
    stored = events.in_span(court.conn, court.contents, [calendar.id for calendar in here], court.window)
    for calendar in here:
        mailbox = court.world.mailbox(calendar.address)
        assert mailbox is not None
        assert mailbox.calendar is not None
        ours = Counter(_stored_line(event) for event in stored[calendar.id])
        theirs = Counter(_true_line(item) for item in mailbox.calendar.view(court.window.start, court.window.end))
        yield from _compared(calendar, ours, theirs)
        yield from _masters(court, calendar, mailbox.calendar.items)


def _compared(calendar: Calendar, ours: Counter[Line], theirs: Counter[Line]) -> Iterator[str]:
    for line in sorted((ours - theirs).elements(), key=repr)[:_SHOWN]:
        yield f"{calendar.address} holds what is not so: {_told(line)}"
    for line in sorted((theirs - ours).elements(), key=repr)[:_SHOWN]:
        yield f"{calendar.address} lacks: {_told(line)}"


def _told(line: Line) -> str:
    return ", ".join(str(one) for one in line)


def _stored_line(event: Event) -> Line:
    organizer = event.organizer and (event.organizer.name, event.organizer.address)
    return (
        event.uid, event.original_start, event.span.start, event.span.end, event.kind.value,
        event.dates and (event.dates.first, event.dates.until), event.subject or None, event.location or None,
        event.description or None, organizer or None, event.show_as.value, event.sensitivity.value, event.is_cancelled,
        event.response.value, tuple((one.party.address, one.role.value) for one in event.attendees),
    )  # fmt: skip


def _true_line(item: Item) -> Line:
    kind = {"Occurrence": "instance"}.get(item.kind, item.kind.lower())
    return (
        item.uid, item.original_start, item.start, item.end, kind, _dates(item) if item.is_all_day else None,
        item.subject or None, item.location or None, item.body or None,
        item.organizer and (item.organizer.name, item.organizer.address), _SHOW_AS[item.show_as],
        item.sensitivity.lower(), item.is_cancelled, _RESPONSES.get(item.my_response, "none"),
        tuple((one.address, one.role) for one in (*item.required, *item.optional, *item.resources)),
    )  # fmt: skip


def _dates(item: Item) -> tuple[date, date]:
    first, until = (at.astimezone(item.zone.tz).date() for at in (item.start, item.end))
    return first, max(until, first + timedelta(days=1))


def _masters(court: Court, calendar: Calendar, items: dict[str, Item]) -> Iterator[str]:
    """Every series in the store still stands as it is there, and every meeting of one belongs to such."""
    e = schema.events.c
    rows = court.conn.execute(select(e.item, e.kind, e.master, e.content).where(e.calendar == calendar.id)).all()
    masters = {row.item: row for row in rows if row.kind == "series"}
    for item, row in masters.items():
        if item not in items:
            yield f"{calendar.address} holds a series that was deleted"
        elif (items[item].subject or "") != (court.contents.open(calendar.id, item, row.content).subject or ""):
            yield f"{calendar.address} holds an outdated series"
    for row in rows:
        if row.master is not None and row.master not in masters:
            yield f"{calendar.address} holds a meeting without its series"


def nothing_is_left_behind(court: Court) -> Iterator[str]:
    """Each event has its merge base and each base its event; no item is there twice."""
    e, b = schema.events.c, schema.bases.c
    held = {tuple(row) for row in court.conn.execute(select(e.calendar, e.item))}
    based = {tuple(row) for row in court.conn.execute(select(b.calendar, b.item))}
    if held != based:
        yield f"{len(held - based)} events have no base, {len(based - held)} bases no event"
    twice = court.conn.execute(select(e.calendar, e.item).group_by(e.calendar, e.item).having(func.count() > 1)).all()
    if twice:
        yield f"{len(twice)} items are stored twice"


def the_feed_leads_to_the_table(court: Court) -> Iterator[str]:
    """Who followed the feed from its beginning knows what the table holds, apart from what rolled out of the window."""
    alive: set[str] = set()
    told: dict[str, list[feed.Change]] = defaultdict(list)
    states: dict[str, str] = {}
    for change in _whole_feed(court):
        if change.kind == "calendar.state":
            states[change.key] = change.version
        if not change.kind.startswith("event."):
            continue
        if change.kind != "event.created" and change.key not in alive:
            yield f"the feed names {change.key} ({change.kind}) before it was created"
        (alive.discard if change.kind == "event.removed" else alive.add)(change.key)
        told[change.key].append(change)
    e = schema.events.c
    rows = court.conn.execute(select(e.key, e.start, e.end)).all()
    held = {row.key for row in rows}
    for key in sorted(alive ^ held):
        rolled = key in alive and (told[key][-1].end or court.now) <= court.window.start
        if not rolled:
            yield f"the feed says that {key} is {'there' if key in alive else 'gone'}, and the table holds otherwise"
    for row in rows:
        if not any(one.start and one.end and one.start <= row.start and row.end <= one.end for one in told[row.key]):
            yield f"{row.key} stands where the feed has not told"
    for health in court.health():
        if states.get(health.calendar.id) != health.calendar.state:
            yield f"{health.calendar.address} is {health.calendar.state}, and the feed said otherwise"


def _whole_feed(court: Court) -> Iterator[feed.Change]:
    cursor: str | None = None
    while True:
        batch = feed.after(court.conn, court.organization, cursor)
        yield from batch.changes
        if not batch.changes:
            return
        cursor = batch.cursor


def everything_is_audited(court: Court) -> Iterator[str]:
    """Each change in the feed has its entry, written at the same instant, with actor and reason; and the reverse."""
    told: set[tuple[str, datetime, str]] = set()
    for change in _whole_feed(court):
        if change.kind.startswith("event."):
            told.add(("events.applied", change.at, change.calendar or ""))
        elif change.kind == "calendar.state" and change.version != calendars.CATCHING_UP:
            told.add(("calendar.state", change.at, change.key))
    written: set[tuple[str, datetime, str]] = set()
    for entry in audit.list_entries(court.conn, court.organization, limit=_ALL_ENTRIES):
        if not (entry.actor and entry.why):
            yield f"the audit entry {entry.seq} has no actor or no reason"
        is_new_state = entry.action == "calendar.state" and not entry.why.startswith(calendars.CATCHING_UP)
        if is_new_state or entry.action == "events.applied":
            written.add((entry.action, entry.at, entry.target))
    for action, at, target in sorted(told ^ written):
        place = "the feed" if (action, at, target) in told else "the audit"
        yield f"{action} of {target} at {at} is only in {place}"


def nothing_private_is_elsewhere(court: Court) -> Iterator[str]:
    """No word that somebody wrote and no person's name can be read in any table: what meetings say is sealed."""
    names = [person.name for person in court.world.people]
    for table in schema.metadata.sorted_tables:
        text = "\n".join(repr(tuple(row)) for row in court.conn.execute(select(table)))
        yield from (f"the table {table.name} holds {found}" for found in leaks(text, names))


def leaks(text: str, names: Iterable[str]) -> list[str]:
    """Marked words and names in a text that must hold none."""
    return [*sorted(set(re.findall(rf"\b{MARK}\d+-\w+", text)))[:_SHOWN], *(name for name in names if name in text)]
