"""What a world file says, checked and typed. worldfile.py reads it, founding.py and filling.py build it."""

from dataclasses import dataclass, field
from datetime import time

from kalends_sandbox.item import Response, Sensitivity, ShowAs
from kalends_sandbox.mailbox import Rights
from kalends_sandbox.place import BookingRules, WorkingHours
from kalends_sandbox.post import Timing
from kalends_sandbox.recurrence import Day, Pattern
from kalends_sandbox.rights import Permission
from kalends_sandbox.signpost import Signpost
from kalends_sandbox.world import Application, ServiceAccount
from kalends_sandbox.zones import Zone


@dataclass(frozen=True, slots=True)
class RoomSpec:
    name: str
    address: str
    building: str
    floor: str
    capacity: int
    features: tuple[str, ...]
    aliases: tuple[str, ...]
    rules: BookingRules
    zone: Zone
    working_hours: WorkingHours
    has_calendar: bool
    default_rights: Rights


@dataclass(frozen=True, slots=True)
class PersonSpec:
    name: str
    address: str
    aliases: tuple[str, ...]
    department: str
    title: str
    zone: Zone
    has_calendar: bool
    default_rights: Rights


@dataclass(frozen=True, slots=True)
class BuildingSpec:
    name: str
    list_address: str


@dataclass(frozen=True, slots=True)
class SeriesSpec:
    """`since` and `until` are days from the meeting's own day."""

    pattern: Pattern
    since: int
    until: int | None
    count: int | None


@dataclass(frozen=True, slots=True)
class ChangeSpec:
    """One occurrence made different; 0 is the first on or after the start day, -1 the one before."""

    occurrence: int
    at: time | None = None
    minutes: int | None = None
    shift_days: int = 0
    subject: str | None = None
    room: str | None = None
    show_as: ShowAs | None = None
    sensitivity: Sensitivity | None = None


@dataclass(frozen=True, slots=True)
class MeetingSpec:
    """`at` is None for all-day, which then lasts `days`. `where` is the table it stands in, for messages."""

    where: str
    subject: str | None
    organizer: str
    day: int | Day
    at: time | None
    minutes: int
    days: int
    rooms: tuple[str, ...]
    required: tuple[str, ...]
    optional: tuple[str, ...]
    location: str | None
    body: str | None
    show_as: ShowAs
    sensitivity: Sensitivity
    zone_id: str | None
    answers: Response | None
    is_cancelled: bool
    series: SeriesSpec | None
    changes: tuple[ChangeSpec, ...]
    deleted: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FillingSpec:
    """Ordinary meetings made up by rule until every room is taken for `busy_percent` of its working hours.

    `series_percent` of them are weekly series; `is_local`: people meet in rooms of their own time zone.
    """

    first_day: int
    last_day: int
    busy_percent: int
    minutes: tuple[int, ...]
    subjects: tuple[str, ...]
    bodies: tuple[str, ...]
    private_percent: int
    tentative_percent: int
    series_percent: int = 0
    most_invited: int = 6
    is_local: bool = False


@dataclass(frozen=True, slots=True)
class Description:
    """Everything a world file says; `file` is its name in messages."""

    file: str
    name: str
    domain: str
    zone: Zone
    working_hours: WorkingHours
    timing: Timing
    accounts: tuple[ServiceAccount, ...]
    applications: tuple[Application, ...]
    buildings: tuple[BuildingSpec, ...]
    rooms: tuple[RoomSpec, ...]
    people: tuple[PersonSpec, ...]
    meetings: tuple[MeetingSpec, ...] = field(default=())
    permissions: tuple[Permission, ...] = field(default=())
    signpost: Signpost = field(default_factory=Signpost)
    filling: FillingSpec | None = None
