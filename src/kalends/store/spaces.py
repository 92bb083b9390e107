"""Spaces: rooms, desks and other bookable things, and the calendars linked to them, ranked."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from kalends.store import audit, feed
from kalends.store.feed import News
from kalends.store.schema import devices, links, spaces


@dataclass(frozen=True, slots=True)
class Space:
    id: str
    organization: str
    name: str
    kind: str
    """room, desk, equipment"""
    building: str
    floor: str
    capacity: int | None
    zone: str
    """IANA name: the wall clock on its door."""
    created_at: datetime
    calendars: tuple[str, ...] = ()
    """Ids, the first by rank speaks for it."""


def add(
    conn: Connection,
    id: str,
    organization: str,
    name: str,
    now: datetime,
    *,
    actor: str,
    kind: str = "room",
    building: str = "",
    floor: str = "",
    capacity: int | None = None,
    zone: str = "UTC",
) -> None:
    row = {
        "id": id,
        "organization": organization,
        "name": name,
        "kind": kind,
        "building": building,
        "floor": floor,
        "capacity": capacity,
        "zone": zone,
        "created_at": now,
    }
    conn.execute(insert(spaces), row)
    _tell(conn, organization, id, now, actor, "space.added", f"{kind} “{name}”")


def change(conn: Connection, id: str, now: datetime, /, *, actor: str, **values: str | int | None) -> None:
    """The space has these values: any of name, kind, building, floor, capacity, zone."""
    space = get(conn, id)
    assert space is not None, "only a space that exists is changed"
    different = {name: value for name, value in values.items() if getattr(space, name) != value}
    if not different:
        return
    conn.execute(update(spaces).where(spaces.c.id == id).values(**different))
    _tell(conn, space.organization, id, now, actor, "space.changed", f"changed: {', '.join(sorted(different))}")


def remove(conn: Connection, id: str, now: datetime, *, actor: str) -> None:
    """The space, its links and its panels are gone; its calendars stay."""
    space = get(conn, id)
    if space is None:
        return
    conn.execute(delete(devices).where(devices.c.space == id))
    conn.execute(delete(links).where(links.c.space == id))
    conn.execute(delete(spaces).where(spaces.c.id == id))
    _tell(conn, space.organization, id, now, actor, "space.removed", f"{space.kind} “{space.name}”")


def get(conn: Connection, id: str) -> Space | None:
    row = conn.execute(select(spaces).where(spaces.c.id == id)).one_or_none()
    if row is None:
        return None
    linked = conn.execute(select(links.c.calendar).where(links.c.space == id).order_by(links.c.rank, links.c.calendar))
    return Space(**row._mapping, calendars=tuple(linked.scalars()))


def list_all(conn: Connection, organization: str) -> list[Space]:
    """Every space with its calendars, by building, floor and name."""
    rows = conn.execute(select(spaces).where(spaces.c.organization == organization)).all()
    linked: dict[str, list[str]] = {}
    for link in conn.execute(select(links).order_by(links.c.space, links.c.rank, links.c.calendar)):
        linked.setdefault(link.space, []).append(link.calendar)
    found = [Space(**row._mapping, calendars=tuple(linked.get(row.id, ()))) for row in rows]
    return sorted(found, key=lambda space: (space.building, space.floor, space.name, space.id))


def link(conn: Connection, space: str, calendar: str, rank: int, now: datetime, *, actor: str) -> None:
    """The calendar speaks for the space at this rank; the lowest number comes first."""
    found = get(conn, space)
    assert found is not None, "only a space that exists is linked"
    insert_or = (postgresql if conn.dialect.name == "postgresql" else sqlite).insert(links)
    values = {"space": space, "calendar": calendar, "rank": rank}
    written = insert_or.values(values).on_conflict_do_update(
        index_elements=[links.c.space, links.c.calendar], set_={"rank": rank}, where=links.c.rank != rank
    )
    if conn.execute(written).rowcount:
        _tell(conn, found.organization, space, now, actor, "space.linked", f"calendar {calendar} at rank {rank}")


def unlink(conn: Connection, space: str, calendar: str, now: datetime, *, actor: str) -> None:
    found = get(conn, space)
    gone = conn.execute(delete(links).where(links.c.space == space, links.c.calendar == calendar)).rowcount
    if found is not None and gone:
        _tell(conn, found.organization, space, now, actor, "space.unlinked", f"calendar {calendar}")


def of_calendar(conn: Connection, calendar: str) -> list[str]:
    """Ids of the spaces it is linked to."""
    return sorted(conn.execute(select(links.c.space).where(links.c.calendar == calendar)).scalars())


def _tell(conn: Connection, organization: str, id: str, now: datetime, actor: str, action: str, why: str) -> None:
    kind = "space.removed" if action == "space.removed" else "space.changed"
    feed.append(conn, organization, now, [News(kind, id, action)])
    audit.write(conn, organization, now, actor=actor, action=action, target=id, why=why)
