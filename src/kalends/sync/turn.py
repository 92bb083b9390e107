"""One turn of a due row: run it, and whatever happens, leave behind a verdict.

This is the one place where any exception becomes data (`verdict.judge`); nothing that goes wrong in one turn reaches
another. A turn that can't even record its verdict lets its lease run out, and somebody else takes the row.
"""

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from kalends.bus import POLL_SECONDS, Bus, Topic
from kalends.clock import Clock
from kalends.metrics import Metrics
from kalends.providers.protocol import AuthLost, ProviderError, Streamer, Unavailable
from kalends.store import accounts, calendars, due, polled
from kalends.store.accounts import Account
from kalends.store.door import Connection, Store, StoreError
from kalends.store.due import NEWS, ROUTINE, Lease, LeaseLost
from kalends.sync import grouping, pull
from kalends.sync.connections import Connections, Open
from kalends.sync.pull import Pull, Tally
from kalends.sync.stream import Listening
from kalends.sync.verdict import Outcome, Verdict, judge

_CROWDED = timedelta(seconds=0.5)
_log = structlog.get_logger("kalends.sync")


@dataclass(frozen=True)
class Turns:
    """Runs turns. `pulls_per_account` keeps one slow account from taking every place."""

    store: Store
    bus: Bus
    clock: Clock
    rng: random.Random
    metrics: Metrics
    connections: Connections
    pulls_per_account: int

    async def run(self, lease: Lease) -> None:
        """Whatever happens in here is this turn's trouble alone. Raises nothing but CancelledError."""
        try:
            await (self._pull(lease) if lease.kind == "pull" else self._listen(lease))
        except LeaseLost:
            self.metrics.lease_lost.inc()
            _log.info("turn", kind=lease.kind, id=lease.id, verdict=Outcome.LEASE_LOST.value)
        except StoreError as error:
            _log.error("turn", kind=lease.kind, id=lease.id, verdict="store", reason=str(error))
        except Exception as error:  # noqa: BLE001  # our own mistake: say so, let the lease run out, go on
            _log.error("turn", kind=lease.kind, id=lease.id, verdict=Outcome.BROKEN.value, exc_info=error)

    async def _pull(self, lease: Lease) -> None:
        begun = await self.store.read(pull.begin, lease.id)
        if begun is None:
            await self.store.run(due.forget, "pull", [lease.id])
            return
        if await self._stands_back(lease, self._rest_of(begun.account)):
            return
        turn: Pull | None = None
        connection: Open | None = None
        try:
            async with self.connections.using(begun.account) as connection:
                if await self._stands_back(lease, self._crowded(connection, lease) or connection.circuit.wait()):
                    return
                turn = Pull(self.store, self.bus, self.clock, lease, begun, connection)
                await self._run_pull(turn)
        except (LeaseLost, StoreError):
            raise
        except asyncio.CancelledError:
            await asyncio.shield(self._give_back(turn.lease if turn else lease))
            raise
        except Exception as error:  # noqa: BLE001
            is_silent = connection is not None and connection.circuit.is_open
            await self._record(turn.lease if turn else lease, error, begun.account, begun.calendar.id, is_silent)

    async def _run_pull(self, turn: Pull) -> None:
        connection, started = turn.connection, self.clock.monotonic()
        connection.turns += 1
        try:
            tally = await turn.run()
        except BaseException as error:
            _tell(connection, error, turn.begun.calendar.id)
            raise
        finally:
            connection.turns -= 1
        connection.circuit.succeeded()
        self._report(turn, tally, self.clock.monotonic() - started)

    async def _listen(self, lease: Lease) -> None:
        members = await self.store.read(calendars.in_stream, lease.id)
        account = await self.store.read(accounts.get, members[0].account) if members else None
        if account is None:
            await self.store.run(due.forget, "stream", [lease.id])
            return
        if await self._stands_back(lease, self._rest_of(account)):
            return
        listening: Listening | None = None
        try:
            async with self.connections.using(account) as connection:
                provider = connection.provider
                if not isinstance(provider, Streamer) or provider.traits.never_told:  # its settings were others once
                    await self.store.run(grouping.group, account.id, provider, self.clock.now())
                    return
                engine = (self.store, self.bus, self.clock, self.metrics)
                line = (provider, connection.circuit, provider.traits)
                listening = Listening(*engine, lease, tuple(members), *line)
                await listening.run()
        except (LeaseLost, StoreError):
            raise
        except asyncio.CancelledError:
            await asyncio.shield(self._give_back(listening.lease if listening else lease))
            raise
        except Exception as error:  # noqa: BLE001
            verdict = await self._record(listening.lease if listening else lease, error, account, None)
            why = listening.why_polled(verdict.reason) if listening and verdict.is_of_stream else None
            await self.store.run(self._poll_instead, [member.id for member in members], why)
            self.bus.hint(Topic.DUE)
        else:
            await self._give_back(listening.lease)
            self.bus.hint(Topic.STREAMS)

    def _rest_of(self, account: Account) -> timedelta | None:
        """How long, on the clock, a throttled or locked-out account must still be left alone."""
        now = self.clock.now()
        if account.retry_at is None or account.retry_at <= now:
            return None
        return (account.retry_at - now) * (1 + self.rng.random() * 0.1)

    def _crowded(self, connection: Open, lease: Lease) -> timedelta | None:
        """News leaves a fifth of the account's places to routine, as the claim does with the worker's."""
        places = self.pulls_per_account
        if lease.lane == NEWS and places > 1:
            places -= max(1, places // 5)
        return self.clock.stretch(_CROWDED) if connection.turns >= places else None

    async def _stands_back(self, lease: Lease, wait: timedelta | None) -> bool:
        if wait is not None:
            await self.store.run(due.finish, lease, self.clock.now(), wait, wait, lease.failures, lease.lane)
            self._hint_if_soon(wait)
        return wait is not None

    async def _record(
        self, lease: Lease, error: Exception, account: Account, calendar: str | None, is_silent: bool = False
    ) -> Verdict:
        """`is_silent`: so many calendars got no answer that the account itself is in trouble."""
        verdict = judge(error, lease.failures, self.rng)
        if is_silent and verdict.outcome is Outcome.UNAVAILABLE:
            verdict = replace(verdict, account=accounts.DEGRADED)
        self.metrics.turns.labels(lease.kind, account.kind, verdict.outcome.value).inc()
        if verdict.outcome is Outcome.THROTTLED:
            self.metrics.throttled.labels(account.kind).inc(verdict.retry_in.total_seconds())
        _log.warning(
            "turn",
            kind=lease.kind,
            id=lease.id,
            provider=account.kind,
            verdict=verdict.outcome.value,
            failures=lease.failures,
            retry_s=round(verdict.retry_in.total_seconds(), 1),
            reason=verdict.reason,
            exc_info=error if verdict.outcome is Outcome.BROKEN else None,
        )
        await self.store.run(self._write, lease, verdict, account, calendar)
        self.bus.hint(Topic.FEED)
        self._hint_if_soon(self.clock.stretch(verdict.retry_in))
        return verdict

    def _hint_if_soon(self, wait: timedelta) -> None:
        """Whoever sleeps until the next due row doesn't know of this one yet."""
        if wait < self.clock.stretch(timedelta(seconds=POLL_SECONDS)):
            self.bus.hint(Topic.DUE)

    def _write(self, conn: Connection, lease: Lease, verdict: Verdict, account: Account, calendar: str | None) -> None:
        """What a failed turn leaves behind, in one transaction."""
        now, wait = self.clock.now(), self.clock.stretch(verdict.retry_in)
        due.hold(conn, lease)
        if calendar is not None and verdict.calendar is not None:
            calendars.set_state(conn, calendar, verdict.calendar, verdict.reason, now)
        if calendar is not None and verdict.forget_cursor:
            calendars.forget_cursor(conn, calendar)
        standing = accounts.get(conn, account.id)
        if standing is not None and _is_same_way_in(standing, account):  # else this is about credentials of the past
            state = verdict.account or _if_all_are(conn, account, verdict)
            if state is not None:
                accounts.set_state(conn, account.id, state, verdict.reason, now)
            if verdict.rest_account and (standing.retry_at is None or standing.retry_at < now + wait):
                accounts.rest_until(conn, account.id, now + wait)
        elif verdict.rest_account:
            wait = timedelta(0)
        failures = lease.failures + 1 if verdict.counts_as_failure else lease.failures
        due.finish(conn, lease, now, wait, wait, failures)

    def _report(self, turn: Pull, tally: Tally, seconds: float) -> None:
        kind = turn.begun.account.kind
        self.metrics.turns.labels("pull", kind, Outcome.DONE.value).inc()
        counted = {"created": tally.created, "updated": tally.updated, "removed": tally.removed}
        for change, count in counted.items():
            self.metrics.applied.labels(kind, change).inc(count)
        for lag in tally.lags:
            self.metrics.lag.labels(kind).observe(lag.total_seconds())
        _log.info(
            "turn",
            kind="pull",
            id=turn.begun.calendar.id,
            provider=kind,
            verdict=Outcome.DONE.value,
            pages=tally.pages,
            **counted,
            unreadable=tally.unreadable,
            ms=round(seconds * 1000),
        )

    async def _give_back(self, lease: Lease) -> None:
        """The group may be opened again at once, here or elsewhere."""
        with suppress(LeaseLost, StoreError):
            await self.store.run(due.finish, lease, self.clock.now(), timedelta(0), timedelta(0), lease.failures)

    def _poll_instead(self, conn: Connection, ids: list[str], why: Mapping[str, str] | None) -> None:
        """Without a stream nothing proves that no change was missed: look once now, then poll."""
        calendars.unheard(conn, ids)
        if why is not None:
            polled.say(conn, ids, why)
        due.wake(conn, "pull", ids, self.clock.now(), ROUTINE)


def _is_same_way_in(one: Account, other: Account) -> bool:
    return (one.sealed, one.settings) == (other.sealed, other.settings)


def _tell(connection: Open, error: BaseException, calendar: str) -> None:
    """Only silence opens the circuit: a server that answers with an error is not down."""
    if isinstance(error, Unavailable):
        connection.circuit.failed(calendar)
    elif isinstance(error, ProviderError) and not isinstance(error, AuthLost):
        connection.circuit.succeeded()
    else:
        connection.circuit.abandoned()  # a refused password may have been refused without asking the server


def _if_all_are(conn: Connection, account: Account, verdict: Verdict) -> str | None:
    """An account none of whose calendars can be read is itself in trouble: its address, its certificate, its server."""
    is_said = account.state == accounts.DEGRADED and account.reason != accounts.unverified_reason(account.settings)
    if verdict.outcome is not Outcome.UNAVAILABLE or is_said:
        return None
    members = calendars.of_account(conn, account.id)
    return accounts.DEGRADED if all(member.state == calendars.DEGRADED for member in members) else None
