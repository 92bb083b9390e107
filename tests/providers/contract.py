"""What every provider must do, whichever vendor it speaks to: subclass `ProviderContract` and give it a `stage`.

`Mirror` believes exactly what a Page says and nothing else, so a page that promises too much or too little shows up as
a difference between the mirror and the truth of the stage.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import ClassVar

import pytest

from kalends.model.event import CalendarId, Event, ItemId, Kind
from kalends.model.time import Span
from kalends.providers.protocol import Cursor, CursorExpired, Details, InWindow, KnownItem, OfSeries, Page, Provider

MOST_PAGES = 500
NOON = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)

Line = tuple[str, datetime | None, datetime, datetime, str | None, bool]
"""What the truth of a stage and a mirror are compared by: UID, original start, start, end, subject, all-day."""


def window_at(now: datetime) -> Span:
    return Span(now - timedelta(days=7), now + timedelta(days=400))


@dataclass
class Mirror:
    """A calendar kept by nothing but pages."""

    provider: Provider
    calendar: CalendarId
    events: dict[ItemId, Event] = field(default_factory=dict)
    cursor: Cursor | None = None
    pages: list[Page] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    """How many events there were after each page."""
    meanwhile: Callable[[int], object] = field(default=lambda pages: None)
    """What happens at the provider after so many pages."""

    async def pull(self, now: datetime = NOON) -> None:
        """One whole pull; `pages` holds what came."""
        self.pages, self.sizes = [], []
        for _ in range(MOST_PAGES):
            known = {item: KnownItem(event.version, event.master) for item, event in self.events.items()}
            page = await self.provider.pull(self.calendar, self.cursor, window_at(now), known)
            self._apply(page)
            self.pages.append(page)
            self.sizes.append(len(self.events))
            self.cursor = page.cursor
            if not page.more:
                return
            self.meanwhile(len(self.pages))
        raise AssertionError(f"a pull did not end within {MOST_PAGES} pages")

    def _apply(self, page: Page) -> None:
        held = {event.item for event in page.events} | page.unchanged | {each.item for each in page.unreadable}
        gone = set(page.removed)
        for item, event in self.events.items():
            covered = any(_covers(scope, event) for scope in page.complete)
            if event.master in page.removed or (covered and item not in held):
                gone.add(item)
        unknown = page.unchanged - self.events.keys()
        assert not unknown, f"a page calls unchanged what nobody knows: {unknown}"
        self.events = {item: event for item, event in self.events.items() if item not in gone}
        self.events.update({event.item: event for event in page.events})

    def lines(self, span: Span) -> list[Line]:
        """What takes place in the span, for comparing with a stage's truth."""
        return sorted(
            (
                line(event)
                for event in self.events.values()
                if event.kind is not Kind.SERIES and event.span.overlaps(span)
            ),
            key=repr,
        )


def _covers(scope: InWindow | OfSeries, event: Event) -> bool:
    if event.kind is Kind.SERIES or not event.span.overlaps(scope.span):
        return False
    return isinstance(scope, InWindow) or event.master == scope.master


def line(event: Event) -> Line:
    return (event.uid, event.original_start, event.span.start, event.span.end, event.subject, event.is_all_day)


class Stage(ABC):
    """A simulated calendar system with one calendar in it, and the hands of somebody who changes it.

    Keys are the stage's own. Series are weekly, on the weekday of their start, and hold `count` meetings; None: no end.
    """

    provider: Provider
    calendar: CalendarId

    @abstractmethod
    def book(self, subject: str, start: datetime, length: timedelta = timedelta(hours=1)) -> str: ...

    @abstractmethod
    def book_series(self, subject: str, start: datetime, count: int | None) -> str: ...

    @abstractmethod
    def rename(self, key: str, subject: str) -> None: ...

    @abstractmethod
    def move(self, key: str, start: datetime) -> None: ...

    @abstractmethod
    def move_one(self, key: str, original: datetime, start: datetime) -> None: ...

    @abstractmethod
    def drop_one(self, key: str, original: datetime) -> None: ...

    @abstractmethod
    def drop(self, key: str) -> None: ...

    @abstractmethod
    def change_id(self, key: str) -> None:
        """The same meeting under another item id, as after a restore."""

    @abstractmethod
    def lose_cursor(self) -> None:
        """The next delta read with a cursor given before is refused."""

    @abstractmethod
    def truth(self, span: Span) -> list[Line]:
        """What takes place, sorted by repr."""

    @abstractmethod
    def calls(self) -> int:
        """Requests so far."""


