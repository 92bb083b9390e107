"""The events of calendars: what is known, what a page of a pull changes (`apply`), and what is on in a span.

`apply` is the heart of the engine: {what was observed, the merged rows, their bases, the cursor, the feed, the audit} in the
caller's one transaction, fenced by the lease. What did not change is not written, so applying a page again does nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, bindparam, delete, func, insert, or_, select, update

from kalends.model.event import Event, ItemId, Kind, Unreadable
from kalends.model.time import Span
from kalends.providers.protocol import Known, KnownItem, OfSeries, Page
from kalends.store import audit, due, event_writes, feed, merge
from kalends.store.contents import Contents
from kalends.store.due import Lease
from kalends.store.event_rows import from_row, key_of
from kalends.store.event_writes import Keeping, chunks
from kalends.store.feed import News
from kalends.store.merge import Plan, Stored
from kalends.store.schema import accounts, bases, calendars, events, unreadable

LIMIT = 50_000
"""Events in one answer at most."""
LAGS = 64
"""Lags kept per calendar."""
SKEW = timedelta(minutes=10)
"""How far a provider's clock may be behind ours before its changes no longer count as fresh ones."""


class TooMuch(Exception):
    """More events than one answer may hold. Ask for a shorter span or fewer calendars."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What one page changed. `changed` are the keys in the feed; `lags` are provider's change → committed here."""

    created: int
    updated: int
    removed: int
    unreadable: int
    changed: tuple[str, ...]
    lags: tuple[timedelta, ...] = ()


@dataclass(frozen=True, slots=True)
class Removals:
    """What a page would take away. `series` are those whose last instances it holds no more, their masters still standing."""

    items: frozenset[ItemId]
    series: frozenset[ItemId]
    total: int
    """Masters and single meetings in the calendar now; not counted (0) when the page takes nothing away."""

    @property
    def count(self) -> int:
        return len(self.items | self.series)


def known(conn: Connection, calendar_id: str) -> Known:
    """Every item of the calendar with its version. Unreadable ones are not known: they are worth another try."""
    rows = conn.execute(_KNOWN, {"calendar": calendar_id})
    return {item: KnownItem(version, master) for item, version, master in rows}


def in_span(conn: Connection, contents: Contents, calendar_ids: Sequence[str], span: Span) -> dict[str, list[Event]]:
    """Per calendar its events that overlap `span`, series masters left out, in order of start. Raises TooMuch."""
    found: dict[str, list[Event]] = {id: [] for id in calendar_ids}
    count = 0
    for chunk in chunks(calendar_ids):
        for row in conn.execute(_overlapping(chunk, span).limit(LIMIT + 1)).mappings():
            count += 1
            event = from_row(row, contents)
            if event.span.overlaps(span):
                found[row["calendar"]].append(event)
        if count > LIMIT:
            raise TooMuch(f"More than {LIMIT} events. Ask for a shorter span or fewer calendars.")
    return found


def _overlapping(calendar_ids: list[str], span: Span) -> Any:
    """Bounded on both sides by what each calendar's longest event allows: otherwise all its future would be scanned."""
    return (
        select(events)
        .join(calendars, calendars.c.id == events.c.calendar)
        .where(
            calendars.c.id.in_(calendar_ids),
            events.c.kind != Kind.SERIES.value,
            events.c.end >= span.start,
            events.c.end <= bindparam("latest", span.end, type_=events.c.end.type) + calendars.c.longest,
            events.c.start <= span.end,
        )
        .order_by(events.c.start, events.c.end, events.c.id)
    )


def by_keys(conn: Connection, contents: Contents, keys: Sequence[str]) -> dict[str, list[tuple[str, Event]]]:
    """Per key the events that have it, each with its calendar; keys of what is gone are left out."""
    found: dict[str, list[tuple[str, Event]]] = {}
    for chunk in chunks(keys):
        for row in conn.execute(select(events).where(events.c.key.in_(chunk)).order_by(events.c.id)).mappings():
            found.setdefault(row["key"], []).append((row["calendar"], from_row(row, contents)))
    return found


