"""Clocks that show the loop's virtual time: one for the hub, one for the sandbox, one for the libraries below them.

The loop starts at 0 seconds; each clock shows its `start` there. Give two clocks different starts to simulate skew.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from kalends.clock import ScaledClock
from kalends_sandbox.clock import Clock as SandboxClock
from kalends_sim.loop import SimLoop


def hub_clock(loop: SimLoop, start: datetime, factor: float = 1.0) -> ScaledClock:
    return ScaledClock(start=start, factor=factor, origin=0.0, real=loop.time)


def sandbox_clock(loop: SimLoop, start: datetime, factor: float = 1.0) -> SandboxClock:
    return SandboxClock(start, factor, monotonic=loop.time, origin=0.0)


@contextmanager
def libraries_on_virtual_time(loop: SimLoop, start: datetime) -> Iterator[None]:
    """Puts `time.time`, `time.monotonic` and `time.perf_counter` on the loop's time until the end of the block.

    The product takes its time from a clock; libraries do not: httpcore2 retires idle connections by `time.monotonic`,
    cookies expire by `time.time`. Left alone, how fast the machine is would decide whether a connection is used again.
    """
    kept = time.time, time.monotonic, time.perf_counter
    epoch = start.timestamp()
    time.time = lambda: epoch + loop.time()
    time.monotonic = time.perf_counter = loop.time
    try:
        yield
    finally:
        time.time, time.monotonic, time.perf_counter = kept
