"""The destructive-change breaker: when so much vanishes at once, a person is asked before Kalends believes it.

An empty list, a short page or a wrong mailbox looks exactly like "everything was deleted". Counted are masters and
single meetings, not instances; what rolls out of the window does not count.
"""

from dataclasses import dataclass

MANY = 50
"""More than this vanishing in one pull is always asked about."""
SHARE = 0.2
"""So is more than this share of the calendar …"""
FEW = 10
"""… unless fewer than this vanish: small calendars change quickly."""


@dataclass(frozen=True, slots=True)
class Removals:
    """What one pull took away so far, this page included, and how much there was when it began."""

    removed: int
    total: int


def trips(removals: Removals) -> bool:
    if removals.removed > MANY:
        return True
    return removals.removed >= FEW and removals.removed > removals.total * SHARE


def sentence(removals: Removals, address: str) -> str:
    return (
        f"{removals.removed} of {removals.total} meetings would disappear at once, so nothing was removed. "
        f"If that is right, allow it with: kalends calendars release {address}"
    )
