"""A disk that runs full under a working Kalends: said once and everywhere, panels go on, nothing is lost, and it heals."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from kalends.app import Hub, open_hub
from kalends.features.access import password_hash
from kalends.store import access, calendars, due
from kalends.store.door import Connection
from kalends.web.app import make_web
from sync.processes import Wanted, World, _held, config, sandbox, set_up
from web.seeding import PASSWORD

ROOM, ADA = "aspen@full.example", "ada.moreau@full.example"
WORLD = """
[organization]
name = "Full"
domain = "full.example"
zone = "UTC"
[[accounts]]
user = "svc@full.example"
password = "right-password"
impersonates = ["*"]
[[buildings]]
name = "House"
[[people]]
name = "Ada Moreau"
[[rooms]]
name = "aspen"
building = "House"
capacity = 4
"""


@dataclass
class Scene:
    hub: Hub
    world: World
    client: httpx2.AsyncClient

    async def until(self, holds: object, seconds: float = 20) -> None:
        async with asyncio.timeout(seconds):
            while not await holds():  # type: ignore[operator]  # noqa: ASYNC110  # as from another process
                await asyncio.sleep(0.05)

    async def is_in_step(self) -> bool:
        held = await _held(self.hub, ROOM)
        return held == await asyncio.to_thread(self.world.truth, ROOM)

    async def meetings(self, count: int) -> None:
        """Enough of them that they fit into no free corner of the file."""
        day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        for number in range(count):
            start = (day + timedelta(minutes=30 * number)).isoformat()
            words = {"subject": "Standing about " * 20, "start": start, "minutes": 20, "rooms": [ROOM]}
            await asyncio.to_thread(self.world.act, "create", ADA, **words)
        await asyncio.to_thread(self.world.call, "POST", "/settle")

    async def wake(self) -> None:
        [calendar] = await self.hub.store.read(calendars.find, self.hub.organization, ROOM)
        await self.hub.store.run(due.break_leases, self.hub.clock.now())
        await self.hub.store.run(due.wake, "pull", [calendar.id], self.hub.clock.now())

    async def limit(self, spare: int | None) -> None:
        """The file may grow by so many pages; None: as it likes."""

        def set_limit(conn: Connection) -> None:
            pages = int(conn.exec_driver_sql("PRAGMA page_count").scalar_one())
            most = 4_000_000 if spare is None else pages + spare
            conn.exec_driver_sql(f"PRAGMA max_page_count={most}").scalar_one()

        await self.hub.store.run(set_limit)


@asynccontextmanager
async def working(folder: Path, world: World) -> AsyncIterator[Scene]:
    """A hub in this process, its worker and its pages, an administrator signed in."""
    made = config(folder)
    async with open_hub(made, exclusive=True) as hub:
        hashed = password_hash(PASSWORD, hub.ids)
        args = ("usr_1", hub.organization, "admin", hashed, "admin", hub.clock.now())
        await hub.store.run(lambda conn: access.add_user(conn, *args, actor="t"))
        web, worker = make_web(hub), hub.worker()
        async with web.app.router.lifespan_context(web.app):
            transport = httpx2.ASGITransport(web)
            async with httpx2.AsyncClient(transport=transport, base_url=hub.base_url, timeout=20) as client:
                origin = {"origin": hub.base_url, "sec-fetch-site": "same-origin"}
                await client.post("/sign-in", data={"name": "admin", "password": PASSWORD}, headers=origin)
                running = asyncio.create_task(worker.run())
                try:
                    yield Scene(hub, world, client)
                finally:
                    worker.stop()
                    await running


@pytest.mark.asyncio
async def test_a_full_disk_is_said_and_passes(tmp_path: Path) -> None:
    file = tmp_path / "world.toml"
    file.write_text(WORLD)
    with sandbox(file, tmp_path / "tls") as world:
        wanted = [Wanted("hq", world.settings(), world.password, [ROOM])]
        await asyncio.to_thread(set_up, config(tmp_path / "hub"), wanted)
        async with working(tmp_path / "hub", world) as scene:
            await scene.meetings(2)
            await scene.wake()
            await scene.until(scene.is_in_step)
            before = await _held(scene.hub, ROOM)

            await scene.limit(0)
            await scene.meetings(120)
            await scene.wake()
            await scene.until(lambda: _is(bool(scene.hub.store.trouble)))

            assert "is full. Nothing was lost: free some space and Kalends goes on by itself" in scene.hub.store.trouble
            page = await scene.client.get("/")
            assert page.status_code == 200
            assert "Kalends itself is in trouble" in page.text
            assert "is full. Nothing was lost" in page.text
            assert (await scene.client.get("/v1/spaces")).status_code == 200
            ready = await scene.client.get("/readyz")
            assert ready.status_code == 503
            assert "It can be read, but not written." in ready.text
            assert await _held(scene.hub, ROOM) == before, "a page is kept whole or not at all"

            await scene.limit(None)
            await scene.wake()
            await scene.until(scene.is_in_step)

            assert len(await _held(scene.hub, ROOM)) == 120, "two were there before"
            await scene.until(lambda: _is(not scene.hub.store.trouble))
            assert "Kalends itself is in trouble" not in (await scene.client.get("/")).text
            assert (await scene.client.get("/readyz")).status_code == 200


async def _is(what: bool) -> bool:
    return what
