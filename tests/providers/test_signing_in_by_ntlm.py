"""NTLM: whose connection it is, that a wrong password is sent once, and that nobody in between can use the proof."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio

from kalends.model.event import CalendarId
from kalends.providers.exchange.auth import Refused
from kalends.providers.exchange.provider import ExchangeProvider
from kalends.providers.protocol import AuthLost, Finding, ProviderError, Throttled, Unavailable
from kalends_sandbox.tls import self_signed
from kalends_sandbox.world import ServiceAccount
from providers.contract import NOON, Mirror, window_at
from providers.exchange_stage import PASSWORD, ROOM, ExchangeStage, exchange_stage
from providers.relay import Wire, relay

pytestmark = pytest.mark.asyncio

ROOMS = [CalendarId(f"{name}@example.test") for name in ("almond", "birch", "cedar", "dogwood")]
OTHER, OTHER_PASSWORD = "other@example.test", "battery staple"


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[ExchangeStage]:
    async with exchange_stage(way="ntlm") as stage:
        yield stage


async def failed_pull(provider: ExchangeProvider, calendar: CalendarId = ROOM) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await provider.pull(calendar, None, window_at(NOON), {})
    return caught.value


async def heard_one(provider: ExchangeProvider, calendars: frozenset[CalendarId]) -> frozenset[CalendarId]:
    """What the stream names first, once it stands."""
    async with aclosing(provider.listen(calendars)) as hearing:
        async for heard in hearing:
            if heard.calendars:
                return heard.calendars
    raise AssertionError("the stream ended")


def refused(stage: ExchangeStage) -> object:
    return stage.exchange.counters()["refused_sign_ins"]


async def test_accounts_calls_and_streams_side_by_side_stay_apart(stage: ExchangeStage) -> None:
    stage.world.accounts.append(ServiceAccount(OTHER, OTHER_PASSWORD, ("birch@example.test",)))
    stage.exchange.recorder.keep(1000)
    other = stage.another(password=OTHER_PASSWORD, username=OTHER)
    providers = [(stage.provider, room) for room in ROOMS] * 4 + [(other, ROOMS[1])] * 16

    heard = asyncio.gather(heard_one(stage.provider, frozenset(ROOMS)), heard_one(other, frozenset(ROOMS[1:2])))
    await asyncio.gather(*[Mirror(provider, room).pull() for provider, room in providers])
    not_mine = await failed_pull(other, ROOMS[0])

    assert await heard == [frozenset(ROOMS), frozenset(ROOMS[1:2])]
    assert "may not act as almond@example.test" in str(not_mine)
    assert refused(stage) == 0
    assert stage.calls_of("SyncFolderItems") >= 32


async def test_connections_are_signed_in_once_and_kept(stage: ExchangeStage) -> None:
    async with relay(stage.url) as between:
        provider = stage.another(url=between.url, calls_at_once=3)

        for _ in range(4):
            await asyncio.gather(*[Mirror(provider, room).pull() for room in ROOMS])

    assert len(between.wires) <= 3
    assert between.asked.count(b"Authorization: NTLM ") == 2 * len(between.wires)
    assert refused(stage) == 0


async def test_the_first_leg_carries_no_request_and_the_second_one_does(stage: ExchangeStage) -> None:
    async with relay(stage.url) as between:
        await Mirror(stage.another(url=between.url, calls_at_once=1), ROOM).pull()

    first, second, *rest = bytes(between.wires[0].asked).split(b"POST /")[1:]
    assert (b"Content-Length: 0\r\n" in first, b"Envelope" in first) == (True, False)
    assert (b"Authorization" in second, b"Envelope" in second) == (True, True)
    assert rest
    assert all(b"Authorization" not in request and b"Envelope" in request for request in rest)


async def test_a_connection_that_was_closed_is_signed_in_anew_before_anything_is_asked(stage: ExchangeStage) -> None:
    async with relay(stage.url) as between:
        provider = stage.another(url=between.url)
        mirror = Mirror(provider, ROOM)
        await mirror.pull()
        stage.book("after the restart", NOON)
        between.hang_up()
        await asyncio.sleep(0.02)  # the client's end has to notice

        await mirror.pull()

    assert [event.subject for event in mirror.events.values()] == ["after the restart"]
    assert refused(stage) == 0, "no request arrived unsigned"


async def test_a_server_that_forgot_the_sign_in_is_asked_again(stage: ExchangeStage) -> None:
    mirror = Mirror(stage.provider, ROOM)
    await mirror.pull()
    stage.book("later", NOON)
    stage.faults.add("http_401", count=1)

    await mirror.pull()

    assert [event.subject for event in mirror.events.values()] == ["later"]


async def test_a_wrong_password_is_sent_once_however_many_ask(stage: ExchangeStage) -> None:
    provider = stage.another(password="wrong")

    errors = await asyncio.gather(*[failed_pull(provider, room) for room in ROOMS * 5])
    with pytest.raises(AuthLost):
        await heard_one(provider, frozenset(ROOMS))

    assert all(isinstance(error, AuthLost) and "user name or password" in str(error) for error in errors)
    assert refused(stage) == 1
    assert "wrong" not in "".join(map(str, errors))


async def test_a_password_that_stopped_working_is_sent_once_over_however_many_connections(
    stage: ExchangeStage,
) -> None:
    async with relay(stage.url) as between:
        provider = stage.another(url=between.url)
        await asyncio.gather(*[Mirror(provider, room).pull() for room in ROOMS * 2])
        stage.world.accounts[0] = replace(stage.world.accounts[0], password="changed")
        between.hang_up()
        await asyncio.sleep(0.02)

        errors = await asyncio.gather(*[failed_pull(provider, room) for room in ROOMS * 2])

    assert all(isinstance(error, AuthLost) for error in errors)
    assert refused(stage) == 1


async def test_somebody_may_say_that_the_password_was_put_right(stage: ExchangeStage) -> None:
    provider = stage.another(password="changed")
    await failed_pull(provider)
    stage.world.accounts[0] = replace(stage.world.accounts[0], password="changed")
    still = await failed_pull(provider)

    provider.try_again()
    await Mirror(provider, ROOM).pull()

    assert isinstance(still, AuthLost)
    assert refused(stage) == 1


@pytest.mark.parametrize("answers", [1, 2], ids=["before the challenge", "before the verdict"])
async def test_a_connection_cut_in_the_middle_of_the_sign_in_costs_one_call(stage: ExchangeStage, answers: int) -> None:
    def cut(wire: Wire, answer: bytes) -> bytes | None:
        return None if wire.number == 0 and wire.requests == answers else answer

    async with relay(stage.url) as between:
        between.change = cut
        provider = stage.another(url=between.url)

        error = await failed_pull(provider)
        await Mirror(provider, ROOM).pull()

    assert isinstance(error, Unavailable)
    assert refused(stage) == 0


async def test_a_proxy_that_closes_between_challenge_and_proof_is_said_so(stage: ExchangeStage) -> None:
    def close_after_challenge(wire: Wire, answer: bytes) -> bytes:
        wire.is_over = True
        return answer.replace(b"Content-Length:", b"Connection: close\r\nContent-Length:")

    async with relay(stage.url) as between:
        between.change = close_after_challenge
        error = await failed_pull(stage.another(url=between.url))

    assert isinstance(error, Unavailable)
    assert "let the proxies before it keep connections open" in str(error)
    assert len(between.wires) == 1, "the proof never goes over another connection"


async def test_a_pause_that_the_server_asks_for_in_the_handshake_is_kept(stage: ExchangeStage) -> None:
    async with relay(stage.url) as between:
        between.change = lambda wire, answer: b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
        error = await failed_pull(stage.another(url=between.url))

    assert isinstance(error, Throttled)
    assert error.wait == timedelta(seconds=7)


@pytest.mark.parametrize("scheme", ["ntlm", "negotiate"])
async def test_either_name_of_windows_authentication_will_do(scheme: str) -> None:
    async with exchange_stage(way="ntlm", sign_in=(scheme, "basic")) as stage, relay(stage.url) as between:
        await Mirror(stage.another(url=between.url), ROOM).pull()

    assert b"basic" not in between.asked.lower()


async def test_an_offer_of_basic_is_never_answered() -> None:
    async with exchange_stage(way="ntlm", sign_in=("basic",)) as stage, relay(stage.url) as between:
        error = await failed_pull(stage.another(url=between.url))
        again = await failed_pull(stage.another(url=between.url))

    assert isinstance(error, AuthLost)
    assert "127.0.0.1 does not offer NTLM; it offers Basic." in str(error)
    assert "-WindowsAuthentication $true" in str(error)
    assert str(again) == str(error)
    assert b"basic" not in between.asked.lower()
    assert PASSWORD.encode() not in between.asked
    assert between.asked.count(b"Authorization") == 2, "the greeting of each, which holds nothing of the password"


async def test_a_way_that_basic_does_not_find_is_named(stage: ExchangeStage) -> None:
    error = await failed_pull(stage.another(sign_in="basic"))

    assert isinstance(error, AuthLost)
    assert "127.0.0.1 does not offer Basic; it offers NTLM and Negotiate." in str(error)


@pytest.mark.parametrize("protection", ["none", "allow", "require"])
async def test_somebody_who_ends_tls_in_between_can_not_use_the_proof(protection: str, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    theirs = self_signed(tmp_path / "theirs", Random(3))
    async with exchange_stage(tmp_path, "ntlm", extended_protection=protection) as stage:
        inside = ssl.create_default_context(cafile=str(tmp_path / "sandbox-cert.pem"))
        async with relay(stage.url, inside, theirs.context) as between:
            settings = replace(
                stage.settings, url=between.url, trust=replace(stage.settings.trust, fingerprint=theirs.sha256)
            )
            provider = ExchangeProvider(settings, {"password": PASSWORD}, Random(1), stage.world.clock.now)
            try:
                await provider.pull(ROOM, None, window_at(NOON), {})
                error = None
            except AuthLost as lost:
                error = lost
            await provider.aclose()
        calls = stage.calls()

    if protection == "none":
        assert (error, calls > 0) == (None, True)
        return
    assert calls == 0
    assert "Extended Protection" in str(error)


async def test_a_check_says_how_it_signed_in(stage: ExchangeStage, tmp_path: Path) -> None:
    async with exchange_stage(tmp_path, "ntlm", extended_protection="require") as secure:
        bound = await sign_in_finding(secure.provider)
    plain = await sign_in_finding(stage.provider)

    assert bound.detail == "The service account may use EWS. It signed in by NTLM with channel binding."
    assert plain.detail.endswith("It signed in by NTLM without channel binding, for want of TLS.")


async def sign_in_finding(provider: ExchangeProvider) -> Finding:
    [found] = [finding async for finding in provider.check(None) if finding.step == "sign-in"]
    return found


async def test_a_challenge_that_can_not_be_read_is_said_so_whatever_is_wrong_with_it(stage: ExchangeStage) -> None:
    rng = Random(5)

    def spoil(wire: Wire, answer: bytes) -> bytes:
        head, is_challenge, rest = answer.partition(b"NTLM ")
        if not is_challenge:
            return answer
        token, _, more = rest.partition(b"\r\n")
        broken = bytearray(base64.b64decode(token))
        for _ in range(rng.randint(1, 40)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        sent = base64.b64encode(broken[: rng.randint(1, len(broken))])
        return head + b"NTLM " + sent + b"\r\n" + more

    found: list[BaseException | None] = []
    async with relay(stage.url) as between:
        between.change = spoil
        for _ in range(200):
            found += await asyncio.gather(Mirror(stage.another(url=between.url), ROOM).pull(), return_exceptions=True)

    assert {type(error) for error in found} <= {Unavailable, Refused, type(None)}, "read in spite of all, or never"
    assert sum("sent an NTLM challenge that can't be read" in str(error) for error in found) > 100


@pytest.mark.parametrize("offer", [b"NTLM", b"NTLM %%%", b"Negotiate"])
async def test_an_offer_without_a_challenge_is_blamed_on_what_is_in_between(stage: ExchangeStage, offer: bytes) -> None:
    async with relay(stage.url) as between:
        between.change = lambda wire, answer: (
            b"HTTP/1.1 401 Who?\r\nContent-Length: 0\r\nWWW-Authenticate: " + offer + b"\r\n\r\n"
        )
        error = await failed_pull(stage.another(url=between.url))

    assert isinstance(error, Unavailable)
    assert "look at proxies before it" in str(error)
