"""Reading a simulated Exchange beyond the common contract: what it costs, what is bad, what is in the way."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
import pytest_asyncio
from lxml import etree

from kalends.model.event import CalendarId, Kind, Party, Response, Role, Sensitivity, ShowAs
from kalends.model.time import Dates
from kalends.providers.exchange import client, pull, requests, soap, spans
from kalends.providers.exchange.provider import ExchangeProvider
from kalends.providers.protocol import (
    InWindow,
    ProviderError,
    Rejected,
    Unavailable,
)
from kalends_sandbox.http import Request, serve
from kalends_sandbox.http import Response as HttpResponse
from kalends_sandbox.item import Attendee, Override
from kalends_sandbox.item import Party as Person
from kalends_sandbox.recurrence import Daily, Recurrence
from providers.contract import NOON, Mirror, window_at
from providers.exchange_stage import ROOM, ExchangeStage, exchange_stage, windows
from providers.schema import body_of

pytestmark = pytest.mark.asyncio
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[ExchangeStage]:
    async with exchange_stage() as stage:
        yield stage


async def read(stage: ExchangeStage, provider: ExchangeProvider | None = None) -> Mirror:
    mirror = Mirror(provider or stage.provider, ROOM)
    await mirror.pull()
    return mirror


async def failed_pull(provider: ExchangeProvider, calendar: CalendarId = ROOM) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await provider.pull(calendar, None, window_at(NOON), {})
    return caught.value


# --- what is read ------------------------------------------------------------------------------------------------------


async def test_everything_asked_of_a_meeting_arrives(stage: ExchangeStage) -> None:
    item = stage.add(
        subject="Budget & plans <draft>",
        body="Bring figures.",
        location="Almond",
        show_as="OOF",
        sensitivity="Confidential",
        is_meeting=True,
        my_response="Tentative",
        zone=windows("W. Europe Standard Time", "Europe/Berlin"),
        attendees=(
            Attendee("Bo", "bo@example.test", "required", "Accept"),
            Attendee("Cy", "cy@example.test", "optional"),
            Attendee("Almond", ROOM, "resource", "Decline"),
        ),
    )

    (found,) = (await read(stage)).events.values()

    assert (found.uid, found.item, found.version) == (item.uid, item.item_id, item.change_key)
    assert (found.subject, found.description, found.location) == ("Budget & plans <draft>", "Bring figures.", "Almond")
    assert (found.show_as, found.sensitivity) == (ShowAs.OUT_OF_OFFICE, Sensitivity.CONFIDENTIAL)
    assert found.response is Response.TENTATIVE
    assert found.organizer == Party("Ada Example", "ada@example.test")
    assert [(each.party.name, each.role, each.response) for each in found.attendees] == [
        ("Bo", Role.REQUIRED, Response.ACCEPTED),
        ("Cy", Role.OPTIONAL, Response.NONE),
        ("Almond", Role.RESOURCE, Response.DECLINED),
    ]
    assert found.zone.iana == "Europe/Berlin"
    assert found.lasting_id == item.clean_global_object_id.hex().upper()
    assert found.modified_at == item.modified


async def test_an_instance_has_the_details_of_its_series_and_an_exception_its_own(stage: ExchangeStage) -> None:
    item = stage.add(
        subject="weekly",
        body="Agenda",
        recurrence=Recurrence(Daily(), NOON.date(), count=3),
        attendees=(Attendee("Bo", "bo@example.test"),),
        is_meeting=True,
    )
    stage.folder.save(replace(item, exceptions={NOON + DAY: Override(subject="special", sensitivity="Private")}))

    mirror = await read(stage)

    by_start = {event.original_start: event for event in mirror.events.values()}
    master, plain, special = by_start[None], by_start[NOON], by_start[NOON + DAY]
    assert (master.kind, plain.kind, special.kind) == (Kind.SERIES, Kind.INSTANCE, Kind.EXCEPTION)
    assert (plain.subject, plain.description, plain.organizer) == ("weekly", "Agenda", master.organizer)
    assert [each.party.address for each in plain.attendees] == ["bo@example.test"]
    assert (special.subject, special.description, special.is_private) == ("special", "Agenda", True)
    assert {event.uid for event in mirror.events.values()} == {item.uid}
    assert plain.master == special.master == master.item
    assert master.recurrence == "FREQ=DAILY;COUNT=3"


@pytest.mark.parametrize("name", ["tzone://Microsoft/Custom", "Customized Time Zone", "Mitteleuropäische Zeit", ""])
async def test_an_all_day_series_in_an_odd_zone_keeps_its_dates(stage: ExchangeStage, name: str) -> None:
    start = NOON.replace(hour=23) - DAY  # midnight in Berlin
    stage.add(
        start=start,
        end=start + DAY,
        is_all_day=True,
        zone=windows(name, "Europe/Berlin"),
        recurrence=Recurrence(Daily(), date(2026, 11, 18), count=3),
    )

    mirror = await read(stage)

    found = sorted(event.dates for event in mirror.events.values() if event.kind is Kind.INSTANCE and event.dates)
    assert found == [Dates(date(2026, 11, day), date(2026, 11, day + 1)) for day in (18, 19, 20)]


async def test_a_changed_series_is_read_anew_even_if_its_instances_look_unchanged(stage: ExchangeStage) -> None:
    series = stage.book_series("weekly", NOON, 4)

    def same_keys(body: bytes) -> bytes:
        return re.sub(rb'ChangeKey="[^"]*"', b'ChangeKey="same"', body)

    async with _served(stage, _rewriting(stage, "FindItem", same_keys)) as provider:
        mirror = await read(stage, provider)
        stage.rename(series, "renamed")
        await mirror.pull()

    assert {event.subject for event in mirror.events.values()} == {"renamed"}


async def test_a_meeting_without_subject_and_organizer_is_read(stage: ExchangeStage) -> None:
    stage.add(subject=None, organizer=None)

    (found,) = (await read(stage)).events.values()

    assert (found.subject, found.organizer) == (None, None)


async def test_an_organizer_without_address_is_read(stage: ExchangeStage) -> None:
    stage.add(organizer=Person("Somebody", ""))

    (found,) = (await read(stage)).events.values()

    assert found.organizer == Party("Somebody", "")


async def test_an_endless_series_from_1999_is_read_in_the_window_only(stage: ExchangeStage) -> None:
    start = NOON.replace(year=1999)
    stage.add(start=start, end=start + HOUR, recurrence=Recurrence(Daily(), start.date()))

    mirror = await read(stage)

    assert mirror.lines(window_at(NOON)) == stage.truth(window_at(NOON))
    assert 400 <= len(mirror.events) <= 412


# --- what it costs -----------------------------------------------------------------------------------------------------


async def test_more_rows_than_one_answer_holds_are_read_in_smaller_spans() -> None:
    async with exchange_stage(rows_per_find=40) as stage:
        for minute in range(0, 24 * 60 * 2, 15):
            stage.book(f"at {minute}", NOON + timedelta(minutes=minute), timedelta(minutes=15))

        mirror = await read(stage)

        assert mirror.lines(window_at(NOON)) == stage.truth(window_at(NOON))


async def test_a_quarter_of_an_hour_with_too_many_rows_is_read_in_part_and_calls_nothing_gone() -> None:
    async with exchange_stage(rows_per_find=5) as stage:
        for number in range(9):
            stage.book(f"{number}", NOON, timedelta(minutes=1))

        mirror = await read(stage)

        assert len(mirror.events) == 5
        scopes = [scope for page in mirror.pages for scope in page.complete if isinstance(scope, InWindow)]
        assert not any(NOON in scope.span for scope in scopes)


async def test_a_reconcile_of_an_unchanged_calendar_fetches_no_meeting(stage: ExchangeStage) -> None:
    for day in range(10):
        stage.book(f"{day}", NOON + day * DAY)
    stage.book_series("weekly", NOON, None)
    mirror = await read(stage)
    before = stage.calls_of("GetItem")

    mirror.cursor = None
    await mirror.pull()

    assert stage.calls_of("GetItem") == before


async def test_a_changed_single_meeting_costs_two_calls(stage: ExchangeStage) -> None:
    meeting = stage.book("before", NOON)
    mirror = await read(stage)
    before = stage.calls()

    stage.rename(meeting, "after")
    await mirror.pull()

    assert stage.calls() - before == 2
    assert [event.subject for event in mirror.events.values()] == ["after"]


async def test_a_short_series_is_read_again_in_its_own_reach_only(stage: ExchangeStage) -> None:
    series = stage.book_series("weekly", NOON, 4)
    mirror = await read(stage)
    before = stage.calls_of("FindItem")

    stage.rename(series, "renamed")
    await mirror.pull()

    assert stage.calls_of("FindItem") - before <= 2


async def test_news_that_is_known_already_is_not_fetched_again(stage: ExchangeStage) -> None:
    mirror = await read(stage)
    before_news = mirror.cursor
    stage.book("new", NOON)
    await mirror.pull()
    before = stage.calls_of("GetItem")

    mirror.cursor = before_news
    await mirror.pull()

    assert stage.calls_of("GetItem") == before
    assert [event.subject for event in mirror.events.values()] == ["new"]


async def test_a_day_of_standing_still_costs_one_more_read(stage: ExchangeStage) -> None:
    mirror = await read(stage)
    before = stage.calls_of("FindItem")

    for hour in range(24):
        await mirror.pull(NOON + hour * HOUR)

    assert stage.calls_of("FindItem") - before <= 1


async def test_no_more_requests_are_under_way_than_allowed(stage: ExchangeStage) -> None:
    running, most = 0, 0
    handle = stage.exchange.handle

    async def counted(request: Request) -> HttpResponse:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002)
        running -= 1
        return await handle(request)

    async with _served(stage, counted, calls_at_once=2) as provider:
        await provider.resolve(ROOM)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(8):
                tasks.create_task(provider.pull(ROOM, None, window_at(NOON), {}))

    assert most == 2


def _rewriting(stage: ExchangeStage, operation: str, rewrite: Callable[[bytes], bytes]) -> Any:
    """A handler that rewrites the answers to one operation."""

    async def handler(request: Request) -> HttpResponse:
        response = await stage.exchange.handle(request)
        if body_of(request.body).tag == f"{soap.M}{operation}" and isinstance(response.body, bytes):
            response.body = rewrite(response.body)
        return response

    return handler


async def test_a_server_that_repeats_its_state_is_not_asked_for_ever(stage: ExchangeStage) -> None:
    stage.book("kept", NOON)

    def never_last(body: bytes) -> bytes:
        return body.replace(b"Range>true<", b"Range>false<")

    async with _served(stage, _rewriting(stage, "SyncFolderItems", never_last)) as provider:
        mirror = await read(stage, provider)
        await mirror.pull()

    assert [event.subject for event in mirror.events.values()] == ["kept"]
    assert len(mirror.pages) == 1


async def test_an_item_named_as_gone_and_as_new_in_one_answer_is_there(stage: ExchangeStage) -> None:
    mirror = await read(stage)
    item = stage.add(subject="back again")

    def gone_first(body: bytes) -> bytes:
        gone = f'<m:Changes><t:Delete><t:ItemId Id="{item.item_id}" ChangeKey="x"/></t:Delete>'
        return body.replace(b"<m:Changes>", gone.encode())

    async with _served(stage, _rewriting(stage, "SyncFolderItems", gone_first)) as provider:
        mirror.provider = provider
        await mirror.pull()

    assert all(item.item_id not in page.removed for page in mirror.pages if page.events)


# --- bad items ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _served(stage: ExchangeStage, handler: Any, **settings: Any) -> AsyncIterator[ExchangeProvider]:
    """A provider that reaches the stage's Exchange through another handler."""
    server = await serve(handler, "127.0.0.1", 0)
    provider = stage.another(url=f"http://127.0.0.1:{server.port}/EWS/Exchange.asmx", **settings)
    try:
        yield provider
    finally:
        await provider.aclose()
        await server.close()


