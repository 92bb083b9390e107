"""What the pages say, and what they never let through."""

import gzip
from datetime import timedelta

import pytest
from lxml import html

from kalends.model.event import Event, Sensitivity
from kalends.store import accounts, calendars, spaces
from kalends.store.door import Connection
from kalends.store.schema import organizations
from web.seeding import START, House, Wires, meeting, new_wires, running, seed_admin, seed_room, seeded
from web.town import break_some, lose_the_account, seed_town

XSS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</title><script>alert(1)</script>",
    "{{ 7*7 }}{% raw %}",
    "<!--",
    "]]><script>",
    "javascript:alert(1)",
    "</svg></svg><script>alert(1)</script>",
    "data: x\n\nevent: proof\ndata: 0 0",
    "\x00\x07\u2028",
)


def seen(document: str) -> str:
    """The page's text as one reads it."""
    return " ".join(" ".join(html.document_fromstring(document).itertext()).split())


def names_of_tags(document: str) -> set[str]:
    return {str(e.tag) for e in html.document_fromstring(document).iter() if isinstance(e.tag, str)}


async def town(*also: object) -> Wires:
    wires = new_wires()
    await wires.store.run(seed_admin, wires)
    await wires.store.run(seed_town, wires)
    for f in also:
        await wires.store.run(f, wires)  # type: ignore[arg-type]
    return wires


@pytest.mark.asyncio
@pytest.mark.parametrize("text", XSS, ids=range(len(XSS)))
async def test_markup_in_subjects_and_names_stays_text(text: str) -> None:
    held = [meeting("1", START, 60, text, text), meeting("2", START + timedelta(hours=1), 60, text, text)]
    plain, hostile = (
        await seeded(("aspen", [meeting("1", START), meeting("2", START + timedelta(hours=1))])),
        await seeded(),
    )
    await hostile.store.run(seed_room, hostile, "aspen", text, held, building=text, floor=text)

    async def pages(house: House) -> list[str]:
        await house.sign_in()
        paths = ("/", "/spaces/spc_aspen", "/panel/spc_aspen", "/panel/spc_aspen/face")
        return [(await house.client.get(path)).text for path in paths]

    async with running(plain) as house:
        expected = await pages(house)
    async with running(hostile) as house:
        found = await pages(house)

    for harmless, page in zip(expected, found, strict=True):
        assert names_of_tags(page) <= names_of_tags(harmless) | {"b"}
        assert not any(name.startswith("on") for e in html.document_fromstring(page).iter() for name in e.attrib)


@pytest.mark.asyncio
async def test_a_filter_is_escaped_where_it_is_repeated() -> None:
    async with running(await seeded(("aspen", []))) as house:
        await house.sign_in()

        page = (await house.client.get("/", params={"q": '"><script>alert(1)</script>', "building": "<b>"})).text

        assert "<script>alert" not in page
        assert 'value="&#34;&gt;&lt;script' in page


@pytest.mark.asyncio
async def test_private_meetings_show_their_time_only_even_to_the_administrator() -> None:
    held = [
        meeting("1", START, 60, "CANARY", "CANARY Person", Sensitivity.PRIVATE, description="CANARY", location="CANARY")
    ]
    async with running(await seeded(("aspen", held))) as house:
        await house.sign_in()
        for path in ("/", "/spaces/spc_aspen", "/panel/spc_aspen"):
            page = (await house.client.get(path)).text

            assert "CANARY" not in page, path
            assert "Private" in page


@pytest.mark.asyncio
async def test_the_overview_shows_every_room_with_state_account_and_freshness() -> None:
    async with running(await town()) as house:
        await house.sign_in()

        page = (await house.client.get("/")).text

        rows = html.document_fromstring(page).xpath("//li[starts-with(@id,'room-')]")
        assert len(rows) == 40
        for row in rows:
            text = " ".join(row.text_content().split())
            assert any(word in text for word in ("Available", "Starting soon", "In use"))
            assert "Exchange" in text
            assert "in step 0 s ago" in text
            assert "changed 0 s ago" in text


@pytest.mark.asyncio
async def test_filters_live_in_the_address() -> None:
    async with running(await town()) as house:
        await house.sign_in()

        page = (await house.client.get("/", params={"state": "in_use", "building": "Old Mill", "q": "floor 2"})).text

        shown = html.document_fromstring(page).xpath("//li[starts-with(@id,'room-') and not(@hidden)]")
        assert 0 < len(shown) < 14
        assert all(row.get("data-state") == "in_use" and "floor 2" in row.get("data-text") for row in shown)
        assert (await house.client.get("/", params={"state": "burning"})).status_code == 400


@pytest.mark.asyncio
async def test_trouble_is_on_top_with_its_reason_and_what_to_do() -> None:
    async with running(await town(break_some)) as house:
        await house.sign_in()

        text = seen((await house.client.get("/")).text)

        assert "Still reading the calendars: 40 of 41" in text
        assert "1 room held back: many meetings would disappear since 10:20" in text
        assert "allow it with: kalends calendars release oak@example.org" in text
        assert "1 room: the calendar was not found since 09:38" in text
        assert "1 room without a calendar" in text


@pytest.mark.asyncio
async def test_a_broken_account_is_one_entry_however_many_rooms_it_has() -> None:
    async with running(await town(lose_the_account)) as house:
        await house.sign_in()

        text = seen((await house.client.get("/")).text)

        assert text.count("Exchange: 40 rooms cannot be kept in step") == 1
        assert "Set the new one: kalends accounts credentials Exchange" in text
        assert "and 28 more" in text


