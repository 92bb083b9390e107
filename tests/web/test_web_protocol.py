"""The page with an account's conversations: what it shows, to whom, live and as a download."""

import json
from datetime import timedelta

import pytest
from lxml import html

from browser.serving import serving
from kalends.providers.protocol import Spoken
from kalends.store import debugging
from kalends.store.debugging import Entry
from kalends.web.kit import Kit
from web.seeding import PASSWORD, START, StandingClock, Wires, running, seeded
from web.test_web_live import hear, stream

pytestmark = pytest.mark.asyncio
HOUR = timedelta(hours=1)
PAGE = "/accounts/acc_1/protocol"


def entry(number: int, body: str = "<s:Envelope/>") -> Entry:
    return Entry(START, "1f0c22ab", Spoken(number, "answer", f"HTTP 2{number:02d}", (("Date", "today"),), body))


async def recorded(*entries: Entry, lost: int = 0, clock: StandingClock | None = None) -> Wires:
    wires = await seeded(("aspen", []), clock=clock)
    await wires.store.run(debugging.begin, "acc_1", START, START + HOUR, actor="test")
    await wires.store.run(debugging.keep, "acc_1", entries, lost)
    return wires


def seen(document: str) -> str:
    return " ".join(" ".join(html.document_fromstring(document).itertext()).split())


async def test_it_shows_the_newest_first_until_when_it_goes_on_and_what_was_lost() -> None:
    async with running(await recorded(entry(1), entry(2), lost=37)) as house:
        await house.sign_in()

        text = seen((await house.client.get(PAGE)).text)

    assert text.index("HTTP 202") < text.index("HTTP 201")
    assert "Recording until 2026-11-23 10:20:00" in text
    assert "37 entries were not kept: too many at once." in text


async def test_markup_in_an_answer_stays_text() -> None:
    async with running(await recorded(entry(1, "</pre><script>alert(1)</script>"))) as house:
        await house.sign_in()

        page = html.document_fromstring((await house.client.get(PAGE)).text)

    assert [each.get("src") for each in page.iter("script") if not each.get("src")] == []


@pytest.mark.parametrize(
    ("form", "media"), [("text", "text/plain; charset=utf-8"), ("jsonl", "application/jsonl; charset=utf-8")]
)
async def test_all_of_it_can_be_downloaded_the_oldest_first(form: str, media: str) -> None:
    async with running(await recorded(*(entry(n) for n in range(250)))) as house:
        await house.sign_in()

        answer = await house.client.get(f"{PAGE}/download", params={"as": form})

    assert answer.headers["content-type"] == media
    assert answer.headers["content-disposition"].startswith("attachment")
    if form == "jsonl":
        assert [json.loads(line)["conversation"] for line in answer.text.splitlines()] == list(range(250))
    else:
        assert answer.text.count("1f0c22ab-") == 250


@pytest.mark.parametrize("path", [PAGE.replace("acc_1", "acc_x"), f"{PAGE}/download?as=exe"])
async def test_what_is_not_there_is_said(path: str) -> None:
    async with running(await recorded()) as house:
        await house.sign_in()

        assert (await house.client.get(path)).status_code in (400, 404)


async def test_an_hour_after_its_end_nothing_is_shown() -> None:
    clock = StandingClock()
    async with running(await recorded(entry(1), clock=clock)) as house:
        clock.move(2 * HOUR)
        await house.sign_in()

        page = seen((await house.client.get(PAGE)).text)
        download = await house.client.get(f"{PAGE}/download")

    assert "Nothing has been recorded." in page
    assert download.text == ""


async def test_new_entries_and_the_end_come_live() -> None:
    async with serving(await recorded(entry(1))) as server:
        headers = await _admin(server.web.kit, server.wires)
        async with stream(f"{server.url}{PAGE}/live?after=1", headers) as messages:
            await hear(messages, "state", "Recording")
            await server.wires.store.run(debugging.keep, "acc_1", [entry(2)], 0)
            fresh = await hear(messages, "message", "HTTP 202")
            await server.wires.store.run(debugging.end, "acc_1", START, actor="test")
            ended = await hear(messages, "state", "Ended")

    assert fresh.id == "2"
    assert "deleted an hour later" in ended.data


async def _admin(kit: Kit, wires: Wires) -> dict[str, str]:
    secret = await kit.doorkeeper.sign_in("admin", PASSWORD, "127.0.0.1")
    return {"cookie": f"kalends_session={secret}"}


async def test_the_overview_and_the_room_lead_there() -> None:
    async with running(await recorded()) as house:
        await house.sign_in()

        overview = (await house.client.get("/")).text
        room = (await house.client.get("/spaces/spc_aspen")).text

    assert "Exchange and its server say is being recorded, masked, until 11:20" in seen(overview)
    assert f'href="{PAGE}"' in overview
    assert f'href="{PAGE}"' in room


async def test_the_overview_says_nothing_when_it_is_off() -> None:
    async with running(await seeded(("aspen", []))) as house:
        await house.sign_in()

        assert "being recorded" not in (await house.client.get("/")).text
