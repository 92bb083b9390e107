"""The dates of an all-day meeting. Pure.

Exchange sends instants: midnight to midnight in the zone that the meeting was made in. With the zone known they are
read back there. With an unknown zone (custom, localised, empty) the offset that makes both ends midnight tells the dates.
"""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from kalends.model.event import Zone
from kalends.model.time import Dates, Span

_DAY = timedelta(days=1)
_SLACK = timedelta(hours=2)
"""How far from midnight a day may begin: where summer time starts at midnight, that day begins at 01:00."""
_EASTMOST = timedelta(hours=13)
"""Offsets from −11 to +13 h make every time of day some zone's midnight once. −10 is Hawaii, +13 New Zealand in summer."""


def dates_of(span: Span, zone: Zone) -> Dates:
    """At least one day, whatever came."""
    tz = ZoneInfo(zone.iana) if zone.iana is not None else None
    first, until = (_midnight_in(at, tz) or _midnight_anywhere(at) for at in (span.start, span.end))
    return Dates(first, max(until, first + _DAY))


def _midnight_in(at: datetime, tz: ZoneInfo | None) -> date | None:
    """The date that begins here in this zone; None where no day begins near."""
    if tz is None:
        return None
    wall = at.astimezone(tz).replace(tzinfo=None)
    nearest = (wall + _DAY / 2).date()
    begins = datetime(nearest.year, nearest.month, nearest.day)  # noqa: DTZ001 - a wall time, compared with another
    return nearest if abs(wall - begins) <= _SLACK else None


def _midnight_anywhere(at: datetime) -> date:
    past = timedelta(hours=at.hour, minutes=at.minute)
    offset = -past if past < _DAY - _EASTMOST else _DAY - past
    return (at + offset).date()
