"""What a room's booking attendant decides about a request, by the settings of Set-CalendarProcessing. Pure.

A request is within policy when it breaks no rule of the room and meets no other booking. Who asks then matters: some may
book at once what is within policy, some may ask the room's delegates, some may ask them even for what is outside.
Neighbours: place.py (the settings), answers.py (says it in words), reception.py (carries it out).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from fnmatch import fnmatchcase
from typing import Literal

from kalends_sandbox import series
from kalends_sandbox.folder import Folder
from kalends_sandbox.item import Item
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.place import BookingRules
from kalends_sandbox.recurrence import DAYS

Outcome = Literal["accepted", "pending", "refused"]
DEPARTMENT = "department:"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who sent the request. `is_internal`: has a mailbox in this organisation."""

    addresses: tuple[str, ...]
    department: str = ""
    is_internal: bool = True

    def is_among(self, entries: Sequence[str]) -> bool:
        return any(self._is(entry) for entry in entries)

    def _is(self, entry: str) -> bool:
        if entry.startswith(DEPARTMENT):
            return self.department.casefold() == entry.removeprefix(DEPARTMENT).casefold() != ""
        return any(fnmatchcase(address, entry.lower()) for address in self.addresses)


@dataclass(frozen=True, slots=True)
class Conflict:
    """`wanted` is the request, or one occurrence of it; `other` the booking in its way."""

    wanted: Item
    other: Item


