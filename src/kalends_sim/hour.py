"""One virtual hour: the shipped worker, provider and store against the sandbox's Exchange, while everything goes wrong.

    founding ─▶ rooms linked and read ─▶ people act, weather rages, workers die ─▶ calm ─▶ the laws hold ─▶ nothing stirs

The calm has a bound, `CALM`: the longest back-off after a failure is 10 minutes (`sync/verdict.py`), a change whose
notification was lost is found by the poll beside a stream after at most 11, and what could not be read is tried again by the
first pull that comes 10 minutes later, so after at most 21. One call (60 s) or one stream's silence (90 s) may have been under
way when the weather ended. What is not in step by then is stuck.

Neighbours: `people.py`, `weather.py`, `hub.py` play; `laws.py` judges; `cli.py` runs it.
"""

import asyncio
import io
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import resources

import structlog
from sqlalchemy import func, select

from kalends import logs
from kalends.store import calendars, due, schema
from kalends.store.door import Connection, inline_store
from kalends_sandbox.sandbox import Plan, Sandbox, opened
from kalends_sim import laws
from kalends_sim.clocks import hub_clock, sandbox_clock
from kalends_sim.fate import Fate
from kalends_sim.hub import Site, Worker, disk, set_up
from kalends_sim.laws import Court
from kalends_sim.loop import SimLoop
from kalends_sim.people import People
from kalends_sim.simulation import Outcome, run
from kalends_sim.weather import Weather

CALM = timedelta(minutes=25)
QUIET = timedelta(minutes=12)
"""How long after it is in step nothing may stir: longer than the poll beside a stream."""
_SKEWS_S = (0, 0, 0, 90, -200)
"""How far the clock of Exchange is ahead of the hub's."""
_LOOK_EVERY_S = 20.0
_FIRST_READ_S = 300.0
_OLD_LINES_S = 300.0
"""By then whoever still used a connection that went silent in the weather has found out, and tried again."""
_LAST_MAIL_S = 20.0
"""By then the last mail is opened, thought about and answered: the truth stands still."""
LIMIT_STEPS = 30_000_000

# Mornings and nights: an ordinary Monday, both changes of the clocks, the turn of a year, the day before a leap day.
STARTS = (
    datetime(2026, 3, 2, 8, 0, tzinfo=UTC),
    datetime(2026, 3, 29, 0, 40, tzinfo=UTC),
    datetime(2026, 10, 25, 0, 40, tzinfo=UTC),
    datetime(2026, 12, 31, 22, 40, tzinfo=UTC),
    datetime(2028, 2, 28, 23, 20, tzinfo=UTC),
)


@dataclass(frozen=True, slots=True)
class Script:
    """What is played. `minutes` is how long people act and the weather rages; all that follows comes on top."""

    minutes: float = 60.0
    workers: int = 1
    is_deadly: bool = False
    """Workers are killed and stalled meanwhile."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it. `broken` is empty when every law held."""

    broken: tuple[str, ...]
    start: str
    actions: dict[str, int]
    faults: dict[str, int]
    fates: dict[str, int]
    turns: dict[str, int]
    """Finished pulls and failed turns by verdict."""
    pages: int
    changes: dict[str, int]
    lag_ms: dict[str, int]
    """By Exchange's clock and the hub's, so less by `skew_s` than it was, and never below 0."""
    skew_s: int
    """How far Exchange's clock was ahead."""
    in_step_after_s: float
    """From the end of all trouble."""


def play(seed: int, script: Script, tell: "Tell", listener: Callable[[str], None] | None = None) -> Outcome[Report]:
    """Raises what the simulation itself raises: `Unhandled`, `Deadlock`, `TooManySteps`."""
    start = STARTS[seed % len(STARTS)]
    with _captured_logs() as log:
        return run(partial(_hour, script, tell, log), seed, start=start, limit_steps=LIMIT_STEPS, listener=listener)


Tell = Callable[[str], None]


async def _hour(script: Script, tell: Tell, log: io.StringIO, loop: SimLoop) -> Report:
    start = STARTS[loop.seed % len(STARTS)]
    skew = timedelta(seconds=loop.randomness("skew").choice(_SKEWS_S))
    plan = Plan(world=str(resources.files("kalends_sim") / "town.toml"), control_port=None, seed=loop.seed)
    with disk() as file:
        async with opened(plan, sandbox_clock(loop, start + skew)) as sandbox:
            hour = _Hour(loop, script, sandbox, Site(loop, file, hub_clock(loop, start)), log, tell)
            return await hour.play()