@pytest.mark.asyncio
class ProviderContract:
    """Subclasses override the fixture `stage`."""

    quiet_calls: ClassVar[int] = 1
    """Requests that a pull without changes may cost."""

    @pytest.fixture
    def mirror(self, stage: Stage) -> Mirror:
        return Mirror(stage.provider, stage.calendar)

    async def test_a_full_read_shows_the_whole_window(self, stage: Stage, mirror: Mirror) -> None:
        for day in (-6, -1, 0, 3, 40, 200, 399):
            stage.book(f"on day {day}", NOON + timedelta(days=day))
        stage.book_series("weekly", NOON - timedelta(days=700), None)

        await mirror.pull()

        assert mirror.lines(window_at(NOON)) == stage.truth(window_at(NOON))

    async def test_details_of_single_meetings_are_what_a_pull_reads_of_them(self, stage: Stage, mirror: Mirror) -> None:
        provider = stage.provider
        if not isinstance(provider, Details):
            pytest.skip("this provider can't be asked for single meetings")
        stage.book("Design review", NOON + timedelta(hours=1))
        stage.book_series("Stand-up", NOON, 3)
        gone = stage.book("Cancelled soon", NOON + timedelta(hours=3))
        await mirror.pull()
        stage.drop(gone)

        told = await provider.details(stage.calendar, list(mirror.events))

        there = [event for event in mirror.events.values() if event.subject != "Cancelled soon"]
        meetings = {event.item: replace(event, master=None) for event in there if event.kind is not Kind.SERIES}
        assert {item: replace(told[item], master=None) for item in meetings} == meetings
        assert set(told) <= {event.item for event in there}, "what is gone is left out"
        assert len(meetings) == 4
        assert await provider.details(stage.calendar, []) == {}

    async def test_a_full_read_begins_around_now(self, stage: Stage, mirror: Mirror) -> None:
        for day in (-6, 20, 300):
            stage.book(f"on day {day}", NOON + timedelta(days=day))
        stage.book("today", NOON)

        await mirror.pull()

        first = next(page for page in mirror.pages if page.events)
        assert [event.subject for event in first.events] == ["today"]

    async def test_a_pull_without_changes_is_cheap_and_empty(self, stage: Stage, mirror: Mirror) -> None:
        stage.book("kept", NOON)
        await mirror.pull()
        before = stage.calls()

        await mirror.pull()

        assert stage.calls() - before <= self.quiet_calls
        assert [page for page in mirror.pages if page.events or page.removed] == []

    async def test_reading_everything_again_changes_nothing(self, stage: Stage, mirror: Mirror) -> None:
        stage.book("kept", NOON)
        stage.book_series("weekly", NOON, 8)
        await mirror.pull()
        before = dict(mirror.events)

        mirror.cursor = None
        await mirror.pull()

        assert mirror.events == before

    @pytest.mark.parametrize("count", [6, None], ids=["ending", "endless"])
    async def test_a_changed_series_is_shown_as_it_is_now(
        self, stage: Stage, mirror: Mirror, count: int | None
    ) -> None:
        start = NOON + timedelta(hours=2)
        series = stage.book_series("weekly", start, count)
        await mirror.pull()
        stage.rename(series, "weekly, renamed")
        stage.move_one(series, start + timedelta(days=7), start + timedelta(days=8))
        stage.drop_one(series, start + timedelta(days=14))

        await mirror.pull()

        assert mirror.lines(window_at(NOON)) == stage.truth(window_at(NOON))

    async def test_a_series_moved_to_other_days_leaves_nothing_behind(self, stage: Stage, mirror: Mirror) -> None:
        start = NOON + timedelta(days=30)
        series = stage.book_series("weekly", start, 6)
        await mirror.pull()
        stage.move(series, start + timedelta(days=100))

        await mirror.pull()

        assert mirror.lines(window_at(NOON)) == stage.truth(window_at(NOON))
        assert len(stage.truth(window_at(NOON))) == 6

    async def test_a_removed_series_takes_its_meetings_along(self, stage: Stage, mirror: Mirror) -> None:
        series = stage.book_series("weekly", NOON, None)
        stage.book("other", NOON + timedelta(days=1))
        await mirror.pull()
        stage.drop(series)

        await mirror.pull()

        assert [event.subject for event in mirror.events.values()] == ["other"]

    async def test_a_meeting_whose_id_changed_is_there_once(self, stage: Stage, mirror: Mirror) -> None:
        meeting = stage.book("kept", NOON)
        await mirror.pull()
        (before,) = mirror.events
        stage.change_id(meeting)

        await mirror.pull()

        (after,) = mirror.events
        assert after != before
        assert mirror.lines(window_at(NOON)) == stage.truth(window_at(NOON))

    async def test_what_comes_into_sight_as_the_window_rolls_is_read(self, stage: Stage, mirror: Mirror) -> None:
        stage.book("far ahead", NOON + timedelta(days=420))
        stage.book_series("weekly", NOON, None)
        await mirror.pull()
        later = NOON + timedelta(days=30)

        await mirror.pull(later)

        window = window_at(later)
        assert mirror.lines(window) == stage.truth(window)
        assert "far ahead" in [each[4] for each in stage.truth(window)]

    async def test_a_meeting_moved_out_of_the_window_is_not_shown_in_it(self, stage: Stage, mirror: Mirror) -> None:
        meeting = stage.book("leaving", NOON)
        await mirror.pull()
        stage.move(meeting, NOON + timedelta(days=600))

        await mirror.pull()

        assert mirror.lines(window_at(NOON)) == []

    async def test_a_lost_cursor_costs_a_full_read_and_nothing_else(self, stage: Stage, mirror: Mirror) -> None:
        kept = stage.book("kept", NOON)
        dropped = stage.book("dropped", NOON + timedelta(days=1))
        await mirror.pull()
        stage.drop(dropped)
        stage.rename(kept, "kept, renamed")
        stage.lose_cursor()
        with pytest.raises(CursorExpired):
            await mirror.pull()

        mirror.cursor = None
        await mirror.pull()

        assert mirror.lines(window_at(NOON)) == stage.truth(window_at(NOON))
        assert [event.subject for event in mirror.events.values()] == ["kept, renamed"]

    async def test_a_full_read_lets_nothing_vanish_on_the_way(self, stage: Stage, mirror: Mirror) -> None:
        keys = [stage.book(f"{number}", NOON + timedelta(hours=number)) for number in range(150)]
        await mirror.pull()
        for key in keys:
            stage.rename(key, "renamed")

        mirror.cursor = None
        await mirror.pull()

        assert set(mirror.sizes) == {150}
        assert {event.subject for event in mirror.events.values()} == {"renamed"}

    @pytest.mark.parametrize("pages", range(1, 7))
    async def test_a_series_moved_while_it_is_read_is_read_again(
        self, stage: Stage, mirror: Mirror, pages: int
    ) -> None:
        series = stage.book_series("weekly", NOON - timedelta(days=14), None)

        mirror.meanwhile = lambda read: stage.move(series, NOON - timedelta(days=13)) if read == pages else None
        await mirror.pull()
        await mirror.pull()

        assert mirror.lines(window_at(NOON)) == stage.truth(window_at(NOON))

    async def test_what_went_while_the_cursor_was_lost_is_gone_with_its_series(
        self, stage: Stage, mirror: Mirror
    ) -> None:
        series = stage.book_series("weekly", NOON, 5)
        stage.book("kept", NOON)
        await mirror.pull()
        stage.drop(series)

        mirror.cursor = None
        await mirror.pull()

        assert [event.subject for event in mirror.events.values()] == ["kept"]

    @pytest.mark.parametrize("seed", range(6))
    async def test_any_sequence_of_changes_ends_in_step(self, stage: Stage, mirror: Mirror, seed: int) -> None:
        hands = _Hands(stage, Random(seed))
        for _ in range(12):
            for _ in range(hands.rng.randint(1, 6)):
                hands.act()
            if hands.rng.random() < 0.1:
                mirror.cursor = None

            await mirror.pull()

            assert mirror.lines(window_at(NOON)) == stage.truth(window_at(NOON)), f"seed {seed}"


