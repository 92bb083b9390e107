"""What the store's tests begin with: an organization, an account, a calendar, leases and events of any shape."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import Connection

from kalends.ids import SeededIds
from kalends.model.event import Event, ItemId, Kind, Unreadable, Version
from kalends.model.time import Span
from kalends.providers.protocol import Cursor, InWindow, OfSeries, Page
from kalends.seal import Seal
from kalends.store import accounts, calendars, due, organizations
from kalends.store.contents import Contents
from kalends.store.due import Lease

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WINDOW = Span(NOW - 7 * DAY, NOW + 400 * DAY)
IDS = SeededIds(Random(7))
SEAL = Seal([b"k" * 32], IDS.noise)
CONTENTS = Contents(b"c" * 32, IDS.noise)
ORG, ACCOUNT, CALENDAR = "org_1", "acc_1", "cal_1"


def given_account(conn: Connection) -> None:
    organizations.ensure_default(conn, ORG, "Aurora", "local", NOW)
    secrets = {"username": "svc", "password": "sesame-open"}
    accounts.add(
        conn, SEAL, ACCOUNT, ORG, "exchange", "HQ", {"url": "https://ex.test"}, secrets, "P3", NOW, actor="test"
    )


def given_calendar(conn: Connection, id: str = CALENDAR, address: str = "room1@aurora.test") -> None:
    calendars.add(conn, id, ORG, ACCOUNT, address, address.split("@")[0], NOW)
    due.ensure(conn, "pull", [id], NOW)


def given_lease(conn: Connection, id: str = CALENDAR) -> Lease:
    """An account, a calendar and a turn on it."""
    given_account(conn)
    given_calendar(conn, id)
    [lease] = due.claim(conn, ["pull"], NOW, HOUR, 1, None)
    return lease


def single(item: str, start: datetime = NOW, length: timedelta = HOUR, **more: Any) -> Event:
    values: dict[str, Any] = {
        "uid": f"uid-{item}",
        "original_start": None,
        "item": ItemId(item),
        "version": Version("1"),
        "kind": Kind.SINGLE,
        "span": Span(start, start + length),
        "subject": "Meeting",
        **more,
    }
    return Event(**values)


def series(item: str, uid: str, start: datetime = NOW) -> Event:
    return single(item, start, uid=uid, kind=Kind.SERIES, recurrence="FREQ=DAILY")


def instance(item: str, master: str, uid: str, start: datetime, **more: Any) -> Event:
    return single(item, start, uid=uid, kind=Kind.INSTANCE, master=ItemId(master), original_start=start, **more)


def changed(event: Event, version: str, **values: Any) -> Event:
    return replace(event, version=Version(version), **values)


def page(
    *events: Event,
    removed: Iterable[str] = (),
    complete: Iterable[InWindow | OfSeries] = (),
    unchanged: Iterable[str] = (),
    unreadable: Iterable[Unreadable] = (),
    cursor: str = "c1",
) -> Page:
    return Page(
        events=events,
        removed=frozenset(map(ItemId, removed)),
        cursor=Cursor(cursor),
        more=False,
        complete=tuple(complete),
        unchanged=frozenset(map(ItemId, unchanged)),
        unreadable=tuple(unreadable),
    )


ALL = InWindow(WINDOW)
