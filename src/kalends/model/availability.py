"""Whether a space is free at an instant, until when, and why: a pure function of its meetings and of how fresh they are.

    no calendar, never read, or no proof of being in step for too long ─▶ unknown
    a meeting takes up this instant                                    ─▶ in use
    the next meeting begins within `soon`                              ─▶ starting soon
    else                                                               ─▶ available

Free is only ever said of fresh data. "In use" means booked: nothing here knows whether anybody came.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from kalends.model.event import Event
from kalends.model.time import Span


class State(StrEnum):
    AVAILABLE = "available"
    STARTING_SOON = "starting_soon"
    IN_USE = "in_use"
    UNKNOWN = "unknown"


class Rule(StrEnum):
    """Which of the rules above decided."""

    NO_CALENDAR = "no_calendar"
    NEVER_READ = "never_read"
    STALE = "stale"
    MEETING_NOW = "meeting_now"
    MEETING_SOON = "meeting_soon"
    FREE_UNTIL = "free_until"
    NOTHING_AHEAD = "nothing_ahead"


@dataclass(frozen=True, slots=True)
class Policy:
    stale_after: timedelta = timedelta(seconds=90)
    """On the clock in use: already stretched where it runs faster than life."""
    soon: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Proof:
    """What is known about the data: which calendar it is from and when that was last proved in step."""

    source: str | None
    """The calendar's address. None: the space has no calendar."""
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Meeting:
    """An event with the span it takes up in its space: an all-day event lasts from midnight to midnight there."""

    span: Span
    event: Event


@dataclass(frozen=True, slots=True)
class Availability:
    state: State
    rule: Rule
    proof: Proof
    until: datetime | None
    """When the state ends as far as is known: for "in use" the end of the whole run of meetings without a gap."""
    now: Meeting | None
    next: Meeting | None
    overlapping: int
    """How many more meetings take up this instant: above 0 the space is double-booked."""
    turns_at: datetime | None
    """When a meeting's beginning or end makes this answer different."""
    changes_at: datetime | None
    """The first instant at which this answer is different although nothing changed in the calendar: it turned or grew stale."""


def availability(meetings: Iterable[Meeting], proof: Proof, now: datetime, policy: Policy) -> Availability:
    """The state of a space at `now`. For an unknown state, `now` and `next` are what was last known."""
    busy = sorted((m for m in meetings if _is_busy(m) and m.span.end > now), key=_order)
    current = [m for m in busy if m.span.start <= now]
    ahead = [m for m in busy if m.span.start > now]
    here, next_ = (current[0] if current else None), (ahead[0] if ahead else None)
    doubt = _doubt(proof, now, policy)
    if doubt is not None:
        return Availability(State.UNKNOWN, doubt, proof, None, here, next_, max(0, len(current) - 1), None, None)
    state, rule, until, turn = _decide(busy, here, next_, now, policy)
    changes_at = min(at for at in (turn, _stale_at(proof, policy)) if at is not None)
    return Availability(state, rule, proof, until, here, next_, max(0, len(current) - 1), turn, changes_at)


def meeting(event: Event, zone: ZoneInfo) -> Meeting:
    """The event as its space sees it. A date has no zone of its own, so the wall clock on the door decides."""
    if event.dates is None:
        return Meeting(event.span, event)
    return Meeting(Span(midnight(event.dates.first, zone), midnight(event.dates.until, zone)), event)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Where the day begins: where the clocks skip midnight, at the instant they do so."""
    return datetime.combine(day, time(0), zone).astimezone(UTC)


def _is_busy(candidate: Meeting) -> bool:
    return candidate.event.takes_time and candidate.span.start < candidate.span.end


def _order(candidate: Meeting) -> tuple[datetime, datetime, str]:
    return candidate.span.start, candidate.span.end, candidate.event.item


def _doubt(proof: Proof, now: datetime, policy: Policy) -> Rule | None:
    if proof.source is None:
        return Rule.NO_CALENDAR
    if proof.at is None:
        return Rule.NEVER_READ
    return Rule.STALE if now - proof.at >= policy.stale_after else None


def _stale_at(proof: Proof, policy: Policy) -> datetime:
    assert proof.at is not None, "a state without proof is unknown"
    return proof.at + policy.stale_after


def _decide(
    busy: list[Meeting], here: Meeting | None, next_: Meeting | None, now: datetime, policy: Policy
) -> tuple[State, Rule, datetime | None, datetime | None]:
    """State, rule, until when, and when to look again."""
    if here is not None:
        boundaries = [m.span.end for m in busy] + [m.span.start for m in busy if m.span.start > now]
        return State.IN_USE, Rule.MEETING_NOW, _end_of_run(busy, here), min(boundaries)
    if next_ is None:
        return State.AVAILABLE, Rule.NOTHING_AHEAD, None, None
    start = next_.span.start
    if start - now <= policy.soon:
        return State.STARTING_SOON, Rule.MEETING_SOON, start, start
    return State.AVAILABLE, Rule.FREE_UNTIL, start, start - policy.soon


def _end_of_run(busy: list[Meeting], here: Meeting) -> datetime:
    """The end of the meetings that follow each other without a gap, this one first. `busy` is in order of start."""
    end = here.span.end
    for candidate in busy:
        if candidate.span.start > end:
            break
        end = max(end, candidate.span.end)
    return end
