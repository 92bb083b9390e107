"""The work table: what to look at next, and when. `sync.worker` claims from it; whoever learns of news wakes a row.

Four rules make it right (docs/decisions: level-triggered due table). Each was measured without and with; each has its test.

1. A claim sets `due_at` to the lease end. A `due_at` that is something else when the turn ends *is* a wake that came
   during the turn: look again soon. Without this, wakes during turns of workers that died were lost for good.
2. There are two lanes. News is claimed before routine, and a fifth of the slots is kept for routine.
3. Rows are claimed in batches, `FOR UPDATE SKIP LOCKED` on PostgreSQL, in one IMMEDIATE transaction on SQLite. The scan is
   bounded below, so that it does not wade through what was just claimed; once a minute a sweep goes without that bound.
4. The lease end is the fencing token, greater than any earlier one of its row. Every transaction of a turn first `hold`s
   its row by it: no row, no write.

Two consequences worth knowing. A wake that finds its row already due in the routine lane moves it to the news lane *at the
present instant*, since further back the bounded scan of that lane would not see it. And a turn that outlived its lease
counts as woken: a wake after the lease end can't be told from the lease end itself.

Time is the database's on PostgreSQL, so that workers' clocks need not agree; on SQLite it is the `now` given.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from kalends.model.time import instant, micros
from kalends.store.schema import Instant, due

NEWS, ROUTINE = 0, 1
SLACK = timedelta(seconds=5)
"""How far below the last claimed `due_at` the scan begins: a wake may be stamped a little before a claim and commit after."""
_FREE = instant(0)
_CHUNK = 500
"""Ids in one statement."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one row until the instant that `token` says (microseconds since 1970)."""

    kind: str
    id: str
    token: int
    failures: int
    lane: int
    waited: timedelta
    """How long it had been due when it was claimed."""
    due_at: datetime

    @property
    def ends_at(self) -> datetime:
        return instant(self.token)


class LeaseLost(Exception):
    """Another worker has taken over this row, or it is gone; whatever this turn still wanted to write is refused."""


class Backlog(NamedTuple):
    rows: int
    oldest: timedelta


Since = Mapping[tuple[str, int], datetime]
"""Per kind and lane, the `due_at` claimed last."""


def since_after(since: Since, leases: Iterable[Lease]) -> dict[tuple[str, int], datetime]:
    """`since` for the next claim, once these have been claimed."""
    seen = dict(since)
    for lease in leases:
        place = (lease.kind, lease.lane)
        seen[place] = max(seen.get(place, lease.due_at), lease.due_at)
    return seen


def ensure(
    conn: Connection, kind: str, ids: Sequence[str], now: datetime, delay: timedelta = timedelta(0), lane: int = ROUTINE
) -> None:
    """Every id has a row; those that had none are due after `delay`."""
    at = _clock(conn, now) + delay
    rows = [
        {"kind": kind, "id": id, "lane": lane, "due_at": at, "leased_until": _FREE, "token": 0, "failures": 0}
        for id in sorted(set(ids))
    ]
    insert = postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert
    if rows:
        conn.execute(insert(due).on_conflict_do_nothing(), rows)


def forget(conn: Connection, kind: str, ids: Sequence[str]) -> None:
    """No id has a row; turns that run on them can't write any more."""
    for chunk in _chunks(ids):
        conn.execute(delete(due).where(due.c.kind == kind, due.c.id.in_(chunk)))


def wake(conn: Connection, kind: str, ids: Sequence[str], now: datetime, lane: int = NEWS) -> int:
    """Every row is due now at the latest, also while leased; returns how many rows there were."""
    at, rows = _clock(conn, now), 0
    for chunk in _chunks(ids):
        named = {"k": kind, "ids": chunk}
        if conn.dialect.name == "postgresql":  # in one order, so that two wakes of the same rows can't block each other
            conn.execute(_LOCK, named)
        rows += conn.execute(_WAKE, {**named, "at": at, "l": lane}).rowcount
    return rows