class _Hour:
    def __init__(
        self, loop: SimLoop, script: Script, sandbox: Sandbox, site: Site, log: io.StringIO, tell: Tell
    ) -> None:
        world = sandbox.founded.world
        rooms = [room.primary for room in world.rooms]
        self._loop, self._script, self._sandbox, self._site, self._log, self._tell = (
            loop,
            script,
            sandbox,
            site,
            log,
            tell,
        )
        self._people = People(world, sandbox.founded.actions, loop.randomness("people"))
        self._weather = Weather(sandbox.faults, sandbox.exchange, loop.network, rooms, loop.randomness("weather"))
        self._workers = [Worker(site, f"worker {number}") for number in range(1, script.workers + 1)]
        self._fate = Fate(self._workers, loop.randomness("fate"))
        self._store = inline_store(site.file)
        self._broken: list[str] = []

    async def play(self) -> Report:
        self._weather.calm()
        await set_up(self._site, self._sandbox.exchange_url, self._sandbox.founded.world.accounts[0])
        for worker in self._workers:
            worker.start(takes_over=len(self._workers) == 1)
        await self._until_in_step(_FIRST_READ_S, "the first reading")
        await self._live()
        self._say("calm")
        await asyncio.sleep(_LAST_MAIL_S)
        in_step_after_s = await self._until_in_step(CALM.total_seconds(), "the calm")
        await asyncio.sleep(_OLD_LINES_S)
        await self._until_in_step(CALM.total_seconds(), "the time after old connections")
        if not self._broken:
            await self._stay_quiet()
        if not self._broken:
            await self._read_again()
        self._broken += self._leaks()
        return self._report(in_step_after_s)

    async def _live(self) -> None:
        """The hour itself."""
        async with asyncio.TaskGroup() as group:
            playing = [
                group.create_task(self._people.live(), name="people"),
                group.create_task(self._weather.rage(self._say), name="weather"),
            ]
            if self._script.is_deadly:
                playing.append(group.create_task(self._fate.strike(), name="fate"))
            await asyncio.sleep(self._script.minutes * 60)
            for task in playing:
                task.cancel()

    async def _until_in_step(self, most_s: float, during: str) -> float:
        """How long it took; what was broken at the end of `most_s` is kept."""
        began = self._loop.time()
        while True:
            took_s = self._loop.time() - began
            broken = self._look(thoroughly=took_s >= most_s)
            if not broken or took_s >= most_s:
                self._broken += [f"{sentence} (after {took_s:.0f} s of {during})" for sentence in broken]
                return took_s
            await asyncio.sleep(_LOOK_EVERY_S)

    def _look(self, thoroughly: bool) -> list[str]:
        with self._store.engine.connect() as conn:
            return laws.broken(self._court(conn), thoroughly)

    def _court(self, conn: Connection) -> Court:
        [organization] = conn.execute(select(schema.organizations.c.id)).scalars()
        contents = self._site.contents(conn, organization)
        return Court(conn, contents, organization, self._sandbox.founded.world, self._site.clock.now())

    async def _stay_quiet(self) -> None:
        """What is in step is left alone: nothing is written but what rolls into the window."""
        before = self._news()
        await asyncio.sleep(QUIET.total_seconds())
        self._broken += [f"{change} although nothing happened" for change in self._news()[len(before) :]]

    async def _read_again(self) -> None:
        """A full read of what is in step finds it so."""
        before = self._news()
        with self._store.engine.begin() as conn:
            ids = list(conn.execute(select(schema.calendars.c.id).order_by(schema.calendars.c.id)).scalars())
            for one in ids:
                calendars.forget_cursor(conn, one)
            due.wake(conn, "pull", ids, self._site.clock.now())
        await self._until_in_step(CALM.total_seconds(), "reading everything again")
        self._broken += [f"{change} although everything was in step" for change in self._news()[len(before) :]]

    def _news(self) -> list[str]:
        """Every change so far but those at the far end of the window, where each day brings what was out of sight."""
        c = schema.changes.c
        edge = self._site.clock.now() + laws.AHEAD - timedelta(days=2)
        with self._store.engine.connect() as conn:
            rows = conn.execute(select(c.kind, c.key, c.calendar, c.start).order_by(c.seq)).all()
        return [f"{row.kind} {row.key} in {row.calendar}" for row in rows if row.start is None or row.start < edge]

    def _leaks(self) -> Iterator[str]:
        names = [person.name for person in self._sandbox.founded.world.people]
        yield from (f"the log holds {found}" for found in laws.leaks(self._log.getvalue(), names))

    def _report(self, in_step_after_s: float) -> Report:
        turns: Counter[str] = Counter()
        pages = 0
        for line in map(json.loads, self._log.getvalue().splitlines()):
            if line["event"] == "turn":
                turns[line["verdict"]] += 1
                pages += line.get("pages", 0)
        with self._store.engine.connect() as conn:
            counts = conn.execute(select(schema.changes.c.kind, func.count()).group_by(schema.changes.c.kind))
            changes: dict[str, int] = {row[0]: row[1] for row in counts}
            told = ",".join(filter(None, conn.execute(select(schema.calendars.c.lags)).scalars()))
        skew = self._sandbox.founded.world.clock.now() - self._site.clock.now()
        return Report(
            broken=tuple(self._broken),
            start=self._site.clock.now().isoformat(),
            actions=dict(sorted(self._people.done.items())),
            faults=dict(sorted(self._weather.struck.items())),
            fates=dict(sorted(self._fate.done.items())),
            turns=dict(sorted(turns.items())),
            pages=pages,
            changes=dict(sorted(changes.items())),
            lag_ms=_percentiles(sorted(int(lag) for lag in told.split(",") if lag)),
            skew_s=round(skew.total_seconds()),
            in_step_after_s=in_step_after_s,
        )

    def _say(self, what: str) -> None:
        self._tell(f"{timedelta(seconds=int(self._loop.time()))} {what}")


def _percentiles(ordered: Sequence[int]) -> dict[str, int]:
    return {
        f"p{percent}": ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]
        for percent in (50, 95, 99)
        if ordered
    }


@contextmanager
def _captured_logs() -> Iterator[io.StringIO]:
    """What the hub logs, as it would print it."""
    root = logging.getLogger()
    kept, level, settings = root.handlers[:], root.level, structlog.get_config()
    root.handlers.clear()
    out = io.StringIO()
    logs.configure("json", "info", out)
    try:
        yield out
    finally:
        root.handlers[:] = kept
        root.setLevel(level)
        structlog.configure(**settings)
