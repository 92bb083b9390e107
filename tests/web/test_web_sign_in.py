"""Signing in, sessions that end, panels that are paired once."""

from datetime import timedelta

import pytest

from kalends.features.access import ABSOLUTE, IDLE, PAIRING
from kalends.store import audit
from web.seeding import OWN_PAGE, PASSWORD, House, StandingClock, running, seeded


def moves(house: House) -> StandingClock:
    assert isinstance(house.wires.clock, StandingClock)
    return house.wires.clock


async def try_in(house: House, name: str, password: str, to: str = "/") -> object:
    return await house.client.post("/sign-in", data={"name": name, "password": password, "to": to}, headers=OWN_PAGE)


@pytest.mark.asyncio
async def test_the_right_password_opens_the_page_one_wanted() -> None:
    async with running(await seeded(("aspen", []))) as house:
        turned_away = await house.client.get("/spaces/spc_aspen")
        asked = await house.client.get(turned_away.headers["location"])

        answer = await try_in(house, "admin", PASSWORD, "/spaces/spc_aspen")

        assert 'value="/spaces/spc_aspen"' in asked.text
        assert answer.status_code == 303  # type: ignore[attr-defined]
        assert answer.headers["location"] == "/spaces/spc_aspen"  # type: ignore[attr-defined]
        assert (await house.client.get("/spaces/spc_aspen")).status_code == 200


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/\tevil",
        "",
        "evil",
        "/%0d\n",
        "/" * 600,
    ],
)
async def test_signing_in_never_leads_elsewhere(to: str) -> None:
    async with running(await seeded(("aspen", []))) as house:
        answer = await try_in(house, "admin", PASSWORD, to)

        assert answer.headers["location"] == "/"  # type: ignore[attr-defined]


@pytest.mark.asyncio
async def test_a_wrong_name_and_a_wrong_password_get_the_same_words() -> None:
    async with running(await seeded(("aspen", []))) as house:
        wrong_name = await try_in(house, "nobody", PASSWORD)
        wrong_password = await try_in(house, "admin", "wrong")

        assert wrong_name.status_code == wrong_password.status_code == 401  # type: ignore[attr-defined]
        assert wrong_name.text == wrong_password.text  # type: ignore[attr-defined]
        assert "nobody" not in wrong_name.text  # type: ignore[attr-defined]


@pytest.mark.asyncio
async def test_guessing_is_slowed_down_and_forgiven_after_the_pause() -> None:
    async with running(await seeded(("aspen", []))) as house:
        for _ in range(5):
            assert (await try_in(house, "admin", "wrong")).status_code == 401  # type: ignore[attr-defined]

        held = await try_in(house, "admin", PASSWORD)
        moves(house).move(timedelta(seconds=2))
        free = await try_in(house, "admin", PASSWORD)

        assert held.status_code == 429  # type: ignore[attr-defined]
        assert held.headers["retry-after"] == "1"  # type: ignore[attr-defined]
        assert free.status_code == 303  # type: ignore[attr-defined]


@pytest.mark.asyncio
async def test_a_session_ends_when_idle_and_after_half_a_day_in_any_case() -> None:
    async with running(await seeded(("aspen", []))) as house:
        clock = moves(house)
        await house.sign_in()
        clock.move(IDLE - timedelta(seconds=1))
        assert (await house.client.get("/reference")).status_code == 200, "used in time"
        clock.move(IDLE - timedelta(seconds=1))
        assert (await house.client.get("/reference")).status_code == 200, "the last use counts"
        clock.move(IDLE)
        assert (await house.client.get("/reference")).status_code == 303, "idle for too long"

        await house.sign_in()
        for _ in range(int(ABSOLUTE / IDLE) * 2):
            clock.move(IDLE / 2)
            last = (await house.client.get("/reference")).status_code

        assert last == 303, "never longer than half a day"


@pytest.mark.asyncio
async def test_signing_out_ends_the_session_on_the_server() -> None:
    async with running(await seeded(("aspen", []))) as house:
        await house.sign_in()
        cookie = house.client.cookies["kalends_session"]
        page = await house.client.get("/reference")
        mark = page.text.split('name="form" value="')[1].split('"')[0]

        await house.client.post("/sign-out", data={"form": mark}, headers=OWN_PAGE)
        house.client.cookies.set("kalends_session", cookie)

        assert (await house.client.get("/reference")).status_code == 303


