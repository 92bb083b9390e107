"""What a client's writing makes of an item, and whether Exchange would let it stand. Neighbours: fields.py reads it."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import Final

from kalends_sandbox import series
from kalends_sandbox.desk import MAX_ATTENDEES, Held
from kalends_sandbox.exchange.fields import Said
from kalends_sandbox.exchange.find import moment
from kalends_sandbox.exchange.soap import Refusal
from kalends_sandbox.item import Attendee, Item, Role
from kalends_sandbox.zones import Zone

_YEARS: Final = (1601, 4500)
_LONGEST: Final = timedelta(days=5 * 366)
_ROLES: Final[tuple[Role, ...]] = ("required", "optional", "resource")
_COMPARED: Final = 20  # so many first dates of a series show how close together its occurrences lie
_DAY: Final = timedelta(days=1)
_HALF_HOUR: Final = timedelta(minutes=30)


def drafted(before: Item, said: Said, context: Zone | None) -> Item:
    """`before` with everything that was said of it. Instants without offset are meant in the item's zone, else `context`."""
    plain = {name: value for name, value in said.items() if name not in ("start", "end", *_ROLES)}
    further = dict(before.further)
    for name in [name for name in plain if name.startswith("further ")]:
        further[name.removeprefix("further ")] = plain.pop(name)
    attendees = _attendees(before, said)
    after = replace(
        before,
        **plain,
        further=tuple((name, value) for name, value in further.items() if value is not None),
        attendees=attendees,
        is_meeting=before.is_meeting or bool(attendees),
    )
    local = said.get("zone") or context or before.zone
    start = moment(said["start"], local) if "start" in said else before.start
    end = moment(said["end"], said.get("end_zone") or local) if "end" in said else before.end
    if "start" in said and "end" not in said and not before.item_id:
        end = start + _HALF_HOUR
    if not all(_YEARS[0] <= at.year < _YEARS[1] for at in (start, end)):
        raise Refusal("ErrorCalendarOutOfRange", "Start and end lie between the years 1601 and 4500.")
    after = replace(after, start=start, end=end)
    return _whole_days(after) if after.is_all_day and said.keys() & {"start", "end", "is_all_day", "zone"} else after


def check(after: Item) -> None:
    """Refused when no calendar item can be like this."""
    if after.end < after.start:
        raise Refusal("ErrorCalendarEndDateIsEarlierThanStartDate", "EndDate is earlier than StartDate.")
    if after.end - after.start > _LONGEST:
        raise Refusal("ErrorCalendarDurationIsTooLong", "The calendar item lasts longer than five years.")
    if len(after.attendees) > MAX_ATTENDEES:
        raise Refusal("ErrorInvalidRecipients", f"A meeting has at most {MAX_ATTENDEES} attendees here.")
    if after.recurrence is not None and after.end - after.start > _shortest_gap(after):
        raise Refusal(
            "ErrorOccurrenceTimeSpanTooBig", "An occurrence would last longer than the time until the next one."
        )


def check_occurrence(held: Held, after: Item) -> None:
    """Refused on or beyond the day of a neighbour, or where it would last into the next one."""
    assert held.original is not None
    tz = held.item.zone.tz
    day = after.start.astimezone(tz).date()
    for neighbour in series.neighbours(held.item, held.original):
        other = neighbour.start.astimezone(tz).date()
        assert neighbour.original_start is not None
        is_later = neighbour.original_start > held.original
        crosses = (
            day >= other or after.end > neighbour.start if is_later else day <= other or after.start < neighbour.end
        )
        if crosses:
            raise Refusal(
                "ErrorOccurrenceCrossingBoundary",
                "Modified occurrence is crossing or overlapping adjacent occurrence.",
            )


def _attendees(before: Item, said: Said) -> tuple[Attendee, ...]:
    """Everybody once, in the first role; who was invited before keeps the answer given."""
    answers = {one.address.lower(): one for one in before.attendees}
    invited: dict[str, Attendee] = {}
    for role in _ROLES:
        for one in said.get(role, [known for known in before.attendees if known.role == role]):
            known = answers.get(one.address.lower(), one)
            invited.setdefault(one.address.lower(), replace(known, role=role))
    return tuple(invited.values())


def _whole_days(item: Item) -> Item:
    """From midnight to midnight of the item's zone: a start is pushed back, an end forward, and there is one day at least."""
    tz, end_tz = item.zone.tz, (item.end_zone or item.zone).tz
    first = item.start.astimezone(tz).date()
    last = item.end.astimezone(end_tz)
    until = last.date() if last.time() == time() else last.date() + _DAY
    until = max(until, first + _DAY)
    return replace(
        item,
        start=datetime.combine(first, time(), tz).astimezone(UTC),
        end=datetime.combine(until, time(), end_tz).astimezone(UTC),
    )


def _shortest_gap(master: Item) -> timedelta:
    assert master.recurrence is not None
    days = [day for number in range(1, _COMPARED + 1) if (day := master.recurrence.nth(number)) is not None]
    gaps = [after - before for before, after in pairwise(days)]
    return min(gaps, default=_LONGEST)
