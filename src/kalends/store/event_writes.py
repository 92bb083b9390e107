"""Writes rows of events together with their merge bases, as far as their account's privacy mode lets them be held.

Whoever writes an event comes through here, so no mode is ever forgotten. Neighbours: `events` and `erasure` say what to
write, `event_rows` shapes it, `contents` seals it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, delete, insert, update

from kalends.model.event import Event
from kalends.model.privacy import Mode, keep, keep_at
from kalends.store.contents import Contents
from kalends.store.event_rows import to_row
from kalends.store.merge import Stored
from kalends.store.schema import bases, events

CHUNK = 500
"""Rows or ids in one statement."""
# Made once: they run at every page, and building a statement takes longer than running it.
_INSERT, _INSERT_BASES = insert(events), insert(bases)
_COLUMNS = [column.name for column in events.columns if column.name not in ("id", "calendar")]
_REWRITE = (
    update(events)
    .where(events.c.id == bindparam("row_id"))
    .values({name: bindparam(f"new_{name}") for name in _COLUMNS})
)


@dataclass(frozen=True, slots=True)
class Keeping:
    """How an account's events are held at `now`."""

    contents: Contents
    mode: str
    now: datetime

    def digest(self, event: Event) -> bytes:
        """Of what may be held while the meeting lasts; of all of it in pass-through, which holds nothing else of it."""
        return self.contents.digest(event if self.mode == Mode.PASS_THROUGH else keep(event, self.mode))

    def row(self, calendar_id: str, event: Event) -> dict[str, object]:
        return to_row(calendar_id, keep_at(event, self.mode, self.now), self.contents)


def add(conn: Connection, keeping: Keeping, calendar_id: str, created: Sequence[Event]) -> None:
    if created:
        conn.execute(_INSERT, [keeping.row(calendar_id, event) for event in created])
        _add_bases(conn, keeping, calendar_id, created)


def rewrite(conn: Connection, keeping: Keeping, calendar_id: str, pairs: Sequence[tuple[int, str, Event]]) -> None:
    """The row of each id, which held that item, holds the event."""
    if not pairs:
        return
    rows = []
    for id_, _, event in pairs:
        values = keeping.row(calendar_id, event)
        rows.append({"row_id": id_, **{f"new_{name}": values[name] for name in _COLUMNS}})
    conn.execute(_REWRITE, rows)
    forget_bases(conn, calendar_id, [item for _, item, _ in pairs])
    _add_bases(conn, keeping, calendar_id, [event for _, _, event in pairs])


def remove(conn: Connection, calendar_id: str, rows: Sequence[Stored]) -> None:
    for n in range(0, len(rows), CHUNK):
        chunk = rows[n : n + CHUNK]
        conn.execute(delete(events).where(events.c.id.in_([row.id for row in chunk])))
        forget_bases(conn, calendar_id, [row.item for row in chunk])


def forget_bases(conn: Connection, calendar_id: str, items: Iterable[str]) -> None:
    for chunk in chunks(items):
        conn.execute(delete(bases).where(and_(bases.c.calendar == calendar_id, bases.c.item.in_(chunk))))


def _add_bases(conn: Connection, keeping: Keeping, calendar_id: str, agreed: Sequence[Event]) -> None:
    rows = [
        {"calendar": calendar_id, "item": event.item, "version": event.version, "digest": keeping.digest(event)}
        for event in agreed
    ]
    conn.execute(_INSERT_BASES, rows)


def chunks(values: Iterable[str]) -> Iterator[list[str]]:
    """The values in order, each once, `CHUNK` at most in a list."""
    ordered = sorted(set(values))
    return (ordered[n : n + CHUNK] for n in range(0, len(ordered), CHUNK))
