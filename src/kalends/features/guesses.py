"""Wrong guesses of passwords and codes, counted in memory, and how long to wait before the next one is heard."""

from collections import OrderedDict

from kalends.clock import Clock


class Guesses:
    """Failures by key, forgotten after an hour; the least recent are forgotten first when there are too many."""

    FREE = 5
    LONGEST = 300.0
    MEMORY = 3600.0
    MOST = 10_000

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait_seconds(self, key: str) -> float:
        """Real seconds until the next try is heard: none for the first few, then doubling up to five minutes."""
        count, at = self._recent(key)
        if count < self.FREE:
            return 0.0
        pause = min(2.0 ** min(count - self.FREE, 16), self.LONGEST)
        return max(0.0, at + pause - self._clock.monotonic())

    def failed(self, key: str) -> None:
        count, _ = self._recent(key)
        self._failures[key] = (count + 1, self._clock.monotonic())
        self._failures.move_to_end(key)
        while len(self._failures) > self.MOST:
            self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        self._failures.pop(key, None)

    def _recent(self, key: str) -> tuple[int, float]:
        count, at = self._failures.get(key, (0, 0.0))
        return (count, at) if self._clock.monotonic() - at < self.MEMORY else (0, 0.0)
