"""What people do to the simulated organisation, drawn from a seed: every verb of Outlook that a calendar hub must survive.

Every word they write carries a mark (`zq17-…`), so that what leaks into logs or tables can be searched for. Neighbours: the
sandbox's `actions.py` does it, `laws.py` compares what came of it.
"""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any

from kalends_sandbox import series
from kalends_sandbox.actions import ActionRefused, Actions, Change
from kalends_sandbox.folder import Folder
from kalends_sandbox.item import Item, Sensitivity, ShowAs
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.recurrence import (
    DAYS,
    AbsoluteMonthly,
    AbsoluteYearly,
    Daily,
    Index,
    Pattern,
    Recurrence,
    RelativeMonthly,
    RelativeYearly,
    Weekly,
)
from kalends_sandbox.world import World

MARK = "zq"
PACE_S = (5.0, 20.0)
_TRIES = 40
_MOST_AT_ONCE = 6
_NEAR, _WINDOW = timedelta(days=12), timedelta(days=400)
_QUARTER = timedelta(minutes=15)
_SHOW_AS: Sequence[ShowAs] = ("Busy",) * 8 + ("Free", "Tentative", "OOF", "WorkingElsewhere", "NoData")
_SENSITIVITY: Sequence[Sensitivity] = ("Normal",) * 8 + ("Private", "Private", "Personal", "Confidential")
_ODD_WORDS = ("", " & <b>Söhne</b>", " “half‑past” 🗓", " ]]> --", " Ελληνικά", " " + "long " * 40)

_Plot = Callable[[], bool]


