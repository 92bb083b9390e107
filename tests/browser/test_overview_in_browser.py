"""The overview in a browser: light and dark, narrow and wide, live, by keyboard, and without a single complaint."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from browser.serving import Running, picture, serving
from kalends.bus import Topic
from kalends.features.follower import LOOK_EVERY
from kalends.store import spaces
from web.seeding import PASSWORD, START, Wires, meeting, new_wires, put, seed_admin
from web.town import break_some, seed_town

pytestmark = pytest.mark.browser


PAGES = {"overview": "/", "room": "/spaces/spc_willow", "reference": "/reference", "pair": "/pair"}


async def town(rooms: int = 40, trouble: bool = False) -> Wires:
    wires = new_wires()
    await wires.store.run(seed_admin, wires)
    await wires.store.run(seed_town, wires, rooms)
    if trouble:
        await wires.store.run(break_some, wires)
    return wires


@asynccontextmanager
async def board(window: Any, wires: Wires, **size: Any) -> AsyncIterator[tuple[Running, Any]]:
    async with serving(wires) as server, window(**size) as seen:
        await seen.page.goto(server.url)
        await seen.page.fill("#name", "admin")
        await seen.page.fill("#password", PASSWORD)
        await seen.page.keyboard.press("Enter")
        await seen.page.wait_for_url(f"{server.url}/")
        await expect(seen.page.locator("h1")).to_have_text("Rooms")
        yield server, seen


@pytest.mark.asyncio
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280, 1920])
async def test_it_fits_and_satisfies_axe(window: Any, pictures: Path, scheme: str, width: int) -> None:
    wires = await town(trouble=True)
    async with board(window, wires, width=width, height=1000, color_scheme=scheme) as (server, seen):
        page, pages = seen.page, {"overview": "/"} if width in (768, 1920) else PAGES
        for name, path in pages.items():
            await page.goto(server.url + path)
            await picture(page, pictures / f"{name}-{scheme}-{width}.png")

            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} scrolls sideways"
            if width in (360, 1280):  # axe reads 42 rooms for seconds; the widths between show the same rules at work
                axe = await Axe().run(page)
                assert axe.violations_count == 0, f"{path}: {axe.generate_report()}"
        assert (seen.complaints, seen.foreign) == ([], [])


@pytest.mark.asyncio
async def test_a_change_shows_in_its_row_and_in_the_counts(window: Any) -> None:
    async with board(window, await town()) as (server, seen):
        row, count = seen.page.locator("#room-spc_yew"), seen.page.locator('[data-count="in_use"]')
        await expect(row).to_have_attribute("data-state", "available")
        before = int(await count.inner_text())

        await server.wires.store.run(put, server.wires, "yew", [meeting("new", START, 30, "Just booked")])
        server.wires.bus.hint(Topic.FEED)

        await expect(row).to_have_attribute("data-state", "in_use")
        await expect(row).to_contain_text("Just booked")
        await expect(count).to_have_text(str(before + 1))


@pytest.mark.asyncio
async def test_a_removed_room_leaves_the_open_page(window: Any) -> None:
    async with board(window, await town()) as (server, seen):
        await expect(seen.page.locator("#room-spc_yew")).to_have_count(1)
        before = int(await seen.page.locator('[data-count="all"]').inner_text())
        await seen.page.evaluate("window.stays = true")

        await server.wires.store.run(spaces.remove, "spc_yew", server.wires.clock.now(), actor="test")
        server.wires.clock.real += LOOK_EVERY.total_seconds()
        server.wires.bus.hint(Topic.FEED)

        await expect(seen.page.locator("#room-spc_yew")).to_have_count(0)
        await expect(seen.page.locator('[data-count="all"]')).to_have_text(str(before - 1))
        await expect(seen.page.locator("[data-size]")).to_contain_text(f"{before - 1} rooms in")
        assert await seen.page.evaluate("window.stays"), "without loading the page anew"
        assert seen.complaints == []


@pytest.mark.asyncio
async def test_a_room_removed_while_nobody_was_told_leaves_at_the_next_connection(window: Any) -> None:
    async with board(window, await town()) as (server, seen):
        page = seen.page
        await page.evaluate("""document.querySelector("#board ul").insertAdjacentHTML("beforeend",
            document.getElementById("room-spc_yew").outerHTML.replaceAll("spc_yew", "spc_gone"))""")
        await expect(page.locator("#room-spc_gone")).to_have_count(1)

        for seat in list(server.web.kit.follower._seats):
            seat.close()

        await expect(page.locator("#room-spc_gone")).to_have_count(0, timeout=15_000)
        await expect(page.locator("#room-spc_yew")).to_have_count(1)


@pytest.mark.asyncio
async def test_rows_are_not_believed_when_the_server_is_gone_and_come_back_with_it(window: Any) -> None:
    async with board(window, await town()) as (server, seen):
        page = seen.page
        await page.clock.install()
        await page.reload()
        free = await page.locator('.room[data-state="available"]').count()
        assert free > 0
        await server.stop()

        await page.clock.run_for(100_000)
        await expect(page.locator('.room[data-state="unknown"]')).to_have_count(40)
        await expect(page.locator("#lost")).to_be_visible()

        await server.start()
        for _ in range(12):  # it tries again at most every 45 seconds of its own clock
            await page.clock.run_for(10_000)
            with suppress(AssertionError):
                await expect(page.locator("#lost")).to_be_hidden(timeout=1000)
                break
        await expect(page.locator('.room[data-state="available"]')).to_have_count(free)


@pytest.mark.asyncio
async def test_typing_filters_and_the_address_keeps_it(window: Any) -> None:
    async with board(window, await town()) as (_, seen):
        page = seen.page
        await page.keyboard.press("/")
        await page.keyboard.type("yew")

        await expect(page.locator(".room:visible")).to_have_count(1)
        assert page.url.endswith("?q=yew")
        await page.reload()
        await expect(page.locator(".room:visible")).to_have_count(1)
        await page.fill("#q", "nothing like it")
        await expect(page.locator("#none")).to_be_visible()


@pytest.mark.asyncio
async def test_everything_can_be_reached_by_keyboard(window: Any) -> None:
    async with board(window, await town()) as (_, seen):
        page, reached = seen.page, []
        for _ in range(24):
            await page.keyboard.press("Tab")
            reached.append(
                await page.evaluate("document.activeElement.textContent.trim() || document.activeElement.id")
            )

        assert reached[0] == "Skip to the content"
        assert "Quince" in reached
        assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.asyncio
async def test_five_hundred_rooms_are_shown_quickly(window: Any) -> None:
    async with board(window, await town(500)) as (server, seen):
        await expect(seen.page.locator(".room")).to_have_count(500)

        await server.wires.store.run(put, server.wires, "yew-10", [meeting("new", START, 30, "Just booked")])
        server.wires.bus.hint(Topic.FEED)

        await expect(seen.page.locator("#room-spc_yew-10")).to_contain_text("Just booked", timeout=3000)


@pytest.mark.asyncio
async def test_pairing_takes_a_click_here_and_a_click_there(window: Any, pictures: Path) -> None:
    async with board(window, await town()) as (server, seen):
        page = seen.page
        await page.click("text=Yew")
        await page.click("text=Pair a panel")
        await picture(page, pictures / "pairing.png")
        link = await page.locator(".once .small").inner_text()
        panel = await (await seen.browser.new_context()).new_page()
        await panel.goto(link)
        await picture(panel, pictures / "pair.png")
        await panel.click("button")

        await panel.wait_for_url(f"{server.url}/panel/spc_yew")
        await expect(panel.locator("h1")).to_have_text("Yew")
        await page.goto(f"{server.url}/spaces/spc_yew")
        await page.click("text=Revoke")
        await panel.reload()
        await expect(panel.locator("h1")).to_have_text("Not paired")


@pytest.mark.asyncio
async def test_the_room_page_renews_what_changed_and_leaves_its_forms_alone(window: Any) -> None:
    async with board(window, await town()) as (server, seen):
        page = seen.page
        await page.goto(f"{server.url}/spaces/spc_yew")
        await expect(page.locator("#verdict")).to_contain_text("Available")
        await page.focus("text=Pair a panel")

        await server.wires.store.run(put, server.wires, "yew", [meeting("new", START, 30, "Just booked")])
        server.wires.bus.hint(Topic.FEED)

        await expect(page.locator("#verdict")).to_contain_text("In use")
        await expect(page.locator("#agenda .is-now")).to_contain_text("Just booked")
        assert await page.evaluate("document.activeElement.textContent") == "Pair a panel"
