"""The JSON API: what it answers, how it refuses, and that it does what its own description says."""

from datetime import UTC, date, datetime, timedelta

import pytest

from kalends.bus import Topic
from kalends.features.follower import LOOK_EVERY
from kalends.model.event import Sensitivity, ShowAs
from kalends.model.time import Dates
from kalends.store import calendars, polled, removal
from kalends.store.door import Connection, StoreUnreachable
from web.seeding import (
    START,
    House,
    StandingClock,
    meeting,
    paired,
    running,
    seed_account,
    seed_room,
    seeded,
    token,
    until,
)

DAY = {"from": "2026-11-23T00:00:00Z", "to": "2026-11-24T00:00:00Z"}


async def let_in(house: House) -> None:
    house.client.headers["authorization"] = f"Bearer {await token(house)}"


@pytest.mark.asyncio
async def test_the_state_of_a_space_says_why_and_from_where() -> None:
    wires = await seeded(("aspen", [meeting("1", START, 30), meeting("2", START + timedelta(minutes=30), 30)]))
    async with running(wires) as house:
        await let_in(house)

        said = (await house.client.get("/v1/spaces/spc_aspen/state")).json()

        assert said["state"] == "in_use"
        assert said["until"] == "2026-11-23T10:20:00Z"
        assert said["why"] == {
            "rule": "meeting_now",
            "text": "Its calendar shows it booked until 11:20.",
            "source": "aspen@example.org",
            "at": "2026-11-23T09:20:00Z",
        }
        assert said["now"]["subject"] == "Weekly planning"
        assert said["next"]["start"] == "2026-11-23T09:50:00Z"


@pytest.mark.asyncio
async def test_page_panel_and_api_give_the_same_reason() -> None:
    async with running(await seeded(("aspen", [meeting("1", START + timedelta(hours=2))]))) as house:
        await house.sign_in()

        why = (await house.client.get("/v1/spaces/spc_aspen/state")).json()["why"]["text"]

        assert why == "Its calendar shows nothing until 12:20."
        for path in ("/", "/spaces/spc_aspen", "/panel/spc_aspen"):
            assert why in (await house.client.get(path)).text, path


@pytest.mark.asyncio
async def test_events_of_a_span_are_found_by_the_clock_of_their_room() -> None:
    new_year = meeting(
        "day", datetime(2026, 11, 23, 23, tzinfo=UTC), 1440, dates=Dates(date(2026, 11, 24), date(2026, 11, 25))
    )
    wires = await seeded()
    await wires.store.run(seed_room, wires, "tokyo", "Tokyo", [new_year], zone="Asia/Tokyo")
    async with running(wires) as house:
        await let_in(house)
        asked = {"from": "2026-11-23T15:00:00Z", "to": "2026-11-23T16:00:00Z"}

        [found] = (await house.client.get("/v1/spaces/spc_tokyo/events", params=asked)).json()["items"]

        assert (found["start"], found["end"]) == ("2026-11-23T15:00:00Z", "2026-11-24T15:00:00Z")
        assert (found["first"], found["until"]) == ("2026-11-24", "2026-11-25")


@pytest.mark.asyncio
async def test_events_come_with_the_age_of_their_calendar_and_its_trouble() -> None:
    wires = await seeded(("aspen", [meeting("1", START)]))
    async with running(wires) as house:
        await let_in(house)
        fresh = (await house.client.get("/v1/spaces/spc_aspen/events", params=DAY)).json()
        wires.clock.at += timedelta(hours=1)  # type: ignore[attr-defined]
        gone = ("cal_aspen", "gone", "It has no mailbox.", wires.clock.now())
        await wires.store.run(lambda conn: calendars.set_state(conn, *gone))

        said = (await house.client.get("/v1/spaces/spc_aspen/events", params=DAY)).json()

    assert (fresh["source"], fresh["proved_at"], fresh["trouble"]) == ("aspen@example.org", "2026-11-23T09:20:00Z", "")
    assert (len(said["items"]), said["proved_at"]) == (1, "2026-11-23T09:20:00Z")
    assert said["trouble"] == "It has no mailbox."


@pytest.mark.asyncio
async def test_a_calendar_says_how_its_changes_are_found_in_api_and_page() -> None:
    wires = await seeded(("aspen", []), ("birch", []))
    why = "By polling, every minute, because the service account opens it as a delegate."
    await wires.store.run(polled.say, ["cal_aspen", "cal_birch"], {"cal_aspen": why})
    async with running(wires) as house:
        await house.sign_in()

        [aspen, birch] = (await house.client.get("/v1/calendars")).json()["items"]

        assert (aspen["polling"], birch["polling"]) == (why, "")
        assert why in (await house.client.get("/spaces/spc_aspen")).text
        assert why not in (await house.client.get("/spaces/spc_birch")).text


