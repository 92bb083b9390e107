"""What stands in the way of reading a simulated Exchange: each trouble has its situation, sentence and pause."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
import pytest_asyncio

from kalends.model.event import CalendarId
from kalends.providers.exchange.provider import ExchangeProvider
from kalends.providers.protocol import AuthLost, CalendarGone, ProviderError, Throttled, Unavailable
from providers.contract import NOON, Mirror, window_at
from providers.exchange_stage import ROOM, ExchangeStage, exchange_stage

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[ExchangeStage]:
    async with exchange_stage() as stage:
        yield stage


async def failed_pull(provider: ExchangeProvider, calendar: CalendarId = ROOM) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await provider.pull(calendar, None, window_at(NOON), {})
    return caught.value


@pytest.mark.parametrize(
    ("fault", "parameters", "kind", "words"),
    [
        ("server_busy", {"back_off_ms": 2500}, Throttled, "busy"),
        ("server_busy", {"back_off_ms": 0, "form": "message"}, Throttled, "busy"),
        ("http_503", {"retry_after": "7"}, Throttled, "503"),
        ("http_429", {"retry_after": ""}, Throttled, "429"),
        ("http_401", {}, AuthLost, "password"),
        ("ews_blocked", {}, AuthLost, "connect Microsoft 365 by Graph"),
        ("html_login_page", {}, Unavailable, "web page"),
        ("malformed_xml", {}, Unavailable, "malformed XML"),
        ("huge_answer", {}, Unavailable, "more than 16 MiB"),
        ("reset_before", {}, Unavailable, "broke"),
        ("reset_after_processing", {}, Unavailable, "broke"),
        ("cut_answer", {}, Unavailable, "broke off"),
    ],
)
async def test_trouble_is_named(
    stage: ExchangeStage, fault: str, parameters: dict[str, object], kind: type[ProviderError], words: str
) -> None:
    stage.faults.add(fault, parameters=parameters)

    error = await failed_pull(stage.provider)

    assert isinstance(error, kind)
    assert words in str(error)


@pytest.mark.parametrize(
    ("fault", "parameters", "wait"),
    [
        ("server_busy", {"back_off_ms": 2500}, timedelta(seconds=2.5)),
        ("server_busy", {"back_off_ms": 2500, "form": "message"}, timedelta(seconds=2.5)),
        ("server_busy", {"back_off_ms": 0}, None),
        ("http_503", {"retry_after": "7"}, timedelta(seconds=7)),
        ("http_429", {"retry_after": "90"}, timedelta(seconds=90)),
        ("http_429", {"retry_after": ""}, None),
    ],
)
async def test_a_pause_is_as_long_as_the_server_asks(
    stage: ExchangeStage, fault: str, parameters: dict[str, object], wait: timedelta | None
) -> None:
    stage.faults.add(fault, parameters=parameters)

    error = await failed_pull(stage.provider)

    assert isinstance(error, Throttled)
    assert (error.wait, error.whole_account) == (wait, True)


async def test_nothing_is_tried_again_by_itself(stage: ExchangeStage) -> None:
    stage.faults.add("http_503")

    await failed_pull(stage.provider)

    assert stage.calls() == 1


async def test_a_wrong_password_is_sent_once_however_many_ask(stage: ExchangeStage) -> None:
    provider = stage.another(password="wrong")

    errors = await asyncio.gather(*[failed_pull(provider) for _ in range(20)])

    assert all(isinstance(error, AuthLost) for error in errors)
    assert stage.exchange.counters()["refused_sign_ins"] == 1
    assert "wrong" not in "".join(map(str, errors))


async def test_a_password_that_stops_working_is_not_sent_again_until_told(stage: ExchangeStage) -> None:
    await Mirror(stage.provider, ROOM).pull()
    (account,) = stage.world.accounts
    stage.world.accounts[:] = [replace(account, password="changed")]
    for _ in range(3):
        await failed_pull(stage.provider)
    refused = stage.exchange.counters()["refused_sign_ins"]
    stage.world.accounts[:] = [account]

    stage.provider.try_again()
    await Mirror(stage.provider, ROOM).pull()

    assert refused == 1
    assert stage.exchange.counters()["refused_sign_ins"] == 1


@pytest.mark.parametrize(
    ("calendar", "words"),
    [
        ("secret@elsewhere.test", "ApplicationImpersonation"),
        ("nobody@example.test", "no mailbox"),
        ("empty@example.test", "no calendar"),
    ],
)
async def test_a_calendar_that_can_not_be_opened_says_why(stage: ExchangeStage, calendar: str, words: str) -> None:
    error = await failed_pull(stage.provider, CalendarId(calendar))

    assert isinstance(error, CalendarGone)
    assert words in str(error)


async def test_the_wrong_address_on_the_right_server_is_said_so(stage: ExchangeStage) -> None:
    provider = stage.another(url=stage.url.replace("Exchange.asmx", "Services.wsdl"))

    assert "/EWS/Exchange.asmx" in str(await failed_pull(provider))
