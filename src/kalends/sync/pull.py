"""Brings one calendar in step with its provider: the turn behind a due row of kind `pull`.

    begin ─▶ provider.pull ─▶ breaker ─▶ events.apply ─┬─ more pages: again
                                                       └─ verified ─▶ finish      each step to the right one transaction

Each page is committed with its cursor, so a turn that dies loses one page of work and nothing else. What a notification
said is not even known here: the provider's delta is the only truth.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from kalends.bus import Bus, Topic
from kalends.clock import Clock
from kalends.model.event import CalendarId
from kalends.model.privacy import keep
from kalends.model.time import Span
from kalends.providers.protocol import Cursor, Known, Page, Traits
from kalends.store import accounts, calendars, due, events
from kalends.store.accounts import Account
from kalends.store.calendars import Calendar
from kalends.store.door import Connection, Store
from kalends.store.due import Lease
from kalends.sync import breaker
from kalends.sync.connections import Open
from kalends.sync.verdict import Held

MOST_PAGES = 5000
"""A pull that has not ended by then is given up and counted as a failure of the provider."""
LEASE = timedelta(seconds=120)
"""Longer than the longest single call to a provider."""
LISTENING = timedelta(seconds=90)
"""A stream that proved itself this recently spares its calendars the frequent poll."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What a turn needs to know, read in one go."""

    calendar: Calendar
    account: Account
    known: Known


@dataclass(slots=True)
class Tally:
    pages: int = 0
    created: int = 0
    updated: int = 0
    removed: int = 0
    unreadable: int = 0
    lags: list[timedelta] = field(default_factory=list)

    def add(self, applied: events.Applied) -> None:
        self.pages += 1
        self.created += applied.created
        self.updated += applied.updated
        self.removed += applied.removed
        self.unreadable += applied.unreadable
        self.lags += applied.lags


def begin(conn: Connection, calendar_id: str) -> Begun | None:
    """None when the calendar is no longer there."""
    calendar = calendars.get(conn, calendar_id)
    if calendar is None:
        return None
    account = accounts.get(conn, calendar.account)
    assert account is not None, "calendars belong to accounts"
    return Begun(calendar, account, events.known(conn, calendar_id))


@dataclass
class Pull:
    """One turn. `lease` moves on with every committed page."""

    store: Store
    bus: Bus
    clock: Clock
    lease: Lease
    begun: Begun
    connection: Open

    async def run(self) -> Tally:
        """Afterwards the calendar is in step as of the provider's last answer. Raises ProviderError, Held, LeaseLost."""
        calendar, traits = self.begun.calendar, self.connection.provider.traits
        now = self.clock.now()
        window = Span(now - traits.past, now + traits.ahead)
        cursor = None if self._reconcile_is_due(calendar, traits, now) else calendar.cursor
        is_delta = cursor is not None and calendar.verified_at is not None
        tally, known = Tally(), self.begun.known
        for _ in range(MOST_PAGES):
            address = CalendarId(calendar.address)
            asked = Cursor(cursor) if cursor is not None else None
            page = self._reduced(await self.connection.provider.pull(address, asked, window, known))
            applied = await self.store.run(self._commit, page, window, cursor is None, is_delta)
            tally.add(applied)
            if applied.changed:
                self.bus.hint(Topic.FEED)
            if not page.more:
                return tally
            cursor = page.cursor
            known = await self.store.read(events.known, calendar.id)
        raise RuntimeError(f"a pull of more than {MOST_PAGES} pages")

    def _reconcile_is_due(self, calendar: Calendar, traits: Traits, now: datetime) -> bool:
        """A full read that was begun goes on from its cursor; `reconciled_at` is empty until it ends."""
        if calendar.reconciled_at is None or calendar.cursor is None:
            return calendar.cursor is None
        return now - calendar.reconciled_at >= self.clock.stretch(traits.reconcile_every)

    def _reduced(self, page: Page) -> Page:
        mode = self.begun.account.privacy
        return replace(page, events=tuple(keep(event, mode) for event in page.events))

    def _commit(
        self, conn: Connection, page: Page, window: Span, is_first_of_full: bool, is_delta: bool
    ) -> events.Applied:
        """One page, in one transaction: the fence, the breaker, the rows, the cursor, the feed, the audit and the lease."""
        now, id_ = self.clock.now(), self.begun.calendar.id
        due.hold(conn, self.lease)
        if is_first_of_full:
            calendars.begin_full_read(conn, id_)
        self._ask_breaker(conn, page, window, now)
        applied = events.apply(conn, self.lease, id_, page, window, now, measure_lag=is_delta)
        if page.more:
            self.lease, _ = due.extend(conn, self.lease, now, self.clock.stretch(LEASE))
        else:
            calendars.verified(conn, id_, now)
            accounts.recovered(conn, self.begun.account.id, now)
            due.finish(
                conn, self.lease, now, self._next_in(), self.clock.stretch(self.connection.provider.traits.trailing)
            )
        return applied

    def _ask_breaker(self, conn: Connection, page: Page, window: Span, now: datetime) -> None:
        calendar = calendars.get(conn, self.begun.calendar.id)
        assert calendar is not None
        if calendar.release_until is not None and now < calendar.release_until:
            return
        planned = events.plan_removals(conn, calendar.id, page, window)
        seen = breaker.Removals(calendar.removed_in_pull + planned.count, max(calendar.items_at_pull, planned.total))
        if planned.count and breaker.trips(seen):
            raise Held(breaker.sentence(seen, calendar.address))

    def _next_in(self) -> timedelta:
        """On the clock: soon without a stream, seldom with one; never all calendars at once."""
        traits, heard = self.connection.provider.traits, self.begun.calendar.heard_at
        listening = heard is not None and self.clock.now() - heard < self.clock.stretch(LISTENING)
        every = traits.poll_every_while_listening if listening else traits.poll_every
        return self.clock.stretch(every) * (0.9 + self.connection.circuit.rng.random() * 0.2)
