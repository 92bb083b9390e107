"""A working day that does not stand still: every few seconds somebody books, extends, ends early, moves or calls off.

Each step is one action of a person (actions.py) and one line of text without anybody's name or subject. Neighbours:
sandbox.py runs it, the demo prints it.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from kalends_sandbox.actions import ActionRefused, Actions, Change
from kalends_sandbox.item import Item
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.world import World

_SUBJECTS = (
    "Quick question",
    "Catch-up",
    "Call",
    "Two minutes on the prototype",
    "Sorting out the delivery",
    "Coffee and numbers",
)
_LENGTHS_MINUTES = (15, 30, 30, 45, 60)
_SOON = timedelta(hours=3)
_TRIES = 8


class Story:
    """`pace_s`: real seconds between two events, least and most. Outside working hours nothing happens."""

    def __init__(
        self,
        world: World,
        actions: Actions,
        rng: random.Random,
        tell: Callable[[str], None],
        pace_s: tuple[float, float] = (2.0, 6.0),
    ) -> None:
        self._world, self._actions, self._rng, self._tell, self._pace_s = world, actions, rng, tell, pace_s
        self._plots: Sequence[tuple[int, Callable[[], str | None]]] = (
            (8, self._book_now),
            (8, self._book_later),
            (3, self._extend),
            (3, self._end_early),
            (2, self._call_off),
            (3, self._change_room),
            (2, self._make_private),
            (2, self._edit_occurrence),
        )

    async def run(self) -> None:
        """Tells on until it is cancelled."""
        while True:
            await asyncio.sleep(self._rng.uniform(*self._pace_s))
            line = self.step()
            if line is not None:
                self._tell(line)

    def step(self) -> str | None:
        """One event that fits the moment, and its line; None when nothing fits or nobody is at work."""
        if not any(_is_at_work(room, self._now()) for room in self._world.rooms):
            return None
        for _ in range(_TRIES):
            plot = self._rng.choices([plot for _, plot in self._plots], [weight for weight, _ in self._plots])[0]
            try:
                line = plot()
            except ActionRefused:  # somebody was quicker: the mail that would have told is still on its way
                continue
            if line is not None:
                return line
        return None

    def _book_now(self) -> str | None:
        """Somebody walks into a free room."""
        return self._book(_quarter_before(self._now()))

    def _book_later(self) -> str | None:
        start = _quarter_before(self._now()) + timedelta(minutes=15 * self._rng.randint(1, 12))
        return self._book(start)

    def _book(self, start: datetime) -> str | None:
        room, length = self._room(), timedelta(minutes=self._rng.choice(_LENGTHS_MINUTES))
        person, guest = self._person(), self._person()
        if room is None or person is None or guest is None or _is_taken(room, start, start + length):
            return None
        if not _is_at_work(room, start) or not _is_at_work(room, start + length):
            return None
        required = [guest.primary] if guest is not person else []
        subject = self._rng.choice(_SUBJECTS)
        self._actions.create(person.primary, subject, start, start + length, rooms=[room.primary], required=required)
        return f"{room.name} is booked from {_clock(room, start)} to {_clock(room, start + length)}."

    def _extend(self) -> str | None:
        """A meeting that runs over asks for a quarter of an hour more, if the room is free."""
        room, meeting = self._meeting(running=True)
        if room is None or meeting is None:
            return None
        until = meeting.end + timedelta(minutes=15)
        if _is_taken(room, meeting.end, until) or not _is_at_work(room, until):
            return None
        self._change(meeting, Change(end=until))
        return f"{room.name} runs on until {_clock(room, until)}."

    def _end_early(self) -> str | None:
        room, meeting = self._meeting(running=True)
        now = self._now().replace(second=0, microsecond=0)
        if room is None or meeting is None or not meeting.start < now < meeting.end - timedelta(minutes=5):
            return None
        self._change(meeting, Change(end=now))
        return f"{room.name} is free early, at {_clock(room, now)}."

    def _call_off(self) -> str | None:
        room, meeting = self._meeting(running=False)
        if room is None or meeting is None or meeting.organizer is None:
            return None
        self._actions.cancel(meeting.organizer.address, meeting.uid, meeting.original_start)
        return f"The meeting at {_clock(room, meeting.start)} in {room.name} is called off."

    def _change_room(self) -> str | None:
        room, meeting = self._meeting(running=False)
        other = self._room()
        if room is None or meeting is None or other is None or other is room:
            return None
        if _is_taken(other, meeting.start, meeting.end):
            return None
        self._change(meeting, Change(rooms=[other.primary]))
        return f"The meeting at {_clock(room, meeting.start)} moves from {room.name} to {other.name}."

    def _make_private(self) -> str | None:
        room, meeting = self._meeting(running=False)
        if room is None or meeting is None or meeting.sensitivity != "Normal":
            return None
        self._change(meeting, Change(sensitivity="Private"))
        return f"The meeting at {_clock(room, meeting.start)} in {room.name} is private now."

    def _edit_occurrence(self) -> str | None:
        """One day of a series starts a quarter of an hour later."""
        room, meeting = self._meeting(running=False, of_series=True)
        if room is None or meeting is None:
            return None
        start, end = meeting.start + timedelta(minutes=15), meeting.end + timedelta(minutes=15)
        if _is_taken(room, meeting.end, end):
            return None
        self._change(meeting, Change(start=start, end=end))
        return f"Today only, the series in {room.name} starts at {_clock(room, start)}."

    def _change(self, meeting: Item, change: Change) -> None:
        assert meeting.organizer is not None
        self._actions.edit(meeting.organizer.address, meeting.uid, change, meeting.original_start)

    def _meeting(self, running: bool, of_series: bool = False) -> tuple[Mailbox | None, Item | None]:
        """An accepted meeting in some room, under way or soon to come, whose organizer is one of us."""
        room, now = self._room(), self._now()
        if room is None or room.calendar is None:
            return None, None
        fitting = [
            item
            for item in room.calendar.view(now, now + _SOON)
            if (item.start <= now) == running
            and item.my_response == "Accept"
            and not item.is_all_day
            and (not of_series or item.original_start is not None)
            and self._is_ours(item)
        ]
        return (room, self._rng.choice(fitting)) if fitting else (None, None)

    def _is_ours(self, item: Item) -> bool:
        """Whether the organizer's own copy still says the same; otherwise an update is on its way."""
        organizer = self._world.mailbox(item.organizer.address) if item.organizer else None
        if organizer is None or organizer.calendar is None:
            return False
        own = [one for one in organizer.calendar.view(item.start, item.end) if one.uid == item.uid]
        return any(
            (one.start, one.end, one.original_start) == (item.start, item.end, item.original_start) for one in own
        )

    def _room(self) -> Mailbox | None:
        rooms = [room for room in self._world.rooms if room.calendar is not None]
        return self._rng.choice(rooms) if rooms else None

    def _person(self) -> Mailbox | None:
        people = [person for person in self._world.people if person.calendar is not None]
        return self._rng.choice(people) if people else None

    def _now(self) -> datetime:
        return self._world.clock.now()


def _is_at_work(room: Mailbox, at: datetime) -> bool:
    local, hours = at.astimezone(room.zone.tz), room.working_hours
    return hours.start_minute <= local.hour * 60 + local.minute <= hours.end_minute


def _is_taken(room: Mailbox, start: datetime, end: datetime) -> bool:
    return room.calendar is None or any(item.takes_time for item in room.calendar.view(start, end))


def _quarter_before(at: datetime) -> datetime:
    return at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)


def _clock(room: Mailbox, at: datetime) -> str:
    return at.astimezone(room.zone.tz).strftime("%H:%M")
