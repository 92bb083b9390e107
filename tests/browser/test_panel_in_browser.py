"""The door panel as it hangs on a door: its states, and what it does when the world goes away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from browser.serving import Running, picture, serving
from kalends.bus import Topic
from kalends.model.event import Event, Sensitivity
from kalends.store import access, calendars
from kalends.store.door import Connection
from web.seeding import START, House, meeting, paired, put, seeded, until

pytestmark = pytest.mark.browser

STATES: dict[str, list[Event]] = {
    "available": [meeting("1", START + timedelta(hours=2), subject="Design review")],
    "starting_soon": [meeting("1", START + timedelta(minutes=8), subject="Design review")],
    "in_use": [meeting("1", START - timedelta(minutes=10)), meeting("2", START + timedelta(hours=3), 30, "Interview")],
}
WORDS = {"available": "Available", "starting_soon": "Starting soon", "in_use": "In use", "unknown": "Unknown"}


@asynccontextmanager
async def door(window: Any, held: list[Event], **size: Any) -> AsyncIterator[tuple[Running, Any]]:
    """A paired panel of the room Aspen, its face shown and its stream open."""
    async with serving(await seeded(("aspen", held))) as server, window(**size) as seen:
        secret = await paired(House(server.wires, server.web, None), "aspen")  # type: ignore[arg-type]
        await seen.page.context.add_cookies([{"name": "kalends_panel", "value": secret, "url": server.url}])
        await seen.page.goto(f"{server.url}/panel/spc_aspen")
        await until_live(server)
        yield server, seen


async def until_live(server: Running, seconds: float = 20) -> None:

    await until(lambda: server.web.kit.streams > 0, seconds)


async def state(page: Page, wanted: str, seconds: float = 10) -> None:
    await expect(page.locator("#face")).to_have_attribute("data-state", wanted, timeout=seconds * 1000)


def lose(conn: Connection) -> None:
    calendars.set_state(conn, "cal_aspen", "degraded", "The server does not answer. It is asked again soon.", START)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("wanted", "width", "height"),
    [*((name, 1280, 800) for name in STATES), ("in_use", 800, 1280), ("in_use", 800, 480), ("starting_soon", 360, 640)],
)
async def test_each_state_is_said_by_word_sign_and_colour(
    window: Any, pictures: Path, wanted: str, width: int, height: int
) -> None:
    async with door(window, STATES[wanted], width=width, height=height) as (_, seen):
        page = seen.page
        await picture(page, pictures / f"panel-{wanted}-{width}x{height}.png")

        word, face = page.locator(".known .word"), page.locator("#face")
        await expect(word).to_have_text(WORDS[wanted])
        await expect(word.locator("use")).to_have_attribute("href", f"#sign-{wanted}")
        size = await word.evaluate("e => parseFloat(getComputedStyle(e).fontSize)")
        clock = await page.locator(".clock").evaluate("e => parseFloat(getComputedStyle(e).fontSize)")
        assert size >= 0.15 * min(width, height)
        assert clock >= 0.08 * min(width, height)
        assert await face.evaluate("e => e.scrollWidth <= e.clientWidth")
        axe = await Axe().run(page)
        assert axe.violations_count == 0, axe.generate_report()
        assert (seen.complaints, seen.foreign) == ([], [])


@pytest.mark.asyncio
async def test_a_change_reaches_the_door_at_once(window: Any) -> None:
    async with door(window, []) as (server, seen):
        await state(seen.page, "available")

        await server.wires.store.run(put, server.wires, "aspen", [meeting("1", START, subject="Just booked")])
        server.wires.bus.hint(Topic.FEED)

        await state(seen.page, "in_use", 3)
        await expect(seen.page.locator(".meeting b")).to_have_text("Just booked")


@pytest.mark.asyncio
async def test_a_lost_server_leaves_the_page_and_turns_it_unknown_when_its_data_is_old(
    window: Any, pictures: Path
) -> None:
    async with door(window, STATES["in_use"], width=1280, height=800) as (server, seen):
        await seen.page.clock.install()
        await seen.page.reload()
        await server.stop()

        await seen.page.clock.run_for(60_000)
        await state(seen.page, "in_use")
        await seen.page.clock.run_for(40_000)
        await state(seen.page, "unknown")
        await picture(seen.page, pictures / "panel-unknown.png")

        await expect(seen.page.locator(".lost .word")).to_be_visible()
        await expect(seen.page.locator(".known").first).to_be_hidden()
        await expect(seen.page.locator("[data-age]")).to_contain_text("1 min ago")
        await expect(seen.page.locator("[data-clock]")).to_have_text("10:21")
        assert await seen.page.evaluate("getComputedStyle(document.getElementById('face')).borderImageSource") != "none"
        axe = await Axe().run(seen.page)
        assert axe.violations_count == 0, axe.generate_report()

        await server.start()
        for _ in range(12):  # it tries again at most every 45 seconds of its own clock
            await seen.page.clock.run_for(10_000)
            with suppress(TimeoutError):
                await until_live(server, 1)
                break
        await state(seen.page, "in_use")


@pytest.mark.asyncio
async def test_a_panel_outlives_a_restart_of_the_server(window: Any) -> None:
    async with door(window, []) as (server, seen):
        await server.stop()
        await server.start()
        await until_live(server)

        await server.wires.store.run(put, server.wires, "aspen", [meeting("1", START, subject="After the restart")])
        server.wires.bus.hint(Topic.FEED)

        await state(seen.page, "in_use")
        assert await seen.page.evaluate("performance.getEntriesByType('navigation').length") == 1


@pytest.mark.asyncio
async def test_a_revoked_panel_stops_showing_its_room(window: Any) -> None:
    async with door(window, STATES["in_use"]) as (server, seen):
        [device] = await server.wires.store.read(access.list_devices, server.wires.organization)
        await server.wires.store.run(access.revoke_device, device.id, server.wires.clock.now(), actor="cli:test")
        server.wires.clock.move(timedelta(seconds=20))  # type: ignore[attr-defined]  # streams are looked at every 15 s
        await server.wires.store.run(put, server.wires, "aspen", [meeting("9", START, 45, "Not for this door")])
        server.wires.bus.hint(Topic.FEED)

        await expect(seen.page).to_have_title("Not paired · Kalends", timeout=15_000)

        assert "Not for this door" not in await seen.page.content()


@pytest.mark.asyncio
async def test_trouble_at_the_source_is_said_on_the_door(window: Any) -> None:
    async with door(window, []) as (server, seen):
        server.wires.clock.move(timedelta(seconds=120))  # type: ignore[attr-defined]
        await server.wires.store.run(lose)
        server.wires.bus.hint(Topic.FEED)

        await state(seen.page, "unknown")
        await expect(seen.page.locator(".lost")).to_contain_text("The server does not answer.")


@pytest.mark.asyncio
async def test_without_javascript_the_page_is_whole_and_renews_itself(window: Any) -> None:
    async with serving(await seeded(("aspen", STATES["in_use"]))) as server, window(java_script_enabled=False) as seen:
        secret = await paired(House(server.wires, server.web, None), "aspen")  # type: ignore[arg-type]
        await seen.page.context.add_cookies([{"name": "kalends_panel", "value": secret, "url": server.url}])
        await seen.page.goto(f"{server.url}/panel/spc_aspen")

        await expect(seen.page.locator(".known .word")).to_have_text("In use")
        assert 'http-equiv="refresh"' in await seen.page.content()


@pytest.mark.asyncio
async def test_markup_in_a_subject_does_nothing(window: Any) -> None:
    evil = "<img src=x onerror=document.title='owned'>"
    private = meeting("2", START + timedelta(hours=1), 60, evil, sensitivity=Sensitivity.PRIVATE)
    held = [meeting("1", START, 60, evil, evil), private]
    async with door(window, held) as (server, seen):
        await server.wires.store.run(put, server.wires, "aspen", [meeting("3", START + timedelta(hours=2), 9, evil)])
        server.wires.bus.hint(Topic.FEED)
        await expect(seen.page.locator(".next li")).to_have_count(2)

        assert await seen.page.title() == "Aspen"
        assert await seen.page.locator("img").count() == 0
        assert seen.complaints == []


@pytest.mark.asyncio
async def test_a_long_life_does_not_grow_the_page(window: Any) -> None:
    async with door(window, []) as (server, seen):

        async def nodes() -> int:
            found: int = await seen.page.evaluate("document.getElementsByTagName('*').length")
            return found

        before = await nodes()
        for n in range(60):
            await server.wires.store.run(put, server.wires, "aspen", [meeting("1", START, 30, f"Version {n}")])
            server.wires.bus.hint(Topic.FEED)
        await expect(seen.page.locator(".meeting b")).to_have_text("Version 59")

        assert await nodes() <= before + 10
