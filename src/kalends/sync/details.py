"""Reads at this moment what mode P0 never stores: the details of meetings, for a page or an API answer that shows them.

What was read stays in memory for a minute, so that a page that is opened again does not ask again; it is stored nowhere,
not logged and not told in the feed. An account whose sign-in was refused or which was asked to rest is left alone, and
one that gave no answer is for a few seconds: then there are no details, and it is said why.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog

from kalends.clock import Clock
from kalends.model.event import CalendarId, Event, ItemId, Version
from kalends.model.privacy import Details
from kalends.providers.protocol import CalendarGone, ProviderError, Throttled
from kalends.providers.protocol import Details as TellsDetails
from kalends.seal import SealError
from kalends.store import accounts, calendars
from kalends.store.accounts import Account
from kalends.store.calendars import Calendar
from kalends.store.door import Connection, Store, StoreError
from kalends.sync.connections import Connections

KEPT_SECONDS = 60.0
MOST_KEPT = 2_000
"""Meetings in memory at most; the oldest go first."""
PATIENCE_SECONDS = 5.0
"""So long a page waits for its details."""
QUIET_SECONDS = 10.0
"""So long an account that did not answer is not asked again: pages must not each wait for nothing."""
LONGEST_QUIET = timedelta(hours=1)
AT_ONCE = 4
"""Questions under way per process: pages must not take the places of the pulls."""
BATCH = 20
"""Meetings per question; what came before the patience ended is shown."""
_AWAY = "Details are not available: {}"
_NO_ANSWER = "The calendar's server did not answer in time."
_Key = tuple[str, ItemId, Version]
_log = structlog.get_logger("kalends.sync")


class LiveDetails:
    """One per process. `connections` are its own, and closed with it."""

    def __init__(self, store: Store, connections: Connections, clock: Clock) -> None:
        self._store, self._connections, self._clock = store, connections, clock
        self._kept: dict[_Key, tuple[Event, asyncio.TimerHandle]] = {}
        self._quiet: dict[str, tuple[float, str]] = {}
        self._places = asyncio.Semaphore(AT_ONCE)

    async def read(self, calendar: str, events: Sequence[Event]) -> Details:
        """The same meetings with all that their calendar tells of them, as far as it does within `PATIENCE_SECONDS`."""
        told, absent = self._known(calendar, events)
        if not absent:
            return Details(told)
        missing = await self._ask(calendar, absent)
        told, _ = self._known(calendar, events)
        return Details(told, _AWAY.format(missing) if missing else "")

    async def aclose(self) -> None:
        for key in list(self._kept):
            self._drop(key)
        await self._connections.aclose()

    def _known(self, calendar: str, events: Sequence[Event]) -> tuple[dict[ItemId, Event], dict[ItemId, Version]]:
        """What is in memory of these meetings as they stand now, and what is not."""
        told: dict[ItemId, Event] = {}
        absent: dict[ItemId, Version] = {}
        for event in events:
            held = self._kept.get((calendar, event.item, event.version))
            if held is not None:
                told[event.item] = held[0]
            else:
                absent[event.item] = event.version
        return told, absent

    async def _ask(self, calendar_id: str, absent: dict[ItemId, Version]) -> str:
        """Keeps what comes; returns why something didn't, in a sentence."""
        account: Account | None = None
        try:
            calendar, account = await self._store.read(_place, calendar_id)
            if calendar is None or account is None:
                return "The calendar is no longer there."
            if resting := self._resting(account):
                return resting
            async with asyncio.timeout(PATIENCE_SECONDS), self._places:
                return await self._told_by(account, calendar, absent)
        except TimeoutError:
            reason, wait = _NO_ANSWER, QUIET_SECONDS
        except (ProviderError, StoreError, SealError) as error:
            reason, wait = str(error), _quiet_after(error)
        if account is not None and wait:
            self._quiet[account.id] = asyncio.get_running_loop().time() + wait, reason
        _log.warning("details", id=calendar_id, verdict="away", reason=reason)
        return reason

    async def _told_by(self, account: Account, calendar: Calendar, absent: dict[ItemId, Version]) -> str:
        async with self._connections.using(account) as connection:
            provider, items = connection.provider, list(absent)
            if not isinstance(provider, TellsDetails):
                return "This calendar system can't be asked for single meetings."
            for start in range(0, len(items), BATCH):
                told = await provider.details(CalendarId(calendar.address), items[start : start + BATCH])
                for item in told.keys() & absent.keys():
                    self._keep((calendar.id, item, absent[item]), told[item])
        return ""

    def _resting(self, account: Account) -> str:
        """Why the account must be left alone; empty when it may be used."""
        if account.state in (accounts.REAUTHENTICATE, accounts.PAUSED):
            return account.reason
        if account.retry_at is not None and account.retry_at > self._clock.now():
            return "The calendar's server asked for a pause."
        until, reason = self._quiet.get(account.id, (0.0, ""))
        return reason if asyncio.get_running_loop().time() < until else ""

    def _keep(self, key: _Key, event: Event) -> None:
        self._drop(key)
        while len(self._kept) >= MOST_KEPT:
            self._drop(next(iter(self._kept)))
        self._kept[key] = event, asyncio.get_running_loop().call_later(KEPT_SECONDS, self._drop, key)

    def _drop(self, key: _Key) -> None:
        held = self._kept.pop(key, None)
        if held is not None:
            held[1].cancel()


def _quiet_after(error: Exception) -> float:
    """How long, in real seconds, the account is not asked for details again."""
    if isinstance(error, CalendarGone | StoreError):
        return 0.0  # not the account's trouble
    if isinstance(error, Throttled) and error.wait is not None:
        return min(error.wait, LONGEST_QUIET).total_seconds()
    return QUIET_SECONDS


def _place(conn: Connection, calendar_id: str) -> tuple[Calendar | None, Account | None]:
    calendar = calendars.get(conn, calendar_id)
    return calendar, accounts.get(conn, calendar.account) if calendar is not None else None
