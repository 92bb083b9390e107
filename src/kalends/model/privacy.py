"""Who may see what of a meeting: one function for pages, panels, API, feed and log, and one for what is kept at all.

Whatever leaves Kalends about a meeting is an `EventView`, and only `view` makes one. Private (any sensitivity but
normal) masks subject, organizer, location, description and attendees for everybody; a single private meeting of a
series is masked by itself. Masked fields are absent, not replaced: what isn't there can't leak.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from kalends.model.event import Attendee, Event, Kind, Party, Response, Sensitivity, ShowAs, Zone
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
    """How much of its meetings an account lets Kalends hold."""

    BUSY_ONLY = "P1"
    FULL = "P3"


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


def view(event: Event, audience: Audience, mode: str) -> EventView:
    """The only way a meeting leaves Kalends. A mode that isn't known shows as little as the most careful one."""
    bare = EventView(
        title=PRIVATE if event.is_private else BOOKED,
        span=event.span,
        dates=event.dates,
        kind=event.kind,
        show_as=event.show_as,
        response=event.response,
        is_cancelled=event.is_cancelled,
        is_private=event.is_private,
        takes_time=event.takes_time,
        original_start=event.original_start,
    )
    if event.is_private or mode != Mode.FULL or audience is Audience.LOG:
        return bare
    title = (event.subject or "").strip() or UNTITLED
    named = replace(bare, title=title, subject=event.subject, organizer=event.organizer)
    if audience is Audience.DISPLAY:
        organizer = Party(event.organizer.name, "") if event.organizer and event.organizer.name else None
        return replace(named, organizer=organizer)
    return replace(named, location=event.location, description=event.description, attendees=event.attendees)


def keep(event: Event, mode: str) -> Event:
    """What the store may hold of `event`: everything, or when somebody is busy and nothing else."""
    if mode == Mode.FULL:
        return event
    return replace(
        event,
        subject=None,
        location=None,
        description=None,
        organizer=None,
        attendees=(),
        recurrence=None,
        zone=Zone(event.zone.iana or "", event.zone.iana),
        sensitivity=Sensitivity.PRIVATE if event.is_private else Sensitivity.NORMAL,
    )
