"""The seam for time: the only module that reads a clock.

Wall time comes from a Clock; waiting is asyncio's own. A clock may run faster than life (the demo) or in virtual time
(the simulation), so real durations (a lease, a poll interval, a heartbeat limit) are put on it with `stretch`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    @property
    def factor(self) -> float:
        """How many of this clock's seconds pass in a real one."""
        ...

    def now(self) -> datetime: ...

    def stretch(self, real: timedelta) -> timedelta:
        """How far this clock moves while `real` time passes."""
        ...

    def seconds_until(self, at: datetime) -> float:
        """Real seconds until this clock shows `at`; never negative."""
        ...

    def monotonic(self) -> float:
        """Real seconds from an arbitrary start, for measuring."""
        ...


@dataclass(frozen=True, slots=True)
class RealClock:
    factor: float = 1.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def stretch(self, real: timedelta) -> timedelta:
        return real

    def seconds_until(self, at: datetime) -> float:
        return max(0.0, (at - self.now()).total_seconds())

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class ScaledClock:
    """Shows `start` when the real clock shows `origin` (Unix seconds), and from there runs `factor` times as fast."""

    start: datetime
    factor: float
    origin: float
    real: Callable[[], float] = time.time
    """Unix seconds."""

    def now(self) -> datetime:
        return self.start + timedelta(seconds=(self.real() - self.origin) * self.factor)

    def stretch(self, real: timedelta) -> timedelta:
        return real * self.factor

    def seconds_until(self, at: datetime) -> float:
        return max(0.0, (at - self.now()).total_seconds() / self.factor)

    def monotonic(self) -> float:
        return self.real()
