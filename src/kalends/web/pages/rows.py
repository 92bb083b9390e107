"""One line of the overview per room, and the words above and around the lines. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from kalends.features import words
from kalends.features.displays import about, inside, line, milliseconds
from kalends.features.rooms import RoomView
from kalends.features.timeline import Bar, bars, in_words, place
from kalends.model.availability import Rule, State
from kalends.model.privacy import Audience, Mode


@dataclass(frozen=True, slots=True)
class Moment:
    iso: str
    full: str
    ago: str


@dataclass(frozen=True, slots=True)
class Row:
    id: str
    name: str
    about: str
    state: State
    word: str
    until: str
    why: str
    line_below: str
    search: str
    """What the filter looks through, lower case."""
    now_ms: int
    proof_ms: int
    proof: Moment | None
    changed: Moment | None
    lag: str
    lag_count: str
    bars: tuple[Bar, ...]
    line: str
    gone: str
    day_text: str


def row(room: RoomView, now: datetime) -> Row:
    answer, calendar, zone = room.answer, room.calendar, room.zone
    proof, changed = answer.proof.at, calendar.changed_at if calendar else None
    stands = place(now, zone, now)
    return Row(
        id=room.space.id,
        name=room.space.name,
        about=_about(room),
        state=answer.state,
        word=words.STATE_WORDS[answer.state],
        until=words.until(answer, now, zone),
        why=room.why,
        line_below=_line_below(room, now),
        search=search_text(room),
        now_ms=milliseconds(now),
        proof_ms=milliseconds(proof) if proof else 0,
        proof=moment(proof, now, zone),
        changed=moment(changed, now, zone),
        lag=_lag(room),
        lag_count="64 changes",
        bars=bars(room, Audience.ADMIN, now),
        line=f"{stands:.2f}",
        gone=f"{min(100.0, max(0.0, stands)):.2f}%",
        day_text=in_words(room, Audience.ADMIN, now),
    )


def moment(at: datetime | None, now: datetime, zone: ZoneInfo) -> Moment | None:
    if at is None:
        return None
    iso = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Moment(iso, words.full_moment(at, zone), f"{words.duration(now - at)} ago")


def _about(room: RoomView) -> str:
    account = room.calendar.account.name if room.calendar else "no calendar"
    held = words.privacy(room.mode) if room.calendar and room.mode != Mode.FULL else ""
    return " · ".join(part for part in (inside(room), account, held) if part)


def _line_below(room: RoomView, now: datetime) -> str:
    """What is on, or else what comes, or else why nothing is known."""
    answer = room.answer
    if answer.state is State.UNKNOWN:
        return room.why
    shown = answer.now or answer.next
    if shown is None:
        return "Nothing more today or tomorrow" if answer.rule is Rule.NOTHING_AHEAD else ""
    said = line(room, shown, now, Audience.ADMIN)
    return " · ".join(part for part in (said.when, said.title, said.organizer) if part)


def search_text(room: RoomView) -> str:
    """What the filter looks through, lower case."""
    space = room.space
    account = room.calendar.account.name if room.calendar else ""
    return " ".join((space.name, space.building, about(room), account, words.STATE_WORDS[room.state])).lower()


def _lag(room: RoomView) -> str:
    calendar = room.calendar
    if calendar is None or calendar.lag_p50_ms is None:
        return ""
    return f"{words.lag(calendar.lag_p50_ms)} / {words.lag(calendar.lag_p95_ms)}"