@dataclass
class _Hands:
    """Somebody who changes the calendar at random."""

    stage: Stage
    rng: Random
    singles: list[str] = field(default_factory=list)
    series: dict[str, datetime] = field(default_factory=dict)
    made: int = 0

    def act(self) -> None:
        choices = [self._book, self._book, self._book_series]
        if self.singles:
            choices += [self._move, self._rename, self._drop, self._change_id]
        if self.series:
            choices += [self._move_one, self._drop_one, self._rename_series, self._drop_series]
        self.rng.choice(choices)()

    def _some_time(self) -> datetime:
        return NOON + timedelta(days=self.rng.randint(-10, 420), minutes=15 * self.rng.randint(-20, 20))

    def _book(self) -> None:
        self.made += 1
        length = timedelta(minutes=self.rng.choice([0, 30, 60, 60 * 30]))
        self.singles.append(self.stage.book(f"meeting {self.made}", self._some_time(), length))

    def _book_series(self) -> None:
        if len(self.series) < 4:
            self.made += 1
            start = self._some_time()
            key = self.stage.book_series(f"series {self.made}", start, self.rng.choice([None, 3, 20]))
            self.series[key] = start

    def _move(self) -> None:
        self.stage.move(self.rng.choice(self.singles), self._some_time())

    def _rename(self) -> None:
        self.made += 1
        self.stage.rename(self.rng.choice(self.singles), f"renamed {self.made}")

    def _drop(self) -> None:
        self.stage.drop(self.singles.pop(self.rng.randrange(len(self.singles))))

    def _change_id(self) -> None:
        self.stage.change_id(self.rng.choice(self.singles))

    def _move_one(self) -> None:
        key, start = self.rng.choice(list(self.series.items()))
        original = start + timedelta(days=7 * self.rng.randint(0, 2))
        self.stage.move_one(key, original, original + timedelta(hours=self.rng.randint(1, 40)))

    def _drop_one(self) -> None:
        key, start = self.rng.choice(list(self.series.items()))
        self.stage.drop_one(key, start + timedelta(days=7 * self.rng.randint(0, 2)))

    def _rename_series(self) -> None:
        self.made += 1
        self.stage.rename(self.rng.choice(list(self.series)), f"renamed series {self.made}")

    def _drop_series(self) -> None:
        key = self.rng.choice(list(self.series))
        del self.series[key]
        self.stage.drop(key)
