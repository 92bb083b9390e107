"""Calendars: which account reaches them, how far they are read, how healthy they are, and who listens for them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from sqlalchemy import Connection, Row, Table, and_, bindparam, delete, func, insert, select, update

from kalends.store import audit, due, feed, polled
from kalends.store.accounts import unverified_reason
from kalends.store.due import Lease
from kalends.store.feed import News
from kalends.store.schema import accounts, bases, calendars, events, links, unreadable
from kalends.store.schema import due as pulls
from kalends.store.schema import polled as polled_table

CATCHING_UP, IN_SYNC, DEGRADED, HELD, GONE = "catching_up", "in_sync", "degraded", "held", "gone"
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Calendar:
    id: str
    organization: str
    account: str
    address: str
    """The primary address, lower case."""
    name: str
    state: str
    reason: str
    """Why it is in this state: a sentence for people."""
    since: datetime
    cursor: str | None
    stream: str | None
    """The stream group that listens for it."""
    heard_at: datetime | None
    """When its stream last proved alive; None when none listens."""
    verified_at: datetime | None
    """When a pull last ended with nothing left to read."""
    changed_at: datetime | None
    reconciled_at: datetime | None
    """When everything was last read again; None while the first or a new full read is under way."""
    removed_in_pull: int
    """Masters and single meetings that the unfinished pull took away so far."""
    items_at_pull: int
    """How many there were before it took the first."""
    release_until: datetime | None
    """Until then large removals were allowed by an admin."""


@dataclass(frozen=True, slots=True)
class Health:
    """What an admin wants to know of one calendar."""

    calendar: Calendar
    account_name: str
    account_kind: str
    account_state: str
    account_reason: str
    account_since: datetime
    account_unverified: str
    """Why its server's certificate is not verified; empty when it is."""
    privacy: str
    """The account's storage mode, P1 or P3."""
    lag_p50_ms: int | None
    """Provider's change → committed here, of the last changes; on the clock. None before the first."""
    lag_p95_ms: int | None
    events: int
    unreadable: int
    spaces: tuple[str, ...]
    """Ids of the spaces linked to it."""
    pull_failures: int
    """How often in a row its pull has failed, for whatever reason."""
    woken_at: datetime | None
    """Since when news has been waiting to be read; in the future or None when none has."""
    polling: str
    """Why no stream listens for it: a sentence for people. Empty where one does, or soon will."""


# Made once: they run in every turn, and building a statement takes longer than running it.
_READ = select(*(calendars.c[name] for name in Calendar.__dataclass_fields__))
_GET = _READ.where(calendars.c.id == bindparam("id"))
_UPDATE = update(calendars).where(calendars.c.id.in_(bindparam("ids", expanding=True)))


def add(conn: Connection, id: str, organization: str, account: str, address: str, name: str, now: datetime) -> None:
    """A new calendar, still to be read for the first time. At most one per account and address."""
    row = {
        "id": id,
        "organization": organization,
        "account": account,
        "address": address,
        "name": name,
        "state": CATCHING_UP,
        "reason": "It is being read for the first time.",
        "since": now,
        "lags": "",
        "removed_in_pull": 0,
        "items_at_pull": 0,
        "longest": 0,
    }
    conn.execute(insert(calendars), row)
    feed.append(conn, organization, now, [_state_news(id, CATCHING_UP)])


def get(conn: Connection, id: str) -> Calendar | None:
    return next(iter(_read(conn.execute(_GET, {"id": id}))), None)


def by_address(conn: Connection, account: str, address: str) -> Calendar | None:
    query = _READ.where(calendars.c.account == account, calendars.c.address == address)
    return next(iter(_read(conn.execute(query))), None)


def find(conn: Connection, organization: str, address: str) -> list[Calendar]:
    """Every calendar with this address: two accounts may reach one mailbox."""
    query = _READ.where(calendars.c.organization == organization, calendars.c.address == address)
    return _read(conn.execute(query.order_by(calendars.c.id)))


def of_account(conn: Connection, account: str) -> list[Calendar]:
    return _sorted(_read(conn.execute(_READ.where(calendars.c.account == account))))


