"""Every space with its calendars and meetings, and what follows from them at an instant. Pure; `picture.py` reads it.

Pages, panels and API all show a `RoomView`, so that they can't disagree.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kalends.features import words
from kalends.features.freshness import CalendarFacts, chosen, proof_of, trouble_of
from kalends.model.availability import Availability, Meeting, Policy, State, availability, meeting, midnight
from kalends.model.event import Event
from kalends.model.privacy import Audience, Details, EventView, Mode, view
from kalends.model.time import Span
from kalends.store.spaces import Space


@dataclass(frozen=True, slots=True)
class RoomView:
    """One space at one instant."""

    space: Space
    zone: ZoneInfo
    answer: Availability
    calendar: CalendarFacts | None
    """The one that speaks for it."""
    day: tuple[Meeting, ...]
    """What is on today, on the door's clock; free and cancelled ones are not in it."""
    later: tuple[Meeting, ...]
    """What takes up time after this instant, the next one first; at most `LATER`."""
    why: str
    trouble: str
    details: Details = field(default_factory=Details, compare=False)
    """Of an account in mode P0, while one page or answer is made; the views that the follower keeps have none."""

    @property
    def state(self) -> State:
        return self.answer.state

    @property
    def mode(self) -> str:
        return self.calendar.account.privacy if self.calendar else Mode.BUSY_ONLY

    def looks_like(self, other: "RoomView") -> bool:
        """Whether nobody could tell the two apart but for when they were last proved in step."""
        return self._face() == other._face()

    def _face(self) -> tuple[object, ...]:
        answer, calendar = self.answer, self.calendar
        health = calendar and replace(calendar, heard_at=None, verified_at=None)
        answer = replace(answer, proof=replace(answer.proof, at=None), changes_at=None)
        return self.space, answer, health, self.day, self.later, self.why

    def shown(self, event: Event, audience: Audience) -> EventView:
        return view(event, audience, self.mode, self.details.events.get(event.item))


LATER = 4


def room_view(
    space: Space,
    calendars: dict[str, CalendarFacts],
    events: dict[str, tuple[Event, ...]],
    now: datetime,
    policy: Policy,
) -> RoomView:
    """`calendars` and `events` by calendar id; more than the space needs may be in them."""
    zone = zone_of(space.zone)
    ranked = tuple(calendars[id_] for id_ in space.calendars if id_ in calendars)
    speaker = chosen(ranked, now, policy)
    meetings = [meeting(event, zone) for event in events.get(speaker.id, ())] if speaker else []
    answer = availability(meetings, proof_of(speaker), now, policy)
    busy = sorted((m for m in meetings if m.event.takes_time), key=lambda m: (m.span, m.event.item))
    today = day_of(now, zone)
    trouble = trouble_of(speaker)
    return RoomView(
        space=space,
        zone=zone,
        answer=answer,
        calendar=speaker,
        day=tuple(m for m in busy if m.span.overlaps(today)),
        later=tuple(m for m in busy if m.span.start > now)[:LATER],
        why=words.why(answer, now, zone, trouble),
        trouble=trouble,
    )


def zone_of(name: str) -> ZoneInfo:
    """UTC where the name means nothing: a clock that says its zone beats a room without a page."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def day_of(at: datetime, zone: ZoneInfo) -> Span:
    today = at.astimezone(zone).date()
    return Span(midnight(today, zone), midnight(today + timedelta(days=1), zone))


def horizon(now: datetime) -> Span:
    """What must be read so that today and tomorrow are whole on every clock on earth, all-day events included."""
    return Span(now - timedelta(hours=40), now + timedelta(hours=64))
