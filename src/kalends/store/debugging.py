"""Protocol debugging: for which accounts it is on and until when, and the ring of what was heard, masked.

A row in `debugging` gives the right to record; when it goes, so does all that was recorded, and nothing more is taken in.
Reading passes over what is older than its time, so that it is gone for people even while no worker runs to delete it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, insert, select, update

from kalends.providers.protocol import Spoken
from kalends.store import audit
from kalends.store.schema import accounts, debugging, spoken

LONGEST = timedelta(hours=24)
KEPT_AFTER = timedelta(hours=1)
"""How long the record may still be read after debugging ended."""
MOST_ENTRIES = 2_000
MOST_BYTES = 16 * 1024 * 1024
"""Of one account. The oldest make way."""


@dataclass(frozen=True, slots=True)
class Debugging:
    account: str
    since: datetime
    until: datetime
    lost: int
    """Entries that came too quickly to be kept."""

    def is_on(self, now: datetime) -> bool:
        return now < self.until


@dataclass(frozen=True, slots=True)
class Entry:
    at: datetime
    process: str
    said: Spoken
    seq: int = 0
    """Its place in the record, once kept."""


def begin(conn: Connection, account: str, now: datetime, until: datetime, *, actor: str) -> None:
    """The account's conversations are recorded until then; what was recorded before stays beside it."""
    assert now < until, "debugging is on for a stated time"
    going_on = get(conn, account)
    values = {"until": until} if going_on and going_on.is_on(now) else {"until": until, "since": now, "lost": 0}
    if going_on is None:
        conn.execute(insert(debugging), {"account": account, **values})
    else:
        conn.execute(update(debugging).where(debugging.c.account == account).values(**values))
    why = f"conversations with its server are recorded, masked, until {until.isoformat(timespec='seconds')}"
    _audit(conn, account, now, actor, "account.debugging.on", why)


def end(conn: Connection, account: str, now: datetime, *, actor: str, forgets: bool = False) -> bool:
    """Nothing more is recorded; with `forgets` nothing recorded is left. Returns whether there was something to do."""
    found = get(conn, account)
    if found is None or not (forgets or found.is_on(now)):
        return False
    if found.is_on(now):
        conn.execute(update(debugging).where(debugging.c.account == account).values(until=now))
    if forgets:
        forget(conn, account)
    why = "ended, and what was recorded is deleted" if forgets else "ended before its time"
    _audit(conn, account, now, actor, "account.debugging.off", why)
    return True


def forget(conn: Connection, account: str) -> int:
    """Nothing of the account's conversations is left, and none are recorded; returns how many entries there were."""
    conn.execute(delete(debugging).where(debugging.c.account == account))
    return conn.execute(delete(spoken).where(spoken.c.account == account)).rowcount


def get(conn: Connection, account: str) -> Debugging | None:
    row = conn.execute(select(debugging).where(debugging.c.account == account)).one_or_none()
    return None if row is None else Debugging(**row._mapping)


def list_all(conn: Connection) -> list[Debugging]:
    """Those that are on, and those whose record is not deleted yet."""
    return [Debugging(**row._mapping) for row in conn.execute(select(debugging).order_by(debugging.c.account))]


def names_on(conn: Connection, organization: str, now: datetime) -> list[tuple[str, str, datetime]]:
    """Id, name and end of each account whose conversations are being recorded, by name."""
    query = (
        select(accounts.c.id, accounts.c.name, debugging.c.until)
        .join(debugging, debugging.c.account == accounts.c.id)
        .where(accounts.c.organization == organization, debugging.c.until > now)
        .order_by(accounts.c.name)
    )
    return [(row.id, row.name, row.until) for row in conn.execute(query)]


def keep(conn: Connection, account: str, entries: Sequence[Entry], lost: int) -> int:
    """The entries are in the record, its oldest made way; returns how many were taken in.

    None are where debugging was never on or its record was deleted, and none that are younger than its end.
    """
    query = select(debugging).where(debugging.c.account == account).with_for_update()
    row = conn.execute(query).one_or_none()
    if row is None:
        return 0
    rows = [_row(account, entry) for entry in entries if entry.at < row.until]
    if rows:
        conn.execute(insert(spoken), rows)
        _make_way(conn, account)
    if lost:
        more = debugging.c.lost + lost
        conn.execute(update(debugging).where(debugging.c.account == account).values(lost=more))
    return len(rows)


def entries_after(conn: Connection, account: str, after: int, limit: int, before: datetime) -> list[Entry]:
    """The oldest entries behind a place in the record. None once debugging ended before `before`."""
    query = _readable(account, before).where(spoken.c.seq > after).order_by(spoken.c.seq).limit(limit)
    return [_entry(row) for row in conn.execute(query)]


def newest(conn: Connection, account: str, limit: int, before: datetime) -> list[Entry]:
    """The newest entries, the newest first. None once debugging ended before `before`."""
    query = _readable(account, before).order_by(spoken.c.seq.desc()).limit(limit)
    return [_entry(row) for row in conn.execute(query)]


def let_go(conn: Connection, before: datetime, now: datetime) -> int:
    """Nothing is left of what ended at `before` or earlier; returns how many accounts that were."""
    old = [each.account for each in list_all(conn) if each.until <= before]
    for account in old:
        forget(conn, account)
        _audit(conn, account, now, audit.SYNC, "account.debugging.deleted", "its time was over")
    return len(old)


def _readable(account: str, before: datetime) -> Select[Any]:
    joined = spoken.join(debugging, debugging.c.account == spoken.c.account)
    return select(spoken).select_from(joined).where(spoken.c.account == account, debugging.c.until > before)


def _make_way(conn: Connection, account: str) -> None:
    query = select(spoken.c.seq, spoken.c.size).where(spoken.c.account == account).order_by(spoken.c.seq.desc())
    bytes_ = 0
    for number, row in enumerate(conn.execute(query).all()):
        bytes_ += row.size
        if number >= MOST_ENTRIES or bytes_ > MOST_BYTES:
            conn.execute(delete(spoken).where(spoken.c.account == account, spoken.c.seq <= row.seq))
            return


def _row(account: str, entry: Entry) -> dict[str, object]:
    said = entry.said
    headers = json.dumps(said.headers)
    return {
        "account": account,
        "at": entry.at,
        "process": entry.process,
        "conversation": said.conversation,
        "kind": said.kind,
        "title": said.title,
        "headers": headers,
        "body": said.body,
        "note": said.note,
        "size": len(said.title) + len(headers) + len(said.body) + len(said.note) + 64,
    }


def _entry(row: Row[Any]) -> Entry:
    headers = tuple((name, value) for name, value in json.loads(row.headers))
    said = Spoken(row.conversation, row.kind, row.title, headers, row.body, row.note)
    return Entry(row.at, row.process, said, row.seq)


def _audit(conn: Connection, account: str, now: datetime, actor: str, action: str, why: str) -> None:
    organization = conn.execute(select(accounts.c.organization).where(accounts.c.id == account)).scalar_one()
    audit.write(conn, organization, now, actor=actor, action=action, target=account, why=why)
