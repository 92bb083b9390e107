"""One per process: keeps every room's view current and tells the seats (open panels and overviews) which became different.

It follows the feed (hinted by the bus, polled once a second), looks at the calendars' proofs of freshness every few
seconds, and wakes by the clock when a meeting begins or ends. It holds no truth: a restart reads everything again, and
if the store stops answering, the proofs it holds grow old and every room turns unknown by itself.
"""

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from kalends.bus import POLL_SECONDS, Bus, Topic
from kalends.clock import Clock
from kalends.features.freshness import CalendarFacts
from kalends.features.picture import Facts, Picture, read_facts, read_lean_events, read_picture
from kalends.features.rooms import RoomView, horizon, room_view
from kalends.model.availability import Policy, State
from kalends.model.time import Span
from kalends.store import feed
from kalends.store.door import Store, StoreError
from kalends.store.feed import Change
from kalends.store.spaces import Space

LOOK_EVERY = timedelta(seconds=5)
"""Real time between two looks at proofs, spaces and links, which change without a feed row."""
LOOK_AGAIN = timedelta(seconds=0.2)
"""The least real time between two looks, however many calendars come into step one after the other."""
ROUNDS = 12
"""Looks in which every room's turn comes once."""
AT_ONCE = 10
"""Rooms without news looked at in one step. A heartbeat proves hundreds at once; a change among them must not wait for all."""
SPARE_SECONDS = 0.02
"""Between two such steps."""
READ_AGAIN_EVERY = timedelta(hours=6)
"""On the clock: the horizon rolls on."""
BATCHES = 20
"""Of the feed, in one step; who is further behind reads everything."""
BREATH_SECONDS = 0.005
"""Between two steps: changes that come in a burst are shown together."""

log = structlog.get_logger()


@dataclass(eq=False, slots=True)
class Seat:
    """Somebody watching one space, or all. Only what is still to be told is kept, so a slow watcher costs no memory."""

    space: str | None
    changed: dict[str, None] = field(default_factory=dict)
    proved: dict[str, None] = field(default_factory=dict)
    rang: asyncio.Event = field(default_factory=asyncio.Event)
    is_closed: bool = False

    def tell(self, changed: Collection[str], proved: Collection[str]) -> None:
        for heard, told in ((self.changed, changed), (self.proved, proved)):
            if self.space is None:
                heard.update(dict.fromkeys(told))
            elif self.space in told:
                heard[self.space] = None
        if self.changed or self.proved:
            self.rang.set()

    def take(self) -> tuple[list[str], list[str]]:
        """Ids of rooms that look different, and of those that only were proved in step again."""
        changed, proved = list(self.changed), [id_ for id_ in self.proved if id_ not in self.changed]
        self.changed.clear()
        self.proved.clear()
        self.rang.clear()
        return changed, proved

    def close(self) -> None:
        self.is_closed = True
        self.rang.set()


