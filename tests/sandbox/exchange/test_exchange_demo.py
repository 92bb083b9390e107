"""The demo world on the wire: every room, whole, judged by the schema and read by exchangelib."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from exchangelib import BASIC, IMPERSONATION, Account, Build, Configuration, EWSTimeZone, FailFast, Version
from lxml import etree

from kalends_sandbox.sandbox import Plan, opened
from sandbox.exchange import wire
from sandbox.exchange.stage import judge
from sandbox.exchange.test_exchange_judge import COMPARED, Tagged, judged, same

START = datetime(2026, 11, 20, 8, tzinfo=UTC)
PLAN = Plan(world="demo", control_port=None, clock_start=START, clock_factor=0, seed=3)


@pytest.mark.asyncio
async def test_everything_in_the_demo_world_is_what_the_schema_allows() -> None:
    async with opened(PLAN) as sandbox:
        sandbox.exchange.recorder.keep(10_000)
        world = sandbox.founded.world
        account = world.accounts[0]
        week = wire.calendar_view("2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z", base="AllProperties")
        seen = 0
        async with httpx2.AsyncClient(auth=(account.user, account.password), timeout=30) as client:
            for room in world.rooms:
                assert room.calendar is not None
                view = room.calendar.view(START - timedelta(days=4), START + timedelta(days=3), touching=True)
                ids = [*room.calendar.items, *(one.item_id for one in view if one.master_id)][:200]
                for operation in (week, wire.get_item(*ids, base="AllProperties"), wire.sync(fields="calendar:UID")):
                    answer = await client.post(sandbox.exchange_url, content=wire.envelope(operation, room.primary))
                    assert set(wire.codes(etree.fromstring(answer.content))) == {"NoError"}
                    seen += 1
            for operation in ("<m:GetRoomLists/>", '<m:GetServerTimeZones ReturnFullTimeZoneData="true"/>'):
                await client.post(sandbox.exchange_url, content=wire.envelope(operation))
                seen += 1

        assert seen == 3 * len(world.rooms) + 2 > 100
        assert judge(sandbox.exchange) == 2 * seen


def read(config: Configuration, address: str) -> list[Any]:
    """Two weeks of a calendar. exchangelib calls the server already when a folder is named."""
    account = Account(address, config=config, access_type=IMPERSONATION, default_timezone=EWSTimeZone("Europe/Berlin"))
    return list(account.calendar.view(START, START + timedelta(days=14)).only(*COMPARED))


@pytest.mark.asyncio
async def test_exchangelib_reads_the_demos_rooms_field_by_field() -> None:
    async with opened(PLAN) as sandbox:
        world = sandbox.founded.world
        service = world.accounts[0]
        config = Configuration(
            service_endpoint=sandbox.exchange_url,
            credentials=Tagged("demo", service.user, service.password),
            auth_type=BASIC,
            version=Version(Build(15, 2, 1748, 10)),
            retry_policy=FailFast(),
        )
        compared = 0
        for room in world.rooms[::8]:
            assert room.calendar is not None
            expected = room.calendar.view(START, START + timedelta(days=14), touching=True)
            found = await judged(lambda room=room: read(config, room.primary))  # type: ignore[misc]

            assert sorted(one.id for one in found) == sorted(one.item_id for one in expected)
            by_id = {one.item_id: one for one in expected}
            for one in found:
                if not one.is_all_day:  # exchangelib turns these into dates
                    same(one, by_id[one.id])
                    compared += 1
        assert compared > 50