def _spoiling(stage: ExchangeStage, is_spoiled: Callable[[etree._Element], bool], body: bytes) -> Any:
    """A handler that answers with `body` where a request is spoiled."""

    async def handler(request: Request) -> HttpResponse:
        if is_spoiled(body_of(request.body)):
            return HttpResponse(200, [("Content-Type", "text/xml")], body)
        return await stage.exchange.handle(request)

    return handler


def _asks_for_content_of(*items: str) -> Callable[[etree._Element], bool]:
    def asks(operation: etree._Element) -> bool:
        ids = {each.get("Id") or each.get("OccurrenceId") for each in operation.iterfind(f"{soap.M}ItemIds/*")}
        return (
            bool(ids & set(items)) and operation.find(f".//{soap.T}AdditionalProperties/{soap.T}FieldURI") is not None
        )

    return asks


@pytest.mark.parametrize("body", [b"<broken", b"x" * (17 * 1024 * 1024)], ids=["malformed", "17 MiB"])
async def test_one_bad_item_is_set_aside_and_the_others_are_read(stage: ExchangeStage, body: bytes) -> None:
    for number in range(5):
        stage.book(f"good {number}", NOON + number * HOUR)
    bad = stage.add(subject="secret subject").item_id

    async with _served(stage, _spoiling(stage, _asks_for_content_of(bad), body)) as provider:
        mirror = await read(stage, provider)

    assert {event.subject for event in mirror.events.values()} == {f"good {number}" for number in range(5)}
    (unreadable,) = {each for page in mirror.pages for each in page.unreadable}
    assert unreadable.item == bad
    assert "secret" not in unreadable.reason