@dataclass
class People:
    """Whoever may book: `act` does one thing and returns its verb."""

    world: World
    actions: Actions
    rng: random.Random
    done: Counter[str] = field(default_factory=Counter)
    _marks: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def live(self, tell: Callable[[str], None] = lambda verb: None) -> None:
        """Acts until it is cancelled; now and then several people at once."""
        while True:
            await asyncio.sleep(self.rng.uniform(*PACE_S))
            flurry = self.rng.random() < 0.05
            for _ in range(self.rng.randint(2, _MOST_AT_ONCE) if flurry else 1):
                tell(self.act())

    def act(self) -> str:
        """One thing that fits the moment, and its verb; a plan that nothing fits is dropped for another."""
        plots = self._plots()
        for _ in range(_TRIES):
            [plot] = self.rng.choices([plot for _, plot in plots], [weight for weight, _ in plots])
            try:
                if not plot():
                    continue
            except ActionRefused:  # somebody was quicker, or the pattern has no date
                continue
            verb = str(getattr(plot, "__name__", "")).removeprefix("_")
            self.done[verb] += 1
            return verb
        raise RuntimeError(f"nobody found anything to do in {_TRIES} tries: the world has run empty")

    def _plots(self) -> Sequence[tuple[int, _Plot]]:
        return (
            (14, self._create),
            (3, self._create_all_day),
            (5, self._create_series),
            (2, self._create_far_away),
            (2, self._walk_in),
            (10, self._move),
            (3, self._move_far),
            (5, self._cancel),
            (5, self._make_private),
            (3, self._make_public),
            (6, self._edit),
            (4, self._change_room),
            (6, self._edit_occurrence),
            (3, self._make_occurrence_private),
            (4, self._cancel_occurrence),
            (3, self._edit_series),
            (3, self._move_series),
            (3, self._repattern),
            (3, self._remove_from_room),
            (3, self._remove_occurrence_from_room),
            (4, self._refile),
            (4, self._edit_in_room),
        )

    # --- new meetings --------------------------------------------------------------------------------------------

    def _create(self) -> bool:
        start = self._quarter(self._now() + timedelta(minutes=self.rng.randint(-180, 60 * 24 * 3)))
        length = timedelta(minutes=self.rng.choice((0, 10, 15, 30, 45, 60, 60, 90, 240, 60 * 26)))
        return self._book(start, start + length)

    def _create_far_away(self) -> bool:
        """Near the window's edges, or beyond."""
        edge = self.rng.choice((-timedelta(days=7), _WINDOW, _WINDOW, timedelta(days=200)))
        start = self._quarter(self._now() + edge + timedelta(minutes=self.rng.randint(-60 * 48, 60 * 48)))
        return self._book(start, start + timedelta(hours=self.rng.choice((1, 1, 72))))

    def _create_all_day(self) -> bool:
        person = self._person()
        start, end = self._days_of(person)
        return self._book(start, end, person, is_all_day=True)

    def _create_series(self) -> bool:
        person = self._person()
        is_all_day = self.rng.random() < 0.2
        start, end = self._days_of(person)
        if not is_all_day:
            start = self._quarter(start + timedelta(minutes=self.rng.randint(0, 60 * 23)))
            end = start + timedelta(minutes=self.rng.choice((15, 30, 60, 120, 60 * 14)))
        recurrence = self._recurrence(start.astimezone(person.zone.tz))
        return self._book(start, end, person, recurrence=recurrence, is_all_day=is_all_day)

    def _walk_in(self) -> bool:
        """The room books itself, as a panel or a receptionist does."""
        room, start = self._room(), self._quarter(self._now())
        self.actions.create(room.primary, self._words(), start, start + timedelta(minutes=30))
        return True

    def _book(self, start: datetime, end: datetime, person: Mailbox | None = None, **fields: Any) -> bool:
        organizer = person or self._person()
        rooms = {self._room().primary for _ in range(2 if self.rng.random() < 0.15 else 1)}
        guests = {self._person().primary for _ in range(self.rng.randint(0, 3))} - {organizer.primary}
        if self.rng.random() < 0.3:
            fields["location"] = self._words()
        self.actions.create(
            organizer.primary,
            self._words() if self.rng.random() < 0.95 else None,
            start,
            end,
            rooms=sorted(rooms),
            required=sorted(guests),
            body=self._words() if self.rng.random() < 0.5 else None,
            show_as=self.rng.choice(_SHOW_AS),
            sensitivity=self.rng.choice(_SENSITIVITY),
            **fields,
        )
        return True

    # --- changes by the organizer --------------------------------------------------------------------------------

    def _move(self) -> bool:
        return self._shift(timedelta(minutes=15 * self.rng.randint(-8, 24)))

    def _move_far(self) -> bool:
        """Days away, perhaps out of the window or back into it."""
        return self._shift(timedelta(days=self.rng.choice((-14, -8, -3, -1, 1, 4, 30, 395, 405, -395))))

    def _shift(self, by: timedelta) -> bool:
        owner, item = self._organized(lambda item: item.recurrence is None)
        start, end = _shifted(item, by)
        self.actions.move(owner.primary, item.item_id, start, end)
        return True

    def _cancel(self) -> bool:
        owner, item = self._organized()
        self.actions.cancel(owner.primary, item.item_id)
        return True

    def _make_private(self) -> bool:
        return self._change(lambda item: item.sensitivity == "Normal", sensitivity="Private", subject=self._words())

    def _make_public(self) -> bool:
        return self._change(lambda item: item.sensitivity != "Normal", sensitivity="Normal")

    def _edit(self) -> bool:
        said: dict[str, Any] = {self.rng.choice(("subject", "location", "body")): self._words()}
        if self.rng.random() < 0.3:
            said["show_as"] = self.rng.choice(_SHOW_AS)
        if self.rng.random() < 0.2:
            said["required"] = [self._person().primary]
        return self._change(lambda item: item.recurrence is None, **said)

    def _edit_series(self) -> bool:
        said: dict[str, Any] = {self.rng.choice(("subject", "location", "body")): self._words()}
        if self.rng.random() < 0.3:
            said["sensitivity"] = self.rng.choice(_SENSITIVITY)
        return self._change(lambda item: item.recurrence is not None, **said)

    def _change_room(self) -> bool:
        return self._change(lambda item: True, rooms=[self._room().primary])

    def _change(self, fits: Callable[[Item], bool], **said: Any) -> bool:
        owner, item = self._organized(fits)
        self.actions.edit(owner.primary, item.item_id, Change(**said))
        return True

    def _move_series(self) -> bool:
        owner, item = self._organized(lambda item: item.recurrence is not None)
        start, end = _shifted(item, self.rng.choice((-2, -1, 1, 4, 24, 96)) * _QUARTER)
        self.actions.move(owner.primary, item.item_id, start, end)
        return True

    def _repattern(self) -> bool:
        owner, item = self._organized(lambda item: item.recurrence is not None)
        self.actions.repattern(owner.primary, item.item_id, self._recurrence(item.start.astimezone(item.zone.tz)))
        return True

    def _edit_occurrence(self) -> bool:
        owner, item = self._organized(lambda item: item.recurrence is not None)
        one = self._occurrence(item)
        if one is None:
            return False
        start, end = _shifted(one, self.rng.choice((0, 1, 2, -2, 96, -96, 960)) * _QUARTER)
        words = self._words() if self.rng.random() < 0.5 else None
        rooms = [self._room().primary] if self.rng.random() < 0.2 else None
        change = Change(start=start, end=end, subject=words, rooms=rooms)
        self.actions.edit(owner.primary, item.item_id, change, one.original_start)
        return True

    def _make_occurrence_private(self) -> bool:
        owner, item = self._organized(lambda item: item.recurrence is not None)
        one = self._occurrence(item)
        if one is None:
            return False
        change = Change(sensitivity="Private", subject=self._words())
        self.actions.edit(owner.primary, item.item_id, change, one.original_start)
        return True

    def _cancel_occurrence(self) -> bool:
        owner, item = self._organized(lambda item: item.recurrence is not None)
        one = self._occurrence(item)
        if one is None:
            return False
        self.actions.cancel(owner.primary, item.item_id, one.original_start)
        return True

    # --- changes in the room's mailbox only ----------------------------------------------------------------------

    def _remove_from_room(self) -> bool:
        room, item = self._in_room(lambda item: True)
        self.actions.remove(room.primary, item.item_id, hard=self.rng.random() < 0.5)
        return True

    def _remove_occurrence_from_room(self) -> bool:
        room, item = self._in_room(lambda item: item.recurrence is not None)
        one = self._occurrence(item)
        if one is None:
            return False
        self.actions.remove(room.primary, item.item_id, one.original_start)
        return True

    def _refile(self) -> bool:
        """Moved out and back: the same meeting under another item id."""
        room, item = self._in_room(lambda item: True)
        self.actions.refile(room.primary, item.item_id)
        return True

    def _edit_in_room(self) -> bool:
        room, item = self._in_room(lambda item: not item.is_organizer)
        change = Change(subject=self._words(), show_as=self.rng.choice(_SHOW_AS))
        self.actions.edit(room.primary, item.item_id, change)
        return True

    # --- who, what, when -----------------------------------------------------------------------------------------

    def _organized(self, fits: Callable[[Item], bool] = lambda item: True) -> tuple[Mailbox, Item]:
        """Somebody's own meeting that has a room."""
        for _ in range(_TRIES):
            owner = self.rng.choice((*self.world.people, *self.world.rooms))
            found = [item for item in _calendar(owner).items.values() if item.is_organizer and fits(item)]
            if found and (item := self.rng.choice(found)).attendees:
                return owner, item
        raise ActionRefused("Nobody has such a meeting.")

    def _in_room(self, fits: Callable[[Item], bool]) -> tuple[Mailbox, Item]:
        for _ in range(_TRIES):
            room = self._room()
            if found := [item for item in _calendar(room).items.values() if fits(item)]:
                return room, self.rng.choice(found)
        raise ActionRefused("No room has such a meeting.")

    def _occurrence(self, item: Item) -> Item | None:
        found = list(series.occurrences(item, self._now() - _NEAR / 2, self._now() + _NEAR))
        return self.rng.choice(found) if found else None

    def _recurrence(self, local: datetime) -> Recurrence:
        first = local.date() - timedelta(days=self.rng.choice((0, 0, 0, 30, 2000)))
        every = self.rng.choice((1, 1, 2, 3))
        which: Index = self.rng.choice(("First", "Second", "Last"))
        patterns: Sequence[Pattern] = (
            Daily(every),
            Weekly(tuple(sorted(self.rng.sample(DAYS, self.rng.randint(1, 4)), key=DAYS.index)), every, "Monday"),
            Weekly((DAYS[local.weekday()],), every),
            AbsoluteMonthly(local.day, every),
            RelativeMonthly(self.rng.choice(("Weekday", "Friday", "Day")), which),
            AbsoluteYearly(local.day, local.month),
            RelativeYearly("Monday", which, local.month),
        )
        pattern = self.rng.choice(patterns)
        match self.rng.randrange(3):
            case 0:
                return Recurrence(pattern, first)
            case 1:
                return Recurrence(pattern, first, count=self.rng.randint(1, 40))
        return Recurrence(pattern, first, end=local.date() + timedelta(days=self.rng.choice((0, 3, 20, 300, 900))))

    def _days_of(self, person: Mailbox) -> tuple[datetime, datetime]:
        """Midnight to midnight where the person is."""
        first = self._now().astimezone(person.zone.tz).date() + timedelta(days=self.rng.randint(-2, 9))
        last = first + timedelta(days=self.rng.choice((1, 1, 1, 2, 5)))
        start, end = (datetime.combine(day, time(), person.zone.tz).astimezone(UTC) for day in (first, last))
        return start, end

    def _words(self) -> str:
        return f"{MARK}{next(self._marks)}-{self.rng.choice(('plan', 'review', 'talk'))}{self.rng.choice(_ODD_WORDS)}".rstrip()

    def _quarter(self, at: datetime) -> datetime:
        return at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)

    def _now(self) -> datetime:
        return self.world.clock.now()

    def _room(self) -> Mailbox:
        return self.rng.choice(self.world.rooms)

    def _person(self) -> Mailbox:
        return self.rng.choice(self.world.people)


def _shifted(item: Item, by: timedelta) -> tuple[datetime, datetime]:
    """The meeting's times so much later; an all-day one by whole days, from midnight to midnight where it was made."""
    if not item.is_all_day:
        return item.start + by, item.end + by
    days = timedelta(days=by.days or 1)
    first, until = (at.astimezone(item.zone.tz).date() + days for at in (item.start, item.end))
    start, end = (datetime.combine(day, time(), item.zone.tz).astimezone(UTC) for day in (first, until))
    return start, end


def _calendar(mailbox: Mailbox) -> Folder:
    assert mailbox.calendar is not None, "everybody in this world has a calendar"
    return mailbox.calendar
