"""How far a calendar can be believed: when it was last proved in step, and what is wrong if it isn't. Pure.

Proof is a pull that ended with nothing left to read, or, while the calendar is in sync, a stream that proved itself
alive: had anything changed it would have said so. News that waits to be read ends that proof at the moment it came, and
a calendar in any trouble, or whose last pull failed, lives on its last finished pull alone.
"""

from dataclasses import dataclass
from datetime import datetime

from kalends.model.availability import Policy, Proof

IN_SYNC = "in_sync"
CATCHING_UP = "catching_up"


@dataclass(frozen=True, slots=True)
class AccountFacts:
    id: str
    name: str
    kind: str
    state: str
    reason: str
    since: datetime
    privacy: str
    """The storage mode, P1 or P3."""
    unverified: str = ""
    """Why its server's certificate is not verified, in a sentence; empty when it is."""

    @property
    def trouble(self) -> str:
        """Why its calendars can't be kept in step; empty when they can, whoever answers for their server."""
        is_well = self.state in (IN_SYNC, "new") or (self.reason == self.unverified and self.unverified != "")
        return "" if is_well else self.reason


@dataclass(frozen=True, slots=True)
class CalendarFacts:
    """What the store knows about one calendar's health."""

    id: str
    address: str
    name: str
    account: AccountFacts
    state: str
    reason: str
    since: datetime
    heard_at: datetime | None
    verified_at: datetime | None
    changed_at: datetime | None
    lag_p50_ms: int | None
    lag_p95_ms: int | None
    unreadable: int
    pull_failures: int = 0
    woken_at: datetime | None = None
    """Since when news has been waiting to be read; in the future or None when none has."""
    polling: str = ""
    """Why no stream listens for it, in a sentence; empty where one does, or soon will."""


def proof_of(calendar: CalendarFacts | None) -> Proof:
    if calendar is None:
        return Proof(None, None)
    is_heard = calendar.state == IN_SYNC and not calendar.pull_failures and calendar.heard_at is not None
    heard = [min(at for at in (calendar.heard_at, calendar.woken_at) if at is not None)] if is_heard else []
    proofs = [at for at in (calendar.verified_at, *heard) if at is not None]
    # What a stream heard before the first pull ended proves nothing about data that isn't here yet.
    return Proof(calendar.address, max(proofs) if calendar.verified_at is not None else None)


def is_fresh(calendar: CalendarFacts, now: datetime, policy: Policy) -> bool:
    at = proof_of(calendar).at
    return at is not None and now - at < policy.stale_after


def chosen(ranked: tuple[CalendarFacts, ...], now: datetime, policy: Policy) -> CalendarFacts | None:
    """The calendar that speaks for its space: the first fresh one by rank, else the first."""
    return next((c for c in ranked if is_fresh(c, now, policy)), ranked[0] if ranked else None)


def trouble_of(calendar: CalendarFacts | None) -> str:
    """The reason an admin should read, the account's before the calendar's own; empty when all is well."""
    if calendar is None:
        return ""
    if calendar.account.trouble:
        return calendar.account.trouble
    return calendar.reason if calendar.state != IN_SYNC else ""
