"""Listening to a simulated Exchange: affinity, lost subscriptions, limits, silence, reconnects."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
import pytest_asyncio

from kalends.model.event import CalendarId
from kalends.providers.exchange import client, soap
from kalends.providers.exchange.provider import ExchangeProvider
from kalends.providers.exchange.stream import Group
from kalends.providers.protocol import CalendarGone, Heard, ProviderError, Rejected, Throttled, Unavailable
from kalends_sandbox.exchange.soap import Fault, fault_envelope
from kalends_sandbox.http import Handler, Request, Response, serve
from providers.exchange_stage import ExchangeStage, exchange_stage
from providers.schema import body_of, header_of

pytestmark = pytest.mark.asyncio
ROOMS = tuple(CalendarId(f"{name}@example.test") for name in ("almond", "birch", "cedar", "dogwood"))


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[ExchangeStage]:
    async with exchange_stage() as stage:
        stage.exchange.recorder.keep(1000)
        yield stage


@dataclass
class Ear:
    """Listens in the background and remembers."""

    named: list[CalendarId] = field(default_factory=list)
    failed: dict[CalendarId, ProviderError] = field(default_factory=dict)
    error: ProviderError | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self, hearing: AsyncIterator[Heard]) -> None:
        try:
            async for heard in hearing:
                self.named += sorted(heard.calendars)
                self.failed.update(heard.failed)
                self.arrived.set()
        except ProviderError as error:
            self.error = error
        self.arrived.set()

    async def until(self, *calendars: CalendarId) -> None:
        """Returns once these have been named since the last time; raises what ended the stream."""
        async with asyncio.timeout(10):
            while not set(calendars) <= set(self.named):
                if self.error is not None:
                    raise self.error
                self.arrived.clear()
                await self.arrived.wait()
        self.named.clear()

    async def ended(self) -> ProviderError:
        async with asyncio.timeout(10):
            while self.error is None:
                self.arrived.clear()
                await self.arrived.wait()
        return self.error


@asynccontextmanager
async def listening(provider: ExchangeProvider, *calendars: CalendarId) -> AsyncIterator[Ear]:
    ear = Ear()
    group = Group(provider._client, provider._settings, provider._rng, frozenset(calendars), pause_seconds=0)
    async with aclosing(group.listen()) as hearing:
        task = asyncio.create_task(ear.listen(hearing))
        try:
            yield ear
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_every_calendar_is_named_once_when_the_stream_stands(stage: ExchangeStage) -> None:
    async with listening(stage.provider, *ROOMS) as ear:
        await ear.until(*ROOMS)

        assert ear.failed == {}


async def test_a_change_names_its_calendar_and_no_other(stage: ExchangeStage) -> None:
    async with listening(stage.provider, *ROOMS) as ear:
        await ear.until(*ROOMS)
        stage.add("cedar@example.test")

        await ear.until(ROOMS[2])

        assert set(ear.named) <= {ROOMS[2]}


async def test_each_mailbox_subscribes_as_itself_and_all_by_one_anchor_and_cookie(stage: ExchangeStage) -> None:
    heads: list[tuple[str, str | None, str | None, str | None]] = []
    handle = stage.exchange.handle

    async def watched(request: Request) -> Response:
        operation = body_of(request.body).tag.removeprefix(soap.M)
        who = header_of(request.body).findtext(f".//{soap.T}SmtpAddress")
        heads.append((operation, who, request.headers.get("X-AnchorMailbox"), request.headers.get("Cookie")))
        return await handle(request)

    async with _served(stage, watched) as provider, listening(provider, *reversed(ROOMS)) as ear:
        await ear.until(*ROOMS)

    first, *others = [head for head in heads if head[0] == "Subscribe"]
    (stream,) = [head for head in heads if head[0] == "GetStreamingEvents"]
    assert first == ("Subscribe", "almond@example.test", "almond@example.test", None)
    assert {head[1] for head in others} == set(ROOMS[1:])
    assert {head[2] for head in [*others, stream]} == {"almond@example.test"}
    assert stream[1] == "almond@example.test"
    (cookie,) = {head[3] for head in [*others, stream]}
    assert cookie is not None
    assert cookie.startswith("X-BackEndOverrideCookie=")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ErrorSubscriptionDelegateAccessNotSupported", Rejected),
        ("ErrorAccessDenied", CalendarGone),
        ("ErrorMailboxMoveInProgress", Throttled),
        ("ErrorInternalServerError", Unavailable),
    ],
)
async def test_a_mailbox_that_refuses_its_subscription_leaves_the_others_to_be_heard(
    stage: ExchangeStage, code: str, kind: type[ProviderError]
) -> None:
    handle = stage.exchange.handle

    async def refusing(request: Request) -> Response:
        who = header_of(request.body).findtext(f".//{soap.T}SmtpAddress")
        if body_of(request.body).tag.endswith("}Subscribe") and who == ROOMS[1]:
            fault = fault_envelope(Fault(code, "Refused for this test."))
            return Response(500, [("Content-Type", "text/xml; charset=utf-8")], fault)
        return await handle(request)

    async with _served(stage, refusing) as provider, listening(provider, *ROOMS) as ear:
        await ear.until(ROOMS[0], *ROOMS[2:])
        stage.add("cedar@example.test")
        await ear.until(ROOMS[2])

        assert {address: type(error) for address, error in ear.failed.items()}.keys() == {ROOMS[1]}
        assert isinstance(ear.failed[ROOMS[1]], kind)
        assert ear.error is None


@asynccontextmanager
async def _served(stage: ExchangeStage, handler: Handler) -> AsyncIterator[ExchangeProvider]:
    """A provider that talks to the stage's Exchange through another handler."""
    server = await serve(handler, "127.0.0.1", 0)
    provider = stage.another(url=f"http://127.0.0.1:{server.port}/ews/exchange.asmx")
    try:
        yield provider
    finally:
        await provider.aclose()
        await server.close()


