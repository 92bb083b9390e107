"""The demonstration from beginning to end: one clock, a sandbox, a hub, and everything gone afterwards."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from kalends.clock import Clock, RealClock
from kalends.config import Config
from kalends.demo import sandbox

if TYPE_CHECKING:
    from kalends.demo.organisation import SetUp

OPENS_AT = time(9, 50)
"""What the demo's clock shows at first, on a working day."""


@dataclass(frozen=True, slots=True)
class Options:
    port: int
    speed: float
    headless: bool
    """No story on the console."""
    check: bool


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a visitor needs."""

    url: str
    user: str
    password: str
    rooms: int
    now: datetime


async def run(
    options: Options, welcome: Callable[[Welcome], None], tell: Callable[[str], None]
) -> dict[str, Any] | None:
    """Runs until a signal; with `check`, until the chain is proved, and returns what was measured."""
    real = RealClock()
    start, origin = first_morning(real), real.now().timestamp()
    with _folder() as folder:
        arguments = [
            "--world", "demo", "--exchange-port", "0", "--control-port", "0", "--tls", "self-signed",
            "--tls-folder", str(folder / "tls"), "--clock-start", start.isoformat(),
            "--clock-factor", str(options.speed), "--clock-origin", repr(origin), "--story",
            "--heartbeat", "3",  # the demo's clock runs fast: a usual 45 s would look like minutes
        ]  # fmt: skip
        async with sandbox.running(arguments, tell, meanwhile=_load) as world:
            from kalends.app import open_hub
            from kalends.demo.organisation import set_up

            config = Config(
                data_folder=folder / "hub",
                port=options.port,
                clock_start=start.isoformat(),
                clock_factor=options.speed,
                clock_origin=origin,
            )
            async with open_hub(config, exclusive=True) as hub:
                made = await set_up(hub, world.ready)
                return await _serve(hub, made, world.ready, options, welcome)


def _load() -> None:
    """Imports the hub while the sandbox is starting: each takes seconds, and there are usually two cores."""
    import kalends.demo.check
    import kalends.demo.organisation
    import kalends.serving  # noqa: F401


async def _serve(
    hub: Any, made: "SetUp", ready: dict[str, Any], options: Options, welcome: Callable[[Welcome], None]
) -> dict[str, Any] | None:
    from kalends.demo.check import Chain
    from kalends.first_start import ADMIN
    from kalends.serving import serve

    stop, opened = asyncio.Event(), asyncio.get_running_loop().create_future()
    measured = None
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(hub, "all", opened.set_result, stop))
        url = await opened
        welcome(Welcome(url, ADMIN, made.password, len(made.rooms), hub.clock.now()))
        if options.check:
            try:
                measured = await Chain(hub, url, made.token, ready).run()
            finally:
                stop.set()
    return measured


def first_morning(clock: Clock) -> datetime:
    """Ten to ten in the demo's zone, today or on the next working day."""
    zone = ZoneInfo(sandbox.ZONE)
    day = clock.now().astimezone(zone).date()
    while day.weekday() >= 5:
        day += timedelta(days=1)
    return datetime.combine(day, OPENS_AT, zone).astimezone(UTC)


@contextmanager
def _folder() -> Any:
    """A private folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="kalends-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
