"""A room that is no longer wanted leaves nothing behind, and nothing that others still need goes with it."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from kalends.ids import SeededIds
from kalends.seal import Seal
from kalends.store import access, accounts, calendars, due, organizations, spaces
from kalends.store.door import Connection, Store
from kalends.sync.directory import take_away

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
IDS = SeededIds(Random(1))


def two_rooms_and_a_shared_calendar(conn: Connection) -> None:
    """Oak shows its own calendar and a shared one; Elm shows the shared one too. Oak has a panel."""
    organizations.ensure_default(conn, "org", "Halden", "local", NOW)
    seal = Seal([bytes(32)], IDS.noise)
    accounts.add(conn, seal, "acc", "org", "exchange", "Exchange", {}, {}, "P3", NOW, actor="test")
    for name in ("oak", "shared"):
        calendars.add(conn, f"cal_{name}", "org", "acc", f"{name}@halden.example", name, NOW)
    for name in ("oak", "elm"):
        spaces.add(conn, f"spc_{name}", "org", name, NOW, actor="test")
        spaces.link(conn, f"spc_{name}", "cal_shared", 1, NOW, actor="test")
    spaces.link(conn, "spc_oak", "cal_oak", 0, NOW, actor="test")
    access.add_device(conn, "dev_oak", "org", "spc_oak", "Panel", "secret", NOW, actor="test")
    groups = calendars.assign_stream(conn, "acc", 200)
    due.ensure(conn, "stream", groups, NOW, delay=timedelta(hours=1))
    due.ensure(conn, "pull", ["cal_oak", "cal_shared"], NOW)


def remove_oak(conn: Connection) -> list[str]:
    oak = spaces.get(conn, "spc_oak")
    assert oak is not None
    return take_away(conn, oak, NOW, "test")


@pytest.mark.asyncio
async def test_the_room_its_panel_and_its_own_calendar_go_and_shared_ones_stay(store: Store) -> None:
    await store.run(two_rooms_and_a_shared_calendar)

    gone = await store.run(remove_oak)

    assert gone == ["oak@halden.example"]
    assert [space.id for space in await store.read(spaces.list_all, "org")] == ["spc_elm"]
    assert [h.calendar.id for h in await store.read(calendars.list_health, "org")] == ["cal_shared"]
    assert await store.read(access.list_devices, "org") == []


@pytest.mark.asyncio
async def test_its_calendar_is_never_pulled_again_and_its_group_is_listened_to_anew(store: Store) -> None:
    await store.run(two_rooms_and_a_shared_calendar)

    await store.run(remove_oak)

    later = NOW + timedelta(minutes=1)
    pulls = await store.run(due.claim, ["pull"], later, timedelta(minutes=2), 10, None)
    assert [lease.id for lease in pulls] == ["cal_shared"]
    streams = await store.run(due.claim, ["stream"], later, timedelta(minutes=2), 10, None)
    assert [lease.lane for lease in streams] == [due.NEWS], "woken, an hour before its time"