@dataclass(frozen=True, slots=True)
class Decision:
    """`reasons` say what is outside policy; `until` is where an accepted series is cut.

    The conflicts of a series that is not refused are the occurrences which it does not get.
    """

    outcome: Outcome
    reasons: tuple[str, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    until: date | None = None

    @property
    def missed(self) -> tuple[datetime, ...]:
        starts = (one.wanted.original_start for one in self.conflicts)
        return () if self.outcome == "refused" else tuple(start for start in starts if start is not None)


def decide(room: Mailbox, calendar: Folder, request: Item, now: datetime, asker: Asker) -> Decision:
    """First processed, first served: only what stands in the calendar when a request is decided can be in its way."""
    rules = room.place.rules if room.place else BookingRules()
    closed = _closed(rules, asker)
    if closed:
        return Decision("refused", (closed,))
    horizon = _horizon(room, rules, now)
    wanted = _wanted(request, now, horizon)
    reasons = tuple(_faults(room, rules, request, wanted, horizon))
    conflicts = () if _may_conflict(rules, request) else tuple(_conflicts(calendar, wanted, horizon))
    until = _cut(request, horizon)
    if conflicts and not _is_tolerated(rules, request, len(conflicts), len(wanted)):
        reasons += (_conflict_fault(request, len(conflicts), len(wanted)),)
    if not reasons and (rules.all_book_in_policy or asker.is_among(rules.book_in_policy)):
        return Decision("accepted", (), conflicts, until)
    may_ask_outside = rules.all_request_out_of_policy or asker.is_among(rules.request_out_of_policy)
    may_ask = may_ask_outside or rules.all_request_in_policy or asker.is_among(rules.request_in_policy)
    if not reasons and may_ask:
        return Decision("pending", (), conflicts, until)
    if reasons and may_ask_outside:  # the delegates see the whole request and may grant it as it is
        return Decision("pending", reasons)
    return Decision("refused", reasons or ("You may not book this room.",), conflicts)


def blocks(booking: Item) -> bool:
    """Whether a booking is in the way of others: it takes time, and the room has answered it."""
    return booking.takes_time and booking.my_response != "NoResponseReceived"


def _closed(rules: BookingRules, asker: Asker) -> str:
    if rules.booking_type == "Reserved":
        return "This room cannot be booked."
    if not asker.is_internal and not rules.process_external_meeting_messages:
        return "The room takes bookings from inside the organisation only."
    return ""


def _horizon(room: Mailbox, rules: BookingRules, now: datetime) -> datetime:
    """The end of the last day that can be booked, in the room's zone; a window of 0 days is today."""
    last = now.astimezone(room.zone.tz).date() + timedelta(days=rules.booking_window_in_days)
    return datetime.combine(last + timedelta(days=1), time(), room.zone.tz).astimezone(now.tzinfo)


def _wanted(request: Item, now: datetime, horizon: datetime) -> list[Item]:
    """The meetings that would stand in the room: of a series those still to come, up to the horizon."""
    if request.recurrence is None:
        return [request]
    return list(series.occurrences(request, max(now, request.start), horizon))


def _faults(
    room: Mailbox, rules: BookingRules, request: Item, wanted: Sequence[Item], horizon: datetime
) -> Iterator[str]:
    if request.recurrence is not None and not rules.allow_recurring_meetings:
        yield "The room takes single meetings only."
    lengths = [one.end - one.start for one in (request, *wanted)]
    longest, shortest = rules.maximum_duration_in_minutes, rules.minimum_duration_in_minutes
    if longest and max(lengths) > timedelta(minutes=longest):
        yield f"The meeting is longer than {longest} minutes."
    if min(lengths) < timedelta(minutes=shortest):
        yield f"The meeting is shorter than {shortest} minutes."
    if request.start >= horizon or (request.recurrence is None and request.end > horizon):
        yield f"The room can be booked at most {rules.booking_window_in_days} days ahead."
    elif rules.enforce_scheduling_horizon and _goes_beyond(request, horizon):
        yield f"The series goes on for more than {rules.booking_window_in_days} days."
    if rules.schedule_only_during_work_hours and not all(_in_work_hours(room, one) for one in wanted):
        yield "The room is booked during its working hours only."
    if rules.enforce_capacity and room.place is not None and _people(request) > room.place.capacity:
        yield f"The room holds {room.place.capacity} people, and {_people(request)} are to come."


def _people(request: Item) -> int:
    """Everybody invited, and the organizer."""
    return 1 + len(request.required) + len(request.optional)


def _goes_beyond(request: Item, horizon: datetime) -> bool:
    if request.recurrence is None:
        return False
    last = request.recurrence.last
    return last is None or series.start_on(request, last) >= horizon


def _cut(request: Item, horizon: datetime) -> date | None:
    """The last date of a series that still starts before the horizon, when others would follow."""
    if request.start >= horizon or not _goes_beyond(request, horizon):
        return None
    last = horizon.astimezone(request.zone.tz).date()
    return last if series.start_on(request, last) < horizon else last - timedelta(days=1)


def _in_work_hours(room: Mailbox, one: Item) -> bool:
    start, end = (at.astimezone(room.zone.tz) for at in (one.start, one.end))
    hours = room.working_hours
    begins, ends = start.hour * 60 + start.minute, end.hour * 60 + end.minute
    same_day = start.date() == end.date()
    return (
        same_day and DAYS[start.weekday()] in hours.days and hours.start_minute <= begins and ends <= hours.end_minute
    )


def _may_conflict(rules: BookingRules, request: Item) -> bool:
    """Microsoft documents two behaviours for a series in a room that allows conflicts: accepted regardless (the cmdlet's
    page), or never booked twice (Exchange Team blog, 2011).
    """
    return rules.allow_conflicts and (request.recurrence is None or rules.allow_conflicts_of_series)


def _conflicts(calendar: Folder, wanted: Sequence[Item], horizon: datetime) -> Iterator[Conflict]:
    """The first booking in the way of each, up to the horizon; never another version of the same meeting."""
    until = min(horizon, max((one.end for one in wanted), default=horizon))
    since = max(until - series.MAX_SPAN, min((one.start for one in wanted), default=until))
    taken = [other for other in calendar.view(since, until) if blocks(other)] if since < until else []
    for one in wanted:
        for other in taken:
            if other.start < one.end and one.start < other.end and other.clean_uid != one.clean_uid:
                yield Conflict(one, other)
                break


def _is_tolerated(rules: BookingRules, request: Item, lost: int, wanted: int) -> bool:
    """A series may lose some occurrences: no more than so many, and no larger a part than so many percent."""
    if request.recurrence is None:
        return False
    return lost <= rules.maximum_conflict_instances and lost * 100 <= rules.conflict_percentage_allowed * wanted


def _conflict_fault(request: Item, lost: int, wanted: int) -> str:
    if request.recurrence is None:
        return "The room is taken at that time."
    return f"{lost} of {wanted} occurrences meet another booking."
