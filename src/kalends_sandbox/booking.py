"""What a room's booking attendant decides about a request, by the settings of Set-CalendarProcessing. Pure.

Neighbours: place.py (the settings), attendant.py (carries the decision out).
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from kalends_sandbox import series
from kalends_sandbox.folder import Folder
from kalends_sandbox.item import Item
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.place import BookingRules
from kalends_sandbox.recurrence import DAYS


@dataclass(frozen=True, slots=True)
class Decision:
    """`conflicting` are the occurrences that an otherwise accepted series does not get.

    `reason` is what a refusal's mail would say.
    """

    accepted: bool
    reason: str = ""
    conflicting: tuple[datetime, ...] = ()
    until: date | None = None


def decide(room: Mailbox, calendar: Folder, request: Item, now: datetime, internal: bool = True) -> Decision:
    """First processed, first served.

    Only accepted bookings count as conflicts, and never another version of the same meeting.
    """
    rules = room.place.rules if room.place else BookingRules()
    horizon = now + timedelta(days=rules.booking_window_in_days)
    refusal = _refusal(room, rules, request, horizon, internal)
    if refusal:
        return Decision(False, refusal)
    if request.recurrence is None:
        if rules.allow_conflicts:
            return Decision(True)
        taken = _is_taken(calendar, request)
        return Decision(not taken, "The room is taken at that time." if taken else "")
    return _decide_series(rules, calendar, request, max(now, request.start), horizon)


def _refusal(room: Mailbox, rules: BookingRules, request: Item, horizon: datetime, internal: bool) -> str:
    if not internal and not rules.process_external_meeting_messages:
        return "The room takes bookings from inside the organisation only."
    if request.recurrence is not None and not rules.allow_recurring_meetings:
        return "The room takes single meetings only."
    longest = timedelta(minutes=rules.maximum_duration_in_minutes)
    if longest and request.end - request.start > longest:
        return f"The meeting is longer than {rules.maximum_duration_in_minutes} minutes."
    if request.start > horizon or (request.recurrence is None and request.end > horizon):
        return f"The meeting is more than {rules.booking_window_in_days} days ahead."
    if request.recurrence is not None and rules.enforce_scheduling_horizon and _ends_after(request, horizon):
        return f"The series goes on for more than {rules.booking_window_in_days} days ahead."
    if rules.schedule_only_during_work_hours and not _in_work_hours(room, request):
        return "The room is booked during its working hours only."
    return ""


def _ends_after(request: Item, horizon: datetime) -> bool:
    assert request.recurrence is not None
    last = request.recurrence.last
    return last is None or series.start_on(request, last) > horizon


def _in_work_hours(room: Mailbox, request: Item) -> bool:
    start, end = (at.astimezone(room.zone.tz) for at in (request.start, request.end))
    hours = room.working_hours
    begins, ends = start.hour * 60 + start.minute, end.hour * 60 + end.minute
    same_day = start.date() == end.date()
    return (
        same_day and DAYS[start.weekday()] in hours.days and hours.start_minute <= begins and ends <= hours.end_minute
    )


def _decide_series(
    rules: BookingRules, calendar: Folder, request: Item, since: datetime, horizon: datetime
) -> Decision:
    until = horizon.astimezone(request.zone.tz).date() if _ends_after(request, horizon) else None
    if rules.allow_conflicts:
        return Decision(True, until=until)
    wanted = list(series.occurrences(request, since, horizon))
    lost = [one for one in wanted if _is_taken(calendar, one)]
    too_many = len(lost) > rules.maximum_conflict_instances
    too_large_a_part = len(lost) * 100 > rules.conflict_percentage_allowed * len(wanted)
    if lost and (too_many or too_large_a_part):
        return Decision(False, f"{len(lost)} of {len(wanted)} occurrences meet another booking.")
    missed = tuple(one.original_start for one in lost if one.original_start is not None)
    return Decision(True, conflicting=missed, until=until)


def _is_taken(calendar: Folder, wanted: Item) -> bool:
    around = calendar.view(wanted.start, wanted.end)
    return any(
        other.takes_time
        and other.my_response != "NoResponseReceived"
        and other.clean_uid != wanted.clean_uid
        and other.start < wanted.end
        and wanted.start < other.end
        for other in around
    )
