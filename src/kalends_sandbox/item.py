"""One mailbox's copy of an appointment or meeting. Neighbours: series.py unfolds it, mailbox.py keeps it.

Items are immutable: a change is a new Item saved into its folder, so that no two mailboxes ever share one by accident.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from kalends_sandbox.ids import clean_uid, global_object_id
from kalends_sandbox.recurrence import Recurrence
from kalends_sandbox.zones import UTC_ZONE, Zone

Kind = Literal["Single", "RecurringMaster", "Occurrence", "Exception"]
ShowAs = Literal["Free", "Tentative", "Busy", "OOF", "WorkingElsewhere", "NoData"]
Sensitivity = Literal["Normal", "Personal", "Private", "Confidential"]
Response = Literal["Unknown", "Organizer", "Tentative", "Accept", "Decline", "NoResponseReceived"]
Role = Literal["required", "optional", "resource"]
Importance = Literal["Low", "Normal", "High"]
LetterKind = Literal[
    "invitation", "update", "cancellation",  # from the organizer
    "acceptance", "tentative", "refusal",  # to the organizer
    "forwarded", "approval", "disapproval",  # between a room and its delegates
]  # fmt: skip


class Html(str):
    """A body written as HTML; any other body is plain text."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Party:
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Attendee:
    name: str
    address: str
    role: Role = "required"
    response: Response = "Unknown"
    answered: datetime | None = None


@dataclass(frozen=True, slots=True)
class ExtendedProperty:
    """`property_set` is a GUID in lower case or a distinguished name; `name` a name, a dispatch id or a tag; `kind` as
    EWS spells it.
    """

    property_set: str | None
    name: str | int
    kind: str
    value: str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Override:
    """How one occurrence differs from its series.

    None inherits, so a later change of the series still shows through.
    """

    subject: str | None = None
    body: str | None = None
    location: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    zone: Zone | None = None
    end_zone: Zone | None = None
    is_all_day: bool | None = None
    show_as: ShowAs | None = None
    sensitivity: Sensitivity | None = None
    importance: Importance | None = None
    categories: tuple[str, ...] | None = None
    has_reminder: bool | None = None
    reminder_minutes: int | None = None
    wants_answers: bool | None = None
    allows_new_times: bool | None = None
    extended: tuple[ExtendedProperty, ...] | None = None
    further: tuple[tuple[str, str], ...] | None = None
    is_cancelled: bool | None = None
    attendees: tuple[Attendee, ...] | None = None
    my_response: Response | None = None

    def changed(self) -> dict[str, Any]:
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name)) is not None}


@dataclass(frozen=True, slots=True)
class Letter:
    """What makes an item a meeting message in somebody's inbox or sent items, instead of a meeting.

    `calendar_item_id` is the meeting's copy in the same mailbox, as it was called when the letter came.
    """

    kind: LetterKind
    sender: Party
    to: tuple[Party, ...]
    calendar_item_id: str | None = None
    is_read: bool = False
    is_processed: bool = False
    is_outdated: bool = False  # a request that a newer one has overtaken


_NO_EXCEPTIONS: Mapping[datetime, Override] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """Single appointment, series master, or (from series.py) one occurrence.

    Instants are aware UTC; spans are half-open.

    `generation` grows when the pattern changes; the ids of occurrences hang on it. `exceptions` and `deleted` are keyed
    by original start.
    """

    uid: str
    subject: str | None
    start: datetime
    end: datetime
    item_id: str = ""  # given by the folder that first keeps the item
    change_key: str = ""
    zone: Zone = UTC_ZONE
    end_zone: Zone | None = None  # None: the same as `zone`
    body: str | None = None
    location: str | None = None
    is_all_day: bool = False
    show_as: ShowAs = "Busy"
    sensitivity: Sensitivity = "Normal"
    importance: Importance = "Normal"
    categories: tuple[str, ...] = ()
    has_reminder: bool = False
    reminder_minutes: int = 15
    wants_answers: bool = True
    allows_new_times: bool = True
    further: tuple[tuple[str, str], ...] = ()  # what nobody here acts on, by the name its writer gave it
    is_cancelled: bool = False
    is_meeting: bool = False
    was_sent: bool = True  # a meeting whose invitations never left is one that nobody else knows
    organizer: Party | None = None
    attendees: tuple[Attendee, ...] = ()
    my_response: Response = "Organizer"
    intended: ShowAs = "Busy"  # how the organizer of a received meeting shows it (PidLidIntendedBusyStatus)
    attachments: tuple[str, ...] = ()  # names only
    recurrence: Recurrence | None = None
    exceptions: Mapping[datetime, Override] = field(default_factory=lambda: _NO_EXCEPTIONS)
    deleted: tuple[datetime, ...] = ()
    generation: int = 0
    sequence: int = 0
    created: datetime | None = None
    modified: datetime | None = None
    extended: tuple[ExtendedProperty, ...] = ()
    master_id: str | None = None  # occurrences and exceptions only
    original_start: datetime | None = None
    is_exception: bool = False
    letter: Letter | None = None

    @property
    def kind(self) -> Kind:
        if self.recurrence is not None:
            return "RecurringMaster"
        if self.is_exception:
            return "Exception"
        return "Single" if self.master_id is None else "Occurrence"

    @property
    def required(self) -> tuple[Attendee, ...]:
        return self._with_role("required")

    @property
    def optional(self) -> tuple[Attendee, ...]:
        return self._with_role("optional")

    @property
    def resources(self) -> tuple[Attendee, ...]:
        return self._with_role("resource")

    @property
    def clean_uid(self) -> str:
        return clean_uid(self.uid)

    @property
    def clean_global_object_id(self) -> bytes:
        return global_object_id(self.clean_uid)

    @property
    def is_organizer(self) -> bool:
        return self.my_response == "Organizer"

    @property
    def takes_time(self) -> bool:
        """Whether a room counts this as taken: not free, not cancelled, not declined; a letter about it never is."""
        if self.letter is not None:
            return False
        return self.show_as != "Free" and not self.is_cancelled and self.my_response != "Decline"

    def _with_role(self, role: Role) -> tuple[Attendee, ...]:
        return tuple(attendee for attendee in self.attendees if attendee.role == role)
