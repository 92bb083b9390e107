"""Reads what rooms are made of: spaces with their calendars' health, and their events. Store functions, composed.

Each is one transaction, so that a room is never shown with one half from before a change and the other from after.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from kalends.features.freshness import AccountFacts, CalendarFacts
from kalends.model.event import Event
from kalends.model.time import Span
from kalends.store import calendars, events, spaces
from kalends.store.calendars import Health
from kalends.store.contents import Contents
from kalends.store.door import Connection
from kalends.store.spaces import Space

EVENTS_AT_ONCE = 200
"""Calendars per query: the store refuses answers of more than 50,000 events."""

Facts = tuple[tuple[Space, ...], dict[str, CalendarFacts]]
Events = dict[str, tuple[Event, ...]]


@dataclass(frozen=True, slots=True)
class Picture:
    """`calendars` and `events` by calendar id."""

    spaces: tuple[Space, ...]
    calendars: dict[str, CalendarFacts]
    events: Events


def read_facts(conn: Connection, organization: str, factor: float) -> Facts:
    """Spaces in the order in which they are shown, and every calendar's health, lags in real time."""
    ordered = sorted(spaces.list_all(conn, organization), key=_order)
    return tuple(ordered), {h.calendar.id: _facts(h, factor) for h in calendars.list_health(conn, organization)}


def read_events(conn: Connection, contents: Contents, ids: Sequence[str], span: Span) -> Events:
    """Per calendar what it holds in `span`, series masters left out."""
    found: Events = {}
    for start in range(0, len(ids), EVENTS_AT_ONCE):
        some = events.in_span(conn, contents, ids[start : start + EVENTS_AT_ONCE], span)
        found.update({id_: tuple(held) for id_, held in some.items()})
    return found


def read_lean_events(conn: Connection, contents: Contents, ids: Sequence[str], span: Span) -> Events:
    """The same without what no panel and no overview shows: it is held in memory for every room."""
    held = read_events(conn, contents, ids, span)
    return {id_: tuple(replace(e, description=None, attendees=()) for e in some) for id_, some in held.items()}


def read_picture(conn: Connection, contents: Contents, organization: str, factor: float, span: Span) -> Picture:
    found, healths = read_facts(conn, organization, factor)
    return Picture(found, healths, read_lean_events(conn, contents, sorted(healths), span))


def read_span(conn: Connection, contents: Contents, calendar: str, span: Span) -> tuple[Event, ...]:
    """With a day around it: an all-day event is stored by its own zone's midnights and shown by its room's."""
    day = timedelta(days=1)
    return read_events(conn, contents, [calendar], Span(span.start - day, span.end + day))[calendar]


def _order(space: Space) -> tuple[str, ...]:
    return space.building.casefold(), space.floor.casefold(), space.name.casefold(), space.id


def _facts(health: Health, factor: float) -> CalendarFacts:
    calendar = health.calendar
    account = AccountFacts(
        id=calendar.account,
        name=health.account_name,
        kind=health.account_kind,
        state=health.account_state,
        reason=health.account_reason,
        since=health.account_since,
        privacy=health.privacy,
        unverified=health.account_unverified,
    )
    return CalendarFacts(
        id=calendar.id,
        address=calendar.address,
        name=calendar.name,
        account=account,
        state=calendar.state,
        reason=calendar.reason,
        since=calendar.since,
        heard_at=calendar.heard_at,
        verified_at=calendar.verified_at,
        changed_at=calendar.changed_at,
        lag_p50_ms=_real(health.lag_p50_ms, factor),
        lag_p95_ms=_real(health.lag_p95_ms, factor),
        unreadable=health.unreadable,
        pull_failures=health.pull_failures,
        woken_at=health.woken_at,
        polling=health.polling,
    )


def _real(milliseconds: int | None, factor: float) -> int | None:
    return None if milliseconds is None else round(milliseconds / factor)