def plan_removals(conn: Connection, calendar_id: str, page: Page, window: Span) -> Removals:
    """What applying the page would take away, for the breaker to judge.

    Not counted are instances, what is over before the window, and what only changed its id.
    """
    if not page.removed and not page.complete:
        return Removals(frozenset(), frozenset(), 0)
    planned = _plan(conn, calendar_id, page, window, _same)
    return _removals(conn, calendar_id, page, planned, window)


def _removals(conn: Connection, calendar_id: str, page: Page, planned: Plan, window: Span) -> Removals:
    if not planned.removed:
        return Removals(frozenset(), frozenset(), 0)
    items = frozenset(row.item for row in planned.vanishing)
    going: dict[ItemId, int] = {}
    for row in planned.removed:
        if row.master is not None and row.master not in items:
            going[row.master] = going.get(row.master, 0) + 1
    for event in page.events:
        going.pop(event.master or event.item, None)  # it goes on, or comes in this very page
    left = _instances(conn, calendar_id, going)
    series = frozenset(master for master, count in going.items() if left.get(master, 0) <= count)
    countable = events.c.kind.in_([kind.value for kind in Kind if merge.is_countable(kind)])
    alive = or_(events.c.kind == Kind.SERIES.value, events.c.end > window.start)
    total = conn.execute(select(func.count()).where(events.c.calendar == calendar_id, countable, alive)).scalar_one()
    return Removals(items, series, total)


def _instances(conn: Connection, calendar_id: str, masters: Iterable[ItemId]) -> dict[ItemId, int]:
    """How many rows each series has."""
    counts: dict[ItemId, int] = {}
    for chunk in chunks(masters):
        query = select(events.c.master, func.count()).where(
            events.c.calendar == calendar_id, events.c.master.in_(chunk)
        )
        counts.update((master, count) for master, count in conn.execute(query.group_by(events.c.master)))
    return counts


def apply(
    conn: Connection,
    contents: Contents,
    lease: Lease,
    calendar_id: str,
    page: Page,
    window: Span,
    now: datetime,
    *,
    measure_lag: bool = False,
    why: str = "read from the provider",
) -> Applied:
    """The store holds what the page says, as far as the account's privacy mode lets it. Raises LeaseLost.

    `measure_lag`: the page is a delta, so its changes tell how long news takes.
    """
    due.hold(conn, lease)
    calendar = conn.execute(_CALENDAR, {"calendar": calendar_id}).mappings().one()
    keeping = Keeping(contents, calendar["privacy"], now)
    planned = _plan(conn, calendar_id, page, window, keeping.digest)
    vanished = _removals(conn, calendar_id, page, planned, window)
    event_writes.remove(conn, calendar_id, planned.removed)
    rewritten = [(row.id, row.item, event) for row, event in (*planned.updated, *planned.touched)]
    event_writes.rewrite(conn, keeping, calendar_id, rewritten)
    event_writes.add(conn, keeping, calendar_id, planned.created)
    _forget_past(conn, calendar_id, window)
    _note_unreadable(conn, calendar_id, page, now)
    news = _news(calendar_id, planned, _keys_held(conn, calendar_id, planned))
    feed.append(conn, calendar["organization"], now, news)
    lags = _lags(planned, calendar["verified_at"], now) if measure_lag else ()
    applied = Applied(
        created=len(planned.created),
        updated=len(planned.updated),
        removed=len(planned.removed),
        unreadable=len(page.unreadable),
        changed=tuple(one.key for one in news),
        lags=lags,
    )
    _write_calendar(conn, calendar, page, planned, applied, vanished, now)
    if news:
        counts = f"{applied.created} created, {applied.updated} updated, {applied.removed} removed; {why}"
        audit.write(
            conn,
            calendar["organization"],
            now,
            actor=audit.SYNC,
            action="events.applied",
            target=calendar_id,
            why=counts,
        )
    return applied