@pytest.mark.asyncio
async def test_a_server_that_is_not_verified_is_an_entry_of_its_own_and_hides_no_other() -> None:
    def distrust(conn: Connection, wires: Wires) -> None:
        accounts.trust(conn, "acc_1", "mail.example.org", wires.clock.now(), actor="cli")
        calendars.set_state(conn, "cal_birch", "gone", "It has no mailbox any more.", wires.clock.now())

    wires = await seeded(("aspen", []), ("birch", []))
    await wires.store.run(distrust, wires)
    async with running(wires) as house:
        await house.sign_in()

        text = seen((await house.client.get("/")).text)
        room = seen((await house.client.get("/spaces/spc_aspen")).text)
        numbers = (await house.client.get("/metrics")).text

        assert "Exchange: its server's certificate is not verified" in text
        assert "The certificate of mail.example.org is not verified: anybody on the way" in text
        assert "cannot be kept in step" not in text
        assert "1 room: the calendar was not found" in text
        assert "Account Exchange: Degraded" in room
        assert "kalends_accounts_unverified 1.0" in numbers
        assert 'kalends_accounts{state="degraded"} 1.0' in numbers


@pytest.mark.asyncio
async def test_without_rooms_the_page_says_what_to_do() -> None:
    wires = new_wires()
    await wires.store.run(seed_admin, wires)
    async with running(wires) as house:
        await house.sign_in()

        assert "No rooms yet" in (await house.client.get("/")).text


@pytest.mark.asyncio
async def test_the_room_page_tells_why_how_fresh_and_what_is_on() -> None:
    def busy(conn: Connection, wires: Wires) -> None:
        calendars.set_state(
            conn, "cal_aspen", "degraded", "The server is busy. It is asked again soon.", wires.clock.now()
        )

    held = [
        meeting("1", START - timedelta(hours=1), 30, "Earlier"),
        meeting("2", START + timedelta(days=1), 30, "Tomorrow’s"),
    ]
    wires = await seeded(("aspen", held))
    await wires.store.run(busy, wires)
    async with running(wires) as house:
        await house.sign_in()

        text = seen((await house.client.get("/spaces/spc_aspen")).text)

        assert "The server is busy. It is asked again soon." in text
        assert "Degraded since 10:20" in text
        assert "09:20–09:50 Earlier" in text
        assert "tomorrow 10:20–10:50 Tomorrow’s" in text


@pytest.mark.asyncio
async def test_the_weight_on_the_wire() -> None:
    async with running(await town()) as house:
        await house.sign_in()
        weights = {}
        for path in ("/", "/panel/spc_aspen"):
            page = await house.client.get(path, headers={"accept-encoding": "identity"})
            links = html.document_fromstring(page.text).xpath("//link/@href | //script/@src")
            files = [(await house.client.get(link, headers={"accept-encoding": "identity"})).content for link in links]
            weights[path] = sum(len(gzip.compress(part)) for part in (page.content, *files))
            assert all(link.startswith("/static/") for link in links), "nothing from elsewhere"

        assert weights["/"] <= 100_000
        assert weights["/panel/spc_aspen"] <= 60_000


@pytest.mark.asyncio
async def test_static_files_may_be_kept_for_ever_and_change_their_name_with_their_content() -> None:
    async with running(await seeded(("aspen", []))) as house:
        page = (await house.client.get("/sign-in")).text
        [link] = html.document_fromstring(page).xpath("//link[@rel='stylesheet']/@href")

        found = await house.client.get(link)
        other = await house.client.get(link.replace("kalends.", "kalends.0"))

        assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert found.headers["content-type"] == "text/css; charset=utf-8"
        assert other.status_code == 404


@pytest.mark.asyncio
async def test_error_pages_are_sentences_with_a_way_out() -> None:
    async with running(await seeded(("aspen", []))) as house:
        await house.sign_in()
        for path in ("/nowhere", "/spaces/spc_none", "/panel/spc_none"):
            answer = await house.client.get(path)

            assert answer.status_code == 404
            assert "There is nothing at this address. Check the id in it." in seen(answer.text)


@pytest.mark.asyncio
async def test_a_room_in_another_zone_lives_by_its_own_clock() -> None:
    held: list[Event] = [meeting("1", START, 60)]
    wires = await seeded(("aspen", []))
    await wires.store.run(seed_room, wires, "tokyo", "Tokyo", held, building="Shinjuku", zone="Asia/Tokyo")
    async with running(wires) as house:
        await house.sign_in()

        panel = seen((await house.client.get("/panel/spc_tokyo")).text)
        page = seen((await house.client.get("/")).text)

        assert "18:20" in panel
        assert "until 19:20" in panel
        assert "18:20 there" in page


@pytest.mark.asyncio
async def test_another_organization_s_rooms_are_nobody_s_business() -> None:
    def strangers(conn: Connection, wires: Wires) -> None:
        now = wires.clock.now()
        conn.execute(organizations.insert(), {"id": "org_2", "name": "Other", "region": "local", "created_at": now})
        spaces.add(conn, "spc_foreign", "org_2", "Foreign", now, actor="cli:test")

    wires = await seeded(("aspen", []))
    await wires.store.run(strangers, wires)
    async with running(wires) as house:
        await house.sign_in()

        assert (await house.client.get("/v1/spaces/spc_foreign")).status_code == 404
        assert (await house.client.get("/panel/spc_foreign")).status_code == 404
        assert "Foreign" not in (await house.client.get("/")).text
