"""An event: a meeting as one calendar holds it, in our normal form.

Providers' codecs make these from what their vendor sends; everything else in Kalends reads only these. Identity is
(`uid`, `original_start`): provider ids change when items move or a pattern is rewritten, a meeting's UID does not.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from kalends.model.time import Dates, Span

CalendarId = NewType("CalendarId", str)
"""A calendar's primary address, lower case."""
ItemId = NewType("ItemId", str)
"""The provider's id of one item. Opaque; case matters."""
Version = NewType("Version", str)
"""The provider's version of one item (change key, ETag). Opaque; only equality means something."""


class Kind(StrEnum):
    SINGLE = "single"
    SERIES = "series"
    """The master: it carries the recurrence and takes up no time itself."""
    INSTANCE = "instance"
    """One meeting of a series, as its pattern makes it."""
    EXCEPTION = "exception"
    """One meeting of a series that differs from its pattern."""


class ShowAs(StrEnum):
    FREE = "free"
    TENTATIVE = "tentative"
    BUSY = "busy"
    OUT_OF_OFFICE = "oof"
    ELSEWHERE = "elsewhere"
    UNKNOWN = "unknown"


class Sensitivity(StrEnum):
    NORMAL = "normal"
    PERSONAL = "personal"
    PRIVATE = "private"
    CONFIDENTIAL = "confidential"


class Response(StrEnum):
    ORGANIZER = "organizer"
    NONE = "none"
    TENTATIVE = "tentative"
    ACCEPTED = "accepted"
    DECLINED = "declined"


class Role(StrEnum):
    REQUIRED = "required"
    OPTIONAL = "optional"
    RESOURCE = "resource"


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody named in a meeting. `address` is empty where the provider tells only a name, and the reverse."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Attendee:
    party: Party
    role: Role
    response: Response = Response.NONE


@dataclass(frozen=True, slots=True)
class Zone:
    """The zone a meeting was made in. `original` is what the provider sent, even when nobody knows it; `iana` is None then."""

    original: str
    iana: str | None


@dataclass(frozen=True, slots=True)
class Event:
    uid: str
    original_start: datetime | None
    """For an instance or exception: where the pattern put it. None for singles and series."""
    item: ItemId
    version: Version
    kind: Kind
    span: Span
    """For all-day events: midnight to midnight in the event's zone, as instants. For a series: its first meeting."""
    dates: Dates | None = None
    """Set when the event is all-day, and then it is the truth: a date, not an instant."""
    zone: Zone = Zone("", None)
    master: ItemId | None = None
    lasting_id: str | None = None
    """An id that survives moves between folders and mailboxes, where the provider has one."""
    subject: str | None = None
    location: str | None = None
    description: str | None = None
    organizer: Party | None = None
    attendees: tuple[Attendee, ...] = ()
    show_as: ShowAs = ShowAs.BUSY
    sensitivity: Sensitivity = Sensitivity.NORMAL
    is_cancelled: bool = False
    response: Response = Response.NONE
    """What the owner of this calendar answered."""
    recurrence: str | None = None
    """For a series: its rule as RFC 5545 RRULE text, in the wall time of `zone`. None if it can't be said so."""
    modified_at: datetime | None = None
    """When the provider last changed it, by the provider's clock."""

    @property
    def is_all_day(self) -> bool:
        return self.dates is not None

    @property
    def is_private(self) -> bool:
        return self.sensitivity is not Sensitivity.NORMAL

    @property
    def takes_time(self) -> bool:
        """Whether it makes its calendar busy: free, cancelled and declined events and series masters never do."""
        return (
            self.kind is not Kind.SERIES
            and self.show_as is not ShowAs.FREE
            and not self.is_cancelled
            and self.response is not Response.DECLINED
        )


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An item that a codec could not read: kept, counted and shown by its id; it never stops its calendar."""

    item: ItemId
    version: Version | None
    reason: str
    """One sentence without private content: which field, what was wrong with it."""
