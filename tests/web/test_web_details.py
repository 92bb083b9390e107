"""Accounts in mode P0: pages and API show what their calendar tells at this moment; doors, overview and feed never do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from kalends.model.event import Event, ItemId, Sensitivity
from web.seeding import START, House, meeting, new_wires, paired, running, seed_account, seed_admin, seed_room, until

HELD = [
    meeting("1", START - timedelta(minutes=5), 60, "CANARY takeover", "CANARY Person", description="CANARY papers"),
    meeting("2", START + timedelta(hours=2), 60, "CANARY review", "CANARY Person", location="CANARY vault"),
    meeting("3", START + timedelta(hours=4), 60, "CANARY secret", "CANARY Person", Sensitivity.PRIVATE),
]
EVENTS = "/v1/spaces/spc_aspen/events?from=2026-11-23T00:00:00Z&to=2026-11-24T00:00:00Z"
AWAY = "Details are not available: The calendar's server did not answer in time."
pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def house(told: list[Event], missing: str = "", mode: str = "P0") -> AsyncIterator[House]:
    wires = new_wires()
    await wires.store.run(seed_admin, wires)
    await wires.store.run(seed_account, wires, "acc_1", "Exchange", mode)
    await wires.store.run(seed_room, wires, "aspen", "Aspen", HELD)
    wires.details.events = {event.item: event for event in told}
    wires.details.missing = missing
    async with running(wires) as opened:
        await opened.sign_in()
        yield opened


async def test_a_rooms_page_shows_what_its_calendar_tells_now() -> None:
    async with house(HELD) as opened:
        answer = await opened.client.get("/spaces/spc_aspen")

    assert "CANARY takeover" in answer.text
    assert "CANARY review" in answer.text
    assert "CANARY secret" not in answer.text
    assert "Details are not available" not in answer.text
    assert "details are read when a page asks, never stored" in answer.text


async def test_a_rooms_page_says_when_its_calendar_is_away() -> None:
    async with house([], AWAY) as opened:
        answer = await opened.client.get("/spaces/spc_aspen")

    assert answer.status_code == 200
    assert AWAY.replace("'", "&#39;") in answer.text
    assert answer.text.count("<b>Booked</b>") == 2
    assert "CANARY" not in answer.text


async def test_the_api_says_where_each_meetings_details_come_from() -> None:
    async with house([HELD[0]], AWAY) as opened:
        items = (await opened.client.get(EVENTS)).json()["items"]
        state = (await opened.client.get("/v1/spaces/spc_aspen/state")).json()

    said = [(one["title"], one["description"], one["details"]) for one in items]
    assert said == [
        ("CANARY takeover", "CANARY papers", "read"),
        ("Booked", None, "not_available"),
        ("Private", None, "not_held"),
    ]
    assert (state["now"]["subject"], state["next"]["subject"]) == ("CANARY takeover", None)


async def test_what_is_private_is_not_even_asked_for() -> None:
    async with house(HELD) as opened:
        await opened.client.get(EVENTS)

        assert opened.wires.details.asked == [("cal_aspen", (ItemId("item-1"), ItemId("item-2")))]


async def test_a_meeting_that_became_private_a_moment_ago_is_masked() -> None:
    now_private = meeting("1", START, 60, "CANARY takeover", "CANARY Person", Sensitivity.CONFIDENTIAL)
    async with house([now_private]) as opened:
        [first, *_] = (await opened.client.get(EVENTS)).json()["items"]

    assert (first["title"], first["is_private"], first["subject"]) == ("Private", True, None)


async def test_doors_overview_feed_and_streams_show_what_busy_only_shows() -> None:
    async with house(HELD) as opened:
        secret = await paired(opened, "aspen")
        await opened.client.get("/spaces/spc_aspen")
        overview = await opened.client.get("/")
        feed = await opened.client.get("/v1/changes")
        opened.client.cookies.clear()
        cookie = {"cookie": f"kalends_panel={secret}"}
        panel = await opened.client.get("/panel/spc_aspen", headers=cookie)

        for answer in (overview, feed, panel):
            assert answer.status_code == 200
            assert "CANARY" not in answer.text
        assert "Booked" in panel.text
        assert "CANARY" not in repr(opened.web.kit.follower.views), "what the follower keeps has no details"


@pytest.mark.parametrize(("mode", "where"), [("P1", "not_held"), ("P2", "held"), ("P3", "held")])
async def test_other_modes_never_ask_their_calendar(mode: str, where: str) -> None:
    async with house(HELD, mode=mode) as opened:
        [first, *_] = (await opened.client.get(EVENTS)).json()["items"]
        await opened.client.get("/spaces/spc_aspen")

        assert opened.wires.details.asked == []
        assert (first["details"], first["subject"]) == (where, None if mode == "P1" else "CANARY takeover")
        assert first["description"] == ("CANARY papers" if mode == "P3" else None)


async def test_the_overview_says_what_is_held_where_that_is_not_everything() -> None:
    async with house(HELD, mode="P1") as opened:
        await until(lambda: bool(opened.web.kit.follower.views))
        answer = await opened.client.get("/")

    assert "busy or free only" in answer.text
