"""Every fault on the wire: what the client sees, and whether the call was processed."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from lxml import etree

from kalends_sandbox.exchange import Settings
from kalends_sandbox.exchange.trouble import AFTERWARDS, INSTEAD
from kalends_sandbox.faults import KINDS, Value
from sandbox.exchange import wire
from sandbox.exchange.stage import Stage, staged
from sandbox.exchange.test_exchange_streaming import QUICK, listening, subscribed

ROOMS = "<m:GetRoomLists/>"


def subscriptions(stage: Stage) -> object:
    return stage.exchange.counters()["subscriptions"]


async def struck(stage: Stage, name: str, operation: str = wire.subscribe(), **parameters: Value) -> Any:
    """What a client gets from a call that the fault strikes once."""
    stage.faults.add(name, count=1, parameters=parameters)
    return await stage.ask(operation, stage.room.primary)


@pytest.mark.asyncio
@pytest.mark.parametrize("back_off_ms", [1500, 0])
async def test_a_busy_server_says_so_in_a_fault_with_or_without_back_off(back_off_ms: int) -> None:
    async with staged(110) as stage:
        answer = await struck(stage, "server_busy", back_off_ms=back_off_ms)

        assert (answer.status, answer.codes) == (500, ["ErrorServerBusy"])
        assert answer.content.startswith(b"<?xml")
        values = [(value.get("Name"), value.text) for value in answer.tree.iter(f"{{{wire.T}}}Value")]
        assert values == ([("BackOffMilliseconds", "1500")] if back_off_ms else [])
        assert subscriptions(stage) == 0


@pytest.mark.asyncio
async def test_a_busy_server_may_say_so_in_a_response_message() -> None:
    async with staged(111) as stage:
        answer = await struck(stage, "server_busy", form="message")

        assert (answer.status, answer.codes) == (200, ["ErrorServerBusy"])
        assert wire.violations(answer.content) == []
        assert subscriptions(stage) == 0


@pytest.mark.asyncio
async def test_a_busy_server_may_hide_that_it_is_inside_another_error() -> None:
    async with staged(111) as stage:
        answer = await struck(stage, "server_busy", form="inner")

        inner = [
            one.text for one in answer.tree.iter(f"{{{wire.T}}}Value") if one.get("Name") == "InnerErrorResponseCode"
        ]
        assert (answer.status, answer.codes, inner) == (200, ["ErrorInternalServerError"], ["ErrorServerBusy"])
        assert wire.violations(answer.content) == []
        assert subscriptions(stage) == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [503, 429])
async def test_http_says_when_to_come_back(status: int) -> None:
    async with staged(112) as stage:
        answer = await struck(stage, f"http_{status}", retry_after="17")

        assert (answer.status, answer.headers["Retry-After"]) == (status, "17")
        assert subscriptions(stage) == 0
        assert (await stage.ask(ROOMS)).status == 200


@pytest.mark.asyncio
async def test_a_sign_in_may_be_refused_although_it_is_right() -> None:
    async with staged(113) as stage:
        answer = await struck(stage, "http_401")

        assert answer.status == 401
        assert "WWW-Authenticate" in answer.headers


@pytest.mark.asyncio
async def test_a_login_page_comes_with_status_200() -> None:
    async with staged(114) as stage:
        answer = await struck(stage, "html_login_page")

        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert b"password" in answer.content


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "parameters", "processed"),
    [
        ("reset_before", {}, 0),
        ("reset_after_processing", {}, 1),
        ("cut_answer", {"after_bytes": 700}, 1),
        ("cut_answer", {"after_bytes": 700, "how": "reset"}, 1),
        ("cut_answer", {"after_bytes": 10}, 1),
    ],
)
async def test_a_broken_connection_leaves_the_work_done_or_not(
    name: str, parameters: dict[str, Value], processed: int
) -> None:
    async with staged(115) as stage:
        with pytest.raises(httpx2.TransportError):
            await struck(stage, name, **parameters)

        assert subscriptions(stage) == processed
        assert (await stage.ask(ROOMS)).status == 200


@pytest.mark.asyncio
async def test_after_a_whole_answer_the_connection_may_be_dead() -> None:
    async with staged(116) as stage:
        stage.faults.add("reset_after_answer", count=1)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(stage.url.split(":")[2].split("/")[0]))
        body = wire.envelope(ROOMS)
        head = f"POST /EWS/Exchange.asmx HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        head += f"Authorization: {stage.account_headers()['Authorization']}\r\n\r\n"
        writer.write(head.encode() + body)

        answer = await reader.readuntil(b"</s:Envelope>")
        with pytest.raises(ConnectionResetError):
            assert await reader.read(1) != b"", "an orderly end is no reset"
        writer.close()

        assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.asyncio
async def test_a_half_open_call_never_answers() -> None:
    async with staged(117) as stage:
        stage.faults.add("half_open", count=1)
        with pytest.raises(httpx2.ReadTimeout):
            await stage.client.post(
                stage.url,
                content=wire.envelope(wire.subscribe(), stage.room.primary),
                headers=stage.account_headers(),
                timeout=0.1,
            )

        assert subscriptions(stage) == 1


@pytest.mark.asyncio
async def test_a_half_open_stream_falls_silent_and_its_events_vanish() -> None:
    async with staged(118, QUICK) as stage:
        subscription = await subscribed(stage)
        stage.faults.add("half_open", operation="GetStreamingEvents", parameters={"after_s": 0.1})
        async with listening(stage, subscription) as listener:
            await asyncio.sleep(0.12)
            stage.book()
            await asyncio.sleep(0.4)

            assert listener.statuses == ["OK"]
            assert listener.events == []
            assert stage.exchange.nodes.streams_open == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("parameters", [{"after_s": 0.05}, {"after_bytes": 1500, "how": "reset"}])
async def test_a_stream_is_cut_by_time_or_amid_a_notification(parameters: dict[str, Value]) -> None:
    async with staged(119, QUICK) as stage:
        subscription = await subscribed(stage)
        stage.faults.add("cut_answer", operation="GetStreamingEvents", parameters=parameters)
        async with listening(stage, subscription) as listener:
            stage.book()
            await stage.until(lambda: stage.exchange.nodes.streams_open == 0)

        assert "Closed" not in listener.statuses


@pytest.mark.asyncio
async def test_a_slow_answer_comes_late_and_counts_as_running() -> None:
    async with staged(120, Settings(concurrency=1)) as stage:
        stage.faults.add("slow", count=1, parameters={"delay_s": 0.1})
        slow = asyncio.create_task(stage.ask(ROOMS, stage.room.primary))
        await stage.until(lambda: stage.faults.rules()[0].struck == 1)

        meanwhile = await stage.ask(ROOMS, stage.room.primary)
        elsewhere = await stage.ask(ROOMS, stage.ann.primary)
        late = await slow
        after = await stage.ask(ROOMS, stage.room.primary)

        assert (meanwhile.status, meanwhile.codes) == (500, ["ErrorExceededConnectionCount"])
        assert [answer.codes for answer in (elsewhere, late, after)] == [["NoError"]] * 3


@pytest.mark.asyncio
async def test_malformed_xml_cannot_be_read() -> None:
    async with staged(121) as stage:
        answer = await struck(stage, "malformed_xml")

        assert answer.status == 200
        with pytest.raises(etree.XMLSyntaxError):
            assert answer.tree is not None
        assert subscriptions(stage) == 1


@pytest.mark.asyncio
async def test_a_malformed_stream_cannot_be_read_from_its_first_document() -> None:
    async with staged(122, QUICK) as stage:
        subscription = await subscribed(stage)
        stage.faults.add("malformed_xml", operation="GetStreamingEvents")

        answer = await stage.ask(wire.stream(subscription), stage.room.primary)

        assert b"<m:ConnectionStatus>" in answer.content
        assert b"</Envelope>" not in answer.content


@pytest.mark.asyncio
async def test_a_huge_answer_is_as_large_as_asked_and_well_formed() -> None:
    async with staged(123) as stage:
        answer = await struck(stage, "huge_answer", size_bytes=20_000_000)

        assert len(answer.content) == 20_000_000
        assert etree.fromstring(answer.content, etree.XMLParser(huge_tree=True)).tag == f"{{{wire.SOAP}}}Envelope"


@pytest.mark.asyncio
async def test_a_call_may_cost_the_mailbox_its_subscriptions() -> None:
    async with staged(124) as stage:
        await subscribed(stage)
        await subscribed(stage, stage.ann.primary)
        stage.faults.add("drop_subscriptions", operation="GetRoomLists", count=1)

        answer = await stage.ask(ROOMS, stage.room.primary)

        assert answer.codes == ["NoError"]
        assert subscriptions(stage) == 1


@pytest.mark.asyncio
async def test_a_fault_strikes_only_the_mailbox_and_operation_it_names() -> None:
    async with staged(125) as stage:
        stage.faults.add("http_503", mailbox="room1@*", operation="GetRoomLists")

        answers = [
            await stage.ask(ROOMS, stage.room.primary),
            await stage.ask(ROOMS, stage.other_room.primary),
            await stage.ask(wire.sync(), stage.room.primary),
        ]

        assert [answer.status for answer in answers] == [503, 200, 200]


@pytest.mark.asyncio
async def test_ews_that_is_switched_off_answers_403_without_a_word() -> None:
    async with staged(127) as stage:
        stage.faults.add("ews_blocked", mailbox="room1@*")

        blocked = await stage.ask(wire.subscribe(), stage.room.primary)
        elsewhere = await stage.ask(ROOMS, stage.ann.primary)

        assert (blocked.status, blocked.content) == (403, b"")
        assert elsewhere.status == 200
        assert subscriptions(stage) == 0


ELSEWHERE = {
    "drop_subscriptions": "server.py",
    "invalid_sync_state": "sync.py",
    "events_unreadable": "pull.py",
    "lose_notification": "notifications.py",
    "double_notification": "notifications.py",
    "late_notification": "notifications.py",
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_fault_has_its_place(name: str) -> None:
    places: list[Callable[[], bool]] = [lambda: name in INSTEAD, lambda: name in AFTERWARDS, lambda: name in ELSEWHERE]

    assert sum(place() for place in places) == 1


@pytest.mark.asyncio
async def test_the_recorder_keeps_the_last_calls_and_names_the_fault_that_spoiled_one() -> None:
    async with staged(126) as stage:
        stage.exchange.recorder.keep(2)
        await stage.ask(ROOMS)
        await struck(stage, "http_503")
        await stage.ask(ROOMS, stage.room.primary)

        kept = [call.as_json() for call in stage.exchange.recorder.calls()]

        assert [(call["operation"], call["mailbox"], call["status"], call["fault"]) for call in kept] == [
            ("Subscribe", stage.room.primary, 503, "http_503"),
            ("GetRoomLists", stage.room.primary, 200, None),
        ]
        assert "RoomLists" in str(kept[1]["answers"])
