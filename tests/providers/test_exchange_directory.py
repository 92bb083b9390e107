"""Finding calendars in a simulated Exchange, and trying an account step by step."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from kalends.model.event import CalendarId
from kalends.providers.protocol import CalendarGone, Checker, Directory, Finding, Provider, RemoteCalendar, Streamer
from kalends_sandbox.world import RoomList
from providers.exchange_stage import ROOM, ExchangeStage, exchange_stage

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[ExchangeStage]:
    async with exchange_stage() as stage:
        yield stage


async def test_it_is_everything_a_provider_may_be(stage: ExchangeStage) -> None:
    for kind in (Provider, Streamer, Directory, Checker):
        assert isinstance(stage.provider, kind)


async def test_the_rooms_of_all_lists_are_found_once_each(stage: ExchangeStage) -> None:
    found = [each async for each in stage.provider.calendars()]

    assert found == [
        RemoteCalendar(CalendarId("almond@example.test"), "Almond", is_room=True, building="House"),
        RemoteCalendar(CalendarId("birch@example.test"), "Birch", is_room=True, building="House"),
        RemoteCalendar(CalendarId("cedar@example.test"), "Cedar", is_room=True, building="Annex"),
    ]


async def test_an_organisation_without_room_lists_has_no_rooms_to_find(stage: ExchangeStage) -> None:
    stage.world.room_lists.clear()

    assert [each async for each in stage.provider.calendars()] == []


async def test_a_list_that_vanishes_while_it_is_read_is_passed_over(stage: ExchangeStage) -> None:
    rooms = stage.provider.calendars()
    first = await anext(rooms)
    stage.world.room_lists[:] = stage.world.room_lists[:1]

    rest = [each.address async for each in rooms]

    assert [first.address, *rest] == ["almond@example.test", "birch@example.test"]


@pytest.mark.parametrize("given", ["almond@example.test", " ALMOND@Example.test ", "almond.old@example.test"])
async def test_any_address_leads_to_the_primary_one(stage: ExchangeStage, given: str) -> None:
    found = await stage.provider.resolve(given)

    assert (found.address, found.name) == (ROOM, "Almond")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "not a mail address"),
        ("Almond", "not a mail address"),
        ("a@b@c", "not a mail address"),
        ("al\nmond@example.test", "not a mail address"),
        ("nobody@example.test", "no mailbox"),
        ("house@example.test", "PublicDL"),
        ("empty@example.test", "no calendar"),
        ("secret@elsewhere.test", "ApplicationImpersonation"),
    ],
)
async def test_an_address_that_leads_nowhere_says_why(stage: ExchangeStage, given: str, words: str) -> None:
    with pytest.raises(CalendarGone, match=words) as caught:
        await stage.provider.resolve(given)

    assert "\n" not in str(caught.value)


async def test_the_beginning_of_an_address_is_not_taken_for_it(stage: ExchangeStage) -> None:
    stage.world.room_lists.append(RoomList("Almonds", "almond@example.testing", ()))

    with pytest.raises(CalendarGone):
        await stage.provider.resolve("almond@example.tes")


async def findings(stage: ExchangeStage, calendar: str | None = ROOM, **settings: object) -> list[Finding]:
    provider = stage.another(**settings) if settings else stage.provider  # type: ignore[arg-type]
    return [each async for each in provider.check(None if calendar is None else CalendarId(calendar))]


async def test_a_good_account_passes_every_step(stage: ExchangeStage) -> None:
    found = await findings(stage)

    steps = ["connection", "sign-in", "version", "room lists", "streaming size", "calendar", "reading", "streaming"]
    assert [each.step for each in found] == steps
    assert all(each.ok and not each.warning for each in found)
    assert stage.exchange.counters()["subscriptions"] == 0


async def test_a_wrong_password_ends_the_check_with_what_to_do(stage: ExchangeStage) -> None:
    found = await findings(stage, password="wrong")

    assert [(each.step, each.ok) for each in found] == [("connection", True), ("sign-in", False)]


async def test_an_unreachable_server_ends_the_check_at_once(stage: ExchangeStage) -> None:
    found = await findings(stage, url="http://127.0.0.1:1/EWS/Exchange.asmx")

    assert [(each.step, each.ok) for each in found] == [("connection", False)]


async def test_a_calendar_out_of_reach_says_why(stage: ExchangeStage) -> None:
    found = await findings(stage, "secret@elsewhere.test")

    assert (found[-1].step, found[-1].ok) == ("calendar", False)
    assert "ApplicationImpersonation" in found[-1].detail


async def test_missing_room_lists_and_streaming_are_warnings(stage: ExchangeStage) -> None:
    stage.world.room_lists.clear()
    stage.faults.add("html_login_page", operation="GetStreamingEvents")

    found = {each.step: each for each in await findings(stage, max_per_connection=5)}

    assert [step for step, each in found.items() if each.warning] == ["room lists", "streaming size", "streaming"]
    assert all(each.ok for each in found.values())