@pytest.mark.asyncio
async def test_signing_in_again_ends_the_session_before() -> None:
    async with running(await seeded(("aspen", []))) as house:
        await house.sign_in()
        first = house.client.cookies["kalends_session"]

        await house.sign_in()
        second = house.client.cookies["kalends_session"]
        house.client.cookies.clear()
        answer = await house.client.get("/reference", headers={"cookie": f"kalends_session={first}"})

        assert first != second
        assert answer.status_code == 303


@pytest.mark.asyncio
async def test_a_panel_is_paired_from_its_room_s_page_and_shows_only_its_room() -> None:
    async with running(await seeded(("aspen", []), ("birch", []))) as house:
        await house.sign_in()
        page = await house.client.get("/spaces/spc_aspen")
        mark = page.text.split('name="form" value="')[1].split('"')[0]
        offered = await house.client.post("/spaces/spc_aspen/panels", data={"form": mark}, headers=OWN_PAGE)
        link = offered.text.split('<p class="small">')[1].split("<")[0]
        house.client.cookies.clear()

        opened = await house.client.get(link)
        code = opened.text.split('name="code" value="')[1].split('"')[0]
        typed = code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
        answer = await house.client.post("/pair", data={"code": typed}, headers=OWN_PAGE)
        again = await house.client.post("/pair", data={"code": code}, headers=OWN_PAGE)

        assert answer.headers["location"] == "/panel/spc_aspen"
        assert (await house.client.get("/panel/spc_aspen")).status_code == 200
        assert (await house.client.get("/panel/spc_birch")).status_code == 403
        assert (await house.client.get("/")).status_code == 303, "a panel is no admin"
        assert again.status_code == 403, "a code works once"
        entries = await house.wires.store.read(audit.list_entries, house.wires.organization)
        assert [e.action for e in entries][:2] == ["device.paired", "device.added"]


@pytest.mark.asyncio
async def test_the_pairing_link_leads_to_where_the_admin_opened_kalends() -> None:
    """The configured address may be a wildcard, this machine alone, or a port that was drawn at the start."""
    async with running(await seeded(("aspen", []))) as house:
        await house.sign_in()
        page = await house.client.get("/spaces/spc_aspen")
        mark = page.text.split('name="form" value="')[1].split('"')[0]
        here = {**OWN_PAGE, "origin": "http://kalends.lan:8080"}

        offered = await house.client.post("/spaces/spc_aspen/panels", data={"form": mark}, headers=here)

        assert '<p class="small">http://kalends.lan:8080/pair?code=' in offered.text
        assert ">http://kalends.lan:8080/pair<" in offered.text


@pytest.mark.asyncio
async def test_a_pairing_code_runs_out() -> None:
    async with running(await seeded(("aspen", []))) as house:
        code = await house.web.kit.doorkeeper.offer_pairing("spc_aspen", "Aspen", "admin")
        moves(house).move(PAIRING)

        answer = await house.client.post("/pair", data={"code": code}, headers=OWN_PAGE)

        assert answer.status_code == 403
        assert "too old" in answer.text


@pytest.mark.asyncio
async def test_guessing_codes_is_slowed_down() -> None:
    async with running(await seeded(("aspen", []))) as house:
        answers = [await house.client.post("/pair", data={"code": f"A{n}"}, headers=OWN_PAGE) for n in range(6)]

        assert [a.status_code for a in answers] == [403] * 5 + [429]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (b"\xff\xfe\x00", "application/x-www-form-urlencoded"),
        (b"name=a&name=b&password=x", "application/x-www-form-urlencoded"),
        (b"&".join(b"f%d=1" % n for n in range(50)), "application/x-www-form-urlencoded"),
        (
            b'--x\r\nContent-Disposition: form-data; name="name"; filename="f"\r\n\r\nhi\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
        (b"", "multipart/form-data"),
        (b'{"name":"admin"}', "application/json"),
    ],
)
async def test_odd_forms_are_refused_and_break_nothing(sent: bytes, kind: str) -> None:
    async with running(await seeded(("aspen", []))) as house:
        answer = await house.client.post("/sign-in", content=sent, headers={**OWN_PAGE, "content-type": kind})

        assert 400 <= answer.status_code < 500
