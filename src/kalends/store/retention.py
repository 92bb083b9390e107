"""What is kept for a while and then let go: the feed and the audit trail. Everything has a bound, also in time.

What meetings say is `erasure`'s; events themselves go as they leave the window (`events.apply`).
"""

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.sql.schema import Table

from kalends.store.schema import audit, changes, meta

FEED = timedelta(days=30)
"""How long a reader of the feed may stay away."""
AUDIT = timedelta(days=400)
AT_ONCE = 5_000
"""Rows in one transaction at most; the caller comes back while there are more."""
FEED_BEGINS = "feed.begins"
"""In `meta`: the cursor of the last change that was let go."""


def trim_feed(conn: Connection, before: datetime) -> int:
    """Changes older than `before` are gone, `AT_ONCE` at most; readers that stayed away longer are told so."""
    old = (
        select(changes.c.xid, changes.c.seq)
        .where(changes.c.at < before)
        .order_by(changes.c.xid, changes.c.seq)
        .limit(AT_ONCE)
    )
    rows = conn.execute(old).all()
    if not rows:
        return 0
    conn.execute(delete(changes).where(changes.c.seq.in_([row.seq for row in rows])))
    _remember(conn, f"{rows[-1].xid}.{rows[-1].seq}")
    return len(rows)


def trim_audit(conn: Connection, before: datetime) -> int:
    """Entries older than `before` are gone, `AT_ONCE` at most."""
    return _trim(conn, audit, before)


def feed_begins(conn: Connection) -> str | None:
    """The cursor behind which the feed still holds everything; None if nothing was ever let go."""
    value: str | None = conn.execute(select(meta.c.value).where(meta.c.key == FEED_BEGINS)).scalar_one_or_none()
    return value


def _remember(conn: Connection, cursor: str) -> None:
    if not conn.execute(update(meta).where(meta.c.key == FEED_BEGINS).values(value=cursor)).rowcount:
        conn.execute(insert(meta), {"key": FEED_BEGINS, "value": cursor})


def _trim(conn: Connection, table: Table, before: datetime) -> int:
    last = select(table.c.seq).where(table.c.at < before).order_by(table.c.seq).limit(AT_ONCE).subquery()
    newest = conn.execute(select(func.max(last.c.seq))).scalar_one_or_none()
    if newest is None:
        return 0
    return conn.execute(delete(table).where(table.c.seq <= newest, table.c.at < before)).rowcount
