"""Organizations: every row belongs to one. Each has a key that seals what its meetings say, wrapped by the installation's."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from kalends.seal import KEY_BYTES, Noise, Seal, key_id
from kalends.store import audit
from kalends.store.contents import Contents
from kalends.store.schema import content_keys, organizations

_TABLE = "content_keys"


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


def contents(conn: Connection, seal: Seal, noise: Noise, id: str) -> Contents:
    """What seals and opens the content of this organization's events; its key is made at the first call. Raises SealError."""
    query = select(content_keys.c.sealed).where(content_keys.c.organization == id)
    sealed = conn.execute(query).scalar_one_or_none()
    if sealed is None:
        fresh = {"organization": id, "sealed": seal.seal(noise(KEY_BYTES), _TABLE, id)}
        begin = postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert
        conn.execute(begin(content_keys).on_conflict_do_nothing(), fresh)
        sealed = conn.execute(query).scalar_one()  # another process may have been first: its key counts
    return Contents(seal.open(sealed, _TABLE, id), noise)


def sealing_keys(conn: Connection) -> list[str]:
    """Ids of the installation's keys that the organizations' own are wrapped by."""
    return sorted({key_id(sealed) for sealed in conn.execute(select(content_keys.c.sealed)).scalars()})


def rotate(conn: Connection, seal: Seal, now: datetime, *, actor: str) -> int:
    """Every organization's key is wrapped by the first key; returns how many were not. No event is touched."""
    count = 0
    for row in conn.execute(select(content_keys).with_for_update()).all():
        sealed = seal.rotate(row.sealed, _TABLE, row.organization)
        if sealed == row.sealed:
            continue
        conn.execute(update(content_keys).where(content_keys.c.organization == row.organization).values(sealed=sealed))
        why = "its key is wrapped by the new key"
        audit.write(
            conn, row.organization, now, actor=actor, action="organization.resealed", target=row.organization, why=why
        )
        count += 1
    return count