class Follower:
    """`views` by space id, in the order in which rooms are shown; `revisions` says at which `version` each last changed.

    `run_id` tells one process from the next, whose versions begin anew. `ready` is set once everything was read.
    """

    def __init__(self, store: Store, bus: Bus, clock: Clock, organization: str, policy: Policy, run_id: str) -> None:
        self.run_id, self.version = run_id, 0
        self.store, self.bus, self.clock = store, bus, clock
        self.organization, self.policy = organization, policy
        self.views: dict[str, RoomView] = {}
        self.revisions: dict[str, int] = {}
        self.ready = asyncio.Event()
        self.trouble = ""
        self._picture = Picture((), {}, {})
        self._cursor: str | None = None
        self._read_at: datetime | None = None
        self._looked_at = float("-inf")
        self._is_unsure = False
        self._looking: asyncio.Task[Facts] | None = None
        self._round = 0
        self._waiting: dict[str, None] = {}
        self._seats: dict[Seat, None] = {}
        self._stopping = False

    async def run(self) -> None:
        """Follows until `stop`. A store that fails is asked again; anything else is a mistake of ours and is raised."""
        try:
            while not self._stopping:
                await self._turn()
        finally:
            if self._looking is not None:
                self._looking.cancel()
                await asyncio.gather(self._looking, return_exceptions=True)

    async def _turn(self) -> None:
        mark = self.bus.mark(Topic.FEED)
        try:
            await self._step()
            self._recover()
        except StoreError as error:
            self._stumble(error)
        self._show(self.views if self.trouble else [*self._due_views(), *self._some_waiting()])
        await asyncio.sleep(BREATH_SECONDS)
        await self.bus.wait(Topic.FEED, mark, self._patience())

    def stop(self) -> None:
        """Ends `run` and every open stream."""
        self._stopping = True
        for seat in self._seats:
            seat.close()
        self.bus.hint(Topic.FEED)

    def sit(self, space: str | None) -> Seat:
        seat = Seat(space)
        self._seats[seat] = None
        if self._stopping:
            seat.close()
        return seat

    def leave(self, seat: Seat) -> None:
        self._seats.pop(seat, None)

    @property
    def seats(self) -> int:
        return len(self._seats)

    @property
    def own_trouble(self) -> str:
        """What is wrong with the database, for reading or for writing; empty when nothing is."""
        return self.trouble or self.store.trouble

    @property
    def is_behind(self) -> bool:
        """Whether rooms without news still wait to be looked at."""
        return bool(self._waiting) or self._looking is not None

    async def _step(self) -> None:
        now = self.clock.now()
        if self._read_at is None or now - self._read_at >= READ_AGAIN_EVERY:
            await self._read_everything(now)
            return
        touched = await self._follow_feed(horizon(now))
        if touched:
            await self._reread(touched, now)
            self._show(space.id for space in self._picture.spaces if _any_of(touched, space))
        await self._look_around(now)

    async def _look_around(self, now: datetime) -> None:
        """Begins a look when one is due, and takes in what the last one found. Changes are followed meanwhile."""
        since = timedelta(seconds=self.clock.monotonic() - self._looked_at)
        if self._looking is None and (since >= LOOK_EVERY or (self._is_unsure and since >= LOOK_AGAIN)):
            self._looked_at, self._is_unsure = self.clock.monotonic(), False
            self._looking = asyncio.create_task(self.store.read(read_facts, self.organization, self.clock.factor))
        elif self._looking is not None and self._looking.done():
            looking, self._looking = self._looking, None
            known, found = self._picture, Picture(*looking.result(), self._picture.events)
            fresh = set(found.calendars) - set(found.events)
            await self._reread(fresh, now)
            self._picture = found  # not before their events are here: a room without any would look free
            self._sort_out(known, fresh)

    def _sort_out(self, known: Picture, touched: set[str]) -> None:
        """Shows the rooms with news now; those that were only proved again, or whose turn it is, a few at a time.

        Within a minute each room is looked at anew, should only the day have moved on.
        """
        before, after = known.calendars, self._picture.calendars
        differ = {id_ for id_, facts in after.items() if facts != before.get(id_)}
        news = touched | {id_ for id_ in differ if id_ not in before or not _only_proved(before[id_], after[id_])}
        old = {space.id: space for space in known.spaces}
        self._show(s.id for s in self._picture.spaces if s != old.get(s.id) or _any_of(news, s))
        self._waiting.update(dict.fromkeys(s.id for s in self._picture.spaces if _any_of(differ - news, s)))
        self._round = (self._round + 1) % ROUNDS
        self._waiting.update(dict.fromkeys(space.id for space in self._picture.spaces[self._round :: ROUNDS]))

    def _some_waiting(self) -> list[str]:
        some = list(self._waiting)[:AT_ONCE]
        for id_ in some:
            del self._waiting[id_]
        return some

    async def _read_everything(self, now: datetime) -> None:
        # The cursor first: what is written during the read is then read twice, never missed.
        self._cursor = await self.store.read(feed.latest)
        self._picture = await self.store.read(read_picture, self.organization, self.clock.factor, horizon(now))
        self._read_at, self._looked_at = now, self.clock.monotonic()
        self._show(space.id for space in self._picture.spaces)
        self.ready.set()

    async def _follow_feed(self, sight: Span) -> set[str]:
        """Calendars whose events in sight changed; notes whether anything else did. After a long backlog all is read again."""
        touched: set[str] = set()
        for _ in range(BATCHES):
            batch = await self.store.read(feed.after, self.organization, self._cursor, feed.LIMIT)
            self._cursor = batch.cursor
            for change in batch.changes:
                if not change.kind.startswith("event."):
                    self._is_unsure = True
                elif change.calendar is not None and _is_in(sight, change):
                    touched.add(change.calendar)
            if len(batch.changes) < feed.LIMIT:
                break
        else:
            self._read_at = None
        views = self._views_of(touched)
        self._is_unsure |= any(v.answer.proof.at is None or v.state is State.UNKNOWN for v in views)
        return touched

    async def _reread(self, calendars: set[str], now: datetime) -> None:
        if calendars:
            self._picture.events.update(await self.store.read(read_lean_events, sorted(calendars), horizon(now)))

    def _views_of(self, calendars: set[str]) -> list[RoomView]:
        return [view for view in self.views.values() if calendars.intersection(view.space.calendars)]

    def _due_views(self) -> list[str]:
        now = self.clock.now()
        return [id_ for id_, v in self.views.items() if v.answer.changes_at is not None and v.answer.changes_at <= now]

    def _patience(self) -> float:
        moments = [v.answer.changes_at for v in self.views.values() if v.answer.changes_at is not None]
        longest = LOOK_AGAIN.total_seconds() if self._is_unsure else POLL_SECONDS
        longest = SPARE_SECONDS if self.is_behind else longest
        return min(longest, self.clock.seconds_until(min(moments)) + 0.001) if moments else longest

    def _show(self, ids: Iterable[str]) -> None:
        """Makes the views of these spaces anew and tells the seats what differs."""
        now, wanted = self.clock.now(), set(ids)
        if not wanted and len(self.views) == len(self._picture.spaces):
            return
        self.version += 1
        changed: dict[str, None] = {}
        proved: dict[str, None] = {}
        views: dict[str, RoomView] = {}
        for space in self._picture.spaces:
            old = self.views.get(space.id)
            if old is not None and space.id not in wanted:
                views[space.id] = old
                continue
            new = room_view(space, self._picture.calendars, self._picture.events, now, self.policy)
            views[space.id] = new
            if old is None or not new.looks_like(old):
                changed[space.id] = None
                self.revisions[space.id] = self.version
            elif new.answer.proof.at != old.answer.proof.at:
                proved[space.id] = None
        changed.update(dict.fromkeys(id_ for id_ in self.views if id_ not in views))
        self.views = views
        for seat in self._seats if changed or proved else ():
            seat.tell(changed, proved)

    def _stumble(self, error: StoreError) -> None:
        if not self.trouble:
            log.warning("follower.stumbled", reason=str(error))
        self.trouble = f"The database does not answer: {error}"

    def _recover(self) -> None:
        if self.trouble:
            log.info("follower.recovered")
        self.trouble = ""


def _only_proved(before: CalendarFacts, after: CalendarFacts) -> bool:
    return replace(before, heard_at=after.heard_at, verified_at=after.verified_at) == after


def _any_of(calendars: set[str], space: Space) -> bool:
    return not calendars.isdisjoint(space.calendars)


def _is_in(sight: Span, change: Change) -> bool:
    """Whether the event was or is where it can be seen; most of a first read lies months away."""
    return change.start is None or change.end is None or (change.start <= sight.end and change.end >= sight.start)
