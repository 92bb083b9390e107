"""A real server on a free port of this machine, in the test's own loop, that can be stopped and started again."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page
from prometheus_client import CollectorRegistry

from kalends.web.app import Web, make_web
from web.seeding import Wires


@dataclass
class Running:
    """`web` is the present process's application; a restart makes a new one over the same store."""

    wires: Wires
    port: int
    web: Web
    server: uvicorn.Server
    group: asyncio.TaskGroup
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        self.web.drain()
        self.server.should_exit = True
        await self.tasks[-1]

    async def start(self) -> None:
        self.wires.registry = CollectorRegistry()
        self.web = make_web(self.wires)
        self.server = _server(self.web, self.port)
        await _up(self)


def _server(web: Web, port: int) -> uvicorn.Server:
    config = uvicorn.Config(web, port=port, log_level="warning", lifespan="off", timeout_graceful_shutdown=3)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    return server


async def _up(running: Running) -> None:
    async def serve() -> None:
        async with running.web.app.router.lifespan_context(running.web.app):
            await running.server._serve()

    running.tasks.append(running.group.create_task(serve()))
    async with asyncio.timeout(10):
        while not running.server.started:  # noqa: ASYNC110  # uvicorn tells it no other way
            await asyncio.sleep(0.01)
        await running.web.kit.follower.ready.wait()


@asynccontextmanager
async def serving(wires: Wires) -> AsyncIterator[Running]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    wires.base_url = f"http://127.0.0.1:{port}"
    web = make_web(wires)
    async with asyncio.TaskGroup() as group:
        running = Running(wires, port, web, _server(web, port), group)
        await _up(running)
        try:
            yield running
        finally:
            await running.stop()


async def picture(page: Page, path: Path) -> None:
    """A screenshot to look at. On a busy machine Chromium now and then fails to take one; that says nothing of the page."""
    for _ in range(3):
        with suppress(PlaywrightError):
            await page.screenshot(path=path)
            return
