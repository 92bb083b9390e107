"""Which Exchange Server answers: told by its build, shown by the check, and what a pinned version changes."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from lxml import etree

from kalends.model.time import Span
from kalends.providers.exchange import faults, soap, version
from kalends.providers.exchange.settings import BadSettings, ExchangeSettings
from kalends.providers.exchange.version import Build
from kalends.providers.protocol import Finding, Rejected
from kalends_sandbox.exchange.releases import RELEASES, ReleaseName
from providers.contract import NOON
from providers.exchange_stage import ROOM, ExchangeStage, exchange_stage
from providers.schema import header_of, schema_text

KNOWN = [
    ("15.2.2562.17", "Exchange Server SE", "SE"),
    ("15.2.1748.10", "Exchange Server 2019", "2019"),
    ("15.2.221.12", "Exchange Server 2019", "2019"),
    ("15.1.2507.6", "Exchange Server 2016", "2016"),
    ("15.1.225.42", "Exchange Server 2016", "2016"),
    ("15.0.1497.2", "Exchange Server 2013 SP1", "2013_SP1"),
    ("15.0.847.32", "Exchange Server 2013 SP1", "2013_SP1"),
    ("15.0.775.38", "Exchange Server 2013", "2013"),
    ("15.20.9000.1", "Exchange Online", None),
    ("14.3.123.4", "Exchange Server 2010", None),
    ("8.3.83.6", "Exchange Server 2007 or older", None),
]


@pytest.mark.parametrize(("text", "name", "pin"), KNOWN, ids=[each[0] for each in KNOWN])
def test_a_build_tells_the_release(text: str, name: str, pin: str | None) -> None:
    build = version.build_of(*text.split("."))

    assert build is not None
    assert (str(build), version.release(build).name, version.release(build).pin) == (text, name, pin)


@pytest.mark.parametrize(
    "parts", [("", "", "", ""), ("15", "x", "1", "1"), ("15", "1", "-1", "1"), ("15", "1", "9" * 9, "1")]
)
def test_what_is_no_build_is_none(parts: tuple[str, str, str, str]) -> None:
    assert version.build_of(*parts) is None


def test_the_packed_form_of_autodiscover_is_read() -> None:
    assert version.packed("73C0834F") == Build(15, 0, 847)
    assert version.packed("no hex") is None


def test_every_schema_that_can_be_pinned_is_one_of_microsofts() -> None:
    known = etree.fromstring(schema_text("types.xsd").encode())
    names = {
        each.get("value") for each in known.iterfind(".//{*}simpleType[@name='ExchangeVersionType']//{*}enumeration")
    }

    assert {*version.PINS.values(), soap.SCHEMA_VERSION} <= names
    assert list(version.PINS) == ["2013", "2013_SP1", "2016", "2019", "SE"]


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[ExchangeStage]:
    async with exchange_stage() as stage:
        yield stage


async def shown(stage: ExchangeStage, pinned: str | None = None) -> Finding:
    checking = stage.another(version=pinned).check(None)
    found = {each.step: each async for each in checking}
    return found["version"]


@pytest.mark.asyncio
async def test_the_check_says_which_server_it_is_and_what_is_asked_of_it(stage: ExchangeStage) -> None:
    found = await shown(stage)

    assert found == Finding(
        "version", True, "Exchange Server 2019 (15.2.1748.10). It is asked for the schema Exchange2013."
    )


@pytest.mark.asyncio
@pytest.mark.parametrize("name", sorted(RELEASES))
async def test_every_release_since_2013_is_told_and_read_pinned_or_not(name: ReleaseName) -> None:
    async with exchange_stage(build=RELEASES[name].build) as stage:
        stage.book("standup", NOON)

        plain, pinned = await shown(stage), await shown(stage, name)
        page = await stage.another(version=name).pull(ROOM, None, Span(NOON, NOON + timedelta(days=1)), {})

    assert (plain.ok, plain.warning, pinned.ok, pinned.warning) == (True, False, True, False)
    assert f"because {name} is pinned" in pinned.detail
    assert page.unreadable == ()


@pytest.mark.asyncio
async def test_a_version_pinned_too_new_is_refused_with_a_sentence() -> None:
    async with exchange_stage(build=RELEASES["2013"].build) as stage:
        with pytest.raises(Rejected, match="pin the oldest of them, or none"):
            await stage.another(version="2019").resolve(ROOM)


@pytest.mark.asyncio
async def test_a_version_pinned_wrongly_is_shown(stage: ExchangeStage) -> None:
    right, wrong = await shown(stage, "2019"), await shown(stage, "2013")

    assert (right.warning, wrong.warning) == (False, True)
    assert "Exchange2016, because 2019 is pinned." in right.detail
    assert "Pin 2019, or nothing." in wrong.detail


@pytest.mark.parametrize(
    ("build", "ok", "warning", "says"),
    [
        (None, True, True, "does not say which version"),
        (Build(15, 20, 1), False, False, "by Graph"),
        (Build(14, 3, 123), False, False, "needs Exchange Server 2013 or newer"),
    ],
)
def test_servers_that_can_not_be_used_are_named(build: Build | None, ok: bool, warning: bool, says: str) -> None:
    found = version.finding(build, None)

    assert (found.ok, found.warning) == (ok, warning)
    assert says in found.detail


@pytest.mark.asyncio
async def test_a_pinned_version_is_what_requests_ask_for(stage: ExchangeStage) -> None:
    stage.exchange.recorder.keep(10)

    await stage.another(version="SE").resolve(ROOM)
    await stage.another().resolve(ROOM)

    asked = [
        one.get("Version")
        for call in stage.exchange.recorder.calls()
        for one in header_of(call.request).iter(f"{soap.T}RequestServerVersion")
    ]
    assert list(dict.fromkeys(asked)) == ["Exchange2016", "Exchange2013"]


def test_an_unknown_version_can_not_be_pinned() -> None:
    with pytest.raises(BadSettings, match="use one of 2013, 2013_SP1, 2016, 2019, SE"):
        ExchangeSettings.of({"url": "https://mail.example.com/EWS", "username": "svc", "version": "2010"})


@pytest.mark.parametrize("code", ["ErrorInvalidServerVersion", "ErrorIncorrectSchemaVersion"])
def test_a_server_that_does_not_know_the_schema_is_said_so(code: str) -> None:
    fault = soap.parse(
        f'<s:Envelope xmlns:s="{soap.SOAP}"><s:Body><s:Fault><faultcode>a:{code}</faultcode><detail>'
        f'<e:ResponseCode xmlns:e="{soap.ERRORS}">{code}</e:ResponseCode></detail></s:Fault></s:Body></s:Envelope>'.encode(),
        "mail.example.com",
    )
    message = faults.fault(fault)
    assert message is not None

    error = faults.error_of(message, ROOM)

    assert isinstance(error, Rejected)
    assert "does not know the schema" in str(error)


def test_the_build_is_read_from_the_envelope_around_an_answer() -> None:
    header = (
        f'<s:Header><h:ServerVersionInfo xmlns:h="{soap.TYPES}" MajorVersion="15" MinorVersion="1" '
        'MajorBuildNumber="2507" MinorBuildNumber="6" Version="V2017_07_11"/></s:Header>'
    )
    body = "<s:Body><x/></s:Body>"
    content = soap.parse(f'<s:Envelope xmlns:s="{soap.SOAP}">{header}{body}</s:Envelope>'.encode(), "host")
    silent = soap.parse(f'<s:Envelope xmlns:s="{soap.SOAP}">{body}</s:Envelope>'.encode(), "host")

    assert version.told(content) == Build(15, 1, 2507, 6)
    assert version.told(silent) is None
