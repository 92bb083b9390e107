"""Erases what may no longer be held: after an account's privacy mode was lowered, and of mode P2 what is over.

Counted, audited and told in the feed, `AT_ONCE` meetings in a transaction, so that a crash in the middle leaves a mark
behind by which the next worker goes on. What an erased row said may still lie in SQLite's write-ahead log; `traces` says
so until `Store.scrub` has emptied it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, RowMapping, and_, bindparam, delete, insert, select, update

from kalends.model.event import Event
from kalends.model.privacy import Mode, keep_at
from kalends.store import accounts, audit, due, event_writes, feed
from kalends.store.contents import Contents
from kalends.store.event_rows import from_row
from kalends.store.event_writes import Keeping
from kalends.store.feed import News
from kalends.store.schema import accounts as accounts_
from kalends.store.schema import bases, calendars, events, meta

AT_ONCE = 1_000
"""Rows looked at in one transaction; the caller comes back while there are more."""
ACTOR = "retention"
_PENDING = "erase."
"""In `meta`, with the account's id behind it: its meetings may hold more than its mode allows."""
_TRACES = "erase:traces"
"""In `meta`: a number that rises with each erasure since the log was last emptied."""


Place = tuple[str, int]
"""Of a walk over an account's events: the calendar's and the event's id that were looked at last."""
BEGINNING: Place = ("", 0)


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction's work. `last` is where to go on; None at the end."""

    erased: int
    last: Place | None


@dataclass(frozen=True, slots=True)
class _Excess:
    """A row that holds more than it may."""

    row: RowMapping
    event: Event
    kept: Event


def change_mode(conn: Connection, account_id: str, mode: Mode, now: datetime, *, actor: str) -> None:
    """The account has this mode. What it allows no more is marked to be erased; what it allows anew is read again in full.

    Turns that run on its calendars began under the old mode and can write no more.
    """
    ids = _calendars_of(conn, account_id)
    due.take_back(conn, "pull", ids, now)  # before the account's row: in the order in which turns lock them
    account = accounts.get(conn, account_id)
    assert account is not None, "only an account that exists gets another mode"
    if account.privacy == mode:
        return
    conn.execute(update(accounts_).where(accounts_.c.id == account_id).values(privacy=mode.value))
    if mode < account.privacy:
        _set(conn, _PENDING + account_id, now.isoformat())
    if mode > account.privacy or mode == Mode.PASS_THROUGH:  # pass-through needs its hashes
        _read_again(conn, ids)
    why = f"privacy mode {account.privacy} → {mode.value}"
    audit.write(conn, account.organization, now, actor=actor, action="account.privacy", target=account_id, why=why)
    feed.append(conn, account.organization, now, [News("account.privacy", account_id, mode.value)])


def _read_again(conn: Connection, ids: list[str]) -> None:
    """No version is known any more, so everything is fetched; when rooms are busy stands meanwhile."""
    for chunk in event_writes.chunks(ids):
        conn.execute(update(events).where(events.c.calendar.in_(chunk)).values(version=""))
        conn.execute(update(calendars).where(calendars.c.id.in_(chunk)).values(cursor=None, reconciled_at=None))


def excess(conn: Connection, contents: Contents, account_id: str, mode: str, after: Place, now: datetime) -> Step:
    """What `erase_some` would do under this mode, counted and left alone."""
    found, last = _look(conn, Keeping(contents, mode, now), account_id, after)
    return Step(len(found), last)


def erase_some(
    conn: Connection, contents: Contents, account_id: str, after: Place, now: datetime, *, actor: str = ACTOR
) -> Step:
    """Of the next `AT_ONCE` rows behind `after`, those that hold more than the account's mode allows hold it no more."""
    account = accounts.get(conn, account_id)
    if account is None:
        return Step(0, None)
    keeping = Keeping(contents, account.privacy, now)
    found, last = _look(conn, keeping, account_id, after)
    _erase(conn, keeping, found)
    _tell(conn, account.organization, found, now)
    if found:
        why = f"meetings that held more than {account.privacy} allows: {len(found)}"
        audit.write(conn, account.organization, now, actor=actor, action="events.erased", target=account_id, why=why)
    return Step(len(found), last)


def _look(conn: Connection, keeping: Keeping, account_id: str, after: Place) -> tuple[list[_Excess], Place | None]:
    """Calendar by calendar: a search over all of an account's rows would sort them anew for every step."""
    rows: list[RowMapping] = []
    for calendar in _calendars_of(conn, account_id):
        if calendar < after[0]:
            continue
        least = after[1] if calendar == after[0] else 0
        given = {"calendar": calendar, "after": least, "most": AT_ONCE - len(rows)}
        rows += conn.execute(_NEXT_ROWS, given).mappings().all()
        if len(rows) == AT_ONCE:
            return list(_excess(rows, keeping)), (calendar, rows[-1]["id"])
    return list(_excess(rows, keeping)), None


