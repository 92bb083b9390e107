"""A series' pattern, range and odd occurrences as EWS writes them.

Neighbours: recurrence.py and series.py know what they mean.
"""

from collections.abc import Callable
from datetime import date, datetime, time

from kalends_sandbox import series
from kalends_sandbox.exchange.soap import attribute, leaf
from kalends_sandbox.item import Item
from kalends_sandbox.recurrence import (
    MONTHS,
    AbsoluteMonthly,
    AbsoluteYearly,
    Daily,
    Pattern,
    RelativeMonthly,
    RelativeYearly,
    Weekly,
)

Moment = Callable[[datetime], str]


def recurrence(master: Item) -> str:
    if master.recurrence is None:
        return ""
    return f"<t:Recurrence>{_pattern(master.recurrence.pattern)}{_range(master)}</t:Recurrence>"


def _pattern(pattern: Pattern) -> str:
    match pattern:
        case Daily(interval):
            return f"<t:DailyRecurrence>{leaf('Interval', str(interval))}</t:DailyRecurrence>"
        case Weekly(days, interval, first_day):
            inside = leaf("Interval", str(interval)) + leaf("DaysOfWeek", " ".join(days))
            return f"<t:WeeklyRecurrence>{inside}{leaf('FirstDayOfWeek', first_day)}</t:WeeklyRecurrence>"
        case AbsoluteMonthly(day, interval):
            inside = leaf("Interval", str(interval)) + leaf("DayOfMonth", str(day))
            return f"<t:AbsoluteMonthlyRecurrence>{inside}</t:AbsoluteMonthlyRecurrence>"
        case RelativeMonthly(day, index, interval):
            inside = leaf("Interval", str(interval)) + leaf("DaysOfWeek", day) + leaf("DayOfWeekIndex", index)
            return f"<t:RelativeMonthlyRecurrence>{inside}</t:RelativeMonthlyRecurrence>"
        case AbsoluteYearly(day, month):
            inside = leaf("DayOfMonth", str(day)) + leaf("Month", MONTHS[month - 1])
            return f"<t:AbsoluteYearlyRecurrence>{inside}</t:AbsoluteYearlyRecurrence>"
        case RelativeYearly(day, index, month):
            inside = leaf("DaysOfWeek", day) + leaf("DayOfWeekIndex", index) + leaf("Month", MONTHS[month - 1])
            return f"<t:RelativeYearlyRecurrence>{inside}</t:RelativeYearlyRecurrence>"


def _range(master: Item) -> str:
    found = master.recurrence
    assert found is not None
    start = leaf("StartDate", _date(master, found.start))
    if found.count is not None:
        inside = start + leaf("NumberOfOccurrences", str(found.count))
        return f"<t:NumberedRecurrence>{inside}</t:NumberedRecurrence>"
    if found.end is not None:
        return f"<t:EndDateRecurrence>{start}{leaf('EndDate', _date(master, found.end))}</t:EndDateRecurrence>"
    return f"<t:NoEndRecurrence>{start}</t:NoEndRecurrence>"


def _date(master: Item, day: date) -> str:
    """Exchange writes dates of a range with the offset that the series' zone has on that day: 2026-12-01+01:00."""
    return day.isoformat() + datetime.combine(day, time(), master.zone.tz).isoformat()[19:25]


def first(master: Item, moment: Moment) -> str:
    found = series.first_occurrence(master) if master.recurrence is not None else None
    return "" if found is None else f"<t:FirstOccurrence>{_occurrence(found, moment)}</t:FirstOccurrence>"


def last(master: Item, moment: Moment) -> str:
    found = series.last_occurrence(master) if master.recurrence is not None else None
    return "" if found is None else f"<t:LastOccurrence>{_occurrence(found, moment)}</t:LastOccurrence>"


def modified(master: Item, moment: Moment) -> str:
    inside = "".join(
        f"<t:Occurrence>{_occurrence(series.occurrence(master, original), moment)}</t:Occurrence>"
        for original in sorted(master.exceptions)
    )
    return f"<t:ModifiedOccurrences>{inside}</t:ModifiedOccurrences>" if inside else ""


def deleted(master: Item, moment: Moment) -> str:
    inside = "".join(
        f"<t:DeletedOccurrence><t:Start>{moment(original)}</t:Start></t:DeletedOccurrence>"
        for original in master.deleted
    )
    return f"<t:DeletedOccurrences>{inside}</t:DeletedOccurrences>" if inside else ""


def _occurrence(found: Item, moment: Moment) -> str:
    assert found.original_start is not None
    return (
        f"<t:ItemId Id={attribute(found.item_id)} ChangeKey={attribute(found.change_key)}/>"
        f"<t:Start>{moment(found.start)}</t:Start><t:End>{moment(found.end)}</t:End>"
        f"<t:OriginalStart>{moment(found.original_start)}</t:OriginalStart>"
    )
