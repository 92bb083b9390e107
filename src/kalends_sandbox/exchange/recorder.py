"""What went over the wire, for tests and for the curious: the last calls with their answers. Off unless asked for."""

from collections import deque
from dataclasses import dataclass, field

_MAX_DOCUMENTS = 1000


@dataclass(slots=True)
class Recorded:
    """One call. `answers` is one body, or a stream's documents (the last 1,000); `fault` names what spoiled the answer."""

    operation: str
    mailbox: str
    request: bytes
    status: int = 0
    answers: deque[bytes] = field(default_factory=lambda: deque(maxlen=_MAX_DOCUMENTS))
    fault: str | None = None

    def as_json(self) -> dict[str, object]:
        return {
            "operation": self.operation,
            "mailbox": self.mailbox,
            "request": self.request.decode(errors="replace"),
            "status": self.status,
            "answers": [answer.decode(errors="replace") for answer in self.answers],
            "fault": self.fault,
        }


class Recorder:
    """The last `limit` calls; a limit of 0 keeps none."""

    def __init__(self) -> None:
        self._calls: deque[Recorded] = deque(maxlen=0)

    def keep(self, limit: int) -> None:
        """From now on keep the last `limit` calls; those kept already stay as far as they fit."""
        self._calls = deque(self._calls, maxlen=limit)

    def calls(self) -> list[Recorded]:
        return list(self._calls)

    def begin(self, request: bytes) -> Recorded:
        """A call to fill in; one that is not kept does not gather its answers either."""
        recorded = Recorded("", "", request)
        if self._calls.maxlen:
            self._calls.append(recorded)
        else:
            recorded.answers = deque(maxlen=0)
        return recorded
