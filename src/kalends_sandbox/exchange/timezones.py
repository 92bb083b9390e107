"""GetServerTimeZones, and the zone definitions inside items. Neighbours: zones.py has the Windows names."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from kalends_sandbox.exchange.site import Call, Site
from kalends_sandbox.exchange.soap import answer, attribute, children, is_true, leaf, m, success, text_of
from kalends_sandbox.recurrence import DAYS
from kalends_sandbox.zones import IANA_BY_WINDOWS, Zone, zone

_NO_BIAS = timedelta(0)


def label(of: Zone) -> str:
    """The display name, such as `(UTC+01:00) Berlin`; an item's own where it brings one."""
    if of.label or not of.id:
        return of.label
    bias = datetime(2026, 1, 1, tzinfo=of.tz).utcoffset() or _NO_BIAS
    sign, minutes = ("-" if bias < _NO_BIAS else "+"), abs(bias) // timedelta(minutes=1)
    return f"(UTC{sign}{minutes // 60:02}:{minutes % 60:02}) {of.iana.rpartition('/')[2].replace('_', ' ')}"


def reference(name: str, of: Zone, at: datetime) -> str:
    """A zone inside an item: by id alone when Windows knows it, else with its whole definition; empty stays empty."""
    inside = "" if of.id in IANA_BY_WINDOWS or not of.id else _definition(of.iana, at.year)
    return f"<t:{name} Id={attribute(of.id)} Name={attribute(label(of))}>{inside}</t:{name}>"


def get_server_time_zones(site: Site, call: Call) -> str:
    full = is_true(call.element.get("ReturnFullTimeZoneData", "true"))
    wanted = call.element.find(m("Ids"))
    names = [text_of(one) for one in children(wanted)] if wanted is not None else sorted(IANA_BY_WINDOWS)
    year = site.world.clock.now().year
    zones = [zone(name) for name in names if name in IANA_BY_WINDOWS]
    inside = "".join(
        f"<t:TimeZoneDefinition Id={attribute(one.id)} Name={attribute(label(one))}>"
        f"{_definition(one.iana, year) if full else ''}</t:TimeZoneDefinition>"
        for one in zones
    )
    return answer(call.operation, [success(call.operation, f"<m:TimeZoneDefinitions>{inside}</m:TimeZoneDefinitions>")])


@lru_cache(maxsize=512)
def _definition(iana: str, year: int) -> str:
    """Periods and transitions by the rules of one year; a zone that keeps its offset all year has one period."""
    tz = ZoneInfo(iana)
    turns = list(changes(tz, year))
    standard = min(offset(tz, datetime(year, month, 1, tzinfo=UTC)) for month in (1, 7))
    if len(turns) != 2:
        standard = offset(tz, datetime(year, 7, 1, tzinfo=UTC))
        return _xml([_period("std", "Standard", standard)], _to("std", "Transition"))
    daylight = max(offset(tz, at) for at in turns)
    transitions = "".join(_recurring(tz, at, "dlt" if offset(tz, at) == daylight else "std") for at in turns)
    return _xml([_period("std", "Standard", standard), _period("dlt", "Daylight", daylight)], transitions)


def _xml(periods: list[str], transitions: str) -> str:
    return (
        f"<t:Periods>{''.join(periods)}</t:Periods>"
        f'<t:TransitionsGroups><t:TransitionsGroup Id="0">{transitions}</t:TransitionsGroup></t:TransitionsGroups>'
        '<t:Transitions><t:Transition><t:To Kind="Group">0</t:To></t:Transition></t:Transitions>'
    )


def _period(id_: str, name: str, offset: timedelta) -> str:
    return f'<t:Period Bias="{_span(-offset)}" Name="{name}" Id="{id_}"/>'


def _to(period: str, element: str, rest: str = "") -> str:
    return f'<t:{element}><t:To Kind="Period">{period}</t:To>{rest}</t:{element}>'


def _recurring(tz: ZoneInfo, at: datetime, period: str) -> str:
    """The change as a rule: n-th weekday of a month (-1: the last) at a wall time before the change."""
    wall = at.replace(tzinfo=None) + offset(tz, at - timedelta(seconds=1))
    into = timedelta(hours=wall.hour, minutes=wall.minute)
    is_last = (wall + timedelta(days=7)).month != wall.month
    rest = (
        f"<t:TimeOffset>{_span(into)}</t:TimeOffset>{leaf('Month', str(wall.month))}"
        f"{leaf('DayOfWeek', DAYS[wall.weekday()])}{leaf('Occurrence', str(-1 if is_last else (wall.day + 6) // 7))}"
    )
    return _to(period, "RecurringDayTransition", rest)


def changes(tz: ZoneInfo, year: int) -> Iterator[datetime]:
    """The instants in that year at which the offset changes, to the minute."""
    day, step = datetime(year, 1, 1, tzinfo=UTC), timedelta(days=1)
    while day.year == year:
        if offset(tz, day) != offset(tz, day + step):
            yield _between(tz, day, day + step)
        day += step


def _between(tz: ZoneInfo, low: datetime, high: datetime) -> datetime:
    before = offset(tz, low)
    while high - low > timedelta(minutes=1):
        middle = low + (high - low) / 2
        middle = middle.replace(second=0, microsecond=0)
        low, high = (middle, high) if offset(tz, middle) == before else (low, middle)
    return high


def offset(tz: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(tz).utcoffset() or _NO_BIAS


def _span(length: timedelta) -> str:
    """xs:duration in hours and minutes, such as -PT1H0M."""
    sign, minutes = ("-" if length < _NO_BIAS else ""), abs(length) // timedelta(minutes=1)
    return f"{sign}PT{minutes // 60}H{minutes % 60}M"
