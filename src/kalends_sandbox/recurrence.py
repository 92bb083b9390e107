"""Which dates a series falls on: the six EWS patterns and their ranges. Dates only; series.py attaches time and zone.

Each pattern counts in periods (days, weeks, months or years, times its interval) from the range's start. A period is
found by arithmetic, so a window far into an endless series costs no more than one at its beginning. The rules are those
of MS-OXOCAL 2.2.1.44: a day that a month lacks falls on the month's last day, and a week begins on `first_day`.
"""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Literal

Day = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
DayOrGroup = Literal[Day, "Day", "Weekday", "WeekendDay"]
Index = Literal["First", "Second", "Third", "Fourth", "Last"]

DAYS: tuple[Day, ...] = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
INDEXES: tuple[Index, ...] = ("First", "Second", "Third", "Fourth", "Last")
MONTHS = ("January", "February", "March", "April", "May", "June",
          "July", "August", "September", "October", "November", "December")  # fmt: skip

MAX_INTERVAL = 999
MAX_COUNT = 9_999
# A pattern that its interval and days can satisfy does so at least once in this many periods.
_EMPTY_PERIODS = 8

_GROUPS: dict[str, frozenset[int]] = {
    "Day": frozenset(range(7)),
    "Weekday": frozenset(range(5)),
    "WeekendDay": frozenset({5, 6}),
}


@dataclass(frozen=True, slots=True)
class Daily:
    interval: int = 1

    def period_of(self, start: date, day: date) -> int:
        return (day - start).days // self.interval

    def days_of(self, start: date, period: int) -> tuple[date, ...]:
        return (_later(start, period * self.interval),)


@dataclass(frozen=True, slots=True)
class Weekly:
    days: tuple[Day, ...]
    interval: int = 1
    first_day: Day = "Sunday"

    def __post_init__(self) -> None:
        """The same days are the same pattern, in whatever order somebody wrote them."""
        object.__setattr__(self, "days", tuple(day for day in DAYS if day in self.days))

    def period_of(self, start: date, day: date) -> int:
        return (day - self._week_of(start)).days // (7 * self.interval)

    def days_of(self, start: date, period: int) -> tuple[date, ...]:
        week = _later(self._week_of(start), 7 * self.interval * period)
        offsets = sorted((DAYS.index(day) - DAYS.index(self.first_day)) % 7 for day in self.days)
        return tuple(_later(week, offset) for offset in offsets)

    def _week_of(self, day: date) -> date:
        into = (day.weekday() - DAYS.index(self.first_day)) % 7
        return day - timedelta(days=min(into, (day - date.min).days))


@dataclass(frozen=True, slots=True)
class AbsoluteMonthly:
    day_of_month: int
    interval: int = 1

    def period_of(self, start: date, day: date) -> int:
        return _months_between(start, day) // self.interval

    def days_of(self, start: date, period: int) -> tuple[date, ...]:
        year, month = _month_after(start, period * self.interval)
        return (_clipped(year, month, self.day_of_month),)


@dataclass(frozen=True, slots=True)
class RelativeMonthly:
    day: DayOrGroup
    index: Index
    interval: int = 1

    def period_of(self, start: date, day: date) -> int:
        return _months_between(start, day) // self.interval

    def days_of(self, start: date, period: int) -> tuple[date, ...]:
        year, month = _month_after(start, period * self.interval)
        return (_relative(year, month, self.day, self.index),)


@dataclass(frozen=True, slots=True)
class AbsoluteYearly:
    day_of_month: int
    month: int  # 1 to 12

    def period_of(self, start: date, day: date) -> int:
        return day.year - start.year

    def days_of(self, start: date, period: int) -> tuple[date, ...]:
        return (_clipped(start.year + period, self.month, self.day_of_month),)


@dataclass(frozen=True, slots=True)
class RelativeYearly:
    day: DayOrGroup
    index: Index
    month: int  # 1 to 12

    def period_of(self, start: date, day: date) -> int:
        return day.year - start.year

    def days_of(self, start: date, period: int) -> tuple[date, ...]:
        return (_relative(start.year + period, self.month, self.day, self.index),)


Pattern = Daily | Weekly | AbsoluteMonthly | RelativeMonthly | AbsoluteYearly | RelativeYearly


