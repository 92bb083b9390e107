"""The sentences about states and times: said once here, the same on page and panel, in the API and in logs."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from kalends.model.availability import Availability, Rule, State
from kalends.model.time import Dates, Span

STATE_WORDS = {
    State.AVAILABLE: "Available",
    State.STARTING_SOON: "Starting soon",
    State.IN_USE: "In use",
    State.UNKNOWN: "Unknown",
}

CALENDAR_WORDS = {
    "catching_up": "Catching up",
    "in_sync": "In sync",
    "degraded": "Degraded",
    "held": "Held",
    "gone": "Not found",
}

ACCOUNT_WORDS = {
    "new": "New",
    "in_sync": "In sync",
    "degraded": "Degraded",
    "reauthenticate": "Refused",
    "paused": "Paused",
}


def clock_time(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).strftime("%H:%M")


def clock_seconds(at: datetime, zone: ZoneInfo) -> str:
    return at.astimezone(zone).strftime("%H:%M:%S")


def day_name(at: datetime, zone: ZoneInfo) -> str:
    local = at.astimezone(zone)
    return f"{local:%A} {local.day} {local:%B}"


def moment(at: datetime, now: datetime, zone: ZoneInfo) -> str:
    """A time of today as 14:30, of tomorrow as “tomorrow 09:00”, else with its day."""
    local, today = at.astimezone(zone), now.astimezone(zone).date()
    days = (local.date() - today).days
    if days == 0:
        return f"{local:%H:%M}"
    if days in (-1, 1):
        return f"{'tomorrow' if days == 1 else 'yesterday'} {local:%H:%M}"
    return f"{local:%a} {local.day} {local:%b} {local:%H:%M}"


def full_moment(at: datetime, zone: ZoneInfo) -> str:
    """With date, seconds and zone, for tooltips."""
    local = at.astimezone(zone)
    return f"{local:%a} {local.day} {local:%b} {local.year} {local:%H:%M:%S} {local.tzname()}"


def stretch_of(span: Span, dates: Dates | None, now: datetime, zone: ZoneInfo) -> str:
    """When a meeting is, on its room's clock."""
    if dates is not None:
        return (
            "all day" if (dates.until - dates.first).days <= 1 else f"all day until {dates.until.day} {dates.until:%b}"
        )
    start, end = moment(span.start, now, zone), span.end.astimezone(zone)
    if end.date() == span.start.astimezone(zone).date():
        return f"{start}–{end:%H:%M}"
    return f"{start} – {moment(span.end, now, zone)}"


def duration(length: timedelta) -> str:
    """Rounded down to what a person would say: 12 s, 6 min, 3 h, 2 days."""
    seconds = max(0, int(length.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 2 * 86400:
        return f"{seconds // 3600} h"
    return f"{seconds // 86400} days"


def lag(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "–"
    return f"{milliseconds} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def found(polling: str, is_heard: bool) -> str:
    """How Kalends learns of changes in a calendar. `polling` is why no stream listens for it."""
    return polling or ("At once: a stream tells." if is_heard else "By polling, until its stream stands.")


def until(answer: Availability, now: datetime, zone: ZoneInfo) -> str:
    """The short line under the state word."""
    if answer.state is State.UNKNOWN:
        return ""
    if answer.until is None:
        return "Nothing else is booked today"
    at = moment(answer.until, now, zone)
    return f"at {at}" if answer.state is State.STARTING_SOON else f"until {at}"


def why(answer: Availability, now: datetime, zone: ZoneInfo, trouble: str = "") -> str:
    """One sentence for the state; `trouble` is the calendar's own reason, if it has one."""
    match answer.rule:
        case Rule.NO_CALENDAR:
            return "No calendar is linked to this room. An administrator can link one."
        case Rule.NEVER_READ:
            return trouble or "Its calendar is being read for the first time."
        case Rule.STALE:
            assert answer.proof.at is not None, "stale data was fresh once"
            since = f"Not in step with its calendar since {moment(answer.proof.at, now, zone)}."
            return f"{since} {trouble}".strip()
        case Rule.NOTHING_AHEAD:
            return "Its calendar shows no meeting today or tomorrow."
    assert answer.until is not None, "these rules know when they end"
    at = moment(answer.until, now, zone)
    match answer.rule:
        case Rule.MEETING_NOW:
            double = f" {answer.overlapping + 1} meetings are booked for the same time." if answer.overlapping else ""
            return f"Its calendar shows it booked until {at}.{double}"
        case Rule.MEETING_SOON:
            return f"Its calendar shows a meeting at {at}."
        case _:
            return f"Its calendar shows nothing until {at}."
