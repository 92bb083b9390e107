"""Calendars that no stream listens for, and why. Who is not named here is told of changes at once, or soon will be."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, delete, insert, select, update

from kalends.store.schema import calendars, polled

_CHUNK = 500


def say(conn: Connection, ids: Sequence[str], reasons: Mapping[str, str]) -> None:
    """Of the calendars `ids`, those in `reasons` are polled, each for the sentence given; the others are not."""
    ordered = sorted(set(ids))
    for n in range(0, len(ordered), _CHUNK):
        _say(conn, ordered[n : n + _CHUNK], reasons)


def _say(conn: Connection, ids: list[str], reasons: Mapping[str, str]) -> None:
    standing = select(calendars.c.id, polled.c.reason).outerjoin(polled).where(calendars.c.id.in_(ids))
    known = {row.id: row.reason for row in conn.execute(standing)}  # others were removed in the meantime
    said = {id: reason for id, reason in known.items() if reason is not None}
    over = [id for id in ids if id in said and id not in reasons]
    if over:
        conn.execute(delete(polled).where(polled.c.calendar.in_(over)))
    for id in ids:
        if id in said and reasons.get(id, said[id]) != said[id]:
            conn.execute(update(polled).where(polled.c.calendar == id).values(reason=reasons[id]))
    new = [{"calendar": id, "reason": reasons[id]} for id in known if id in reasons and id not in said]
    if new:
        conn.execute(insert(polled), new)


def reasons(conn: Connection) -> dict[str, str]:
    """Why each polled calendar is polled, by its id."""
    return {row.calendar: row.reason for row in conn.execute(select(polled))}