@pytest.mark.asyncio
async def test_rooms_whose_account_was_removed_are_unknown_and_say_why() -> None:
    wires = await seeded(("aspen", [meeting("1", START)]))
    async with running(wires) as house:
        await house.sign_in()
        panel = await paired(house, "aspen")
        gone = await wires.store.read(removal.consequence, "acc_1")
        await wires.store.run(removal.begin, "acc_1", wires.clock.now(), actor="t")
        await wires.store.run(removal.step, "acc_1", wires.clock.now(), actor="t")
        await wires.store.run(removal.finish, "acc_1", gone, wires.clock.now(), actor="t")
        wires.clock.real += LOOK_EVERY.total_seconds()  # type: ignore[attr-defined]
        wires.bus.hint(Topic.FEED)
        await until(lambda: house.web.kit.follower.views["spc_aspen"].calendar is None)

        state = (await house.client.get("/v1/spaces/spc_aspen/state")).json()
        held = (await house.client.get("/v1/spaces/spc_aspen/events", params=DAY)).json()
        changes = (await house.client.get("/v1/changes", params={"limit": 1000})).json()["items"]

        assert (state["state"], state["why"]["rule"], state["now"]) == ("unknown", "no_calendar", None)
        assert (held["items"], held["source"]) == ([], None)
        assert ("account.state", "acc_1", "removed") in [(c["kind"], c["key"], c["version"]) for c in changes]
        for path in ("/", "/spaces/spc_aspen"):
            assert "No calendar is linked to this room" in (await house.client.get(path)).text
        shown = await house.client.get("/panel/spc_aspen", headers={"cookie": f"kalends_panel={panel}"})
        assert shown.status_code == 200
        assert "Weekly planning" not in shown.text


@pytest.mark.asyncio
async def test_the_id_of_an_event_is_the_key_of_its_changes() -> None:
    async with running(await seeded(("aspen", [meeting("1", START)]))) as house:
        await let_in(house)

        [event] = (await house.client.get("/v1/spaces/spc_aspen/events", params=DAY)).json()["items"]
        changes = (await house.client.get("/v1/changes")).json()["items"]

        assert event["id"] in {c["key"] for c in changes if c["kind"] == "event.created"}


@pytest.mark.asyncio
async def test_private_meetings_and_busy_only_accounts_say_nothing_but_when() -> None:
    held = [
        meeting(
            "1",
            START,
            60,
            "CANARY subject",
            "CANARY Person",
            Sensitivity.PRIVATE,
            description="CANARY",
            location="CANARY",
        ),
    ]
    wires = await seeded(("aspen", held))
    await wires.store.run(seed_account, wires, "acc_2", "Careful", "P1")
    open_meeting = meeting("2", START, 60, "CANARY subject", "CANARY Person", description="CANARY")
    # The engine would have reduced it; the view must hold even where it was not.
    await wires.store.run(seed_room, wires, "birch", "Birch", [open_meeting], account="acc_2")
    async with running(wires) as house:
        await let_in(house)
        for key, title in (("aspen", "Private"), ("birch", "Booked")):
            for path in (
                f"/v1/spaces/spc_{key}/state",
                f"/v1/spaces/spc_{key}/events?from={DAY['from']}&to={DAY['to']}",
            ):
                answer = await house.client.get(path)

                assert "CANARY" not in answer.text, path
                assert f'"title":"{title}"' in answer.text


@pytest.mark.asyncio
async def test_no_answer_holds_a_secret() -> None:
    async with running(await seeded(("aspen", []))) as house:
        await let_in(house)
        for path in ("/v1/accounts", "/v1/calendars", "/v1/changes", "/metrics", "/openapi.json"):
            text = (await house.client.get(path)).text

            assert "CANARY" not in text
            assert "password" not in text


@pytest.mark.asyncio
async def test_pages_are_walked_without_missing_or_doubling() -> None:
    async with running(await seeded(*((f"room{n:02}", []) for n in range(7)))) as house:
        await let_in(house)
        seen, cursor = [], None
        for _ in range(9):
            params = {"limit": 3} | ({"cursor": cursor} if cursor else {})
            page = (await house.client.get("/v1/spaces", params=params)).json()
            seen += [item["id"] for item in page["items"]]
            cursor = page["next"]
            if cursor is None:
                break

        assert seen == [f"spc_room{n:02}" for n in range(7)]


@pytest.mark.asyncio
async def test_who_has_it_already_gets_304_until_it_changes() -> None:
    async with running(await seeded(("aspen", []))) as house:
        await let_in(house)
        first = await house.client.get("/v1/spaces/spc_aspen/state")
        known = {"if-none-match": first.headers["etag"]}

        same = await house.client.get("/v1/spaces/spc_aspen/state", headers=known)
        await house.tell("aspen", meeting("1", START))
        changed = await house.client.get("/v1/spaces/spc_aspen/state", headers=known)

        assert (same.status_code, same.content) == (304, b"")
        assert changed.status_code == 200