async def test_a_bad_item_told_by_a_delta_is_set_aside_too(stage: ExchangeStage) -> None:
    mirror = await read(stage)
    bad = stage.add().item_id
    stage.book("good", NOON)

    async with _served(stage, _spoiling(stage, _asks_for_content_of(bad), b"<broken")) as provider:
        mirror.provider = provider
        await mirror.pull()

    assert [event.subject for event in mirror.events.values()] == ["good"]
    assert [each.item for page in mirror.pages for each in page.unreadable] == [bad]


async def test_when_no_item_can_be_read_the_server_is_to_blame(stage: ExchangeStage) -> None:
    for number in range(3):
        stage.book(f"{number}", NOON)
    stage.faults.add("malformed_xml", operation="GetItem")

    error = await failed_pull(stage.provider)

    assert isinstance(error, Unavailable)
    assert "malformed XML" in str(error)


async def test_a_series_that_can_not_be_read_keeps_what_is_known_of_it(stage: ExchangeStage) -> None:
    series = stage.book_series("weekly", NOON, 3)
    mirror = await read(stage)
    stage.rename(series, "renamed")
    instances = [item for item, event in mirror.events.items() if event.kind is Kind.INSTANCE]
    (master,) = [item for item, event in mirror.events.items() if event.kind is Kind.SERIES]

    async with _served(stage, _spoiling(stage, _asks_for_content_of(master, *instances), b"<broken")) as provider:
        mirror.provider, mirror.cursor = provider, None
        await mirror.pull()

    assert [event.subject for event in mirror.events.values() if event.kind is Kind.INSTANCE] == ["weekly"] * 3