_NEXT_ROWS = (
    select(events, bases.c.digest)
    .join(bases, and_(bases.c.calendar == events.c.calendar, bases.c.item == events.c.item))
    .where(events.c.calendar == bindparam("calendar"), events.c.id > bindparam("after"))
    .order_by(events.c.id)
    .limit(bindparam("most"))
)


def _calendars_of(conn: Connection, account_id: str) -> list[str]:
    """In Python's order, as databases differ in how they order text."""
    return sorted(conn.execute(select(calendars.c.id).where(calendars.c.account == account_id)).scalars())


def _excess(rows: Iterable[RowMapping], keeping: Keeping) -> Iterator[_Excess]:
    for row in rows:
        event = from_row(row, keeping.contents)
        kept = keep_at(event, keeping.mode, keeping.now)
        says = row["content"] is not None and keeping.contents.seal(row["calendar"], kept) is None  # though damaged
        if kept != event or says or _hashes_too_much(row, event, keeping):
            yield _Excess(row, event, kept)


def _hashes_too_much(row: RowMapping, event: Event, keeping: Keeping) -> bool:
    """P1 holds no hash of what it doesn't hold; P2 needs those of what it forgot, or it would be news again."""
    return keeping.mode == Mode.BUSY_ONLY and row["digest"] != keeping.digest(event)


def forget_over(conn: Connection, contents: Contents, now: datetime) -> int:
    """Meetings of P2 accounts that are over have neither subject nor organizer any more; `AT_ONCE` at most, how many."""
    keeping, count = Keeping(contents, Mode.MINIMAL, now), 0
    minimal = select(accounts_.c.id, accounts_.c.organization).where(accounts_.c.privacy == Mode.MINIMAL.value)
    for account in conn.execute(minimal.order_by(accounts_.c.id)).all():
        found = _over(conn, keeping, account.id, AT_ONCE - count)
        if not found:
            continue
        _erase(conn, keeping, found)
        _tell(conn, account.organization, found, now)
        why = f"meetings that are over, who and what forgotten ({Mode.MINIMAL.value}): {len(found)}"
        audit.write(conn, account.organization, now, actor=ACTOR, action="events.forgotten", target=account.id, why=why)
        count += len(found)
        if count == AT_ONCE:
            break
    return count


def _over(conn: Connection, keeping: Keeping, account_id: str, most: int) -> list[_Excess]:
    """At most so many meetings that are over and still say something."""
    rows: list[RowMapping] = []
    for chunk in event_writes.chunks(_calendars_of(conn, account_id)):
        query = select(events).where(
            events.c.calendar.in_(chunk), events.c.end <= keeping.now, events.c.content.is_not(None)
        )
        rows += conn.execute(query.order_by(events.c.id).limit(most - len(rows))).mappings().all()
        if len(rows) == most:
            break
    return list(_excess(rows, keeping))


def _erase(conn: Connection, keeping: Keeping, found: list[_Excess]) -> None:
    in_calendar: dict[str, list[tuple[int, str, Event]]] = {}
    for one in found:
        in_calendar.setdefault(one.row["calendar"], []).append((one.row["id"], one.row["item"], one.event))
    for calendar, rows in in_calendar.items():
        event_writes.rewrite(conn, keeping, calendar, rows)
    if found:
        note_traces(conn)


def _tell(conn: Connection, organization: str, found: list[_Excess], now: datetime) -> None:
    news = [
        News("event.updated", one.row["key"], one.row["version"], one.row["calendar"], one.row["start"], one.row["end"])
        for one in found
        if one.kept != one.event
    ]
    feed.append(conn, organization, now, news)


def pending(conn: Connection) -> list[str]:
    """Accounts whose meetings may hold more than their mode allows."""
    keys = conn.execute(select(meta.c.key).where(meta.c.key.startswith(_PENDING, autoescape=True))).scalars()
    return sorted(key.removeprefix(_PENDING) for key in keys)


def settled(conn: Connection, account_id: str) -> None:
    """Every meeting of the account was looked at."""
    conn.execute(delete(meta).where(meta.c.key == _PENDING + account_id))


def note_traces(conn: Connection) -> None:
    """Something was erased whose former text may still be in the log. Whoever erases says so in the same transaction."""
    _set(conn, _TRACES, str((traces(conn) or 0) + 1))


def traces(conn: Connection) -> int | None:
    """The latest erasure whose traces may still be in the log; None if there is none."""
    value = conn.execute(select(meta.c.value).where(meta.c.key == _TRACES)).scalar_one_or_none()
    return None if value is None else int(value)


def scrubbed(conn: Connection, seen: int) -> None:
    """The log was emptied after the erasure `seen`; a later one keeps its mark."""
    conn.execute(delete(meta).where(meta.c.key == _TRACES, meta.c.value == str(seen)))


def _set(conn: Connection, key: str, value: str) -> None:
    if not conn.execute(update(meta).where(meta.c.key == key).values(value=value)).rowcount:
        conn.execute(insert(meta), {"key": key, "value": value})
