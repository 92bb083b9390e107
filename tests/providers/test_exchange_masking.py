"""What is kept of a conversation with Exchange: enough to debug with, and nothing that people wrote or sign in with."""

import random
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalends.model.time import Span
from kalends.providers.exchange import requests, soap
from kalends.providers.exchange.masking import SHOWN_BYTES, masked
from kalends.providers.exchange.settings import Way
from kalends.providers.protocol import ProviderError
from kalends_sandbox.faults import KINDS
from kalends_sandbox.item import Attendee, Party
from providers.contract import NOON
from providers.exchange_stage import PASSWORD, ROOM, SECRET, USER, ExchangeStage, exchange_stage
from providers.overhearing import Listener

WINDOW = Span(NOON - timedelta(days=7), NOON + timedelta(days=60))
WAITING = {"half_open", "slow", "huge_answer"}
"""Faults that take their time; what is heard of them is heard of others too."""
XML = "text/xml; charset=utf-8"
PRIVATE = (
    *("Subject", "Body", "Location", "Name", "EmailAddress", "DisplayName", "Value", "MessageText", "faultstring"),
    *("UnresolvedEntry", "DisplayTo", "TextBody", "NormalizedSubject", "Categories", "String", "MimeContent", "Url"),
    *("DisplayCc", "CompanyName", "PhoneNumbers", "JoinOnlineMeetingUrl", "NewLocation", "SomethingOfTheFuture"),
)


def said(body: bytes) -> str:
    text, note, _ = masked(XML, body, len(body))
    assert note == "", note
    return text


def envelope(inner: str) -> bytes:
    return f'<s:Envelope xmlns:s="{soap.SOAP}" xmlns:t="{soap.TYPES}"><s:Body>{inner}</s:Body></s:Envelope>'.encode()


def test_a_request_shows_the_mailbox_that_the_account_acts_as() -> None:
    text = said(soap.envelope(requests.sync_items(ROOM, "c3RhdGU=", 100), ROOM))

    assert f"<t:SmtpAddress>{ROOM}</t:SmtpAddress>" in text
    assert f"<t:EmailAddress>{ROOM}</t:EmailAddress>" in text
    assert "<m:SyncState>c3RhdGU=</m:SyncState>" in text


def test_an_address_that_is_looked_up_is_masked() -> None:
    text = said(soap.envelope(requests.resolve("anna@example.test"), None))

    assert "<m:UnresolvedEntry>(masked 22 characters)</m:UnresolvedEntry>" in text


def test_ids_times_codes_and_the_wish_to_wait_stay() -> None:
    inner = (
        '<t:Message ResponseClass="Error"><t:MessageText>Anna may not</t:MessageText>'
        "<t:ResponseCode>ErrorServerBusy</t:ResponseCode><t:MessageXml>"
        '<t:Value Name="BackOffMilliseconds">1700</t:Value><t:Value Name="Other">Anna</t:Value></t:MessageXml>'
        '<t:ItemId Id="AAMk=" ChangeKey="DwAA"/><t:Start>2026-11-23T09:00:00Z</t:Start></t:Message>'
    )

    text = said(envelope(inner))

    for kept in ('ResponseClass="Error"', "ErrorServerBusy", ">1700<", 'Id="AAMk="', 'ChangeKey="DwAA"', "09:00:00Z"):
        assert kept in text
    assert "(masked 12 characters)" in text
    assert "Anna" not in text


