"""OAuth: one token for all, renewed in time; the secret goes to the token address alone and a token to EWS alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from urllib.parse import quote_plus

import pytest
import pytest_asyncio

from kalends.model.event import CalendarId
from kalends.providers.exchange.auth import Refused
from kalends.providers.exchange.provider import ExchangeProvider
from kalends.providers.protocol import AuthLost, CalendarGone, ProviderError, Throttled, Unavailable
from kalends_sandbox.identity import Tokens
from providers.contract import NOON, Mirror, window_at
from providers.exchange_stage import ROOM, SECRET, ExchangeStage, exchange_stage
from providers.relay import Relay, relay

pytestmark = pytest.mark.asyncio

ROOMS = [CalendarId(f"{name}@example.test") for name in ("almond", "birch", "cedar", "dogwood")]


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[ExchangeStage]:
    async with exchange_stage(way="oauth") as stage:
        yield stage


@pytest_asyncio.fixture
async def desk(stage: ExchangeStage) -> AsyncIterator[Relay]:
    """Before the token address, to hear who asks there."""
    async with relay(stage.settings.token_url) as between:
        yield between


async def failed_pull(provider: ExchangeProvider, calendar: CalendarId = ROOM) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await provider.pull(calendar, None, window_at(NOON), {})
    return caught.value


def requests(between: Relay) -> int:
    return sum(wire.requests for wire in between.wires)


def refused(stage: ExchangeStage) -> object:
    return stage.exchange.counters()["refused_sign_ins"]


def forget_tokens(stage: ExchangeStage) -> None:
    """Every token given out so far is worthless, as after a change of keys."""
    stage.tokens._key = Tokens(stage.world, Random(99))._key


async def test_however_many_ask_one_token_is_fetched(stage: ExchangeStage) -> None:
    await asyncio.gather(*[Mirror(stage.provider, room).pull() for room in ROOMS * 5])
    async with aclosing(stage.provider.listen(frozenset(ROOMS))) as hearing:
        async for heard in hearing:
            if heard.calendars:
                break

    assert heard.calendars == frozenset(ROOMS)
    assert stage.tokens.issued == 1


@pytest.mark.parametrize(("share", "issued"), [(0.74, 1), (0.91, 2)])
async def test_a_token_is_renewed_well_before_it_ends_and_not_before_that(
    stage: ExchangeStage, share: float, issued: int
) -> None:
    mirror = Mirror(stage.provider, ROOM)
    await mirror.pull()
    stage.world.clock.set(NOON + stage.tokens.lifetime * share)

    await mirror.pull()

    assert stage.tokens.issued == issued
    assert refused(stage) == 0


async def test_accounts_renew_at_different_moments(stage: ExchangeStage) -> None:
    providers = [stage.another() for _ in range(12)]
    for number, provider in enumerate(providers):
        provider._client._sign_in._rng = Random(number)  # type: ignore[attr-defined]
        await Mirror(provider, ROOM).pull()
    stage.world.clock.set(NOON + stage.tokens.lifetime * 0.825)

    for provider in providers:
        await Mirror(provider, ROOM).pull()

    assert 12 < stage.tokens.issued < 24, "in the middle of the span some have renewed and some have not"


async def test_while_no_new_token_can_be_had_the_old_one_is_used_to_its_end(stage: ExchangeStage) -> None:
    mirror = Mirror(stage.provider, ROOM)
    await mirror.pull()
    stage.faults.add("http_503", count=100, operation="Token", parameters={"retry_after": "7"})
    stage.book("in spite of it", NOON)

    stage.world.clock.set(NOON + stage.tokens.lifetime * 0.95)
    await mirror.pull()
    stage.world.clock.set(NOON + stage.tokens.lifetime)
    error = await failed_pull(stage.provider)

    assert [event.subject for event in mirror.events.values()] == ["in spite of it"]
    assert isinstance(error, Throttled)
    assert error.wait == timedelta(seconds=7)


async def test_a_renewal_that_failed_is_not_tried_with_every_call(stage: ExchangeStage, desk: Relay) -> None:
    mirror = Mirror(stage.another(token_url=desk.url), ROOM)
    await mirror.pull()
    stage.faults.add("http_503", count=100, operation="Token")
    stage.world.clock.set(NOON + stage.tokens.lifetime * 0.95)

    for _ in range(5):
        await mirror.pull()
    before = requests(desk)
    stage.world.clock.set(NOON + stage.tokens.lifetime * 0.95 + timedelta(seconds=31))
    await mirror.pull()

    assert (before, requests(desk)) == (2, 3)


async def test_a_token_that_is_no_longer_taken_is_replaced_once_for_all(stage: ExchangeStage) -> None:
    mirrors = [Mirror(stage.provider, room) for room in ROOMS]
    await asyncio.gather(*[mirror.pull() for mirror in mirrors])
    forget_tokens(stage)
    stage.book("later", NOON)

    await asyncio.gather(*[mirror.pull() for mirror in mirrors])

    assert [event.subject for event in mirrors[0].events.values()] == ["later"]
    assert stage.tokens.issued == 2


async def test_a_fresh_token_that_is_not_taken_is_the_end_until_later(stage: ExchangeStage) -> None:
    stage.world.applications[0] = replace(stage.world.applications[0], is_granted=False)

    error = await failed_pull(stage.provider)
    issued = stage.tokens.issued
    stage.world.applications[0] = replace(stage.world.applications[0], is_granted=True)
    await Mirror(stage.provider, ROOM).pull()

    assert isinstance(error, AuthLost)
    assert "does not take the application's token (invalid_grant)" in str(error)
    assert issued == 2, "the first one, and one renewal"


async def test_a_token_for_another_server_says_what_to_check(stage: ExchangeStage) -> None:
    provider = stage.another(scope="https://owa.example.test/.default")

    error = await failed_pull(provider)

    assert isinstance(error, AuthLost)
    assert "(invalid_resource). Check that the scope names this server" in str(error)


async def test_a_wrong_secret_is_sent_once_however_many_ask(stage: ExchangeStage, desk: Relay) -> None:
    provider = stage.another(secret="wrong", token_url=desk.url)

    errors = await asyncio.gather(*[failed_pull(provider, room) for room in ROOMS * 5])
    later = await failed_pull(provider)

    assert {type(error) for error in [*errors, later]} == {Refused}
    assert "the client secret is wrong (its value is needed, not its id) (invalid_client, AADSTS7000215)" in str(later)
    assert requests(desk) == 1
    assert stage.calls() == 0
    assert "wrong" not in str(later).replace("secret is wrong", "")


async def test_somebody_may_say_that_the_secret_was_put_right(stage: ExchangeStage) -> None:
    provider = stage.another(secret="changed")
    await failed_pull(provider)
    stage.world.applications[0] = replace(stage.world.applications[0], secret="changed")

    provider.try_again()
    await Mirror(provider, ROOM).pull()

    assert stage.tokens.issued == 1


async def test_the_secret_goes_to_the_token_address_alone_and_the_token_to_ews_alone(
    stage: ExchangeStage, desk: Relay
) -> None:
    async with relay(stage.url) as ews:
        provider = stage.another(url=ews.url, token_url=desk.url)
        await Mirror(provider, ROOM).pull()

    assert (quote_plus(SECRET).encode() in desk.asked, b"Bearer" in desk.asked) == (True, False)
    assert (SECRET.encode() in ews.asked, quote_plus(SECRET).encode() in ews.asked) == (False, False)
    assert b"Bearer" in ews.asked
    assert SECRET not in repr(provider._client._sign_in)


async def test_a_server_without_oauth_says_what_it_offers() -> None:
    async with exchange_stage(way="oauth", sign_in=("ntlm", "basic")) as stage:
        error = await failed_pull(stage.provider)

    assert isinstance(error, AuthLost)
    assert "127.0.0.1 does not offer OAuth; it offers Basic and NTLM." in str(error)
    assert stage.tokens.issued == 1


async def test_a_token_address_that_is_not_trusted_gets_nothing(tmp_path: Path, stage: ExchangeStage) -> None:
    (tmp_path / "other").mkdir()
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(exchange_stage(tmp_path / "other", "oauth"))
        trust = replace(other.settings.trust, fingerprint="ab" * 32)
        error = await failed_pull(stage.another(token_url=other.settings.token_url, trust=trust))

    assert isinstance(error, Unavailable)
    assert "another certificate than the pinned one" in str(error)
    assert other.tokens.issued == 0


async def test_rooms_are_looked_up_in_the_name_of_the_accounts_mailbox(stage: ExchangeStage) -> None:
    found = [room.address async for room in stage.provider.calendars()]
    birch = await stage.provider.resolve("birch.old@example.test")

    assert found == ["almond@example.test", "birch@example.test", "cedar@example.test"]
    assert birch.address == "birch@example.test"


async def test_a_mailbox_beyond_the_applications_scope_looks_up_nothing(stage: ExchangeStage) -> None:
    provider = stage.another(username="secret@elsewhere.test")

    findings = [finding async for finding in provider.check(None)]
    with pytest.raises(CalendarGone, match=r"may not act as secret@elsewhere.test"):
        await provider.resolve(ROOM)

    assert [(finding.step, finding.ok) for finding in findings] == [("connection", True), ("sign-in", False)]
    assert "may not act as secret@elsewhere.test" in findings[1].detail


async def test_a_check_says_that_it_signed_in_by_oauth(stage: ExchangeStage) -> None:
    findings = [finding async for finding in stage.provider.check(ROOM)]

    assert all(finding.ok for finding in findings)
    assert findings[1].detail == "The service account may use EWS. It signed in by OAuth."
