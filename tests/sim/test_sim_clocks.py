"""The clocks of hub, sandbox and libraries follow the loop's virtual time."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

from kalends_sim.clocks import hub_clock, sandbox_clock
from kalends_sim.loop import SimLoop
from kalends_sim.simulation import START, run

NOON = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)


def test_hub_and_sandbox_show_the_same_virtual_time() -> None:
    async def main(loop: SimLoop) -> None:
        await asyncio.sleep(5)  # a clock made later shows the same
        hub, sandbox = hub_clock(loop, NOON), sandbox_clock(loop, NOON)
        await asyncio.sleep(3600)

        assert hub.now() == sandbox.now() == NOON + timedelta(seconds=3605)
        assert hub.monotonic() == 3605

    run(main, 1)


def test_clocks_may_run_fast_and_apart() -> None:
    async def main(loop: SimLoop) -> None:
        hub = hub_clock(loop, NOON - timedelta(minutes=10), factor=60)
        sandbox = sandbox_clock(loop, NOON, factor=60)

        await asyncio.sleep(hub.seconds_until(NOON))

        assert loop.time() == 10
        assert hub.now() == NOON
        assert sandbox.now() == NOON + timedelta(minutes=10)

    run(main, 1)


def test_libraries_see_virtual_time_during_the_run_and_real_time_after_it() -> None:
    real = time.time, time.monotonic, time.perf_counter

    async def main(loop: SimLoop) -> list[float]:
        await asyncio.sleep(86400)
        return [time.time(), time.monotonic(), time.perf_counter()]

    outcome = run(main, 1)

    assert outcome.result == [START.timestamp() + 86400, 86400, 86400]
    assert (time.time, time.monotonic, time.perf_counter) == real
