"""The trace: one hash over everything a run does, so that two runs can be compared by a single line.

`loop.py` notes each step and `network.py` each delivery. No object address and no `hash()` goes in, so the result does
not depend on PYTHONHASHSEED. To find where two runs part, give both a listener and compare the lines.
"""

import hashlib
from collections.abc import Callable

_LINES_AT_ONCE = 4096  # hashing one line at a time would be a tenth of a run


class Trace:
    def __init__(self, listener: Callable[[str], None] | None = None) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._listener = listener
        self._lines: list[str] = []
        self._seconds, self._time = 0.0, "0.000000 "

    def step(self, seconds: float, name: str) -> None:
        if seconds != self._seconds:
            self._seconds, self._time = seconds, f"{seconds:.6f} "
        self.note(self._time + name)

    def note(self, line: str, data: bytes = b"") -> None:
        """`data` counts towards the hash but is not shown to the listener."""
        self._lines.append(line)
        if data or len(self._lines) >= _LINES_AT_ONCE:
            self._flush()
            self._hash.update(data)
        if self._listener is not None:
            self._listener(line)

    def digest(self) -> str:
        """The hash of what has been noted so far, 32 hexadecimal digits."""
        self._flush()
        return self._hash.hexdigest()

    def _flush(self) -> None:
        if self._lines:
            self._hash.update("\n".join(self._lines).encode() + b"\n")
            self._lines.clear()