def list_health(conn: Connection, organization: str) -> list[Health]:
    """Every calendar of the organization, by address."""
    query = select(
        calendars,
        accounts.c.name.label("account_name"),
        accounts.c.kind.label("account_kind"),
        accounts.c.state.label("account_state"),
        accounts.c.reason.label("account_reason"),
        accounts.c.since.label("account_since"),
        accounts.c.settings.label("account_settings"),
        accounts.c.privacy,
        pulls.c.failures,
        pulls.c.lane,
        pulls.c.due_at,
    ).select_from(
        calendars.join(accounts, accounts.c.id == calendars.c.account).outerjoin(
            pulls, and_(pulls.c.kind == "pull", pulls.c.id == calendars.c.id)
        )
    )
    found = conn.execute(query.where(calendars.c.organization == organization)).all()
    held, bad, why_polled = _counts(conn, events), _counts(conn, unreadable), polled.reasons(conn)
    linked: dict[str, list[str]] = {}
    for link in conn.execute(select(links.c.calendar, links.c.space).order_by(links.c.space)):
        linked.setdefault(link.calendar, []).append(link.space)
    healths = [_health(row, held, bad, linked, why_polled) for row in found]
    return sorted(healths, key=lambda health: (health.calendar.address, health.calendar.id))


def _health(
    row: Row[tuple[object, ...]],
    held: dict[str, int],
    bad: dict[str, int],
    linked: dict[str, list[str]],
    why_polled: dict[str, str],
) -> Health:
    lags = sorted(int(lag) for lag in row.lags.split(",") if lag)
    [calendar] = _read([row])
    return Health(
        calendar=calendar,
        account_name=row.account_name,
        account_kind=row.account_kind,
        account_state=row.account_state,
        account_reason=row.account_reason,
        account_since=row.account_since,
        account_unverified=_unverified(row.account_settings),
        privacy=row.privacy,
        lag_p50_ms=_percentile(lags, 50),
        lag_p95_ms=_percentile(lags, 95),
        events=held.get(calendar.id, 0),
        unreadable=bad.get(calendar.id, 0),
        spaces=tuple(linked.get(calendar.id, ())),
        pull_failures=row.failures or 0,
        woken_at=row.due_at if row.lane == due.NEWS else None,
        polling=why_polled.get(calendar.id, ""),
    )


@lru_cache(maxsize=256)
def _unverified(settings: str) -> str:
    return unverified_reason(json.loads(settings))


def set_state(
    conn: Connection,
    id: str,
    state: str,
    reason: str,
    now: datetime,
    *,
    actor: str = audit.SYNC,
    lease: Lease | None = None,
) -> bool:
    """The calendar has this state and reason; returns whether that is new. `lease`: the turn that says so, checked first."""
    if lease is not None:
        due.hold(conn, lease)
    old = get(conn, id)
    if old is None or (old.state, old.reason) == (state, reason):
        return False
    since = old.since if old.state == state else now
    _update(conn, [id], state=state, reason=reason, since=since)
    feed.append(conn, old.organization, now, [_state_news(id, state)])
    audit.write(conn, old.organization, now, actor=actor, action="calendar.state", target=id, why=f"{state}: {reason}")
    return True


def begin_full_read(conn: Connection, id: str) -> None:
    """Everything is about to be read again: what was unreadable gets another chance, and is forgotten unless it shows up."""
    _update(conn, [id], reconciled_at=None)
    conn.execute(update(unreadable).where(unreadable.c.calendar == id).values(reason=_NOT_SEEN_AGAIN))


def unreadable_since(conn: Connection, id: str) -> datetime | None:
    """Since when some item of the calendar could not be read; None when all can."""
    since: datetime | None = conn.execute(_UNREADABLE_SINCE, {"calendar": id}).scalar_one()
    return since


_NOT_SEEN_AGAIN = ""
_UNREADABLE_SINCE = select(func.min(unreadable.c.since)).where(unreadable.c.calendar == bindparam("calendar"))


def verified(conn: Connection, id: str, now: datetime) -> None:
    """A pull ended with nothing left to read: the calendar is in sync as of now."""
    calendar = get(conn, id)
    if calendar is None:
        return
    if calendar.reconciled_at is None:
        gone = and_(unreadable.c.calendar == id, unreadable.c.reason == _NOT_SEEN_AGAIN)
        conn.execute(delete(unreadable).where(gone))
    reconciled_at = calendar.reconciled_at or now
    _update(conn, [id], verified_at=now, reconciled_at=reconciled_at, removed_in_pull=0, items_at_pull=0)
    set_state(conn, id, IN_SYNC, "Everything its server reported has been read.", now)


