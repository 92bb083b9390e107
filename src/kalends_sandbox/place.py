"""What makes a mailbox a room: where it is, what it holds and how it answers invitations.

Neighbours: mailbox.py, attendant.py.
"""

from dataclasses import dataclass
from typing import Literal

from kalends_sandbox.recurrence import DAYS, Day


@dataclass(frozen=True, slots=True)
class WorkingHours:
    """Local times, as minutes after midnight."""

    days: tuple[Day, ...] = DAYS[:5]
    start_minute: int = 8 * 60
    end_minute: int = 17 * 60


@dataclass(frozen=True, slots=True)
class BookingRules:
    """The resource booking attendant's settings, named after Set-CalendarProcessing; defaults are those of a room made
    in the admin centre.
    """

    automate_processing: Literal["None", "AutoUpdate", "AutoAccept"] = "AutoAccept"
    allow_conflicts: bool = False
    conflict_percentage_allowed: int = 0
    maximum_conflict_instances: int = 0
    booking_window_in_days: int = 180
    enforce_scheduling_horizon: bool = True
    maximum_duration_in_minutes: int = 1440
    allow_recurring_meetings: bool = True
    schedule_only_during_work_hours: bool = False
    process_external_meeting_messages: bool = False
    add_new_requests_tentatively: bool = True
    delete_subject: bool = True
    add_organizer_to_subject: bool = True
    delete_comments: bool = True
    remove_private_property: bool = True
    remove_canceled_meetings: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """What makes a mailbox a room: where it is and what it holds."""

    building: str
    floor: str
    capacity: int
    features: tuple[str, ...] = ()
    rules: BookingRules = BookingRules()