@pytest.mark.asyncio
async def test_the_feed_is_read_on_from_where_one_was() -> None:
    async with running(await seeded(("aspen", []))) as house:
        await let_in(house)
        before = (await house.client.get("/v1/changes", params={"limit": 1000})).json()["cursor"]
        await house.tell("aspen", meeting("1", START))

        news = (await house.client.get("/v1/changes", params={"after": before})).json()
        rest = (await house.client.get("/v1/changes", params={"after": news["cursor"]})).json()

        assert [change["kind"] for change in news["items"]] == ["event.created"]
        assert news["items"][0]["calendar"] == "cal_aspen"
        assert rest == {"items": [], "cursor": news["cursor"]}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/spaces?limit=0", 422, "invalid_parameter"),
        ("/v1/spaces?limit=<script>", 422, "invalid_parameter"),
        ("/v1/spaces?<script>=1", 422, "unknown_parameter"),
        ("/v1/spaces?limit=1&limit=2", 422, "repeated_parameter"),
        ("/v1/spaces/<script>/state", 422, "invalid_parameter"),
        ("/v1/spaces/spc_none/state", 404, "not_found"),
        ("/v1/nothing<script>", 404, "not_found"),
        ("/v1/changes?after=<script>", 422, "bad_cursor"),
        ("/v1/spaces/spc_aspen/events", 422, "invalid_parameter"),
        ("/v1/spaces/spc_aspen/events?from=2026-11-23T00:00:00&to=2026-11-24T00:00:00Z", 422, "invalid_parameter"),
        ("/v1/spaces/spc_aspen/events?from=2026-11-24T00:00:00Z&to=2026-11-23T00:00:00Z", 422, "bad_span"),
        ("/v1/spaces/spc_aspen/events?from=2026-11-24T00:00:00Z&to=2027-11-23T00:00:00Z", 422, "span_too_long"),
        ("/v1/spaces/spc_aspen/events?from=0001-01-01T00:00:00Z&to=0001-01-02T00:00:00Z", 422, "span_too_far"),
    ],
)
async def test_refusals_are_problem_documents_that_echo_nothing(path: str, status: int, code: str) -> None:
    async with running(await seeded(("aspen", []))) as house:
        await let_in(house)

        answer = await house.client.get(path)

        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers["content-type"] == "application/problem+json"
        assert "<script" not in answer.text
        assert answer.json()["detail"].endswith((".", "”."))


@pytest.mark.asyncio
async def test_a_silent_database_is_said_and_not_thrown() -> None:
    async with running(await seeded(("aspen", []))) as house:
        await let_in(house)
        await house.sign_in()

        async def silent(*_: object, **__: object) -> None:
            raise StoreUnreachable("The database does not answer. Check that it runs.")

        house.wires.store.read = silent  # type: ignore[method-assign, assignment]
        ready = await house.client.get("/readyz")
        live = await house.client.get("/livez")
        asked = await house.client.get("/v1/spaces")

        assert live.status_code == 200
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        assert asked.status_code == 503
        assert asked.json()["detail"] == "The database does not answer. Check that it runs."
        assert asked.headers["retry-after"] == "5"


@pytest.mark.asyncio
async def test_metrics_count_calendars_and_rooms_without_naming_them() -> None:
    def lose(conn: Connection) -> None:
        calendars.set_state(conn, "cal_birch", "degraded", "The server is busy.", START)

    wires = await seeded(("aspen", [meeting("1", START)]), ("birch", []))
    await wires.store.run(lose)
    async with running(wires) as house:
        await let_in(house)

        lines = (await house.client.get("/metrics")).text.splitlines()

        assert 'kalends_calendars{state="in_sync"} 1.0' in lines
        assert 'kalends_calendars{state="degraded"} 1.0' in lines
        assert 'kalends_rooms{state="in_use"} 1.0' in lines
        assert "kalends_calendars_fresh 2.0" in lines
        assert not any("aspen" in line or "@" in line for line in lines)


@pytest.mark.asyncio
async def test_a_stale_room_is_unknown_in_the_api_too() -> None:
    wires = await seeded(("aspen", []))
    async with running(wires) as house:
        await let_in(house)
        assert isinstance(wires.clock, StandingClock)
        wires.clock.move(timedelta(seconds=90))

        said = (await house.client.get("/v1/spaces/spc_aspen/state")).json()

        assert (said["state"], said["why"]["rule"], said["until"]) == ("unknown", "stale", None)
        assert said["why"]["text"].startswith("Not in step with its calendar since 10:20.")


@pytest.mark.asyncio
async def test_tentative_and_free_events_are_told_apart() -> None:
    held = [meeting("1", START, show_as=ShowAs.TENTATIVE), meeting("2", START, show_as=ShowAs.FREE)]
    async with running(await seeded(("aspen", held))) as house:
        await let_in(house)

        items = (await house.client.get("/v1/spaces/spc_aspen/events", params=DAY)).json()["items"]

        assert {(i["show_as"], i["takes_time"]) for i in items} == {("tentative", True), ("free", False)}
