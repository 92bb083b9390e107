"""What a door panel shows: a face, made on the server down to its words, so that nothing private ever reaches a door."""

from dataclasses import dataclass
from datetime import datetime

from kalends.features import words
from kalends.features.rooms import RoomView, day_of
from kalends.features.timeline import Bar, bars, in_words, place
from kalends.model.availability import Meeting, State
from kalends.model.privacy import Audience
from kalends.model.time import micros

NEXT_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Line:
    """One meeting in words."""

    when: str
    title: str
    organizer: str


@dataclass(frozen=True, slots=True)
class Face:
    name: str
    about: str
    zone: str
    state: State
    word: str
    until: str
    why: str
    current: Line | None
    next: tuple[Line, ...]
    next_heading: str
    lost_heading: str
    interrupted: str
    """What the panel says when it stops believing what it shows."""
    last_known: str
    """For when the state is not known: what it was, and that this may have changed."""
    clock: str
    today: str
    now_ms: int
    proof_ms: int
    """0: never in step."""
    turn_ms: int
    """When the panel must have heard of a new state, or stop believing this one; 0: never."""
    proof_at: str
    proof_ago: str
    bars: tuple[Bar, ...]
    line: str
    day_text: str


def face(room: RoomView, now: datetime) -> Face:
    answer, zone, space = room.answer, room.zone, room.space
    proof = answer.proof.at
    shown = room.later[:NEXT_SHOWN]
    return Face(
        name=space.name,
        about=about(room),
        zone=zone.key,
        state=answer.state,
        word=words.STATE_WORDS[answer.state],
        until=words.until(answer, now, zone),
        why=room.why,
        current=line(room, answer.now, now) if answer.now and answer.state is State.IN_USE else None,
        next=tuple(line(room, meeting, now) for meeting in shown),
        next_heading=_heading(room, shown, now),
        lost_heading="Bookings last known",
        interrupted="The connection to the calendar is interrupted. It comes back by itself.",
        last_known=_last_known(room, now),
        clock=words.clock_time(now, zone),
        today=words.day_name(now, zone),
        now_ms=milliseconds(now),
        proof_ms=milliseconds(proof) if proof else 0,
        turn_ms=milliseconds(answer.turns_at) if answer.turns_at else 0,
        proof_at=words.clock_seconds(proof, zone) if proof else "",
        proof_ago=f"{words.duration(now - proof)} ago" if proof else "",
        bars=bars(room, Audience.DISPLAY, now),
        line=f"{place(now, zone, now):.2f}",
        day_text=in_words(room, Audience.DISPLAY, now),
    )


def line(room: RoomView, meeting: Meeting, now: datetime, audience: Audience = Audience.DISPLAY) -> Line:
    shown = room.shown(meeting.event, audience)
    organizer = (shown.organizer.name or shown.organizer.address) if shown.organizer else ""
    return Line(words.stretch_of(meeting.span, meeting.event.dates, now, room.zone), shown.title, organizer)


def about(room: RoomView) -> str:
    """Where the room is and how many it holds."""
    return " · ".join(part for part in (room.space.building, inside(room)) if part)


def inside(room: RoomView) -> str:
    """The same, said inside its building."""
    space = room.space
    floor = f"Floor {space.floor}" if space.floor.isdigit() else space.floor
    seats = "" if space.capacity is None else f"{space.capacity} {'seat' if space.capacity == 1 else 'seats'}"
    return " · ".join(part for part in (floor, seats) if part)


def milliseconds(at: datetime) -> int:
    return micros(at) // 1000


def _heading(room: RoomView, shown: tuple[Meeting, ...], now: datetime) -> str:
    today = day_of(now, room.zone)
    return "Next" if any(m.span.start < today.end for m in shown) else "Nothing more today"


def _last_known(room: RoomView, now: datetime) -> str:
    if room.answer.proof.at is None:
        return ""
    if room.answer.now is None:
        return "When last known, nothing was booked for now. That may have changed."
    return f"When last known, it was booked until {words.moment(room.answer.now.span.end, now, room.zone)}."
