"""Any exception, as data: when to look again, and what the calendar and its account are called meanwhile.

Nobody else decides to retry. The provider's own wish to wait always wins over ours.
"""

import random
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from kalends.providers.protocol import (
    AuthLost,
    CalendarGone,
    Conflict,
    CursorExpired,
    Rejected,
    Throttled,
    Unavailable,
)
from kalends.seal import SealError

FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(minutes=10)
LONGEST_WISH = timedelta(hours=1)
"""A server that asks for more is asked again after this."""
BRIEF_WISH = timedelta(seconds=60)
"""A pause up to this long is everyday life and shown to nobody."""
GONE_WAIT = timedelta(hours=1)
HELD_WAIT = timedelta(minutes=15)


class Outcome(StrEnum):
    """What became of a turn; the `verdict` of its log line and metric."""

    DONE = "done"
    CURSOR_EXPIRED = "cursor_expired"
    THROTTLED = "throttled"
    AUTH_LOST = "auth_lost"
    GONE = "gone"
    REJECTED = "rejected"
    UNAVAILABLE = "unavailable"
    HELD = "held"
    LEASE_LOST = "lease_lost"
    BROKEN = "broken"


class Held(Exception):
    """The destructive-change breaker stopped this calendar; an admin is asked. The message says what it saw."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Durations are real time. `calendar` and `account` name the new state, None for leave as it is."""

    outcome: Outcome
    retry_in: timedelta
    reason: str = ""
    calendar: str | None = None
    account: str | None = None
    rest_account: bool = False
    """The whole account rests until the retry."""
    forget_cursor: bool = False
    counts_as_failure: bool = True

    @property
    def is_of_stream(self) -> bool:
        """Of a stream's turn: whether it is about the stream alone, and polling goes on meanwhile."""
        return self.outcome in (Outcome.THROTTLED, Outcome.REJECTED, Outcome.UNAVAILABLE) and not self.rest_account


def judge(error: Exception, failures: int, rng: random.Random) -> Verdict:
    """What follows from `error` after `failures` earlier failures in a row."""
    match error:
        case CursorExpired():
            return _start_again(error, failures, rng)
        case Throttled():
            return _throttled(error, failures, rng)
        case AuthLost():
            return Verdict(Outcome.AUTH_LOST, GONE_WAIT, str(error), "degraded", "reauthenticate", rest_account=True)
        case CalendarGone():
            return Verdict(Outcome.GONE, _spread(GONE_WAIT, rng), str(error), "gone")
        case Held():
            return Verdict(Outcome.HELD, HELD_WAIT, str(error), "held", counts_as_failure=False)
        case SealError():
            return Verdict(Outcome.AUTH_LOST, GONE_WAIT, str(error), "degraded", "reauthenticate", rest_account=True)
        case Unavailable():
            return Verdict(Outcome.UNAVAILABLE, back_off(failures, rng), str(error), "degraded")
        case Rejected() | Conflict():
            return Verdict(Outcome.REJECTED, back_off(failures + 2, rng), str(error), "degraded")
    reason = f"Kalends itself failed ({type(error).__name__}); the log has the details. It tries again by itself."
    return Verdict(Outcome.BROKEN, back_off(failures + 2, rng), reason, "degraded")


def _start_again(error: CursorExpired, failures: int, rng: random.Random) -> Verdict:
    """At once the first time. A server that refuses its own fresh cursors is not asked without a pause for ever."""
    wait = back_off(failures - 1, rng) if failures else timedelta(0)
    shown = "degraded" if failures >= 3 else None
    return Verdict(Outcome.CURSOR_EXPIRED, wait, str(error), shown, forget_cursor=True)


def _throttled(error: Throttled, failures: int, rng: random.Random) -> Verdict:
    wait = min(error.wait, LONGEST_WISH) if error.wait is not None else back_off(failures + 1, rng)
    wait += wait * rng.random() * 0.1  # those who were sent away together should not come back together
    shown = wait > BRIEF_WISH or failures >= 3
    return Verdict(
        Outcome.THROTTLED,
        wait,
        str(error),
        calendar="degraded" if shown else None,
        account="degraded" if shown and error.whole_account else None,
        rest_account=error.whole_account,
    )


def back_off(failures: int, rng: random.Random) -> timedelta:
    """Doubling from five seconds to ten minutes; the upper half of each step is drawn at random."""
    doublings: int = 2 ** min(failures, 16)
    top = min(FIRST_WAIT * doublings, LONGEST_WAIT)
    return top * (0.5 + rng.random() / 2)


def _spread(wait: timedelta, rng: random.Random) -> timedelta:
    return wait * (0.8 + rng.random() * 0.4)