async def test_an_item_that_goes_between_naming_and_reading_is_gone(stage: ExchangeStage) -> None:
    meeting = stage.book("going", NOON)
    mirror = await read(stage)
    stage.rename(meeting, "going soon")
    handle = stage.exchange.handle

    async def handler(request: Request) -> HttpResponse:
        if body_of(request.body).tag == f"{soap.M}GetItem" and stage.folder.items:
            stage.drop(meeting)
        return await handle(request)

    async with _served(stage, handler) as provider:
        mirror.provider = provider
        await mirror.pull()

    assert mirror.events == {}


async def test_a_meeting_that_becomes_a_series_and_back_leaves_no_instance(stage: ExchangeStage) -> None:
    item = stage.add()
    mirror = await read(stage)
    series = stage.folder.save(replace(item, recurrence=Recurrence(Daily(), NOON.date(), count=4)))
    await mirror.pull()
    as_series = sorted(event.kind for event in mirror.events.values())

    stage.folder.save(replace(series, recurrence=None))
    await mirror.pull()

    assert as_series == sorted([Kind.SERIES, *[Kind.INSTANCE] * 4])
    assert [event.kind for event in mirror.events.values()] == [Kind.SINGLE]


async def test_a_series_that_leaves_the_window_is_forgotten(stage: ExchangeStage) -> None:
    series = stage.book_series("weekly", NOON, 3)
    mirror = await read(stage)

    stage.move(series, NOON + timedelta(days=700))
    await mirror.pull()

    assert mirror.events == {}


