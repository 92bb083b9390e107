"""Who may see what of a meeting: one function for pages, panels, API, feed and log, and one for what is kept at all.

Whatever leaves Kalends about a meeting is an `EventView`, and only `view` makes one; what is stored went through `keep_at`.
Private (any sensitivity but normal) masks subject, organizer, location, description and attendees for everybody; a single
private meeting of a series is masked by itself. Masked fields are absent, not replaced: what isn't there can't leak.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from kalends.model.event import Attendee, Event, ItemId, Kind, Party, Response, Sensitivity, ShowAs, Zone
from kalends.model.time import Dates, Span

PRIVATE = "Private"
BOOKED = "Booked"
UNTITLED = "No subject"


class Audience(StrEnum):
    DISPLAY = "display"
    """Whoever walks past a door panel."""
    ADMIN = "admin"
    """A signed-in administrator."""
    API = "api"
    """A program that an administrator gave a token."""
    LOG = "log"
    """Logs and metrics: nothing of a meeting's content, ever."""


class Mode(StrEnum):
    """How much of its meetings an account lets Kalends hold; the later, the more."""

    PASS_THROUGH = "P0"  # noqa: S105  # a mode, no password
    """When somebody is busy, ids, and a keyed hash that tells that a meeting changed. Details are read when a page asks."""
    BUSY_ONLY = "P1"
    """When somebody is busy, and the zone a meeting was made in."""
    MINIMAL = "P2"
    """Also subject and organizer, until the meeting is over."""
    FULL = "P3"
    """Whole meetings."""


@dataclass(frozen=True, slots=True)
class Details:
    """What a calendar told of meetings a moment ago. Shown and forgotten: never stored, logged or put into the feed."""

    events: Mapping[ItemId, Event] = field(default_factory=dict)
    missing: str = ""
    """Why some could not be had: a sentence. Empty when all could."""


@dataclass(frozen=True, slots=True)
class EventView:
    """What one audience may see of one meeting."""

    title: str
    """Always something to show: the subject, or a word that stands for it."""
    span: Span
    dates: Dates | None
    kind: Kind
    show_as: ShowAs
    response: Response
    is_cancelled: bool
    is_private: bool
    takes_time: bool
    subject: str | None = None
    organizer: Party | None = None
    location: str | None = None
    description: str | None = None
    attendees: tuple[Attendee, ...] = ()
    original_start: datetime | None = None


def view(event: Event, audience: Audience, mode: str, details: Event | None = None) -> EventView:
    """The only way a meeting leaves Kalends. A mode that isn't known shows as little as the most careful one.

    `details`: in mode P0, the same meeting as its calendar tells it at this moment; not for doors.
    """
    is_private = event.is_private or (details is not None and details.is_private)
    bare = EventView(
        title=PRIVATE if is_private else BOOKED,
        span=event.span,
        dates=event.dates,
        kind=event.kind,
        show_as=event.show_as,
        response=event.response,
        is_cancelled=event.is_cancelled,
        is_private=is_private,
        takes_time=event.takes_time,
        original_start=event.original_start,
    )
    told = _told(event, audience, mode, details)
    if is_private or told is None or audience is Audience.LOG:
        return bare
    title = (told.subject or "").strip() or UNTITLED
    named = replace(bare, title=title, subject=told.subject, organizer=told.organizer)
    if audience is Audience.DISPLAY:
        organizer = Party(told.organizer.name, "") if told.organizer and told.organizer.name else None
        return replace(named, organizer=organizer)
    if mode == Mode.MINIMAL:
        return named
    return replace(named, location=told.location, description=told.description, attendees=told.attendees)


def _told(event: Event, audience: Audience, mode: str, details: Event | None) -> Event | None:
    """Where the content comes from; None when there is none to show."""
    if mode == Mode.PASS_THROUGH:
        return details if audience is not Audience.DISPLAY else None
    if mode == Mode.MINIMAL:
        return event if (event.subject, event.organizer) != (None, None) else None  # forgotten once it is over
    return event if mode == Mode.FULL else None


def keep(event: Event, mode: str) -> Event:
    """What the store may hold of `event` while it lasts: everything, who and what, or when somebody is busy and no more."""
    if mode == Mode.FULL:
        return event
    # Nobody is ever shown who meets in private, and a master says nothing that its instances don't.
    named = mode == Mode.MINIMAL and not event.is_private and event.kind is not Kind.SERIES
    is_placed = mode in (Mode.BUSY_ONLY, Mode.MINIMAL)
    return replace(
        event,
        subject=event.subject if named else None,
        organizer=event.organizer if named else None,
        location=None,
        description=None,
        attendees=(),
        recurrence=None,
        zone=Zone(event.zone.iana or "", event.zone.iana) if is_placed else Zone("", None),
        sensitivity=Sensitivity.PRIVATE if event.is_private else Sensitivity.NORMAL,
    )


def keep_at(event: Event, mode: str, now: datetime) -> Event:
    """The same, as of `now`: mode P2 forgets who and what once a meeting is over."""
    kept = keep(event, mode)
    if mode == Mode.MINIMAL and event.span.end <= now:
        return replace(kept, subject=None, organizer=None)
    return kept