async def test_a_lost_subscription_is_renewed_alone(stage: ExchangeStage) -> None:
    async with listening(stage.provider, *ROOMS) as ear:
        await ear.until(*ROOMS)
        before = stage.calls_of("Subscribe")

        stage.exchange.drop_subscriptions("birch@example.test")
        await ear.until(*ROOMS)
        stage.add("birch@example.test")
        await ear.until(ROOMS[1])

        assert stage.calls_of("Subscribe") == before + 1


async def test_when_all_subscriptions_are_lost_all_are_made_again(stage: ExchangeStage) -> None:
    async with listening(stage.provider, *ROOMS) as ear:
        await ear.until(*ROOMS)

        stage.exchange.drop_subscriptions()
        await ear.until(*ROOMS)
        stage.add("dogwood@example.test")
        await ear.until(ROOMS[3])

        assert stage.calls_of("Subscribe") == 2 * len(ROOMS)


async def test_a_mailbox_that_can_not_be_listened_to_is_named_and_the_others_go_on(stage: ExchangeStage) -> None:
    secret, empty = CalendarId("secret@elsewhere.test"), CalendarId("empty@example.test")
    nobody = CalendarId("aaa@example.test")

    async with listening(stage.provider, ROOMS[0], secret, empty, nobody) as ear:
        await ear.until(ROOMS[0])

        assert set(ear.failed) == {secret, empty, nobody}
        assert all(isinstance(error, CalendarGone) for error in ear.failed.values())
        assert "ApplicationImpersonation" in str(ear.failed[secret])
        stage.add("almond@example.test")
        await ear.until(ROOMS[0])


async def test_when_none_can_be_listened_to_it_is_said(stage: ExchangeStage) -> None:
    async with listening(stage.provider, CalendarId("aaa@example.test")) as ear:
        error = await ear.ended()

    assert isinstance(error, Unavailable)
    assert "polled" in str(error)


async def test_a_subscription_limit_leaves_the_rest_to_polling() -> None:
    async with exchange_stage(subscriptions_per_mailbox=1) as stage, listening(stage.provider, ROOMS[1]) as first:
        await first.until(ROOMS[1])
        async with listening(stage.provider, ROOMS[0], ROOMS[1]) as second:
            await second.until(ROOMS[0])

            assert isinstance(second.failed[ROOMS[1]], Rejected)
            assert "EWSMaxSubscriptions" in str(second.failed[ROOMS[1]])


async def test_a_server_that_takes_fewer_on_one_connection_gets_fewer_and_the_rest_is_polled() -> None:
    async with exchange_stage(ids_per_stream=2) as stage, listening(stage.provider, *ROOMS) as ear:
        await ear.until(*ROOMS[:2])

        assert set(ear.failed) == set(ROOMS[2:])
        assert "calendars per connection to 2" in str(ear.failed[ROOMS[3]])
        stage.add("birch@example.test")
        await ear.until(ROOMS[1])


async def test_a_connection_limit_is_a_pause_that_names_the_setting() -> None:
    async with exchange_stage(hanging_connections=1) as stage, listening(stage.provider, ROOMS[0]) as first:
        await first.until(ROOMS[0])
        async with listening(stage.provider, ROOMS[0]) as second:
            error = await second.ended()

    assert isinstance(error, Throttled)
    assert not error.whole_account
    assert "HangingConnectionLimit" in str(error)


