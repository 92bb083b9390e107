"""Runs one coroutine in the simulation and says what came out: the door for tests, scenarios and campaigns.

    outcome = run(scenario, seed=17)        # async def scenario(loop: SimLoop) -> T

The same scenario and seed give the same `Outcome.trace` in any process on any machine with the same Python. A failing
run carries its seed as a note. Neighbours: `loop.py`, `network.py`, `clocks.py`.
"""

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from kalends_sim.clocks import libraries_on_virtual_time
from kalends_sim.loop import SimLoop

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)  # a Monday morning, four weeks before Europe's clocks change
LIMIT_STEPS = 10_000_000
WIND_UP_STEPS = 200_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """`trace` identifies all that happened; equal traces mean equal runs."""

    result: T
    trace: str
    steps: int
    virtual_seconds: float


class Unhandled(RuntimeError):
    """Something failed where nobody looked: a task whose error was never fetched, or a callback."""


def run(
    main: Callable[[SimLoop], Coroutine[Any, Any, T]],
    seed: int,
    *,
    start: datetime = START,
    limit_steps: int = LIMIT_STEPS,
    listener: Callable[[str], None] | None = None,
) -> Outcome[T]:
    """Tasks left over at the end are cancelled. `start` is what `time.time` shows at 0; `listener` hears the trace.

    Raises what `main` raises, `Deadlock`, `TooManySteps` or `Unhandled`.
    """
    with _garbage_collected_by_steps():
        return _run(main, SimLoop(seed, limit_steps, listener), start)


def _run(main: Callable[[SimLoop], Coroutine[Any, Any, T]], loop: SimLoop, start: datetime) -> Outcome[T]:
    with libraries_on_virtual_time(loop, start):
        try:
            result = loop.run_until_complete(loop.create_task(main(loop), name="main"))
            outcome = Outcome(result, loop.trace.digest(), loop.steps, loop.time())
            _wind_up(loop)
        except BaseException as error:
            error.add_note(f"Simulation: seed {loop.seed}, step {loop.steps:,}, virtual time {loop.time():.3f} s.")
            _abandon(loop)
            raise
        finally:
            loop.close()
    return outcome


def _wind_up(loop: SimLoop) -> None:
    """Ends what `main` left running, as asyncio.run does, in the order of its beginning."""
    loop.limit_steps = loop.steps + WIND_UP_STEPS
    left = loop.living_tasks()
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    for task in left:
        if not task.cancelled() and (error := task.exception()) is not None:
            loop.unhandled.append(f"{task.get_name()} failed while it was cancelled: {error!r}")
    loop.run_until_complete(loop.shutdown_asyncgens())
    gc.collect()  # an error that was never fetched is told when its task is thrown away
    if loop.unhandled:
        raise Unhandled("Nobody handled: " + "; ".join(loop.unhandled))


def _abandon(loop: SimLoop) -> None:
    """After a failure: the tasks still get their `finally`, but nothing they do may hide the error being raised."""
    try:
        _wind_up(loop)
    except Exception as second:  # noqa: BLE001 told beside the first one, which matters more
        loop.trace.note(f"wind-up failed: {second!r}")


@contextmanager
def _garbage_collected_by_steps() -> Iterator[None]:
    """Finalizers then run at the same step in every run, whatever the process did before.

    What is there already is frozen: the run's own collections leave it alone, and are quick.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.collect()  # the loop itself, so that many runs in one process need no more memory than one
        gc.unfreeze()
        if was_enabled:
            gc.enable()
