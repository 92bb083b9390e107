"""A circuit breaker per account: when a server does not answer at all, one probe asks for everybody.

Closed: calls go through. Once `OPENS_AFTER` calendars in a row got no answer it opens for a while; then a single probe may
go, and its outcome closes or opens the circuit again. Calendars are counted, not calls: one whose answers are unusable
backs off by itself and stops nobody else.
"""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kalends.clock import Clock

OPENS_AFTER = 5
SHORTEST = timedelta(seconds=15)
LONGEST = timedelta(seconds=120)


@dataclass
class Circuit:
    clock: Clock
    rng: random.Random
    failing: dict[str, None] = field(default_factory=dict)
    """Calendars that got no answer since the server last gave one."""
    openings: int = 0
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
        self.failing, self.openings, self.open_until, self.probing = {}, 0, None, False

    def failed(self, calendar: str) -> None:
        """The server gave no usable answer. What was under way when the circuit opened tells nothing new."""
        was_probe, self.probing = self.probing, False
        self.failing[calendar] = None
        if len(self.failing) < OPENS_AFTER or (self.is_open and not was_probe):
            return
        length = min(SHORTEST * 2 ** min(self.openings, 3), LONGEST) * (0.75 + self.rng.random() / 2)
        self.openings += 1
        self.open_until = self.clock.now() + self.clock.stretch(length)

    def abandoned(self) -> None:
        """A turn ended without learning anything about the server."""
        self.probing = False
