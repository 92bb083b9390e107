"""Hints between processes on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from kalends.bus import Bus, Topic
from kalends.store.notify import PgBus
from kalends.store.postgres import connect
from postgres import Cluster

pytestmark = [pytest.mark.asyncio, pytest.mark.postgres]


@pytest_asyncio.fixture
async def url(cluster: Cluster) -> AsyncIterator[str]:
    fresh = await cluster.create()
    yield fresh
    await cluster.drop(fresh)


@pytest_asyncio.fixture
async def buses(url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[PgBus, PgBus]]:
    """Two processes' buses, both listening."""
    monkeypatch.setattr("kalends.store.notify.FIRST_PAUSE_SECONDS", 0.01)
    first, second = PgBus(url), PgBus(url)
    running = [asyncio.ensure_future(bus.run()) for bus in (first, second)]
    for bus in (first, second):
        await bus.wait(Topic.FEED, 0, 10)  # the first hint comes when it begins to listen
    yield first, second
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def hears(bus: Bus, topic: Topic, mark: int, seconds: float = 5) -> bool:
    await bus.wait(topic, mark, seconds)
    return bus.mark(topic) > mark


async def test_a_hint_reaches_the_other_process_and_the_own_one_at_once(buses: tuple[PgBus, PgBus]) -> None:
    here, there = buses
    mark, mark_there = here.mark(Topic.DUE), there.mark(Topic.DUE)

    here.hint(Topic.DUE)

    assert here.mark(Topic.DUE) == mark + 1
    assert await hears(there, Topic.DUE, mark_there)


async def test_a_hint_does_not_come_back_to_its_sender_nor_on_another_topic(buses: tuple[PgBus, PgBus]) -> None:
    here, there = buses
    mark, other = there.mark(Topic.FEED), there.mark(Topic.DUE)

    here.hint(Topic.FEED)
    await hears(there, Topic.FEED, mark)
    mine = here.mark(Topic.FEED)

    assert not await hears(here, Topic.FEED, mine, 0.05)
    assert there.mark(Topic.DUE) == other


async def test_many_hints_at_once_travel_as_few(buses: tuple[PgBus, PgBus]) -> None:
    here, there = buses
    mark = there.mark(Topic.DUE)

    for _ in range(1000):
        here.hint(Topic.DUE)

    assert await hears(there, Topic.DUE, mark)
    await asyncio.sleep(0.05)
    assert there.mark(Topic.DUE) - mark <= 3


async def test_after_a_lost_connection_hints_flow_again(cluster: Cluster, url: str, buses: tuple[PgBus, PgBus]) -> None:
    here, there = buses
    marks = [bus.mark(Topic.DUE) for bus in buses]
    name = urlsplit(url).path[1:]
    await cluster.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    for bus, mark in zip(buses, marks, strict=True):
        assert await hears(bus, Topic.DUE, mark), "who listens again wakes everybody, for what was missed"
    mark = there.mark(Topic.DUE)

    here.hint(Topic.DUE)

    assert await hears(there, Topic.DUE, mark)


async def test_hints_work_within_the_process_while_the_database_is_away() -> None:
    bus = PgBus("postgresql://nobody@127.0.0.1:1/nowhere")
    running = asyncio.ensure_future(bus.run())
    mark = bus.mark(Topic.DUE)

    bus.hint(Topic.DUE)
    heard = await hears(bus, Topic.DUE, mark)
    still_trying = not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert heard
    assert still_trying


async def test_an_outage_is_said_once_and_its_end_too(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kalends.store.notify.FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("kalends.store.notify.LONGEST_PAUSE_SECONDS", 0.01)
    tries: list[bool] = []

    async def refused(url: str) -> Any:
        tries.append(True)
        if len(tries) <= 5:
            raise ConnectionRefusedError(111, "Connection refused")
        return await connect(url)

    monkeypatch.setattr("kalends.store.notify.connect", refused)
    bus = PgBus(url)
    with capture_logs() as logs:
        running = asyncio.ensure_future(bus.run())
        await bus.wait(Topic.FEED, 0, 10)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert len(tries) == 6
    assert [line["event"] for line in logs] == ["bus.lost", "bus.back"]
    assert "can't be reached" in logs[0]["reason"]
    assert "looking once a second" in logs[0]["reason"]
    assert url.split("@")[-1].split("/")[0] in logs[0]["reason"] or "local socket" in logs[0]["reason"]
