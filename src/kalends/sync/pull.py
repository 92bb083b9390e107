"""Brings one calendar in step with its provider: the turn behind a due row of kind `pull`.

    begin ─▶ provider.pull ─▶ breaker ─▶ events.apply ─┬─ more pages: again (a full read: after the others' first page)
                                                       └─ verified ─▶ finish      each step to the right one transaction

Each page is committed with its cursor, so a turn that dies loses one page of work and nothing else. What a notification
said is not even known here: the provider's delta is the only truth.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kalends.bus import Bus, Topic
from kalends.clock import Clock
from kalends.model.event import CalendarId
from kalends.model.time import Span
from kalends.providers.protocol import Cursor, Known, Page, Traits, Unavailable
from kalends.store import accounts, calendars, due, events
from kalends.store.accounts import Account
from kalends.store.calendars import Calendar
from kalends.store.contents import Contents
from kalends.store.door import Connection, Store
from kalends.store.due import Lease
from kalends.sync import breaker
from kalends.sync.connections import Open
from kalends.sync.verdict import Held

MOST_PAGES = 5000
"""A pull that has not ended by then is given up and counted as a failure of the provider."""
LEASE = timedelta(seconds=120)
"""So soon others take over what a killed worker had in hand."""
RENEW_SECONDS = 40.0
"""A page that takes longer than this keeps its lease by renewing it."""
MOST_RENEWALS = 15
"""A page that takes ten minutes never comes."""
TRY_UNREADABLE_AGAIN = timedelta(minutes=10)
"""What could not be read is perhaps not bad itself: half an answer three times in a row looks the same.
From there the waits double, up to the usual reconcile."""
LISTENING = timedelta(seconds=90)
"""A stream that proved itself this recently spares its calendars the frequent poll."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What a turn needs to know, read in one go."""

    calendar: Calendar
    account: Account
    known: Known
    unreadable_since: datetime | None
    """Since when some item could not be read."""


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
    return Begun(calendar, account, events.known(conn, calendar_id), calendars.unreadable_since(conn, calendar_id))


