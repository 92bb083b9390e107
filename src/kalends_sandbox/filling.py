"""Ordinary meetings made up by rule, until rooms are as busy as they are in life. Neighbours: founding.py, copies.py.

They are written straight into all the calendars concerned, answered and settled: thousands of them in a second or so.
"""

import random
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice

from kalends_sandbox import copies
from kalends_sandbox.description import FillingSpec
from kalends_sandbox.item import Attendee, Item, Party, Response
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.place import BookingRules
from kalends_sandbox.recurrence import DAYS, Recurrence, Weekly
from kalends_sandbox.world import World

_Span = tuple[datetime, datetime]
_GAPS_MINUTES = (15, 30, 30, 45)
_MEAN_GAP = sum(_GAPS_MINUTES) / len(_GAPS_MINUTES)
_WEEKS = 26  # how long a series goes on
_WEEKS_BEGUN = 12  # and for how long it may have gone on already
_TRIES = 12
_ANSWERS: tuple[Response, ...] = ("Accept",) * 8 + ("Tentative", "NoResponseReceived")


def fill(spec: FillingSpec, world: World, rng: random.Random) -> None:
    """Books every room on every working day of the span, and on the start day whatever day it is."""
    if not any(person.calendar for person in world.people):
        return
    today = world.clock.now().astimezone(world.zone.tz).date()
    # A made-up series could meet nothing but described meetings: days are filled in order, and every week is like the first.
    bare = {room.primary for room in world.rooms if spec.series_percent and room.calendar and not room.calendar.count}
    popularity = {room.primary: rng.uniform(0.75, 1.25) for room in world.rooms}
    for offset in range(spec.first_day, spec.last_day + 1):
        day = today + timedelta(days=offset)
        filler = _Day(spec, world, rng, bare, today, day)
        for room in world.rooms:
            if offset == 0 or DAYS[day.weekday()] in room.working_hours.days:
                filler.book(room, popularity[room.primary])


