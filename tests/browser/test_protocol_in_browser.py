"""An account's conversations in a browser: light and dark, narrow and wide, live, paused, and without a complaint."""

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from browser.serving import picture
from browser.test_overview_in_browser import board, town
from kalends.providers.protocol import Spoken
from kalends.store import debugging
from kalends.store.debugging import Entry
from web.seeding import START, Wires
from web.test_web_protocol import HOUR, PAGE

pytestmark = [pytest.mark.browser, pytest.mark.asyncio]
HEADERS = (
    ("Content-Type", "text/xml; charset=utf-8"),
    ("Authorization", "(masked)"),
    ("X-AnchorMailbox", "oak@e.test"),
)
BODY = """<s:Envelope>
  <s:Body>
    <t:ItemId Id="AAMkAGI2" ChangeKey="DwAAABYA"/>
    <t:Subject>(masked 15 characters)</t:Subject>
  </s:Body>
</s:Envelope>"""
SAID = (
    Spoken(1, "request", "POST https://mail.example.org/EWS/Exchange.asmx GetItem", HEADERS, BODY),
    Spoken(1, "answer", "HTTP 200 GetItemResponse", HEADERS[:1], BODY, "Cut here: the whole has 812345 bytes."),
    Spoken(2, "request", "POST https://mail.example.org/EWS/Exchange.asmx GetItem", HEADERS, BODY),
    Spoken(2, "failure", "mail.example.org did not answer within 60 seconds. Check the server's load and the network."),
)


async def recorded() -> Wires:
    wires = await town()
    await wires.store.run(debugging.begin, "acc_1", START, START + HOUR, actor="test")
    await wires.store.run(debugging.keep, "acc_1", [Entry(START, "1f0c22ab", said) for said in SAID], 37)
    return wires


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_it_fits_and_satisfies_axe(window: Any, pictures: Path, scheme: str, width: int) -> None:
    async with board(window, await recorded(), width=width, height=1000, color_scheme=scheme) as (server, seen):
        page = seen.page
        await picture(page, pictures / f"recorded-overview-{scheme}-{width}.png")
        await page.goto(server.url + PAGE)
        await page.locator("summary").nth(2).click()
        await picture(page, pictures / f"protocol-{scheme}-{width}.png")

        axe = await Axe().run(page)

        assert axe.violations_count == 0, axe.generate_report()
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert (seen.complaints, seen.foreign) == ([], [])


async def test_new_entries_come_on_top_unless_it_is_paused(window: Any) -> None:
    async with board(window, await recorded()) as (server, seen):
        page, store = seen.page, server.wires.store
        await page.goto(server.url + PAGE)

        await store.run(debugging.keep, "acc_1", [Entry(START, "1f0c22ab", Spoken(3, "answer", "HTTP 503"))], 0)
        await expect(page.locator("#spoken li").first).to_contain_text("HTTP 503")

        await page.click("#pause")
        await store.run(debugging.keep, "acc_1", [Entry(START, "1f0c22ab", Spoken(4, "answer", "HTTP 429"))], 0)
        await page.wait_for_timeout(1500)
        await expect(page.locator("#spoken li")).to_have_count(5)
        await page.click("#pause")
        await expect(page.locator("#spoken li").first).to_contain_text("HTTP 429")
