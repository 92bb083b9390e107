"""The sandbox's clock: a start, a pace and a seam.

Every other module takes its time from here; waiting is asyncio's own sleep.

Two processes that are given the same start, factor and origin (epoch seconds) and both count with `epoch_seconds` show
the same time.
"""

import asyncio
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def loop_seconds() -> float:
    """The running loop's own time: real on a machine, virtual in a simulation."""
    return asyncio.get_running_loop().time()


def epoch_seconds() -> float:
    """The machine's wall clock. With `loop_seconds` the only place where the sandbox reads time from outside."""
    return time.time()


class Clock:
    """Sandbox time:

    `start` at `origin`, then `factor` sandbox seconds for every second of `monotonic`. A factor of 0 stands still.
    """

    def __init__(
        self,
        start: datetime,
        factor: float = 1.0,
        monotonic: Callable[[], float] = loop_seconds,
        origin: float | None = None,
    ) -> None:
        if start.tzinfo is None:
            raise ValueError("The clock's start needs a time zone: add Z or an offset such as +01:00.")
        self._monotonic = monotonic
        self._base_tick = monotonic() if origin is None else origin
        self._base = start.astimezone(UTC)
        self._factor = _checked(factor)
        self.listeners: list[Callable[[], None]] = []  # called after every jump and change of pace

    @property
    def factor(self) -> float:
        return self._factor

    def now(self) -> datetime:
        return self._base + timedelta(seconds=(self._monotonic() - self._base_tick) * self._factor)

    def set(self, at: datetime) -> None:
        """Jump, forwards or back. Whoever waits for a sandbox time is told and looks again.

        ValueError outside 1980–2200.
        """
        if not 1980 <= at.year <= 2200:
            raise ValueError(f"The clock cannot be set to the year {at.year}: choose one from 1980 to 2200.")
        self._rebase(at.astimezone(UTC), self._factor)

    def pace(self, factor: float) -> None:
        self._rebase(self.now(), _checked(factor))

    def seconds_until(self, at: datetime) -> float:
        """Real seconds to wait; 0 when it has passed, infinite while the clock stands."""
        ahead = (at - self.now()).total_seconds()
        if ahead <= 0:
            return 0.0
        return ahead / self._factor if self._factor else math.inf

    def _rebase(self, at: datetime, factor: float) -> None:
        self._base, self._base_tick, self._factor = at, self._monotonic(), factor
        for listener in tuple(self.listeners):
            listener()


def _checked(factor: float) -> float:
    if not 0 <= factor <= 1_000_000:
        raise ValueError(
            f"The clock's factor {factor} is outside 0 to 1,000,000: use 1 for real time, 60 for a minute each second."
        )
    return factor
