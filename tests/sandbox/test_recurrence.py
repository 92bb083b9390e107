"""Dates of all six patterns, against dateutil (which the sandbox itself does not use) and against what Outlook does."""

from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import ClassVar

import pytest
from dateutil import rrule
from hypothesis import given
from hypothesis import strategies as st

from kalends_sandbox.recurrence import (
    DAYS,
    INDEXES,
    AbsoluteMonthly,
    AbsoluteYearly,
    Daily,
    Recurrence,
    RelativeMonthly,
    RelativeYearly,
    Weekly,
)

starts = st.dates(date(1999, 1, 1), date(2030, 12, 31))
intervals = st.integers(1, 6)
day_sets = st.lists(st.sampled_from(DAYS), min_size=1, unique=True).map(tuple)
index_numbers = dict(zip(INDEXES, (1, 2, 3, 4, -1), strict=True))
groups = {"Day": range(7), "Weekday": range(5), "WeekendDay": range(5, 7)}


def weekdays(day):
    return groups.get(day) or [DAYS.index(day)]


@st.composite
def series(draw):
    """A pattern of ours and the RFC 5545 rule that means the same."""
    start, every = draw(starts), draw(intervals)
    index, group = draw(st.sampled_from(INDEXES)), draw(st.sampled_from([*DAYS, *groups]))
    day, month, first = draw(st.integers(1, 28)), draw(st.integers(1, 12)), draw(st.sampled_from(DAYS))
    days = draw(day_sets)
    relative = {"byweekday": list(weekdays(group)), "bysetpos": index_numbers[index]}
    weekly = {"byweekday": [DAYS.index(one) for one in days], "wkst": DAYS.index(first)}
    pattern, rule = draw(
        st.sampled_from(
            [
                (Daily(every), {"freq": rrule.DAILY, "interval": every}),
                (Weekly(days, every, first), {"freq": rrule.WEEKLY, "interval": every, **weekly}),
                (AbsoluteMonthly(day, every), {"freq": rrule.MONTHLY, "interval": every, "bymonthday": day}),
                (RelativeMonthly(group, index, every), {"freq": rrule.MONTHLY, "interval": every, **relative}),
                (AbsoluteYearly(day, month), {"freq": rrule.YEARLY, "bymonth": month, "bymonthday": day}),
                (RelativeYearly(group, index, month), {"freq": rrule.MONTHLY, "bymonth": month, **relative}),
            ]
        )
    )
    return start, pattern, rule


def by_dateutil(start, rule, **bounds):
    if "until" in bounds:
        bounds["until"] = datetime.combine(bounds["until"], time())
    return (found.date() for found in rrule.rrule(dtstart=datetime.combine(start, time()), **rule, **bounds))


@given(series(), st.integers(0, 3000), st.integers(0, 800))
def test_a_window_anywhere_in_a_series_holds_the_dates_of_the_equivalent_rule(one, offset, length):
    start, pattern, rule = one
    since = start + timedelta(days=offset)
    until = since + timedelta(days=length)

    found = list(Recurrence(pattern, start).dates(since, until))

    assert found == [day for day in by_dateutil(start, rule, until=until) if day >= since]


@given(series(), st.integers(1, 40))
def test_a_numbered_series_ends_after_that_many(one, count):
    start, pattern, rule = one

    recurrence = Recurrence(pattern, start, count=count)

    expected = list(by_dateutil(start, rule, count=count))
    assert list(recurrence.dates(start, date(9999, 12, 31))) == expected
    assert recurrence.last == expected[-1]
    assert recurrence.first == expected[0]


@given(series(), st.integers(0, 2000))
def test_an_end_date_is_included_and_the_last_date_known(one, days):
    start, pattern, rule = one
    end = start + timedelta(days=days)

    recurrence = Recurrence(pattern, start, end=end)

    expected = list(by_dateutil(start, rule, until=end))
    assert list(recurrence.dates(start, date(9999, 12, 31))) == expected
    assert recurrence.last == (expected[-1] if expected else None)


@given(series(), st.integers(1, 30))
def test_the_nth_date_is_the_nth_of_the_list(one, index):
    start, pattern, _ = one
    recurrence = Recurrence(pattern, start)

    found = recurrence.nth(index)

    assert found == next(islice(recurrence.dates(start, date(9999, 12, 31)), index - 1, None))


def test_a_day_that_a_month_lacks_falls_on_its_last_day():
    monthly = Recurrence(AbsoluteMonthly(31), date(2027, 1, 31))
    yearly = Recurrence(AbsoluteYearly(29, 2), date(2024, 2, 29))

    assert list(monthly.dates(date(2027, 2, 1), date(2027, 4, 30))) == [
        date(2027, 2, 28),
        date(2027, 3, 31),
        date(2027, 4, 30),
    ]
    assert list(yearly.dates(date(2025, 1, 1), date(2028, 12, 31)))[0::3] == [date(2025, 2, 28), date(2028, 2, 29)]


def test_the_first_day_of_the_week_decides_which_weeks_a_fortnightly_series_meets():
    start = date(2026, 11, 22)  # a Sunday
    by_sunday = Recurrence(Weekly(("Sunday", "Monday"), 2, "Sunday"), start)
    by_monday = Recurrence(Weekly(("Sunday", "Monday"), 2, "Monday"), start)

    until = date(2026, 12, 7)

    assert list(by_sunday.dates(start, until)) == [start, date(2026, 11, 23), date(2026, 12, 6), date(2026, 12, 7)]
    assert list(by_monday.dates(start, until)) == [start, date(2026, 11, 30), date(2026, 12, 6)]


class Counting(Daily):
    """A daily pattern that counts how often it is asked for a period."""

    asked: ClassVar[list[int]] = []

    def days_of(self, start, period):
        self.asked.append(period)
        return super().days_of(start, period)


def test_a_window_into_an_endless_series_from_1999_looks_at_that_window_only():
    Counting.asked.clear()
    recurrence = Recurrence(Counting(), date(1999, 1, 1))

    found = list(recurrence.dates(date(2026, 11, 23), date(2026, 11, 29)))

    assert len(found) == 7
    assert len(Counting.asked) <= 9


def test_a_series_at_the_end_of_the_calendar_just_ends():
    recurrence = Recurrence(Weekly(("Friday",), 1), date(9999, 12, 1))

    found = list(recurrence.dates(date(9999, 12, 1), date.max))

    assert found == [date(9999, 12, day) for day in (3, 10, 17, 24, 31)]
    assert recurrence.nth(6) is None


@pytest.mark.parametrize(
    ("pattern", "bounds", "word"),
    [
        (Daily(0), {}, "every 0"),
        (Weekly(()), {}, "day of the week"),
        (AbsoluteMonthly(32), {}, "days 1 to 31"),
        (RelativeYearly("Monday", "First", 13), {}, "months 1 to 12"),
        (Daily(), {"end": date(2026, 1, 1), "count": 3}, "not both"),
        (Daily(), {"count": 0}, "1 to"),
        (Daily(), {"end": date(2025, 1, 1)}, "before it starts"),
    ],
)
def test_a_series_that_makes_no_sense_is_refused_with_a_sentence(pattern, bounds, word):
    with pytest.raises(ValueError, match=word):
        Recurrence(pattern, date(2026, 1, 1), **bounds)