@dataclass
class Pull:
    """One turn. `lease` moves on with every committed page."""

    store: Store
    bus: Bus
    clock: Clock
    contents: Contents
    lease: Lease
    begun: Begun
    connection: Open

    async def run(self) -> Tally:
        """Afterwards the calendar is in step as of the provider's last answer, or a full read is begun and due to go on.

        Raises ProviderError, Held, LeaseLost.
        """
        calendar, traits = self.begun.calendar, self.connection.provider.traits
        now = self.clock.now()
        window = Span(now - traits.past, now + traits.ahead)
        cursor = None if self._reconcile_is_due(calendar, traits, now) else calendar.cursor
        is_delta = cursor is not None and calendar.reconciled_at is not None
        tally, known = Tally(), self.begun.known
        for _ in range(MOST_PAGES):
            page = await self._page(cursor, window, known)
            applied, self.lease, woken = await self.store.run(self._commit, page, window, cursor is None, is_delta)
            tally.add(applied)
            if applied.changed:
                self.bus.hint(Topic.FEED)
            if woken or (page.more and cursor is None):
                self.bus.hint(Topic.DUE)  # whoever sleeps until the next due row doesn't know of this one yet
            if not page.more or cursor is None:
                return tally  # see `_commit`: the rest comes behind the other rooms' first pages
            cursor = page.cursor
            known = await self.store.read(events.known, calendar.id)
        raise RuntimeError(f"a pull of more than {MOST_PAGES} pages")

    async def _page(self, cursor: str | None, window: Span, known: Known) -> Page:
        """The provider's next page; the lease lives on while it is waited for."""
        address, asked = CalendarId(self.begun.calendar.address), None if cursor is None else Cursor(cursor)
        asking = asyncio.ensure_future(self.connection.provider.pull(address, asked, window, known))
        try:
            for _ in range(MOST_RENEWALS):
                await asyncio.wait([asking], timeout=RENEW_SECONDS)
                if asking.done():
                    return asking.result()
                self.lease = await self.store.run(self._renewed)
            raise Unavailable(
                f"The server did not finish an answer within {MOST_RENEWALS * RENEW_SECONDS / 60:.0f} minutes. "
                "Check its load and the network; Kalends tries again by itself."
            )
        finally:
            await _ended(asking)

    def _renewed(self, conn: Connection) -> Lease:
        return due.extend(conn, self.lease, self.clock.now(), self.clock.stretch(LEASE))[0]

    def _reconcile_is_due(self, calendar: Calendar, traits: Traits, now: datetime) -> bool:
        """A full read that was begun goes on from its cursor; `reconciled_at` is empty until it ends."""
        if calendar.reconciled_at is None or calendar.cursor is None:
            return calendar.cursor is None
        every, since = self.clock.stretch(traits.reconcile_every), self.begun.unreadable_since
        if since is not None:  # perhaps it was only cut short: soon at first, then ever less often
            soon = self.clock.stretch(TRY_UNREADABLE_AGAIN)
            every = min(every, max(soon, calendar.reconciled_at - since))
        return now - calendar.reconciled_at >= every

    def _commit(
        self, conn: Connection, page: Page, window: Span, is_first_of_full: bool, is_delta: bool
    ) -> tuple[events.Applied, Lease, bool]:
        """One page in one transaction: the fence, the breaker, the rows, the cursor, the feed, the audit and the lease.

        Returns also whether a wake came during the turn, so that it is due again in a moment. Changes nothing but the
        database, since the store may run it twice.
        """
        now, id_, lease, woken = self.clock.now(), self.begun.calendar.id, self.lease, False
        due.hold(conn, lease)
        if is_first_of_full:
            calendars.begin_full_read(conn, id_)
        self._ask_breaker(conn, page, window, now)
        applied = events.apply(conn, self.contents, lease, id_, page, window, now, measure_lag=is_delta)
        if page.more and is_first_of_full:
            # The days around now are there, which is what doors show. The rest waits in the routine lane, so that no room
            # has its whole year before another has its day.
            due.finish(conn, lease, now, timedelta(0), timedelta(0), lease.failures)
        elif page.more:
            lease = self._renewed(conn)
        else:
            calendars.verified(conn, id_, now)
            accounts.recovered(conn, self.begun.account.id, now)
            trailing = self.clock.stretch(self.connection.provider.traits.trailing)
            woken = due.finish(conn, lease, now, self._next_in(), trailing)
        return applied, lease, woken

    def _ask_breaker(self, conn: Connection, page: Page, window: Span, now: datetime) -> None:
        planned = events.plan_removals(conn, self.begun.calendar.id, page, window)
        if not planned.count:
            return
        calendar = calendars.get(conn, self.begun.calendar.id)
        assert calendar is not None
        if calendar.release_until is not None and now < calendar.release_until:
            return
        seen = breaker.Removals(calendar.removed_in_pull + planned.count, max(calendar.items_at_pull, planned.total))
        if breaker.trips(seen):
            raise Held(breaker.sentence(seen, calendar.address))

    def _next_in(self) -> timedelta:
        """On the clock: soon without a stream, seldom with one; never all calendars at once."""
        traits, heard = self.connection.provider.traits, self.begun.calendar.heard_at
        listening = heard is not None and self.clock.now() - heard < self.clock.stretch(LISTENING)
        every = traits.poll_every_while_listening if listening else traits.poll_every
        return self.clock.stretch(every) * (0.9 + self.connection.circuit.rng.random() * 0.2)


async def _ended(asking: "asyncio.Future[Page]") -> None:
    """Nothing of the call goes on, and nobody is told that its outcome was never looked at."""
    asking.cancel()
    await asyncio.wait([asking])
    if not asking.cancelled():
        asking.exception()