def claim(
    conn: Connection,
    kinds: Sequence[str],
    now: datetime,
    lease: timedelta,
    limit: int,
    since: Since | None,
    routine: int | None = None,
) -> list[Lease]:
    """At most `limit` leases on what is due, kinds in order of importance, news first, and oldest first within a lane.

    `since` bounds the scan; None sweeps without a bound. `routine` slots are left to that lane while it has work: a fifth of
    `limit` if not told. A worker that asks for a few at a time passes what its own fifth still lacks.
    """
    at = _clock(conn, now)
    kept = min(limit, limit // 5 if routine is None else routine)

    def take(lane: int, slots: int) -> list[Lease]:
        taken: list[Lease] = []
        for kind in kinds:
            if len(taken) < slots:
                bound = since.get((kind, lane)) if since is not None else None
                taken += _claim(conn, kind, lane, at, lease, slots - len(taken), bound)
        return taken

    leases = take(NEWS, limit - kept)
    more_news = len(leases) == limit - kept
    leases += take(ROUTINE, limit - len(leases))
    if more_news:
        leases += take(NEWS, limit - len(leases))
    return leases


def _claim(
    conn: Connection, kind: str, lane: int, at: datetime, length: timedelta, limit: int, bound: datetime | None
) -> list[Lease]:
    here: dict[str, object] = {"k": kind, "l": lane, "at": at, "most": limit}
    ripe = conn.execute(_RIPE, here) if bound is None else conn.execute(_RIPE_BOUNDED, {**here, "bound": bound - SLACK})
    leases = [
        Lease(kind, row.id, _next_token(at + length, row.token), row.failures, lane, at - row.due_at, row.due_at)
        for row in ripe
    ]
    if leases:
        conn.execute(_TAKE, [{"k": kind, "i": taken.id, "end": taken.ends_at, "t": taken.token} for taken in leases])
    return leases


# Made once, as are those below: building a statement takes longer than running it.
_NAMED = and_(due.c.kind == bindparam("k"), due.c.id.in_(bindparam("ids", expanding=True)))
_LOCK = select(due.c.id).where(_NAMED).order_by(due.c.id).with_for_update()
_AT = bindparam("at", type_=Instant)
_LANE = bindparam("l", type_=due.c.lane.type)
_OVERTAKES = and_(due.c.lane > _LANE, due.c.leased_until <= _AT)
_WAKE = (
    update(due)
    .where(_NAMED)
    .values(
        due_at=case((or_(due.c.due_at > _AT, _OVERTAKES), _AT), else_=due.c.due_at),
        lane=case((due.c.lane > _LANE, _LANE), else_=due.c.lane),
    )
)
_RIPE = (
    select(due.c.id, due.c.due_at, due.c.token, due.c.failures)
    .where(due.c.kind == bindparam("k"), due.c.lane == _LANE, due.c.due_at <= _AT, due.c.leased_until <= _AT)
    .order_by(due.c.due_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_RIPE_BOUNDED = _RIPE.where(due.c.due_at >= bindparam("bound"))
_SOONEST = (
    select(due.c.due_at)
    .where(due.c.kind == bindparam("k"), due.c.lane == _LANE, due.c.due_at >= due.c.leased_until)
    .order_by(due.c.due_at)
    .limit(1)
)
_TAKE = (
    update(due)
    .where(due.c.kind == bindparam("k"), due.c.id == bindparam("i"))
    .values(due_at=bindparam("end"), leased_until=bindparam("end"), token=bindparam("t"))
)


def hold(conn: Connection, lease: Lease) -> None:
    """Until this transaction ends, nobody else can take over the row. The first statement of every transaction of a turn.

    Raises LeaseLost. A lease that has run out still holds as long as nobody else has claimed the row.
    """
    _held(conn, lease)


def extend(
    conn: Connection, lease: Lease, now: datetime, length: timedelta, *, heed: bool = False
) -> tuple[Lease, bool]:
    """A new lease of `length` from now on, and whether a wake came in the meantime. Raises LeaseLost.

    The wake is kept, and `finish` will find it too; with `heed` the caller acts on it now and it is taken off.
    """
    due_at, at = _held(conn, lease), _clock(conn, now)
    woken = _was_woken(due_at, lease, at)
    longer = replace(lease, token=_next_token(at + length, lease.token))
    next_at = min(due_at, at) if woken and not heed else longer.ends_at
    conn.execute(_GO_ON, {**_place(lease), "next": next_at, "end": longer.ends_at, "t": longer.token})
    return longer, woken


def finish(
    conn: Connection,
    lease: Lease,
    now: datetime,
    next_in: timedelta,
    trailing: timedelta,
    failures: int = 0,
    lane: int = ROUTINE,
) -> bool:
    """The turn is over: the row is due again after `next_in`, in `lane`. Raises LeaseLost.

    True: a wake came during the turn, so it is due after `trailing` in the news lane instead. A turn that failed passes its
    back-off as `trailing` too, else whoever wakes a row makes it hammer a server that asked for a pause.
    """
    due_at, at = _held(conn, lease), _clock(conn, now)
    woken = _was_woken(due_at, lease, at)
    ending = {
        "next": at + (min(trailing, next_in) if woken else next_in),
        "l": NEWS if woken else lane,
        "end": _FREE,
        "f": failures,
    }
    conn.execute(_END, {**_place(lease), **ending})
    return woken


def take_back(conn: Connection, kind: str, ids: Sequence[str], now: datetime) -> None:
    """Whoever works on these rows can write no more, and they are due now. What such a turn had committed stands."""
    at = _clock(conn, now)
    for chunk in _chunks(ids):
        if conn.dialect.name == "postgresql":  # waits for what a turn is just committing
            conn.execute(_LOCK, {"k": kind, "ids": chunk})
        here = and_(due.c.kind == kind, due.c.id.in_(chunk))
        conn.execute(update(due).where(here).values(leased_until=_FREE, due_at=at, lane=NEWS))


def break_leases(conn: Connection, now: datetime) -> int:
    """Every lease has ended and its row is due. Only for a store that no other process can be working on: at SQLite's start."""
    at = _clock(conn, now)
    taken = due.c.leased_until > at
    return conn.execute(update(due).where(taken).values(leased_until=_FREE, due_at=at)).rowcount


def next_due(conn: Connection, kinds: Sequence[str], now: datetime) -> timedelta | None:
    """How long until something is due, zero if something is, None if there are no rows.

    Rows that were woken under a lease are left out: the turn that holds them brings them up when it ends.
    """
    at = _clock(conn, now)
    soonest: list[datetime] = []
    for kind in kinds:
        for lane in (NEWS, ROUTINE):
            soonest += conn.execute(_SOONEST, {"k": kind, "l": lane}).scalars()
    return max(min(soonest) - at, timedelta(0)) if soonest else None


def backlog(conn: Connection, now: datetime) -> dict[tuple[str, int], Backlog]:
    """Per kind and lane, how much is due that nobody works on, and for how long the oldest of it."""
    at = _clock(conn, now)
    rows = conn.execute(
        select(due.c.kind, due.c.lane, func.count().label("rows"), func.min(due.c.due_at).label("oldest"))
        .where(due.c.due_at <= at, due.c.leased_until <= at)
        .group_by(due.c.kind, due.c.lane)
        .order_by(due.c.kind, due.c.lane)
    )
    return {(row.kind, row.lane): Backlog(row.rows, at - row.oldest) for row in rows}


def _held(conn: Connection, lease: Lease) -> datetime:
    """The row's `due_at`, the row locked. A SELECT suffices: SQLite's transaction is IMMEDIATE, PostgreSQL locks FOR UPDATE."""
    due_at: datetime | None = conn.execute(_HELD, _place(lease)).scalar_one_or_none()
    if due_at is None:
        raise LeaseLost(f"{lease.kind} {lease.id}: another worker has taken over, so this turn ends without writing.")
    return due_at


def _place(lease: Lease) -> dict[str, object]:
    return {"k": lease.kind, "i": lease.id, "held": lease.ends_at}


_HERE = and_(due.c.kind == bindparam("k"), due.c.id == bindparam("i"), due.c.leased_until == bindparam("held"))
_HELD = select(due.c.due_at).where(_HERE).with_for_update()
_GO_ON = update(due).where(_HERE).values(due_at=bindparam("next"), leased_until=bindparam("end"), token=bindparam("t"))
_END = (
    update(due)
    .where(_HERE)
    .values(due_at=bindparam("next"), lane=bindparam("l"), leased_until=bindparam("end"), failures=bindparam("f"))
)


def _was_woken(due_at: datetime, lease: Lease, at: datetime) -> bool:
    return due_at != lease.ends_at or lease.ends_at <= at


def _next_token(end: datetime, last: int) -> int:
    return max(micros(end), last + 1)


def _clock(conn: Connection, now: datetime) -> datetime:
    """The database's time where it has one that all workers share, else `now`."""
    if conn.dialect.name != "postgresql":
        return now
    value = conn.execute(text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")).scalar_one()
    return instant(int(value))


def _chunks(ids: Sequence[str]) -> Iterable[list[str]]:
    ordered = sorted(set(ids))
    return (ordered[n : n + _CHUNK] for n in range(0, len(ordered), _CHUNK))