async def test_at_the_time_limit_it_connects_again_and_names_everybody() -> None:
    async with exchange_stage(minute_s=0.002) as stage, listening(stage.provider, *ROOMS) as ear:
        for _ in range(3):
            await ear.until(*ROOMS)

        assert stage.calls_of("GetStreamingEvents") >= 3
        assert stage.calls_of("Subscribe") == len(ROOMS)


async def test_connections_end_at_spread_times_before_thirty_minutes(stage: ExchangeStage) -> None:
    for _ in range(8):
        async with listening(stage.provider, ROOMS[0]) as ear:
            await ear.until(ROOMS[0])

    asked = [body_of(one.request) for one in stage.exchange.recorder.calls() if one.operation == "GetStreamingEvents"]
    minutes = [int(one.findtext(f"{soap.M}ConnectionTimeout") or 0) for one in asked]
    assert all(20 <= each <= 29 for each in minutes)
    assert len(set(minutes)) > 1


async def test_a_heartbeat_is_heard_as_nothing() -> None:
    async with (
        exchange_stage(heartbeat_s=0.01) as stage,
        aclosing(stage.provider.listen(frozenset({ROOMS[0]}))) as hearing,
    ):
        heard = []
        async for each in hearing:
            heard.append(each)
            if len(heard) == 5:
                break

    assert [each.calendars for each in heard].count(frozenset({ROOMS[0]})) == 1
    assert heard[-1] == Heard()


async def test_a_half_dead_stream_is_left(stage: ExchangeStage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.Client.stream, "__defaults__", (0.1,))
    stage.faults.add("half_open", operation="GetStreamingEvents", parameters={"after_s": 0.02})

    async with listening(stage.provider, ROOMS[0]) as ear:
        error = await ear.ended()

    assert isinstance(error, Unavailable)
    assert "sent nothing for 0.1 seconds" in str(error)


@pytest.mark.parametrize(
    ("fault", "parameters"),
    [
        ("reset_before", {}),
        ("cut_answer", {"after_bytes": 0, "after_s": 0.02, "how": "reset"}),
        ("cut_answer", {"after_bytes": 900, "how": "close"}),
        ("html_login_page", {}),
    ],
)
async def test_a_broken_stream_is_reported(stage: ExchangeStage, fault: str, parameters: dict[str, object]) -> None:
    stage.faults.add(fault, operation="GetStreamingEvents", parameters=parameters)

    async with listening(stage.provider, ROOMS[0]) as ear:
        error = await ear.ended()

    assert isinstance(error, Unavailable)


async def test_a_stream_that_never_finishes_a_message_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.Client.stream, "__defaults__", (0.1,))
    async with exchange_stage(heartbeat_s=0.03) as stage:
        stage.faults.add("malformed_xml", operation="GetStreamingEvents")

        async with listening(stage.provider, ROOMS[0]) as ear:
            error = await ear.ended()

    assert isinstance(error, Unavailable)
    assert "without finishing a message" in str(error)


async def test_a_busy_server_is_a_pause(stage: ExchangeStage) -> None:
    stage.faults.add("server_busy", operation="GetStreamingEvents", parameters={"back_off_ms": 4000})

    async with listening(stage.provider, ROOMS[0]) as ear:
        error = await ear.ended()

    assert isinstance(error, Throttled)
    assert error.wait == timedelta(seconds=4)


async def test_subscriptions_that_never_last_end_in_a_sentence(stage: ExchangeStage) -> None:
    stage.faults.add("drop_subscriptions", operation="GetStreamingEvents")

    async with listening(stage.provider, *ROOMS) as ear:
        error = await ear.ended()

    assert isinstance(error, Unavailable)
    assert "X-BackEndOverrideCookie" in str(error)
    assert stage.calls_of("GetStreamingEvents") == 3


async def test_leaving_closes_the_connection(stage: ExchangeStage) -> None:
    async with listening(stage.provider, ROOMS[0]) as ear:
        await ear.until(ROOMS[0])
        assert stage.exchange.counters()["streams_open"] == 1

    async with asyncio.timeout(5):
        while stage.exchange.counters()["streams_open"]:  # noqa: ASYNC110 - nobody tells that a stream was closed
            await asyncio.sleep(0.001)


async def test_reading_goes_on_while_many_streams_are_open(stage: ExchangeStage) -> None:
    provider = stage.another(calls_at_once=1)
    async with listening(provider, ROOMS[0]) as one, listening(provider, ROOMS[1]) as two:
        await one.until(ROOMS[0])
        await two.until(ROOMS[1])

        page = await provider.resolve("almond@example.test")

        assert page.address == ROOMS[0]


async def test_a_delegate_learns_why_nothing_is_heard(stage: ExchangeStage) -> None:
    provider = stage.another(impersonate=False)

    async with listening(provider, ROOMS[0]) as ear:
        await ear.ended()

    assert list(ear.failed) == [ROOMS[0]]
