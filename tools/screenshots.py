"""Takes the pictures in docs/images from a running demo: python tools/screenshots.py URL PASSWORD [CHROMIUM]"""

import sys
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, sync_playwright

IMAGES = Path(__file__).parents[1] / "docs" / "images"
STATES = ("available", "starting_soon", "in_use")


def sign_in(context: BrowserContext, url: str, password: str) -> Page:
    page = context.new_page()
    page.goto(url)
    page.fill("input:not([type=password]):not([type=hidden])", "admin")
    page.fill("input[type=password]", password)
    page.keyboard.press("Enter")
    page.wait_for_selector('a[href^="/spaces/"]')
    return page


def main(url: str, password: str, chromium: str = "/usr/bin/chromium") -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport={"width": 1440, "height": 960}, color_scheme=scheme)  # type: ignore[arg-type]
            page = sign_in(context, url, password)
            page.wait_for_timeout(800)
            page.screenshot(path=IMAGES / f"overview-{scheme}.png")
            if scheme == "light":
                rooms = page.eval_on_selector_all('a[href^="/spaces/"]', "all => all.map(a => a.getAttribute('href'))")
                page.goto(url + rooms[0])
                page.screenshot(path=IMAGES / "room.png")
                panels(page, url, rooms)
            context.close()
        browser.close()


def panels(page: Page, url: str, rooms: list[str]) -> None:
    """One picture of each state that some room is in."""
    page.set_viewport_size({"width": 1280, "height": 800})
    seen: set[str] = set()
    for room in rooms:
        page.goto(url + room.replace("/spaces/", "/panel/"))
        state = page.get_attribute("[data-state]", "data-state") or ""
        if state in STATES and state not in seen:
            page.wait_for_timeout(300)
            page.screenshot(path=IMAGES / f"panel-{state.replace('_', '-')}.png")
            seen.add(state)
        if len(seen) == len(STATES):
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