@dataclass(frozen=True)
class Recurrence:
    """A pattern and its range: without end, up to and including `end`, or `count` dates (deleted ones counted)."""

    pattern: Pattern
    start: date
    end: date | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        if fault := _fault(self):
            raise ValueError(fault)

    @cached_property
    def last(self) -> date | None:
        """The last date, None when the series never ends (or never begins)."""
        if self.count is not None:
            return self.nth(self.count)
        if self.end is None:
            return None
        period = max(0, self.pattern.period_of(self.start, self.end))
        for earlier in range(period, max(-1, period - _EMPTY_PERIODS), -1):
            found = [day for day in self._days_of(earlier) if self.start <= day <= self.end]
            if found:
                return found[-1]
        return None

    @cached_property
    def first(self) -> date | None:
        return next(self.dates(self.start, date.max), None)

    def dates(self, since: date, until: date) -> Iterator[date]:
        """Dates from `since` to `until`, both included, in order."""
        if self.count is not None or self.end is not None:
            if self.last is None:
                return
            until = min(until, self.last)
        if until < self.start:
            return
        skipped = self.pattern.period_of(self.start, max(since, self.start))
        for day in self._from(max(0, skipped)):
            if day > until:
                return
            if day >= since:
                yield day

    def nth(self, index: int) -> date | None:
        """The date of occurrence `index`, counted from 1; None beyond the end (or beyond the year 9999)."""
        if index < 1 or (self.count is not None and index > self.count):
            return None
        if isinstance(self.pattern, Daily):
            found = _steps_after(self.start, (index - 1) * self.pattern.interval)
        else:
            found = next((day for at, day in enumerate(self._from(0), 1) if at == index), None)
        return found if found is None or self.end is None or found <= self.end else None

    def _from(self, period: int) -> Iterator[date]:
        """All dates from that period on, without regard to the end. Ends at the year 9999 at the latest."""
        while days := self._days_of(period):
            for day in days:
                if day >= self.start:
                    yield day
            period += 1

    def _days_of(self, period: int) -> tuple[date, ...]:
        try:
            return self.pattern.days_of(self.start, period)
        except (OverflowError, ValueError):  # the calendar itself ends in 9999
            return ()


def _fault(recurrence: Recurrence) -> str | None:
    pattern = recurrence.pattern
    interval = getattr(pattern, "interval", 1)
    if not 1 <= interval <= MAX_INTERVAL:
        return f"A series repeats every 1 to {MAX_INTERVAL} periods, not every {interval}."
    if isinstance(pattern, Weekly) and not pattern.days:
        return "A weekly series needs at least one day of the week."
    if isinstance(pattern, AbsoluteMonthly | AbsoluteYearly) and not 1 <= pattern.day_of_month <= 31:
        return f"A month has days 1 to 31, not {pattern.day_of_month}."
    if isinstance(pattern, AbsoluteYearly | RelativeYearly) and not 1 <= pattern.month <= 12:
        return f"A year has months 1 to 12, not {pattern.month}."
    if recurrence.end is not None and recurrence.count is not None:
        return "A series ends on a date or after a number of occurrences, not both."
    if recurrence.count is not None and not 1 <= recurrence.count <= MAX_COUNT:
        return f"A numbered series has 1 to {MAX_COUNT} occurrences, not {recurrence.count}."
    if recurrence.end is not None and recurrence.end < recurrence.start:
        return f"The series would end on {recurrence.end}, before it starts on {recurrence.start}."
    return None


def _later(day: date, days: int) -> date:
    return day + timedelta(days=days)


def _steps_after(day: date, days: int) -> date | None:
    return _later(day, days) if days <= (date.max - day).days else None


def _months_between(start: date, day: date) -> int:
    return (day.year - start.year) * 12 + day.month - start.month


def _month_after(start: date, months: int) -> tuple[int, int]:
    years, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return years, month + 1


def _clipped(year: int, month: int, day: int) -> date:
    return date(year, month, min(day, monthrange(year, month)[1]))


def _relative(year: int, month: int, day: DayOrGroup, index: Index) -> date:
    """The n-th such day of a month. Every day and group occurs at least four times, so one is always found."""
    wanted = _GROUPS.get(day) or frozenset({DAYS.index(day)})
    length = monthrange(year, month)[1]
    first_weekday = date(year, month, 1).weekday()
    matching = [number for number in range(1, length + 1) if (first_weekday + number - 1) % 7 in wanted]
    return date(year, month, matching[-1] if index == "Last" else matching[INDEXES.index(index)])
