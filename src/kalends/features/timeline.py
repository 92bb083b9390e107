"""One day of a room as bars between 06:00 and 22:00 on the door's clock, in percent of that stretch. Pure."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from kalends.features import words
from kalends.features.rooms import RoomView, day_of
from kalends.model.availability import Meeting
from kalends.model.event import ShowAs
from kalends.model.privacy import Audience

FROM_HOUR, TO_HOUR = 6, 22
_HOURS = TO_HOUR - FROM_HOUR
LABEL_FROM = 3.5
"""Percent: narrower bars carry their title as a tooltip only."""
MOST_BARS = 48
"""Of one day; whatever is beyond can't be told apart anyway."""


@dataclass(frozen=True, slots=True)
class Hour:
    x: str
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    x: str
    width: str
    title: str
    label: str
    marks: str
    """CSS classes, each with a space before it."""


HOURS = tuple(Hour(f"{(hour - FROM_HOUR) / _HOURS:.2%}", f"{hour:02}:00") for hour in range(FROM_HOUR, TO_HOUR + 1))


def place(at: datetime, zone: ZoneInfo, day: datetime) -> float:
    """Where `at` stands in percent, by wall clock; outside 0…100 when it is not between the hours shown.

    `day` is any instant of the day shown. Wall-clock places keep 14:00 under its mark on days with 23 or 25 hours.
    """
    local, today = at.astimezone(zone), day.astimezone(zone).date()
    hours = (local.date() - today).days * 24 + local.hour + local.minute / 60 + local.second / 3600
    return (hours - FROM_HOUR) / _HOURS * 100


def bars(room: RoomView, audience: Audience, now: datetime) -> tuple[Bar, ...]:
    found = (_bar(room, meeting, audience, now) for meeting in room.day[:MOST_BARS])
    return tuple(bar for bar in found if bar is not None)


def _bar(room: RoomView, meeting: Meeting, audience: Audience, now: datetime) -> Bar | None:
    today = day_of(now, room.zone)
    start = max(meeting.span.start, today.start)
    left = max(0.0, place(start, room.zone, now))
    right = 100.0 if meeting.span.end >= today.end else min(100.0, place(meeting.span.end, room.zone, now))
    if right <= left:
        return None
    shown = room.shown(meeting.event, audience)
    when = words.stretch_of(meeting.span, meeting.event.dates, now, room.zone)
    is_now = now in meeting.span
    marks = " is-now" if is_now else ""
    marks += " is-tentative" if shown.show_as is ShowAs.TENTATIVE else ""
    marks += " is-double" if is_now and room.answer.overlapping else ""
    label = shown.title if right - left >= LABEL_FROM else ""
    return Bar(f"{left:.2f}%", f"{right - left:.2f}%", f"{when} {shown.title}", label, marks)


def in_words(room: RoomView, audience: Audience, now: datetime) -> str:
    """The day for those who can't see the bars."""
    if not room.day:
        return "Nothing is booked today."
    parts = []
    for meeting in room.day[:MOST_BARS]:
        when = words.stretch_of(meeting.span, meeting.event.dates, now, room.zone)
        parts.append(f"{when} {room.shown(meeting.event, audience).title}")
    return "Booked today: " + "; ".join(parts) + "."
