"""Whichever way an account signs in: its check, its rights and a server whose certificate is not verified."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import pytest
import pytest_asyncio

from kalends.model.event import CalendarId
from kalends.providers.exchange.settings import Way
from kalends.providers.protocol import Checker, Details, Restricted, Unavailable
from kalends.providers.tls import Trust
from providers.contract import NOON, Mirror, window_at
from providers.exchange_stage import APPLICATION, ROOM, USER, ExchangeStage, exchange_stage

STRANGER = CalendarId("secret@elsewhere.test")
UNVERIFIED = Trust(unverified="127.0.0.1")
SIGNED_IN = {"basic": "Basic", "ntlm": "NTLM with channel binding", "oauth": "OAuth"}


@pytest.fixture(params=get_args(Way))
def way(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    return chosen


@pytest_asyncio.fixture
async def stage(tmp_path: Path, way: Way) -> AsyncIterator[ExchangeStage]:
    async with exchange_stage(tmp_path, way, extended_protection="require") as stage:
        yield stage


def test_an_account_can_do_the_same(stage: ExchangeStage) -> None:
    assert isinstance(stage.provider, Checker)
    assert isinstance(stage.provider, Restricted)
    assert isinstance(stage.provider, Details)


@pytest.mark.asyncio
async def test_a_check_says_how_it_signed_in_and_that_all_is_well(stage: ExchangeStage, way: Way) -> None:
    findings = [finding async for finding in stage.provider.check(ROOM)]

    assert [finding for finding in findings if not finding.ok] == []
    assert findings[0].detail == "127.0.0.1 answers over verified TLS."
    assert findings[1].detail.endswith(f"It signed in by {SIGNED_IN[way]}.")
    assert findings[-1].detail == "Changes are told at once."


@pytest.mark.asyncio
async def test_a_room_opens_and_a_stranger_is_refused(stage: ExchangeStage) -> None:
    assert (await stage.provider.opens(ROOM)).ok

    proved = await stage.provider.refuses(STRANGER)
    wide = await stage.provider.refuses("ada@example.test")

    assert (proved.ok, proved.detail) == (True, f"{STRANGER} is refused to the service account, as it should be.")
    assert not wide.ok
    assert "can read ada@example.test" in wide.detail


@pytest.mark.asyncio
async def test_a_server_whose_certificate_is_not_verified_is_read_and_said_to_be_so(stage: ExchangeStage) -> None:
    stage.book("Plans", NOON)
    provider = stage.another(trust=UNVERIFIED)
    mirror = Mirror(provider, ROOM)

    await mirror.pull()
    findings = [finding async for finding in provider.check(ROOM)]

    assert len(mirror.events) == 1
    assert mirror.lines(window_at(NOON)) == stage.truth(window_at(NOON))
    assert [finding for finding in findings if not finding.ok] == []
    assert findings[0].warning
    assert "its certificate is not verified" in findings[0].detail


@pytest.mark.asyncio
async def test_no_other_host_goes_unverified(stage: ExchangeStage) -> None:
    """The same server by another of its names: neither credentials nor tokens are sent there."""
    calls = stage.calls()
    places = {"url": stage.settings.url, "token_url": stage.settings.token_url}
    moved = {name: place.replace("127.0.0.1", "localhost") for name, place in places.items()}
    provider = stage.another(trust=UNVERIFIED, **moved)

    with pytest.raises(Unavailable, match=r"switched off for 127\.0\.0\.1 alone"):
        await provider.pull(ROOM, None, window_at(NOON), {})

    assert (stage.calls(), stage.tokens.issued) == (calls, 0)
    assert stage.exchange.counters()["refused_sign_ins"] == 0


@pytest.mark.asyncio
async def test_a_token_server_elsewhere_is_verified_although_exchange_is_not(tmp_path: Path) -> None:
    async with exchange_stage(tmp_path, "oauth") as stage:
        token_url = stage.settings.token_url.replace("127.0.0.1", "localhost")
        provider = stage.another(trust=UNVERIFIED, token_url=token_url)

        with pytest.raises(Unavailable, match="The certificate of localhost is not trusted"):
            await provider.pull(ROOM, None, window_at(NOON), {})

        assert stage.tokens.issued == 0


@pytest.mark.asyncio
async def test_an_application_that_may_look_nobody_up_proves_nothing(tmp_path: Path) -> None:
    async with exchange_stage(tmp_path, "oauth") as stage:
        provider = stage.another(username=STRANGER)

        proved = await provider.refuses(STRANGER)

        assert not proved.ok
        assert proved.detail.startswith("This proves nothing, nobody can be looked up: ")
        findings = [finding async for finding in provider.check(None)]
        assert [(finding.step, finding.ok) for finding in findings] == [("connection", True), ("sign-in", False)]


def test_an_application_gets_its_rights_by_the_account_that_it_is_linked_to(stage: ExchangeStage, way: Way) -> None:
    script = stage.provider.rights(None)

    linked = f"$_.ApplicationIdentifier -eq '{APPLICATION}'"
    assert (linked in script, "-User $application" in script) == (way == "oauth", way == "oauth")
    assert (f"-User '{USER}'" in script) == (way != "oauth")
    assert ROOM not in script, "the mailbox that rooms are looked up as gets no right"
