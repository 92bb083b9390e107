"""A series' pattern and range as clients write them. Neighbours: series_xml.py writes them, recurrence.py knows the rules."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final, cast, get_args

from kalends_sandbox.exchange.soap import Element, Refusal, children, local, need, t, text_of, unreadable
from kalends_sandbox.recurrence import (
    DAYS,
    MAX_COUNT,
    MONTHS,
    AbsoluteMonthly,
    AbsoluteYearly,
    Daily,
    Day,
    DayOrGroup,
    Index,
    Pattern,
    Recurrence,
    RelativeMonthly,
    RelativeYearly,
    Weekly,
)

_DAYS_OR_GROUPS: Final = (*DAYS, "Day", "Weekday", "WeekendDay")
_EARLIEST: Final = date(1601, 1, 1)
_LATEST: Final = date(4500, 9, 1)  # where Exchange's calendar ends


def recurrence(element: Element) -> Recurrence:
    """What a t:Recurrence says; refused as Exchange refuses what cannot be."""
    parts = list(children(element))
    if len(parts) != 2:
        raise unreadable("Recurrence holds one pattern and one range")
    kind = local(parts[0])
    if kind not in _PATTERNS:
        raise unreadable(f"Recurrence has no element {kind}")
    pattern = _PATTERNS[kind](parts[0])
    try:
        found = _ranged(parts[1], pattern)
    except ValueError as error:
        raise Refusal("ErrorCalendarInvalidRecurrence", f"The recurrence is not valid. {error}") from error
    if found.first is None:
        raise Refusal("ErrorRecurrenceHasNoOccurrence", "The recurrence has no occurrence within its range.")
    return found


def _ranged(element: Element, pattern: Pattern) -> Recurrence:
    start = _date(need(element, t("StartDate")))
    if start < _EARLIEST:
        raise ValueError(f"It begins in the year {start.year}.")
    match local(element):
        case "NoEndRecurrence":
            return Recurrence(pattern, start)
        case "EndDateRecurrence":
            end = _date(need(element, t("EndDate")))
            if end > _LATEST:
                raise Refusal("ErrorRecurrenceEndDateTooBig", "The end date of the recurrence is too late.")
            return Recurrence(pattern, start, end=end)
        case "NumberedRecurrence":
            return Recurrence(pattern, start, count=_number(element, "NumberOfOccurrences", MAX_COUNT))
    raise unreadable(f"Recurrence has no element {local(element)}")


def _date(element: Element) -> date:
    """xs:date; an offset that stands behind it (2026-12-01+01:00) says nothing about the day."""
    try:
        return date.fromisoformat(text_of(element)[:10])
    except ValueError:
        raise unreadable(f"{local(element)} is no date") from None


def _number(element: Element, name: str, most: int) -> int:
    text = text_of(need(element, t(name)))
    try:
        number = int(text)
    except ValueError:
        raise unreadable(f"{name} is not a number") from None
    if not 1 <= number <= most:
        raise Refusal("ErrorCalendarInvalidRecurrence", f"The recurrence is not valid: {name} is {number}.")
    return number


def _word(element: Element, name: str, words: tuple[str, ...]) -> Any:
    found = text_of(need(element, t(name)))
    if found not in words:
        raise unreadable(f"{found!r} is no {name}")
    return found


def _interval(element: Element) -> int:
    return _number(element, "Interval", 999)


def _day_of_month(element: Element) -> int:
    return _number(element, "DayOfMonth", 31)


def _month(element: Element) -> int:
    return MONTHS.index(_word(element, "Month", MONTHS)) + 1


def _relative(element: Element) -> tuple[DayOrGroup, Index]:
    day = _word(element, "DaysOfWeek", _DAYS_OR_GROUPS)
    return cast(DayOrGroup, day), cast(Index, _word(element, "DayOfWeekIndex", get_args(Index)))


def _weekly(element: Element) -> Pattern:
    said = text_of(need(element, t("DaysOfWeek"))).split()
    days: dict[str, tuple[Day, ...]] = {"Weekday": DAYS[:5], "WeekendDay": DAYS[5:], "Day": DAYS}
    days.update((day, (day,)) for day in DAYS)
    if not said or any(word not in days for word in said):
        raise unreadable(f"{' '.join(said)!r} is no DaysOfWeek")
    wanted = cast(tuple[Day, ...], tuple(day for word in said for day in days[word]))
    first = element.find(t("FirstDayOfWeek"))
    first_day = cast(Day, "Sunday" if first is None else _word(element, "FirstDayOfWeek", DAYS))
    return Weekly(wanted, _interval(element), first_day)


_PATTERNS: Final[Mapping[str, Callable[[Element], Pattern]]] = {
    "DailyRecurrence": lambda element: Daily(_interval(element)),
    "WeeklyRecurrence": _weekly,
    "AbsoluteMonthlyRecurrence": lambda element: AbsoluteMonthly(_day_of_month(element), _interval(element)),
    "RelativeMonthlyRecurrence": lambda element: RelativeMonthly(*_relative(element), _interval(element)),
    "AbsoluteYearlyRecurrence": lambda element: AbsoluteYearly(_day_of_month(element), _month(element)),
    "RelativeYearlyRecurrence": lambda element: RelativeYearly(*_relative(element), _month(element)),
}
