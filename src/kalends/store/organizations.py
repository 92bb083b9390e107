"""Organizations: every row belongs to one."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select

from kalends.store.schema import organizations


@dataclass(frozen=True, slots=True)
class Organization:
    id: str
    name: str
    region: str
    created_at: datetime


def ensure_default(conn: Connection, id: str, name: str, region: str, now: datetime) -> Organization:
    """The oldest organization; one with these values if there was none."""
    query = select(organizations).order_by(organizations.c.created_at, organizations.c.id).limit(1)
    found = conn.execute(query).one_or_none()
    if found is not None:
        return Organization(**found._mapping)
    conn.execute(insert(organizations), {"id": id, "name": name, "region": region, "created_at": now})
    return Organization(id, name, region, now)


def get(conn: Connection, id: str) -> Organization | None:
    row = conn.execute(select(organizations).where(organizations.c.id == id)).one_or_none()
    return Organization(**row._mapping) if row is not None else None