def test_the_gist_is_the_operation_and_the_first_error() -> None:
    asked = soap.envelope(requests.room_lists(), None)
    refused = envelope(
        "<t:GetItemResponse><t:ResponseCode>NoError</t:ResponseCode>"
        "<t:ResponseCode>ErrorServerBusy</t:ResponseCode><t:ResponseCode>ErrorItemNotFound</t:ResponseCode></t:GetItemResponse>"
    )

    assert masked(XML, asked, len(asked)).gist == "GetRoomLists"
    assert masked(XML, refused, len(refused)).gist == "GetItemResponse ErrorServerBusy"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_text_and_no_attribute_that_is_not_known_to_be_technical_survives(data: st.DataObject) -> None:
    canaries: list[str] = []

    def canary() -> str:
        canaries.append(f"canary{len(canaries)}é&lt;{data.draw(st.sampled_from(['', ' ', '٣', '𝕏']))}z")
        return canaries[-1]

    def element(depth: int) -> str:
        name = data.draw(st.sampled_from(PRIVATE))
        attribute = f' Note="{canary()}"' if data.draw(st.booleans()) else ""
        if depth and data.draw(st.booleans()):
            children = "".join(element(depth - 1) for _ in range(data.draw(st.integers(1, 3))))
            beside = canary() if data.draw(st.booleans()) else ""
            return f"<t:{name}{attribute}>{beside}{children}{beside}</t:{name}>"
        text = canary()
        return f"<t:{name}{attribute}>{data.draw(st.sampled_from([text, f'<![CDATA[{text}]]>']))}</t:{name}>"

    text = said(envelope(element(3)))

    assert "canary" not in text
    assert text.count("(masked ") >= 1


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<html><body>canary</body></html>", "no SOAP document"),
        (b"<s:Envelope xmlns:s='x'><t:canary></s:Envelope>", "can't be read: mismatched tag"),
        (b"<!DOCTYPE e [<!ENTITY c 'canary'>]><e>&c;</e>", "a document with a DOCTYPE"),
        (b"canary, and no markup at all", "can't be read: syntax error"),
        (b"<Envelope>" * 200, "nested too deeply"),
    ],
)
def test_what_is_no_soap_is_kept_as_its_length_and_the_first_error(body: bytes, says: str) -> None:
    text, note, _ = masked(XML, body, len(body))

    assert text == ""
    assert says in note
    assert str(len(body)) in note
    assert "canary" not in note


def test_a_character_that_xml_forbids_does_not_hide_the_document() -> None:
    assert "(masked 3 characters)" in said(envelope("<t:Subject>a&#x1F;b</t:Subject>"))


def test_a_long_document_is_cut_with_a_note() -> None:
    body = envelope('<t:ItemId Id="AAMk="/>' * 20_000)

    text, note, _ = masked(XML, body[: 256 * 1024], len(body))

    assert SHOWN_BYTES - 200 < len(text) <= SHOWN_BYTES
    assert note == f"Cut here: the whole has {len(body)} bytes."


@given(st.binary(max_size=300))
def test_any_bytes_are_kept_as_a_sentence(body: bytes) -> None:
    text, note, _ = masked(XML, body, len(body))

    assert (text == "") or note == ""


def _private_meetings(stage: ExchangeStage) -> list[str]:
    """Meetings full of what must not be seen; returns it all."""
    rng, secrets = random.Random(5), []

    def private(suffix: str = "") -> str:
        secrets.append("".join(rng.choices("bcdfghjklmnpqrstvwxz", k=12)) + suffix)
        return secrets[-1]

    def party() -> Party:
        return Party(private(), private("@guests.test"))

    for number in range(4):
        guests = tuple(Attendee(private(), private("@guests.test")) for _ in range(3))
        fields = {"subject": private(), "body": private(), "location": private()}
        start = NOON + timedelta(days=number)
        stage.add(start=start, end=start + timedelta(hours=1), organizer=party(), attendees=guests, **fields)
    return secrets


