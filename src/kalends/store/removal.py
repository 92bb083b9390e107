"""Takes an account out: its credentials, its calendars and all that was read through them. Rooms and their panels stay.

    begin ─▶ one `step` per calendar ─▶ finish ─▶ store.erase      each of the first three one transaction

After `begin` nothing is read any more, so that a removal which is broken off leaves a paused account and can be run again.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select

from kalends.model.event import Kind
from kalends.store import accounts, audit, calendars, due, feed, spaces
from kalends.store.feed import News
from kalends.store.schema import accounts as account_table
from kalends.store.schema import calendars as calendar_table
from kalends.store.schema import events, links, meta, metadata

ERASE = "erase.wanted"
"""In `meta`: deleted rows are still to be wiped from the database's files."""


@dataclass(frozen=True, slots=True)
class Consequence:
    """What goes with an account. `meetings` are what takes place: each instance of a series counts."""

    calendars: int
    meetings: int
    rooms: int
    """Rooms that lose a calendar …"""
    unlinked: int
    """… and those among them that have no other."""

    def __str__(self) -> str:
        parts = [_many(self.calendars, "calendar"), _many(self.meetings, "meeting")]
        lose = "loses" if self.rooms == 1 else "lose"
        return f"{', '.join(parts)}; {_many(self.rooms, 'room')} {lose} a calendar, {self.unlinked} the only one"


def consequence(conn: Connection, account: str) -> Consequence:
    mine = select(calendar_table.c.id).where(calendar_table.c.account == account)
    held = select(func.count()).where(events.c.calendar.in_(mine), events.c.kind != Kind.SERIES.value)
    losing = set(conn.execute(select(links.c.space).where(links.c.calendar.in_(mine))).scalars())
    others = set(conn.execute(select(links.c.space).where(links.c.calendar.not_in(mine))).scalars())
    return Consequence(
        calendars=conn.execute(select(func.count()).select_from(mine.subquery())).scalar_one(),
        meetings=conn.execute(held).scalar_one(),
        rooms=len(losing),
        unlinked=len(losing - others),
    )


def begin(conn: Connection, account: str, now: datetime, *, actor: str) -> None:
    """Nobody reads the account any more; turns that run can't write."""
    members = calendars.of_account(conn, account)
    accounts.set_state(conn, account, accounts.PAUSED, "It is being removed.", now, actor=actor)
    due.forget(conn, "stream", [member.stream for member in members if member.stream is not None])
    due.forget(conn, "pull", [member.id for member in members])


def step(conn: Connection, account: str, now: datetime, *, actor: str) -> bool:
    """One calendar of the account is gone with all that was read of it, and its rooms are told; False when none is left."""
    calendar = next(iter(calendars.of_account(conn, account)), None)
    if calendar is None:
        return False
    for space in spaces.of_calendar(conn, calendar.id):
        spaces.unlink(conn, space, calendar.id, now, actor=actor)
    calendars.remove(conn, calendar.id, now, actor=actor)
    return True


def finish(conn: Connection, account: str, gone: Consequence, now: datetime, *, actor: str) -> None:
    """The account is gone, and what is left of it in the files is to be wiped. Its calendars have gone before."""
    found = accounts.get(conn, account)
    if found is None:
        return
    for table in metadata.sorted_tables:  # whatever else hangs on an account
        for key in table.foreign_keys:
            if key.column is account_table.c.id and table is not calendar_table:
                conn.execute(delete(table).where(key.parent == account))
    conn.execute(delete(account_table).where(account_table.c.id == account))
    feed.append(conn, found.organization, now, [News("account.state", account, "removed")])
    why = f"{found.kind} account “{found.name}”: {gone}"
    audit.write(conn, found.organization, now, actor=actor, action="account.removed", target=account, why=why)
    want_erasing(conn)


def want_erasing(conn: Connection) -> None:
    """Whoever may do so wipes deleted rows from the files soon (`Store.erase`)."""
    if not is_erasing_wanted(conn):
        conn.execute(insert(meta), {"key": ERASE, "value": "yes"})


def is_erasing_wanted(conn: Connection) -> bool:
    return conn.execute(select(meta.c.value).where(meta.c.key == ERASE)).scalar_one_or_none() is not None


def erased(conn: Connection) -> None:
    conn.execute(delete(meta).where(meta.c.key == ERASE))


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
