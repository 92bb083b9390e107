"""The audit trail: who did what, to what, when and why. Written in the transaction that did it; never private content."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select

from kalends.store.schema import audit

SYNC = "sync"
"""The actor where the engine itself acted; people are `user:NAME`, commands `cli:NAME`."""


@dataclass(frozen=True, slots=True)
class Entry:
    seq: int
    organization: str | None
    at: datetime
    actor: str
    action: str
    """Such as `calendar.state`, `space.linked`."""
    target: str
    """The id of what it was done to."""
    why: str


def write(
    conn: Connection, organization: str | None, now: datetime, *, actor: str, action: str, target: str, why: str
) -> None:
    row = {"organization": organization, "at": now, "actor": actor, "action": action, "target": target, "why": why}
    conn.execute(insert(audit), row)


def list_entries(conn: Connection, organization: str, limit: int = 100, target: str | None = None) -> list[Entry]:
    """The newest entries first, of one `target` if given."""
    query = select(audit).where(audit.c.organization == organization).order_by(audit.c.seq.desc()).limit(limit)
    if target is not None:
        query = query.where(audit.c.target == target)
    return [Entry(**row._mapping) for row in conn.execute(query)]
