"""Chromium for the browser tests: the system's own. Without one they are skipped with a reason; with CI set they fail."""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    given = os.environ.get("KALENDS_CHROMIUM")
    return given or next((found for name in NAMES if (found := shutil.which(name))), None)


@pytest.fixture(scope="session", autouse=True)
def chromium_path() -> str:
    found = chromium()
    if found is None:
        reason = "There is no Chromium here: install it (apt-get install chromium), or name one with KALENDS_CHROMIUM."
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@dataclass
class Window:
    """A page, and what it complained about."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    """Requests that went anywhere but to our server."""

    @property
    def browser(self) -> Browser:
        found = self.page.context.browser
        assert found is not None
        return found


Open = Callable[..., object]


@pytest.fixture
def window(chromium_path: str) -> Open:
    """`async with window(width, height) as w`; whatever the console says is kept."""

    @asynccontextmanager
    async def opened(width: int = 1280, height: int = 800, **context: object) -> AsyncIterator[Window]:
        async with async_playwright() as playwright:
            arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
            browser = await playwright.chromium.launch(executable_path=chromium_path, args=arguments)
            made = await browser.new_context(viewport={"width": width, "height": height}, **context)  # type: ignore[arg-type]
            seen = Window(await made.new_page())
            seen.page.on(
                "console", lambda m: seen.complaints.append(m.text) if m.type in ("error", "warning") else None
            )
            seen.page.on("pageerror", lambda e: seen.complaints.append(str(e)))
            seen.page.on("request", lambda r: seen.foreign.append(r.url) if "//127.0.0.1:" not in r.url else None)
            try:
                yield seen
            finally:
                await browser.close()

    return opened


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: `KALENDS_SCREENSHOTS`, or a folder that pytest sweeps away."""
    given = os.environ.get("KALENDS_SCREENSHOTS")
    folder = Path(given) if given else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