class _Day:
    """One day's bookings, with who is taken when, so that people are rarely in two places."""

    def __init__(
        self, spec: FillingSpec, world: World, rng: random.Random, bare: set[str], today: date, day: date
    ) -> None:
        self._spec, self._world, self._rng, self._bare = spec, world, rng, bare
        self._today, self._day = today, day
        self._people = [person for person in world.people if person.calendar is not None]
        self._taken: dict[str, list[_Span]] = {}
        self._near: dict[str, list[Mailbox]] = {}
        for person in self._people:
            self._near.setdefault(person.zone.id if spec.is_local else "", []).append(person)

    def book(self, room: Mailbox, popularity: float) -> None:
        if room.calendar is None:
            return
        taken = _taken(room, self._day)
        chance = _chance(min(0.95, self._spec.busy_percent / 100 * popularity), self._spec.minutes)
        minute = room.working_hours.start_minute
        while minute < room.working_hours.end_minute:
            length = self._rng.choice(self._spec.minutes)
            span = self._span(room, minute, length)
            fits = minute + length <= room.working_hours.end_minute and _is_free(taken, span)
            if fits and self._rng.random() < chance:
                self._meet(room, span)
                minute += length
            else:
                minute += self._rng.choice(_GAPS_MINUTES)

    def _span(self, room: Mailbox, minute: int, length: int) -> _Span:
        midnight = datetime.combine(self._day, time())
        start = (midnight + timedelta(minutes=minute)).replace(tzinfo=room.zone.tz).astimezone(UTC)
        return start, start + timedelta(minutes=length)

    def _meet(self, room: Mailbox, span: _Span) -> None:
        capacity = room.place.capacity if room.place else 4
        wanted = 1 + self._rng.randint(1, max(1, min(capacity - 1, self._spec.most_invited)))
        people = self._free_people(room, span, wanted)
        if not people:
            return
        organizer, *invited = people
        for person in people:
            self._taken_by(person).append(span)
        meeting = self._meeting(organizer, invited, room, span)
        if room.primary in self._bare and self._rng.randrange(100) < self._spec.series_percent:
            meeting = self._weekly(meeting, room)
        _write(meeting, organizer, invited, room)

    def _free_people(self, room: Mailbox, span: _Span, wanted: int) -> list[Mailbox]:
        near = self._near.get(room.zone.id if self._spec.is_local else "", [])
        drawn = self._rng.sample(near, min(len(near), wanted + _TRIES))
        return list(islice((person for person in drawn if _is_free(self._taken_by(person), span)), wanted))

    def _taken_by(self, person: Mailbox) -> list[_Span]:
        """Looked up when first asked for: of thousands, many are never asked."""
        if person.primary not in self._taken:
            self._taken[person.primary] = _taken(person, self._day)
        return self._taken[person.primary]

    def _meeting(self, organizer: Mailbox, invited: list[Mailbox], room: Mailbox, span: _Span) -> Item:
        rng, spec = self._rng, self._spec
        created = min(self._world.clock.now(), span[0]) - timedelta(
            days=rng.randint(1, 20), minutes=rng.randint(0, 600)
        )
        attendees = [Attendee(one.name, one.primary, "required", rng.choice(_ANSWERS), created) for one in invited]
        return Item(
            uid=self._world.ids.uid(created),
            subject=rng.choice(spec.subjects),
            body=rng.choice(spec.bodies) if spec.bodies and rng.random() < 0.5 else None,
            location=room.name,
            start=span[0],
            end=span[1],
            zone=room.zone,
            show_as="Tentative" if rng.randrange(100) < spec.tentative_percent else "Busy",
            sensitivity="Private" if rng.randrange(100) < spec.private_percent else "Normal",
            is_meeting=True,
            organizer=Party(organizer.name, organizer.primary),
            attendees=(*attendees, Attendee(room.name, room.primary, "resource", "Accept", created)),
            created=created,
        )

    def _weekly(self, meeting: Item, room: Mailbox) -> Item:
        """The same every week; begun before the days that are filled, unless an earlier week is among them."""
        begun = self._rng.randint(0, _WEEKS_BEGUN) if (self._day - self._today).days - 7 < self._spec.first_day else 0
        first = self._day - timedelta(weeks=begun)
        local = meeting.start.astimezone(room.zone.tz)
        start = datetime.combine(first, local.time(), room.zone.tz).astimezone(UTC)
        recurrence = Recurrence(Weekly((DAYS[first.weekday()],), 1, "Monday"), first, count=_WEEKS)
        created = start - timedelta(days=3)
        return replace(
            meeting, start=start, end=start + (meeting.end - meeting.start), recurrence=recurrence, created=created
        )


def _write(meeting: Item, organizer: Mailbox, invited: list[Mailbox], room: Mailbox) -> None:
    """The organizer's copy, everybody's own, and the room's, each as it is after all have answered."""
    assert organizer.calendar is not None
    assert room.calendar is not None
    organizer.calendar.add(meeting)
    for person, attendee in zip(invited, meeting.attendees, strict=False):
        assert person.calendar is not None
        copy = copies.received(meeting)
        answer = attendee.response
        shown = copies.shown(meeting.show_as, answer)
        person.calendar.add(replace(copy, my_response=answer, show_as=shown, created=meeting.created))
    rules = room.place.rules if room.place else BookingRules()
    accepted = replace(copies.received(meeting), my_response="Accept", show_as=meeting.show_as, created=meeting.created)
    room.calendar.add(copies.as_room_keeps_it(accepted, rules))


def _chance(busy: float, minutes: tuple[int, ...]) -> float:
    """The chance of a meeting at each free moment that leaves a room taken for this share of the time."""
    mean = sum(minutes) / len(minutes)
    return busy * _MEAN_GAP / (mean * (1 - busy) + busy * _MEAN_GAP)


def _taken(mailbox: Mailbox, day: date) -> list[_Span]:
    if mailbox.calendar is None:
        return []
    midnight = datetime.combine(day, time(), mailbox.zone.tz)
    items = mailbox.calendar.view(midnight, midnight + timedelta(days=1))
    return [(item.start, item.end) for item in items if item.takes_time and not item.is_all_day]


def _is_free(taken: list[_Span], span: _Span) -> bool:
    return not any(start < span[1] and span[0] < end for start, end in taken)
