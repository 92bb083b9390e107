"""Exchange's recurrence patterns as RFC 5545 RRULE text, in the wall time of the series' zone. Pure.

Where the two differ: "day 31" means the last day of a shorter month to Exchange, but no day at all to an RRULE; so days
29 to 31 are said as the last existing one of 28 to N. "The second weekday" is a position among Monday to Friday.
"""

import re

from kalends.providers.exchange.soap import Element, T, text

_DAYS = {
    "Monday": "MO",
    "Tuesday": "TU",
    "Wednesday": "WE",
    "Thursday": "TH",
    "Friday": "FR",
    "Saturday": "SA",
    "Sunday": "SU",
}
_SETS = {"Day": "MO,TU,WE,TH,FR,SA,SU", "Weekday": "MO,TU,WE,TH,FR", "WeekendDay": "SA,SU"}
_POSITIONS = {"First": 1, "Second": 2, "Third": 3, "Fourth": 4, "Last": -1}
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]


def rrule(recurrence: Element) -> str | None:
    """The rule; None for patterns that are none (regenerating tasks) or unreadable."""
    parts = [each for each in recurrence if isinstance(each.tag, str)]
    if len(parts) != 2:
        return None
    pattern, bounds = parts
    try:
        return ";".join([*_pattern(pattern), *_range(bounds)])
    except (KeyError, ValueError):
        return None


def _pattern(pattern: Element) -> list[str]:
    match str(pattern.tag).removeprefix(T):
        case "DailyRecurrence":
            return ["FREQ=DAILY", *_interval(pattern)]
        case "WeeklyRecurrence":
            days = [_DAYS[day] for day in _words(pattern, "DaysOfWeek")]
            start = _DAYS[text(pattern, f"{T}FirstDayOfWeek") or "Monday"]
            return ["FREQ=WEEKLY", *_interval(pattern), f"BYDAY={','.join(days)}", f"WKST={start}"]
        case "AbsoluteMonthlyRecurrence":
            return ["FREQ=MONTHLY", *_interval(pattern), *_day_of_month(pattern)]
        case "RelativeMonthlyRecurrence":
            return ["FREQ=MONTHLY", *_interval(pattern), *_position(pattern)]
        case "AbsoluteYearlyRecurrence":
            return ["FREQ=YEARLY", _month(pattern), *_day_of_month(pattern)]
        case "RelativeYearlyRecurrence":
            return ["FREQ=YEARLY", _month(pattern), *_position(pattern)]
    raise KeyError(pattern.tag)


def _interval(pattern: Element) -> list[str]:
    every = _number(pattern, "Interval", 1, 9999)
    return [] if every == 1 else [f"INTERVAL={every}"]


def _month(pattern: Element) -> str:
    return f"BYMONTH={_MONTHS.index(text(pattern, f'{T}Month') or '') + 1}"


def _day_of_month(pattern: Element) -> list[str]:
    day = _number(pattern, "DayOfMonth", 1, 31)
    if day <= 28:
        return [f"BYMONTHDAY={day}"]
    return [f"BYMONTHDAY={','.join(str(each) for each in range(28, day + 1))}", "BYSETPOS=-1"]


def _position(pattern: Element) -> list[str]:
    position = _POSITIONS[text(pattern, f"{T}DayOfWeekIndex") or ""]
    (day,) = _words(pattern, "DaysOfWeek")
    if day in _SETS:
        return [f"BYDAY={_SETS[day]}", f"BYSETPOS={position}"]
    return [f"BYDAY={position}{_DAYS[day]}"]


def _range(bounds: Element) -> list[str]:
    match str(bounds.tag).removeprefix(T):
        case "NoEndRecurrence":
            return []
        case "EndDateRecurrence":
            # xs:date may carry an offset (2026-12-01+01:00); the date is the wall's all the same.
            found = re.match(r"(\d{4})-(\d\d)-(\d\d)", text(bounds, f"{T}EndDate") or "")
            if found is None:
                raise ValueError("no end date")
            return [f"UNTIL={''.join(found.groups())}T235959"]
        case "NumberedRecurrence":
            return [f"COUNT={_number(bounds, 'NumberOfOccurrences', 1, 100_000)}"]
    raise KeyError(bounds.tag)


def _words(pattern: Element, name: str) -> list[str]:
    words = (text(pattern, f"{T}{name}") or "").split()
    if not words:
        raise ValueError(f"no {name}")
    return words


def _number(pattern: Element, name: str, least: int, most: int) -> int:
    value = int(text(pattern, f"{T}{name}") or "")
    if not least <= value <= most:
        raise ValueError(f"{name} out of range")
    return value
