"""Exchange's patterns as RRULEs: judged by dateutil against the sandbox's own expansion, which shares no code with us."""

from datetime import date, datetime, timedelta
from itertools import islice, product

import pytest
from dateutil.rrule import rrulestr
from lxml import etree

from kalends.providers.exchange.recurrence import rrule
from kalends.providers.exchange.soap import TYPES
from kalends_sandbox import recurrence as sandbox

START = date(2026, 1, 5)  # a Monday


def element(pattern: str, bounds: str = "<t:NoEndRecurrence><t:StartDate>2026-01-05</t:StartDate></t:NoEndRecurrence>"):
    return etree.fromstring(f'<t:Recurrence xmlns:t="{TYPES}">{pattern}{bounds}</t:Recurrence>')


def fields(**given: object) -> str:
    return "".join(f"<t:{name}>{value}</t:{name}>" for name, value in given.items())


def patterns() -> list[tuple[str, sandbox.Pattern]]:
    found: list[tuple[str, sandbox.Pattern]] = []
    for every in (1, 3):
        found.append((f"<t:DailyRecurrence>{fields(Interval=every)}</t:DailyRecurrence>", sandbox.Daily(every)))
    for every, first in product((1, 2, 5), ("Sunday", "Monday", "Saturday")):
        inside = fields(Interval=every, DaysOfWeek="Sunday Monday Friday", FirstDayOfWeek=first)
        weekly = sandbox.Weekly(("Sunday", "Monday", "Friday"), every, first)
        found.append((f"<t:WeeklyRecurrence>{inside}</t:WeeklyRecurrence>", weekly))
    for every, day in product((1, 2), (1, 28, 29, 30, 31)):
        inside = fields(Interval=every, DayOfMonth=day)
        found.append(
            (
                f"<t:AbsoluteMonthlyRecurrence>{inside}</t:AbsoluteMonthlyRecurrence>",
                sandbox.AbsoluteMonthly(day, every),
            )
        )
    for day, index in product(("Tuesday", "Day", "Weekday", "WeekendDay"), sandbox.INDEXES):
        inside = fields(Interval=1, DaysOfWeek=day, DayOfWeekIndex=index)
        monthly = sandbox.RelativeMonthly(day, index, 1)
        found.append((f"<t:RelativeMonthlyRecurrence>{inside}</t:RelativeMonthlyRecurrence>", monthly))
        inside = fields(DaysOfWeek=day, DayOfWeekIndex=index, Month="March")
        yearly = sandbox.RelativeYearly(day, index, 3)
        found.append((f"<t:RelativeYearlyRecurrence>{inside}</t:RelativeYearlyRecurrence>", yearly))
    for day, month in ((29, "February"), (31, "December"), (1, "July")):
        inside = fields(DayOfMonth=day, Month=month)
        number = sandbox.MONTHS.index(month) + 1
        found.append(
            (f"<t:AbsoluteYearlyRecurrence>{inside}</t:AbsoluteYearlyRecurrence>", sandbox.AbsoluteYearly(day, number))
        )
    return found


@pytest.mark.parametrize(("pattern", "oracle"), patterns())
def test_a_rule_falls_on_the_days_that_exchange_means(pattern: str, oracle: sandbox.Pattern) -> None:
    rule = rrule(element(pattern))

    assert rule is not None
    begin = datetime(START.year, START.month, START.day, 9)
    ours = [at.date() for at in islice(rrulestr(rule, dtstart=begin), 12)]
    until = START + timedelta(days=366 * 13)
    assert ours == list(islice(sandbox.Recurrence(oracle, START).dates(START, until), 12))


DAILY = "<t:DailyRecurrence><t:Interval>1</t:Interval></t:DailyRecurrence>"


@pytest.mark.parametrize("day", ["2026-01-09", "2026-01-09+01:00", "2026-01-09Z"])
def test_an_end_date_includes_its_whole_day_whatever_offset_it_carries(day: str) -> None:
    inside = fields(StartDate="2026-01-05", EndDate=day)

    rule = rrule(element(DAILY, f"<t:EndDateRecurrence>{inside}</t:EndDateRecurrence>"))

    assert rule == "FREQ=DAILY;UNTIL=20260109T235959"


def test_a_number_of_meetings_is_a_count() -> None:
    inside = fields(StartDate="2026-01-05", NumberOfOccurrences=7)

    rule = rrule(element(DAILY, f"<t:NumberedRecurrence>{inside}</t:NumberedRecurrence>"))

    assert rule == "FREQ=DAILY;COUNT=7"


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("<t:DailyRegeneration><t:Interval>1</t:Interval></t:DailyRegeneration>", "tasks regenerate, meetings don't"),
        ("<t:DailyRecurrence><t:Interval>0</t:Interval></t:DailyRecurrence>", "an interval of 0 never ends"),
        ("<t:DailyRecurrence/>", "nothing says how often"),
        ("<t:WeeklyRecurrence><t:Interval>1</t:Interval></t:WeeklyRecurrence>", "no day"),
        ("", "no pattern"),
    ],
)
def test_a_pattern_that_makes_no_sense_is_no_rule(pattern: str, reason: str) -> None:
    assert rrule(element(pattern)) is None