async def _everything(stage: ExchangeStage) -> None:
    """Each operation that the client knows, once."""
    provider = stage.provider
    found = [each async for each in provider.calendars()]
    assert found
    await provider.resolve("ada@example.test")
    async for _ in provider.check(ROOM):
        pass
    cursor, more = None, True
    while more:
        page = await provider.pull(ROOM, cursor, WINDOW, {})
        cursor, more = page.cursor, page.more
    async for _ in provider.listen(frozenset([ROOM])):
        break


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["basic", "ntlm", "oauth"])
async def test_nothing_private_and_no_secret_is_heard_in_any_operation(way: Way, tmp_path: Path) -> None:
    async with exchange_stage(tmp_path, way) as stage:
        private, ear = _private_meetings(stage), Listener()
        stage.provider.overhear(ear)

        await _everything(stage)

        heard = ear.everything
        operations = ("SyncFolderItems", "GetItem", "FindItem", "GetRooms", "ResolveNames", "GetStreamingEvents")
        assert all(operation in heard for operation in operations), "the record shows what was done"
        assert [text for text in (*private, "Ada Example") if text in heard] == []
        assert [secret for secret in (PASSWORD, SECRET, "kalends\\", USER) if secret in heard] == []
        assert "Authorization', '(masked)'" in heard
        if way == "ntlm":
            assert "TlRMTVNT" not in heard, "the beginning of every NTLM message"
            assert any(each.title == "HTTP 401" for each in ear.said), "the handshake is heard, too"
        if way == "oauth":
            assert "access_token: (masked)" in heard
            assert not [token for token in _tokens(stage) if token in heard]


def _tokens(stage: ExchangeStage) -> list[str]:
    provider = stage.provider
    held = provider._client._sign_in._held  # type: ignore[attr-defined]
    assert held is not None
    return [held.text, held.text.split(".")[-1]]


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", sorted(KINDS.keys() - WAITING))
async def test_nothing_private_is_heard_when_something_fails(fault: str) -> None:
    async with exchange_stage() as stage:
        private, ear = _private_meetings(stage), Listener()
        stage.provider.overhear(ear)
        stage.faults.add(fault, count=3)

        for _ in range(4):
            with suppress(ProviderError):
                await stage.provider.pull(ROOM, None, WINDOW, {})

        assert ear.of("request")
        assert [text for text in (*private, PASSWORD) if text in ear.everything] == []


@pytest.mark.asyncio
async def test_each_document_of_a_stream_is_heard_as_it_comes() -> None:
    async with exchange_stage() as stage:
        ear = Listener()
        stage.provider.overhear(ear)
        listening = stage.provider.listen(frozenset([ROOM]))
        await anext(listening)

        stage.book("seen", NOON)
        for _ in range(5):
            await anext(listening)
            streamed = [each for each in ear.said if "GetStreamingEventsResponse" in each.body]
            if len(streamed) > 1:
                break
        await listening.aclose()

        assert [each.kind for each in streamed][:2] == ["answer", "more"]
        assert len({each.conversation for each in streamed}) == 1


@pytest.mark.asyncio
async def test_a_stream_that_is_open_already_is_heard_from_now_on() -> None:
    async with exchange_stage() as stage:
        listening = stage.provider.listen(frozenset([ROOM]))
        await anext(listening)
        ear = Listener()
        stage.provider.overhear(ear)

        stage.book("seen", NOON)
        await anext(listening)
        await listening.aclose()

        assert any("GetStreamingEventsResponse" in each.body for each in ear.said)


@pytest.mark.asyncio
async def test_a_server_that_is_not_there_is_heard_as_a_failure() -> None:
    async with exchange_stage() as stage:
        ear = Listener()
        lost = stage.another(url="http://127.0.0.1:1/EWS/Exchange.asmx")
        lost.overhear(ear)

        with pytest.raises(ProviderError):
            await lost.pull(ROOM, None, WINDOW, {})

        assert [each.kind for each in ear.said] == ["request", "failure"]
        assert "refuses connections" in ear.said[1].title


@pytest.mark.asyncio
async def test_nobody_listening_nothing_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("something was said")

    monkeypatch.setattr("kalends.providers.tap.Talk._say", never)
    async with exchange_stage() as stage:
        stage.provider.overhear(Listener())
        stage.provider.overhear(None)

        page = await stage.provider.pull(ROOM, None, WINDOW, {})

        assert page.cursor