def _same(event: Event) -> bytes:
    """In place of a digest where only what leaves is asked for."""
    return b""


def _plan(conn: Connection, calendar_id: str, page: Page, window: Span, digest: Callable[[Event], bytes]) -> Plan:
    rows: dict[int, Stored] = {}
    for query, values in _questions(page):
        for row in _stored(conn, query, {"calendar": calendar_id, **values}):
            rows[row.id] = row
    return merge.plan(calendar_id, page, window, list(rows.values()), digest)


def _questions(page: Page) -> Iterator[tuple[Select[Any], dict[str, Any]]]:
    """Which rows the page is about."""
    for chunk in chunks([*(event.item for event in page.events), *page.removed]):
        yield _OF_ITEMS, {"items": chunk}
    for chunk in chunks(page.removed):
        yield _OF_MASTERS, {"masters": chunk}
    for scope in page.complete:
        around = {"since": scope.span.start, "until": scope.span.end}
        if isinstance(scope, OfSeries):
            yield _OF_SERIES, {**around, "master": scope.master}
        else:
            yield _AROUND, around


def _stored(conn: Connection, query: Select[Any], values: dict[str, Any]) -> Iterator[Stored]:
    for id, item, key, version, kind, master, start, end, digest in conn.execute(query, values):
        yield Stored(id, item, key, version, Kind(kind), master, Span(start, end), digest)


def _forget_past(conn: Connection, calendar_id: str, window: Span) -> None:
    """What is over before the window rolled out of it, which is news to nobody."""
    before = {"calendar": calendar_id, "since": window.start}
    items = list(conn.execute(_PAST, before).scalars())
    if not items:
        return
    conn.execute(_FORGET, before)
    event_writes.forget_bases(conn, calendar_id, items)


# Made once: they run at every page, and building a statement takes longer than running it.
_KNOWN = select(events.c.item, events.c.version, events.c.master).where(events.c.calendar == bindparam("calendar"))
_CALENDAR = (
    select(calendars, accounts.c.privacy)
    .join(accounts, accounts.c.id == calendars.c.account)
    .where(calendars.c.id == bindparam("calendar"))
)
_UNREADABLE = select(unreadable).where(unreadable.c.calendar == bindparam("calendar"))
_SAVE_CALENDAR = update(calendars).where(calendars.c.id == bindparam("calendar"))
_STORED = (
    select(
        *(events.c[name] for name in ("id", "item", "key", "version", "kind", "master", "start", "end")), bases.c.digest
    )
    .join(bases, and_(bases.c.calendar == events.c.calendar, bases.c.item == events.c.item))
    .where(events.c.calendar == bindparam("calendar"))
)
_OF_ITEMS = _STORED.where(events.c.item.in_(bindparam("items", expanding=True)))
_OF_MASTERS = _STORED.where(events.c.master.in_(bindparam("masters", expanding=True)))
_AROUND = _STORED.where(events.c.end >= bindparam("since"), events.c.start <= bindparam("until"))
_OF_SERIES = _AROUND.where(events.c.master == bindparam("master"))
_IS_PAST = and_(
    events.c.calendar == bindparam("calendar"),
    events.c.kind != Kind.SERIES.value,
    events.c.end <= bindparam("since"),
    events.c.start < bindparam("since"),
)
_PAST = select(events.c.item).where(_IS_PAST)
_FORGET = delete(events).where(_IS_PAST)