def forget_cursor(conn: Connection, id: str) -> None:
    """The next pull reads everything."""
    _update(conn, [id], cursor=None)


def heard(conn: Connection, lease: Lease, ids: Sequence[str], now: datetime) -> None:
    """The stream of these calendars is alive. Raises LeaseLost."""
    due.hold(conn, lease)
    _update(conn, ids, heard_at=now)


def unheard(conn: Connection, ids: Sequence[str]) -> None:
    """No stream listens for these calendars now."""
    _update(conn, ids, heard_at=None)


def assign_stream(conn: Connection, account: str, max_per_stream: int) -> list[str]:
    """Every calendar of the account is in a stream group of at most `max_per_stream`; returns the groups' ids.

    Who is in a group that is not too full stays there, so that adding a room disturbs one group only.
    """
    assert max_per_stream > 0
    groups: dict[str, list[str]] = {}
    homeless: list[str] = []
    for calendar in of_account(conn, account):
        members = groups.setdefault(calendar.stream, []) if calendar.stream is not None else None
        if members is None or len(members) >= max_per_stream:
            homeless.append(calendar.id)
        else:
            members.append(calendar.id)
    number = 0
    moved: dict[str, list[str]] = {}
    for id in homeless:
        while len(groups.setdefault(f"{account}/{number}", [])) >= max_per_stream:
            number += 1
        groups[f"{account}/{number}"].append(id)
        moved.setdefault(f"{account}/{number}", []).append(id)
    for group, ids in moved.items():
        _update(conn, ids, stream=group)
    return sorted(group for group, members in groups.items() if members)


def leave_streams(conn: Connection, ids: Sequence[str]) -> None:
    """These calendars are in no stream group."""
    _update(conn, ids, stream=None, heard_at=None)


def in_stream(conn: Connection, stream: str) -> list[Calendar]:
    """The members of a stream group, by address."""
    return _sorted(_read(conn.execute(_READ.where(calendars.c.stream == stream))))


def release(conn: Connection, id: str, until: datetime, now: datetime, *, actor: str) -> None:
    """An admin believes what the breaker stopped: large removals pass until `until`."""
    calendar = get(conn, id)
    if calendar is None:
        return
    _update(conn, [id], release_until=until)
    why = f"large removals allowed until {until.isoformat()}"
    audit.write(conn, calendar.organization, now, actor=actor, action="calendar.released", target=id, why=why)


def remove(conn: Connection, id: str, now: datetime, *, actor: str) -> None:
    """The calendar and all that was read of it are gone from here; nothing is changed at its server."""
    calendar = get(conn, id)
    if calendar is None:
        return
    due.forget(conn, "pull", [id])
    for table in (links, events, bases, unreadable, polled_table):
        conn.execute(delete(table).where(table.c.calendar == id))
    conn.execute(delete(calendars).where(calendars.c.id == id))
    feed.append(conn, calendar.organization, now, [_state_news(id, "removed")])
    audit.write(
        conn, calendar.organization, now, actor=actor, action="calendar.removed", target=id, why="no longer wanted"
    )


def _update(conn: Connection, ids: Sequence[str], **values: object) -> None:
    ordered = sorted(set(ids))
    for n in range(0, len(ordered), _CHUNK):
        conn.execute(_UPDATE, {"ids": ordered[n : n + _CHUNK], **values})


def _state_news(id: str, state: str) -> News:
    return News("calendar.state", id, state, id)


def _read(rows: Iterable[Row[tuple[object, ...]]]) -> list[Calendar]:
    return [Calendar(**{name: row._mapping[name] for name in Calendar.__dataclass_fields__}) for row in rows]


def _sorted(found: list[Calendar]) -> list[Calendar]:
    """In Python, since databases differ in how they order text."""
    return sorted(found, key=lambda calendar: (calendar.address, calendar.id))


def _counts(conn: Connection, table: Table) -> dict[str, int]:
    calendar = table.c.calendar
    rows = conn.execute(select(calendar, func.count()).group_by(calendar))
    return {row[0]: row[1] for row in rows}


def _percentile(ordered: list[int], percent: int) -> int | None:
    """The smallest value that `percent` of the values do not exceed."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None
