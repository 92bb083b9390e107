"""What makes a mailbox a room: where it is, what it holds and how it answers invitations.

Neighbours: mailbox.py, booking.py (decides by these rules), booking_settings.py (reads them).
"""

from dataclasses import dataclass
from typing import Literal

from kalends_sandbox.recurrence import DAYS, Day

Processing = Literal["None", "AutoUpdate", "AutoAccept"]
BookingType = Literal["Standard", "Reserved"]


@dataclass(frozen=True, slots=True)
class WorkingHours:
    """Local times, as minutes after midnight."""

    days: tuple[Day, ...] = DAYS[:5]
    start_minute: int = 8 * 60
    end_minute: int = 17 * 60


@dataclass(frozen=True, slots=True)
class BookingRules:
    """The settings of the calendar attendant and the booking attendant.

    They are named after Set-CalendarProcessing, and the defaults are those of a room made in the admin centre; docs/sandbox.md
    says what each does. The lists hold addresses (with * and ?), and `department:NAME` for everybody of a department.
    """

    automate_processing: Processing = "AutoAccept"
    booking_type: BookingType = "Standard"
    # Who may book at once, who may ask the delegates.
    all_book_in_policy: bool = True
    book_in_policy: tuple[str, ...] = ()
    all_request_in_policy: bool = False
    request_in_policy: tuple[str, ...] = ()
    all_request_out_of_policy: bool = False
    request_out_of_policy: tuple[str, ...] = ()
    process_external_meeting_messages: bool = False
    resource_delegates: tuple[str, ...] = ()
    forward_requests_to_delegates: bool = True
    tentative_pending_approval: bool = True
    # What is within policy.
    allow_conflicts: bool = False
    allow_conflicts_of_series: bool = True  # not Exchange's: which of its two documented behaviours is played
    conflict_percentage_allowed: int = 0
    maximum_conflict_instances: int = 0
    booking_window_in_days: int = 180
    enforce_scheduling_horizon: bool = True
    maximum_duration_in_minutes: int = 1440
    minimum_duration_in_minutes: int = 0
    allow_recurring_meetings: bool = True
    schedule_only_during_work_hours: bool = False
    enforce_capacity: bool = False
    # What stays of a request.
    add_new_requests_tentatively: bool = True
    delete_subject: bool = True
    add_organizer_to_subject: bool = True
    delete_comments: bool = True
    delete_attachments: bool = True
    remove_private_property: bool = True
    remove_canceled_meetings: bool = True
    delete_non_calendar_items: bool = True
    remove_old_meeting_messages: bool = True
    remove_forwarded_meeting_notifications: bool = False
    # What answers say.
    enable_response_details: bool = True
    organizer_info: bool = True
    add_additional_response: bool = False
    additional_response: str = ""
    # Rooms that nobody enters.
    enable_auto_release: bool = False
    post_reservation_max_claim_time_in_minutes: int = 10


@dataclass(frozen=True, slots=True)
class Place:
    """What makes a mailbox a room: where it is and what it holds."""

    building: str
    floor: str
    capacity: int
    features: tuple[str, ...] = ()
    rules: BookingRules = BookingRules()
