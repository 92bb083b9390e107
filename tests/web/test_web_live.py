"""What panels and overviews hear while they are open: over a real socket, as browsers do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import httpx2
import pytest

from browser.serving import Running, serving
from kalends.bus import Topic
from kalends.clock import Clock
from kalends.features import follower as following
from kalends.model.event import Sensitivity
from kalends.store import calendars
from kalends.store.door import Connection
from kalends.web import kit as kits
from web.seeding import START, House, StandingClock, Wires, meeting, paired, put, running, seeded, token, until


@dataclass
class Message:
    event: str = "message"
    id: str = ""
    data: str = ""


@asynccontextmanager
async def stream(url: str, headers: dict[str, str]) -> AsyncIterator[AsyncIterator[Message]]:
    async with (
        httpx2.AsyncClient(timeout=10) as client,
        client.stream("GET", url, headers=headers) as answer,
    ):
        assert answer.status_code == 200, (await answer.aread()).decode()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _messages(answer)


async def _messages(answer: httpx2.Response) -> AsyncIterator[Message]:
    message, lines = Message(), list[str]()
    async for line in answer.aiter_lines():
        if line.startswith("data: "):
            lines.append(line[6:])
        elif line.startswith("event: "):
            message.event = line[7:]
        elif line.startswith("id: "):
            message.id = line[4:]
        elif not line and lines:
            message.data = "\n".join(lines)
            yield message
            message, lines = Message(), []


async def hear(messages: AsyncIterator[Message], event: str, holding: str = "") -> Message:
    async with asyncio.timeout(10):
        async for message in messages:
            if message.event == event and holding in message.data:
                return message
    raise AssertionError("the stream ended")


def clock_of(wires: Wires) -> StandingClock:
    clock: Clock = wires.clock
    assert isinstance(clock, StandingClock)
    return clock


async def cookie(server: Running, key: str) -> dict[str, str]:
    return {"cookie": f"kalends_panel={await paired(House(server.wires, server.web, None), key)}"}  # type: ignore[arg-type]


async def change(wires: Wires, key: str, *held: object) -> None:
    await wires.store.run(put, wires, key, held)  # type: ignore[arg-type]
    wires.bus.hint(Topic.FEED)


@pytest.mark.asyncio
async def test_a_panel_hears_its_state_at_once_and_every_change_of_its_room() -> None:
    async with serving(await seeded(("aspen", []), ("birch", []))) as server:
        url = f"{server.url}/panel/spc_aspen/live"
        async with stream(url, await cookie(server, "aspen")) as messages:
            first = await hear(messages, "message")
            await change(server.wires, "birch", meeting("b", START, subject="Elsewhere"))
            await change(server.wires, "aspen", meeting("a", START, subject="Here"))
            second = await hear(messages, "message")

        assert 'data-state="available"' in first.data
        assert 'data-state="in_use"' in second.data
        assert "Here" in second.data
        assert "Elsewhere" not in second.data


@pytest.mark.asyncio
async def test_a_panel_changes_by_itself_when_a_meeting_begins() -> None:
    soon = START + timedelta(minutes=11)
    async with serving(await seeded(("aspen", [meeting("1", soon, 30)]))) as server:
        clock = clock_of(server.wires)
        async with stream(f"{server.url}/panel/spc_aspen/live", await cookie(server, "aspen")) as messages:
            await hear(messages, "message", 'data-state="available"')
            for minutes, state in ((1, "starting_soon"), (10, "in_use"), (30, "available")):
                clock.at += timedelta(minutes=minutes)
                await server.wires.store.run(verify, clock)
                clock.real += following.LOOK_EVERY.total_seconds()
                server.wires.bus.hint(Topic.FEED)

                assert await hear(messages, "message", f'data-state="{state}"')


def verify(conn: Connection, clock: StandingClock, *keys: str) -> None:
    for key in keys or ("aspen",):
        calendars.verified(conn, f"cal_{key}", clock.now())


@pytest.mark.asyncio
async def test_a_room_that_is_not_proved_any_more_turns_unknown_and_says_since_when() -> None:
    async with serving(await seeded(("aspen", []))) as server:
        clock = clock_of(server.wires)
        async with stream(f"{server.url}/panel/spc_aspen/live", await cookie(server, "aspen")) as messages:
            await hear(messages, "message", 'data-state="available"')
            clock.at += timedelta(seconds=90)
            server.wires.bus.hint(Topic.FEED)
            lost = await hear(messages, "message", 'data-state="unknown"')

            await server.wires.store.run(verify, clock)
            clock.real += following.LOOK_EVERY.total_seconds()
            server.wires.bus.hint(Topic.FEED)
            assert await hear(messages, "message", 'data-state="available"')

        assert "Not in step with its calendar since 10:20." in lost.data


@pytest.mark.asyncio
async def test_a_fresh_proof_alone_is_a_short_message() -> None:
    async with serving(await seeded(("aspen", []))) as server:
        clock = clock_of(server.wires)
        async with stream(f"{server.url}/panel/spc_aspen/live", await cookie(server, "aspen")) as messages:
            await hear(messages, "proof")
            clock.move(timedelta(seconds=20))
            await server.wires.store.run(verify, clock)
            server.wires.bus.hint(Topic.FEED)

            proof = await hear(messages, "proof")

        now, proved = proof.data.split(" ")
        assert now == proved == str(int(clock.now().timestamp() * 1000))


@pytest.mark.asyncio
async def test_a_heartbeat_that_proves_every_room_does_not_hold_up_a_change_among_them() -> None:
    keys = [f"room{number:02}" for number in range(4 * following.AT_ONCE)]
    async with running(await seeded(*[(key, []) for key in keys])) as house:
        follower, clock = house.web.kit.follower, clock_of(house.wires)
        await until(lambda: not follower.is_behind)
        seat = follower.sit(None)
        clock.move(timedelta(seconds=20))
        await house.wires.store.run(verify, clock, *keys)
        await house.wires.store.run(put, house.wires, keys[-1], [meeting("a", START)])
        house.wires.bus.hint(Topic.FEED)

        told: list[tuple[list[str], list[str]]] = []
        while sum(len(proved) for _, proved in told) < len(keys) - 1:
            async with asyncio.timeout(10):
                await seat.rang.wait()
            told.append(seat.take())

        assert told[0] == ([f"spc_{keys[-1]}"], [])
        assert max(len(proved) for _, proved in told) <= following.AT_ONCE


@pytest.mark.asyncio
async def test_nothing_private_is_ever_sent_to_a_door() -> None:
    secret = meeting(
        "1", START, 60, "CANARY", "CANARY Person", Sensitivity.PRIVATE, description="CANARY", location="CANARY"
    )
    plain = meeting("2", START + timedelta(hours=1), 30, "Open", description="CANARY notes", location="CANARY place")
    async with serving(await seeded(("aspen", [secret, plain]))) as server:
        headers = await cookie(server, "aspen")
        async with stream(f"{server.url}/panel/spc_aspen/live", headers) as messages:
            sent = (await hear(messages, "message")).data
        async with httpx2.AsyncClient() as client:
            for path in ("", "/face"):
                sent += (await client.get(f"{server.url}/panel/spc_aspen{path}", headers=headers)).text

        assert "CANARY" not in sent
        assert "@example.org" not in sent
        assert "Private" in sent
        assert "Open" in sent


@pytest.mark.asyncio
async def test_a_revoked_panel_is_cut_off_while_it_watches() -> None:
    async with serving(await seeded(("aspen", []))) as server:
        clock, doorkeeper = clock_of(server.wires), server.web.kit.doorkeeper
        async with stream(f"{server.url}/panel/spc_aspen/live", await cookie(server, "aspen")) as messages:
            await hear(messages, "message")
            [device] = await doorkeeper.panels("spc_aspen")
            await doorkeeper.revoke("spc_aspen", device.id, "admin")
            clock.real += 2 * kits.RECHECK_SECONDS  # each stream asks at a moment of its own
            await change(server.wires, "aspen", meeting("1", START, subject="Too late"))

            rest = [message async for message in messages]

        assert not any("Too late" in message.data for message in rest)
        await until(lambda: server.web.kit.follower.seats == 0 and server.web.kit.streams == 0)


@pytest.mark.asyncio
async def test_a_panel_that_goes_leaves_nothing_behind() -> None:
    async with serving(await seeded(("aspen", []))) as server:
        headers = await cookie(server, "aspen")
        for _ in range(5):
            async with stream(f"{server.url}/panel/spc_aspen/live", headers) as messages:
                await hear(messages, "message")

        await until(lambda: server.web.kit.follower.seats == 0 and server.web.kit.streams == 0)


@pytest.mark.asyncio
async def test_draining_ends_every_stream_so_that_the_server_can_stop() -> None:
    async with (
        serving(await seeded(("aspen", []))) as server,
        stream(f"{server.url}/panel/spc_aspen/live", await cookie(server, "aspen")) as messages,
    ):
        await hear(messages, "message")
        server.web.drain()

        assert [m async for m in messages if m.event == "message"] == []


@pytest.mark.asyncio
async def test_a_watcher_that_does_not_read_costs_no_memory() -> None:
    """What waits for it is which rooms to look at, not what was said of them."""
    async with serving(await seeded(("aspen", []), ("birch", []))) as server:
        seat = server.web.kit.follower.sit(None)
        for n in range(50):
            version = server.web.kit.follower.version
            await change(server.wires, "aspen", meeting(f"{n}", START + timedelta(hours=n % 5)))
            await until(lambda v=version: server.web.kit.follower.version > v)  # type: ignore[misc]

        changed, proved = seat.take()

        assert changed == ["spc_aspen"]
        assert set(proved) <= {"spc_birch"}


@pytest.mark.asyncio
async def test_the_overview_hears_what_changed_since_its_page_was_made() -> None:
    async with serving(await seeded(("aspen", []), ("birch", []))) as server:
        house = House(server.wires, server.web, httpx2.AsyncClient(base_url=server.url))
        async with house.client:
            await house.sign_in()
            headers = {"cookie": f"kalends_session={house.client.cookies['kalends_session']}"}
            page = (await house.client.get("/")).text
            mark = page.split('data-mark="')[1].split('"')[0]
            await change(server.wires, "birch", meeting("1", START, subject="While it loaded"))
            await until(lambda: server.web.kit.follower.views["spc_birch"].state == "in_use")

            async with stream(f"{server.url}/live?after={mark}", headers) as messages:
                missed = await hear(messages, "message")
            async with stream(f"{server.url}/live?after={missed.id}", headers) as messages:
                nothing = await hear(messages, "message")
            async with stream(f"{server.url}/live?after=run_other.99", headers) as messages:
                everything = await hear(messages, "message")

        assert 'id="room-spc_birch"' in missed.data
        assert "room-spc_aspen" not in missed.data
        assert "room-spc" not in nothing.data, "only the attention list, which is always sent"
        assert "room-spc_aspen" in everything.data
        assert "room-spc_birch" in everything.data


@pytest.mark.asyncio
async def test_the_stream_of_changes_goes_on_where_it_was_cut() -> None:
    async with serving(await seeded(("aspen", []))) as server:
        secret = await token(House(server.wires, server.web, None))  # type: ignore[arg-type]
        headers = {"authorization": f"Bearer {secret}"}
        url = f"{server.url}/v1/changes/stream"
        async with stream(url, headers) as messages:
            await change(server.wires, "aspen", meeting("1", START))
            first = await hear(messages, "event.created")
        await change(server.wires, "aspen", meeting("2", START))
        async with stream(url, {**headers, "last-event-id": first.id}) as messages:
            second = await hear(messages, "event.created")
        async with httpx2.AsyncClient() as client:
            read = (await client.get(f"{server.url}/v1/changes", params={"after": first.id}, headers=headers)).json()

        assert [item["cursor"] for item in read["items"]] == [second.id]
        assert first.id != second.id


@pytest.mark.asyncio
async def test_a_burst_of_changes_reaches_the_panel_in_order_and_ends_with_the_last() -> None:
    async with (
        serving(await seeded(("aspen", []))) as server,
        stream(f"{server.url}/panel/spc_aspen/live", await cookie(server, "aspen")) as messages,
    ):
        await hear(messages, "message")
        for n in range(20):
            await change(server.wires, "aspen", meeting("1", START, 30, f"Version {n:02}"))

        assert await hear(messages, "message", "Version 19")