async def test_a_calendar_with_more_items_than_are_listed_is_refused(
    stage: ExchangeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "_LISTING_PAGES", 1)
    for number in range(requests.LISTED + 1):
        stage.book(f"{number}", NOON - timedelta(days=3000))

    assert isinstance(await failed_pull(stage.provider), Rejected)


async def test_one_step_fetches_few_meetings_even_in_a_crowded_calendar(stage: ExchangeStage) -> None:
    for number in range(300):
        stage.book(f"{number}", NOON + number * timedelta(minutes=20))

    mirror = await read(stage)

    assert max(len(page.events) for page in mirror.pages) <= spans.FETCHED_AT_ONCE + 1
    assert mirror.lines(window_at(NOON)) == stage.truth(window_at(NOON))


async def test_very_many_meetings_at_one_moment_are_read_at_once(stage: ExchangeStage) -> None:
    for number in range(2 * spans.FETCHED_AT_ONCE):
        stage.book(f"{number}", NOON)

    mirror = await read(stage)

    assert mirror.lines(window_at(NOON)) == stage.truth(window_at(NOON))


async def test_many_changes_at_once_are_read_in_several_steps(stage: ExchangeStage) -> None:
    mirror = await read(stage)
    for number in range(2 * requests.CHANGES + 1):
        stage.book(f"{number}", NOON + number * HOUR)

    await mirror.pull()

    assert len(mirror.pages) == 3
    assert mirror.lines(window_at(NOON)) == stage.truth(window_at(NOON))


async def test_a_request_that_can_not_begin_in_time_is_given_up(
    stage: ExchangeStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "WAIT_SECONDS", 0.02)
    stage.faults.add("half_open", count=1)
    stuck = asyncio.create_task(stage.provider.resolve(ROOM))
    await asyncio.sleep(0.01)

    error = await failed_pull(stage.provider)

    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)
    assert isinstance(error, Unavailable)
    assert "could not even begin within 0.02 seconds" in str(error)
    await read(stage)


async def test_half_a_pull_goes_on_after_a_restart(stage: ExchangeStage) -> None:
    for day in (0, 50, 100, 300):
        stage.book(f"{day}", NOON + day * DAY)
    mirror = Mirror(stage.provider, ROOM)
    page = await stage.provider.pull(ROOM, None, window_at(NOON), {})
    mirror._apply(page)
    mirror.cursor = page.cursor

    mirror.provider = stage.another()
    await mirror.pull()

    assert mirror.lines(window_at(NOON)) == stage.truth(window_at(NOON))