def _note_unreadable(conn: Connection, calendar_id: str, page: Page, now: datetime) -> None:
    """Unreadable items are kept by id until they can be read or are gone."""
    mine = unreadable.c.calendar == calendar_id
    noted = {row.item: row for row in conn.execute(_UNREADABLE, {"calendar": calendar_id})}
    read = {event.item for event in page.events}
    bad: dict[ItemId, Unreadable] = {item.item: item for item in page.unreadable if item.item not in read}
    changed = [item for id, item in bad.items() if id not in noted or _differs(noted[id], item)]
    settled = (read | page.removed) - bad.keys() | {item.item for item in changed}
    for chunk in chunks(id for id in noted if id in settled):
        conn.execute(delete(unreadable).where(mine, unreadable.c.item.in_(chunk)))
    rows = [
        {"calendar": calendar_id, "item": item.item, "version": item.version, "reason": item.reason, "since": since}
        for item in changed
        for since in [noted[item.item].since if item.item in noted else now]
    ]
    if rows:
        conn.execute(insert(unreadable), rows)


def _differs(noted: Row[Any], item: Unreadable) -> bool:
    return (noted.version, noted.reason) != (item.version, item.reason)


def _keys_held(conn: Connection, calendar_id: str, planned: Plan) -> set[str]:
    """Of the keys of what went, those that another row has too: a second copy, or one read earlier under another id."""
    held: set[str] = set()
    for chunk in chunks(row.key for row in (*planned.removed, *(row for row, _ in planned.updated))):
        query = select(events.c.key).where(events.c.calendar == calendar_id, events.c.key.in_(chunk))
        held.update(conn.execute(query).scalars())
    return held


def _news(calendar_id: str, planned: Plan, held: set[str]) -> list[News]:
    """`held` are keys that stand although a row of theirs went: that is no removal to those who know meetings by key."""
    renamed = [row for row, event in planned.updated if row.key != key_of(calendar_id, event)]
    news = [
        News(
            "event.updated" if row.key in held else "event.removed",
            row.key,
            row.version,
            calendar_id,
            row.span.start,
            row.span.end,
        )
        for row in (*planned.removed, *renamed)  # whoever knows a meeting by its old key must hear that it is gone
    ]
    for row, event in planned.updated:
        key, kind = key_of(calendar_id, event), "event.updated" if row not in renamed else "event.created"
        start, end = min(row.span.start, event.span.start), max(row.span.end, event.span.end)
        news.append(News(kind, key, event.version, calendar_id, start, end))
    for event in planned.created:
        key = key_of(calendar_id, event)
        news.append(News("event.created", key, event.version, calendar_id, event.span.start, event.span.end))
    return news


def _lags(planned: Plan, verified_at: datetime | None, now: datetime) -> tuple[timedelta, ...]:
    """Not of what merely rolled into the window: it was changed before the last pull, and left out of it on purpose."""
    fresh = [*planned.created, *(event for _, event in planned.updated)]
    changes = [event.modified_at for event in fresh if event.modified_at is not None]
    since = verified_at - SKEW if verified_at is not None else None
    return tuple(max(now - at, timedelta(0)) for at in changes if since is None or at >= since)[-LAGS:]


def _write_calendar(
    conn: Connection, calendar: Any, page: Page, planned: Plan, applied: Applied, vanished: Removals, now: datetime
) -> None:
    values: dict[str, Any] = {"cursor": page.cursor}
    if applied.changed:
        values["changed_at"] = now
    if applied.lags:
        kept = [
            *filter(None, calendar["lags"].split(",")),
            *(str(lag // timedelta(milliseconds=1)) for lag in applied.lags),
        ]
        values["lags"] = ",".join(kept[-LAGS:])
    if vanished.count:
        begun = calendar["removed_in_pull"] > 0
        values["items_at_pull"] = calendar["items_at_pull"] if begun else vanished.total
        values["removed_in_pull"] = calendar["removed_in_pull"] + vanished.count
    written = [*planned.created, *(event for _, event in (*planned.updated, *planned.touched))]
    lengths = [(event.span.end - event.span.start) // timedelta(microseconds=1) for event in written]
    values["longest"] = max([calendar["longest"], *lengths])
    different = {name: value for name, value in values.items() if calendar[name] != value}
    if different:
        conn.execute(_SAVE_CALENDAR, {"calendar": calendar["id"], **different})
