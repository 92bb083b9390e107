"""The real thing on one machine: a sandbox process, a `kalends serve` process with SQLite, and every room linked."""

import asyncio
import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from bench.figures import tell
from bench.processes import Running, running
from bench.wire import Failed, Line
from bench.worlds import World
from kalends.app import Hub, open_hub
from kalends.config import Config
from kalends.demo.organisation import set_up
from kalends.store import access, calendars, spaces
from kalends.store.door import Connection

START_SECONDS = 180.0
IN_STEP_SECONDS = 1200.0


@dataclass(frozen=True)
class Sandbox:
    running: Running
    exchange: str
    fingerprint: str
    control: Line
    facts: dict[str, object]


@dataclass(frozen=True)
class Panel:
    """A door panel that may listen: the room's address, its space and the device's cookie."""

    address: str
    space: str
    secret: str


@dataclass(frozen=True)
class Stage:
    sandbox: Sandbox
    hub: Running
    url: str
    token: str
    database: Path
    panels: tuple[Panel, ...]
    began: float
    """When `kalends serve` was started, on the monotonic clock."""
    opened: float
    """When it said that it is ready."""

    def api(self) -> Line:
        return Line(self.url, headers={"Authorization": f"Bearer {self.token}"})


@asynccontextmanager
async def sandbox(folder: Path, world: World | str, *, seed: int = 1, tls: bool = True) -> AsyncIterator[Sandbox]:
    """A sandbox process over this world (or one that it ships), on the machine's own clock."""
    name = world
    if isinstance(world, World):
        name = str(folder / "world.toml")
        (folder / "world.toml").write_text(world.toml(), encoding="utf-8")
    ready = folder / "sandbox.ready"
    arguments = ["serve", "--world", str(name), "--seed", str(seed), "--ready-file", str(ready)]
    arguments += ["--clock-origin", repr(time.time())]
    arguments += ["--tls", "self-signed", "--tls-folder", str(folder / "tls")] if tls else []
    async with running("kalends_sandbox", arguments, folder / "sandbox.log") as process:
        facts = json.loads(await _appears(ready, process))
        certificate = facts["certificate"] or {"sha256": ""}
        control = Line(facts["control"])
        try:
            yield Sandbox(process, facts["exchange"], certificate["sha256"], control, facts)
        finally:
            control.close()


@asynccontextmanager
async def stage(world: World | str, *, panels: bool = True) -> AsyncIterator[Stage]:
    """Sandbox and hub, every room of the world linked. The rooms are not yet in step: see `in_step`."""
    with _folder() as name:
        folder = Path(name)
        async with sandbox(folder, world) as exchange:
            config = Config(data_folder=folder / "hub")
            async with open_hub(config) as hub:
                made = await set_up(hub, exchange.facts)
                doors = await hub.store.run(_pair_all, hub) if panels else ()
            environment = {
                "KALENDS_DATA_FOLDER": str(folder / "hub"),
                "KALENDS_PORT": "0",
                "KALENDS_LOG_FORMAT": "json",
                "KALENDS_LOG_LEVEL": os.environ.get("BENCH_LOG_LEVEL", "warning"),
            }
            began = time.monotonic()
            async with running("kalends", ["serve"], folder / "hub.log", environment) as process:
                url = await _url(process)
                yield Stage(
                    exchange,
                    process,
                    url,
                    made.token,
                    folder / "hub" / "kalends.sqlite3",
                    tuple(doors),
                    began,
                    time.monotonic(),
                )


def _pair_all(conn: Connection, hub: Hub) -> list[Panel]:
    now, panels = hub.clock.now(), []
    places = {space.id: space for space in spaces.list_all(conn, hub.organization)}
    for health in calendars.list_health(conn, hub.organization):
        space, device = places[health.spaces[0]], hub.ids.new("dev")
        code, secret = hub.ids.secret(), hub.ids.secret()
        until = now + timedelta(minutes=10)
        access.add_device(conn, device, hub.organization, space.id, "Panel", code, now, actor="bench", until=until)
        access.pair(conn, code, secret, now)
        panels.append(Panel(health.calendar.address, space.id, secret))
    return panels


async def in_step(stage: Stage, seconds: float = IN_STEP_SECONDS) -> dict[str, float]:
    """Waits until every calendar is in step. Real seconds since the hub was started, by what had been reached.

    The database is looked at beside the hub, so that the looking costs it nothing.
    """
    reached = {"ready": stage.opened - stage.began}
    try:
        async with asyncio.timeout(seconds):
            while "all_in_step" not in reached:
                await asyncio.sleep(0.1)
                total, begun, done = _progress(stage.database)
                at = time.monotonic() - stage.began
                for name, is_there in (
                    ("first_room", begun > 0),
                    ("every_room_has_its_week", begun == total),
                    ("all_in_step", done == total),
                ):
                    if is_there:
                        reached.setdefault(name, at)
    except TimeoutError:
        raise Failed(
            f"Not every calendar came in step within {seconds:.0f} s; the hub's log: {_tail(stage.hub.log)}"
        ) from None
    return reached


def _progress(database: Path) -> tuple[int, int, int]:
    """Calendars, those of which the days around now are read, and those in step."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        query = "SELECT count(*), count(cursor), coalesce(sum(state = 'in_sync'), 0) FROM calendars"
        total, begun, done = connection.execute(query).fetchone()
    return total, begun, done


async def quiet(stage: Stage, seconds: float = 3.0, most: float = 120.0) -> None:
    """Waits until the sandbox has had no call for `seconds`: the last pulls are over."""
    before, since, began = -1, time.monotonic(), time.monotonic()
    while time.monotonic() - since < seconds and time.monotonic() - began < most:
        await asyncio.sleep(0.5)
        calls = total_calls(await stage.sandbox.control.json("GET", "/counters"))
        if calls != before:
            before, since = calls, time.monotonic()


def total_calls(counters: dict[str, object]) -> int:
    calls = counters["calls"]
    assert isinstance(calls, dict)
    return sum(calls.values())


async def _appears(file: Path, process: Running) -> str:
    async with asyncio.timeout(START_SECONDS):
        while not file.exists():  # noqa: ASYNC240  # a file on this machine
            if process.process.returncode is not None:
                raise Failed(f"The sandbox did not start: {_tail(process.log)}")
            await asyncio.sleep(0.02)
    return file.read_text(encoding="utf-8")  # noqa: ASYNC240


async def _url(process: Running) -> str:
    async with asyncio.timeout(START_SECONDS):
        while True:
            text = process.log.read_text(encoding="utf-8")
            if "Kalends is ready at " in text:
                return text.partition("Kalends is ready at ")[2].split()[0].rstrip(".")
            if process.process.returncode is not None:
                raise Failed(f"The hub did not start: {_tail(process.log)}")
            await asyncio.sleep(0.02)


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-1500:]


def _folder() -> tempfile.TemporaryDirectory[str]:
    kept = os.environ.get("BENCH_KEEP")
    if kept:
        tell(f"logs stay in {kept}")
        shutil.rmtree(kept, ignore_errors=True)
        Path(kept).mkdir(parents=True)
        return _Kept(kept)
    return tempfile.TemporaryDirectory(prefix="kalends-bench-")


class _Kept(tempfile.TemporaryDirectory[str]):
    """A folder that stays, to look into afterwards."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> str:
        return self.name

    def __exit__(self, *_: object) -> None:
        return None
