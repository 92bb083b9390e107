"""A circuit breaker per account: when a server does not answer at all, one probe asks for everybody.

Closed: calls go through. After `OPENS_AFTER` failures in a row it opens for a while; then a single probe may go, and
its outcome closes or opens the circuit again.
"""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from kalends.clock import Clock

OPENS_AFTER = 5
SHORTEST = timedelta(seconds=15)
LONGEST = timedelta(seconds=120)


@dataclass
class Circuit:
    clock: Clock
    rng: random.Random
    failures: int = 0
    open_until: datetime | None = None
    probing: bool = False

    @property
    def is_open(self) -> bool:
        return self.open_until is not None

    def wait(self) -> timedelta | None:
        """None: go ahead (perhaps as the probe). Else how long, on the clock, to stay away."""
        if self.open_until is None:
            return None
        left = self.open_until - self.clock.now()
        if left > timedelta(0):
            return left
        if self.probing:
            return self.clock.stretch(timedelta(seconds=1))
        self.probing = True
        return None

    def succeeded(self) -> None:
        self.failures, self.open_until, self.probing = 0, None, False

    def failed(self) -> None:
        """The server gave no usable answer."""
        self.failures += 1
        self.probing = False
        if self.failures < OPENS_AFTER:
            return
        steps = min(self.failures - OPENS_AFTER, 3)
        length = min(SHORTEST * 2**steps, LONGEST) * (0.75 + self.rng.random() / 2)
        self.open_until = self.clock.now() + self.clock.stretch(length)

    def abandoned(self) -> None:
        """A turn ended without learning anything about the server."""
        self.probing = False
