"""Zones as GetUserAvailability has them: an offset in minutes and two yearly rules, with no name (SerializableTimeZone).

A `Bias` is what is added to local time to reach UTC, so Berlin's is -60; that of a rule comes on top of the zone's own.
Neighbours: availability.py reads and writes them, timezones.py knows the zones that have names.
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from kalends_sandbox.exchange.soap import Element, Fault, leaf, need, need_number, t, text_of
from kalends_sandbox.exchange.timezones import changes, offset
from kalends_sandbox.recurrence import DAYS
from kalends_sandbox.zones import Zone

_MOST_MINUTES: Final = 24 * 60
_LAST: Final = 5  # which in a month: 1 to 4, or the last
_NEVER: Final = (
    "<t:Time>00:00:00</t:Time><t:DayOrder>0</t:DayOrder><t:Month>0</t:Month><t:DayOfWeek>Sunday</t:DayOfWeek>"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """From when in the year which bias holds. `month` 0: never. `year`: only then, and `order` is the day of the month."""

    bias: timedelta
    at: time
    order: int
    month: int
    day: str
    year: int | None = None

    def start(self, year: int) -> datetime | None:
        """The wall time, by the clock before the change, at which it begins in that year."""
        if not self.month or (self.year is not None and self.year != year):
            return None
        first, days = monthrange(year, self.month)
        if self.year is not None:
            return datetime.combine(date(year, self.month, min(self.order, days)), self.at)
        day = 1 + (DAYS.index(self.day) - first) % 7 + 7 * (self.order - 1)
        return datetime.combine(date(year, self.month, day if day <= days else day - 7), self.at)


@dataclass(frozen=True, slots=True)
class Bias:
    """The zone of a request."""

    bias: timedelta
    standard: Rule
    daylight: Rule

    def local(self, at: datetime) -> datetime:
        """The wall time, without zone, of an instant."""
        standard = at.astimezone(UTC).replace(tzinfo=None) - self.bias - self.standard.bias
        daylight = standard + self.standard.bias - self.daylight.bias
        return daylight if self._is_daylight(standard, daylight) else standard

    def instant(self, wall: datetime) -> datetime:
        """The instant of a wall time; one that comes twice is meant as standard time."""
        standard = (wall + self.bias + self.standard.bias).replace(tzinfo=UTC)
        daylight = (wall + self.bias + self.daylight.bias).replace(tzinfo=UTC)
        return standard if self.local(standard) == wall else daylight

    def _is_daylight(self, standard: datetime, daylight: datetime) -> bool:
        begins, ends = (rule.start(standard.year) for rule in (self.daylight, self.standard))
        if begins is None or ends is None:
            return False
        if begins < ends:
            return standard >= begins and daylight < ends
        return standard >= begins or daylight < ends  # the southern half of the world


def read(element: Element) -> Bias:
    standard, daylight = (_rule(need(element, t(name))) for name in ("StandardTime", "DaylightTime"))
    return Bias(_minutes(element), standard, daylight)


def _rule(element: Element) -> Rule:
    try:
        at = time.fromisoformat(text_of(need(element, t("Time"))))
    except ValueError:
        raise _broken("a Time that is none") from None
    year = need_number(text_of(element.find(t("Year"))) or "0", "Year", 0, 9999)
    order = need_number(text_of(need(element, t("DayOrder"))), "DayOrder", -(2**15), 2**15 - 1)
    month = need_number(text_of(need(element, t("Month"))), "Month", -(2**15), 2**15 - 1)
    day = text_of(need(element, t("DayOfWeek")))
    if not 0 <= month <= 12 or (month and not 1 <= order <= (31 if year else _LAST)):
        raise _broken(f"the day {order} of month {month}")
    if not year and day not in DAYS:
        raise _broken(f"the weekday {day}")
    return Rule(_minutes(element), at.replace(tzinfo=None), order, month, day, year or None)


def _minutes(element: Element) -> timedelta:
    minutes = need_number(text_of(need(element, t("Bias"))), "Bias", -(2**31), 2**31 - 1)
    if abs(minutes) > _MOST_MINUTES:
        raise _broken(f"a Bias of {minutes} minutes")
    return timedelta(minutes=minutes)


def _broken(what: str) -> Fault:
    return Fault("ErrorTimeZone", f"The time zone of the request has {what}.")


def written(zone: Zone, year: int) -> str:
    """A named zone by its rules of that year; one that keeps its offset has rules that never begin."""
    turns = list(changes(zone.tz, year))
    if len(turns) != 2:
        bias = -offset(zone.tz, datetime(year, 7, 1, tzinfo=UTC))
        never = f"<t:Bias>0</t:Bias>{_NEVER}"
        return _zone(bias, never, never)
    standard = min(offset(zone.tz, at) for at in turns)
    rules = {}
    for at in turns:
        now, before = offset(zone.tz, at), offset(zone.tz, at - timedelta(seconds=1))
        rules[now == standard] = leaf("Bias", _whole_minutes(standard - now)) + _turn(at.replace(tzinfo=None) + before)
    return _zone(-standard, rules[True], rules[False])


def _zone(bias: timedelta, standard: str, daylight: str) -> str:
    return (
        f"<t:TimeZone>{leaf('Bias', _whole_minutes(bias))}<t:StandardTime>{standard}</t:StandardTime>"
        f"<t:DaylightTime>{daylight}</t:DaylightTime></t:TimeZone>"
    )


def _turn(wall: datetime) -> str:
    is_last = (wall + timedelta(days=7)).month != wall.month
    return (
        f"{leaf('Time', wall.time().isoformat())}{leaf('DayOrder', str(_LAST if is_last else (wall.day + 6) // 7))}"
        f"{leaf('Month', str(wall.month))}{leaf('DayOfWeek', DAYS[wall.weekday()])}"
    )


def _whole_minutes(length: timedelta) -> str:
    return str(length // timedelta(minutes=1))
