"""Which Exchange Server this is: what it calls itself, in which versions it may be asked, and what the older ones can't do."""

import asyncio
import ssl
from pathlib import Path
from random import Random

import pytest

from kalends_sandbox.exchange import Settings
from kalends_sandbox.exchange.releases import RELEASES, ReleaseName, release_of
from kalends_sandbox.tls import self_signed
from sandbox.exchange import wire
from sandbox.exchange.stage import staged

ROOMS = "<m:GetRoomLists/>"
ROOM = "room1@north.example"


def asking(version: str) -> bytes:
    return wire.envelope(ROOMS).replace(b'Version="Exchange2016"', f'Version="{version}"'.encode())


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "version", "takes"),
    [
        ("2013", "Exchange2013", (True, True, False, False, False)),
        ("2013_SP1", "V2_23", (True, True, True, False, False)),
        ("2016", "V2017_07_11", (True, True, True, True, True)),
        ("2019", "V2017_07_11", (True, True, True, True, True)),
        ("SE", "V2017_07_11", (True, True, True, True, True)),
    ],
)
async def test_a_release_names_itself_and_takes_what_it_knows(
    name: ReleaseName, version: str, takes: tuple[bool, ...]
) -> None:
    async with staged(360, Settings().as_release(name), judged=False) as stage:
        asked = ("Exchange2007_SP1", "Exchange2013", "Exchange2013_SP1", "Exchange2016", "V2016_10_10")
        answers = [await stage.send(asking(one)) for one in asked]
        unknown = [await stage.send(asking(one)) for one in ("Exchange2030", "exchange2013", "")]

        assert tuple(answer.codes == ["NoError"] for answer in answers) == takes
        refused = [answer for answer in (*answers, *unknown) if answer.codes != ["NoError"]]
        assert {(answer.status, *answer.codes) for answer in refused} == {(500, "ErrorInvalidServerVersion")}
        info = answers[0].tree.find(f".//{{{wire.T}}}ServerVersionInfo")
        assert info is not None
        assert tuple(info.attrib.values()) == (*map(str, RELEASES[name].build), version)


@pytest.mark.asyncio
@pytest.mark.parametrize(("name", "most"), [("2013", 3), ("2016", 10)])
async def test_exchange_2013_keeps_fewer_streams_open(name: ReleaseName, most: int) -> None:
    async with staged(361, Settings().as_release(name)) as stage:
        opened = [stage.exchange.nodes.open(ROOM, []) for _ in range(most)]
        known = b"Exchange2013"
        subscribed = await stage.send(wire.envelope(wire.subscribe(), ROOM).replace(b"Exchange2016", known))
        subscription = str(subscribed.tree.findtext(".//m:SubscriptionId", namespaces=wire.NS))

        answer = await stage.send(wire.envelope(wire.stream(subscription), ROOM).replace(b"Exchange2016", known))

        assert len(opened) == most
        assert answer.codes == ["ErrorExceededConnectionCount"]


@pytest.mark.parametrize(
    ("build", "name"),
    [
        ((15, 0, 516, 32), "2013"),
        ((15, 0, 847, 32), "2013_SP1"),
        ((15, 1, 225, 42), "2016"),
        ((15, 2, 221, 12), "2019"),
        ((15, 2, 2562, 17), "SE"),
        ((15, 20, 9000, 1), "SE"),
    ],
)
def test_a_build_belongs_to_a_release(build: tuple[int, int, int, int], name: ReleaseName) -> None:
    assert release_of(build) == RELEASES[name]
    assert release_of(RELEASES[name].build) == RELEASES[name]


@pytest.mark.asyncio
async def test_a_server_of_tls_1_0_alone_is_refused_by_todays_clients_and_serves_those_of_yesterday(
    tmp_path: Path,
) -> None:
    made = self_signed(tmp_path, Random(1), is_antique=True)
    today = ssl.create_default_context(cafile=str(made.path))
    yesterday = ssl.create_default_context(cafile=str(made.path))
    yesterday.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        yesterday.minimum_version = ssl.TLSVersion.TLSv1
    async with staged(362, ssl=made.context) as stage:
        port = int(stage.url.split(":")[2].split("/")[0])

        with pytest.raises((ssl.SSLError, ConnectionError)):  # like Windows, it hangs up without a word
            await open_tls(port, today)
        assert await open_tls(port, yesterday) == "TLSv1"


async def open_tls(port: int, context: ssl.SSLContext) -> str:
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    version = writer.get_extra_info("ssl_object").version()
    writer.close()
    return str(version)
