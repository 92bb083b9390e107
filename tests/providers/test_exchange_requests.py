"""What Kalends asks of Exchange: valid by Microsoft's schema, and nothing that is none of our business."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from lxml import etree

from kalends.model.event import CalendarId, ItemId
from kalends.model.time import Span
from kalends.providers.exchange import requests, soap
from providers.contract import NOON, Mirror
from providers.exchange_stage import ROOM, ExchangeStage, exchange_stage
from providers.schema import body_of, check, header_of

SPAN = Span(NOON, NOON + timedelta(days=30))
EVERY = {
    "SyncFolderItems, first": requests.sync_items(ROOM, None, requests.LISTED),
    "SyncFolderItems": requests.sync_items(ROOM, "H4sIAAA=", requests.CHANGES),
    "FindItem": requests.view(ROOM, SPAN),
    "GetItem": requests.items([ItemId("AAMkA="), ItemId("AAMkB=")]),
    "GetItem, bare": requests.probe(ItemId("AAMkA=")),
    "GetItem, masters": requests.masters([ItemId("AAMkA=")]),
    "GetFolder": requests.folder(ROOM),
    "Subscribe": requests.subscribe(ROOM),
    "GetStreamingEvents": requests.streaming_events(["one", "two"], 29),
    "Unsubscribe": requests.unsubscribe("one"),
    "GetRoomLists": requests.room_lists(),
    "GetRooms": requests.rooms("house@example.test"),
    "ResolveNames": requests.resolve("almond@example.test"),
}


@pytest.mark.parametrize("request_", EVERY.values(), ids=EVERY.keys())
def test_every_request_is_valid_by_microsofts_schema(request_: etree._Element) -> None:
    check(body_of(soap.envelope(request_, ROOM)))


def test_an_envelope_names_the_impersonated_mailbox() -> None:
    header = header_of(soap.envelope(requests.folder(ROOM), ROOM))

    assert header.findtext(f".//{soap.T}SmtpAddress") == ROOM


def test_an_envelope_without_impersonation_names_nobody() -> None:
    header = header_of(soap.envelope(requests.room_lists(), None))

    assert header.find(f".//{soap.T}ExchangeImpersonation") is None


def test_text_that_looks_like_xml_stays_text() -> None:
    odd = CalendarId('a&b<c>"@example.test')

    body = body_of(soap.envelope(requests.folder(odd), odd))

    assert body.findtext(f".//{soap.T}EmailAddress") == odd


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[ExchangeStage]:
    async with exchange_stage() as stage:
        yield stage


@pytest.mark.asyncio
async def test_only_the_calendar_folder_of_the_asked_mailbox_is_ever_opened(stage: ExchangeStage) -> None:
    sent = await _a_day_of_requests(stage)

    folders = [each.get("Id") for one in sent for each in one.iter(f"{soap.T}DistinguishedFolderId")]
    mailboxes = [one.findtext(f".//{soap.T}DistinguishedFolderId//{soap.T}EmailAddress", ROOM) for one in sent]
    assert set(folders) == {"calendar"}
    assert set(mailboxes) == {ROOM}
    assert not [each for one in sent for each in one.iter(f"{soap.T}FolderId")]


@pytest.mark.asyncio
async def test_mime_content_and_attachments_are_never_asked_for(stage: ExchangeStage) -> None:
    sent = await _a_day_of_requests(stage)

    fields = {each.get("FieldURI") for one in sent for each in one.iter(f"{soap.T}FieldURI")}
    shapes = {each.text for one in sent for each in one.iter(f"{soap.T}BaseShape")}
    assert fields == {*requests.FIELDS, "calendar:Start", "calendar:End", "calendar:CalendarItemType"}
    assert not [name for name in fields if name and ("Mime" in name or "ttachment" in name)]
    assert shapes == {"IdOnly"}
    assert not [one for one in sent for _ in one.iter(f"{soap.T}IncludeMimeContent")]


@pytest.mark.asyncio
async def test_nothing_but_reading_and_listening_is_sent(stage: ExchangeStage) -> None:
    sent = await _a_day_of_requests(stage)

    operations = {etree.QName(one).localname for one in sent}
    assert operations == {"SyncFolderItems", "FindItem", "GetItem", "Subscribe", "GetStreamingEvents"}
    for one in sent:
        check(one)


async def _a_day_of_requests(stage: ExchangeStage) -> list[etree._Element]:
    """Everything sent while a calendar is read, listened to and changed in most ways."""
    stage.exchange.recorder.keep(1000)
    mirror = Mirror(stage.provider, ROOM)
    series = stage.book_series("weekly", NOON, None)
    stage.move_one(series, NOON + timedelta(days=7), NOON + timedelta(days=8))
    stage.book("single", NOON)
    await mirror.pull()
    stage.rename(series, "renamed")
    stage.drop_one(series, NOON + timedelta(days=14))
    await mirror.pull()
    hearing = stage.provider.listen(frozenset({ROOM}))
    async for heard in hearing:
        if heard.calendars:
            break
    await hearing.aclose()
    return [body_of(one.request) for one in stage.exchange.recorder.calls()]
