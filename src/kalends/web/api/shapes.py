"""What the API answers with. Field names are the words of docs/glossary.md; instants carry their zone (UTC)."""

from datetime import date
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from kalends.features.freshness import CalendarFacts, proof_of
from kalends.features.rooms import RoomView
from kalends.model.availability import Meeting
from kalends.model.event import Response
from kalends.model.privacy import Audience
from kalends.store.event_rows import key_of

MOST_ATTENDEES = 500
"""In one event: an answer stays readable when a whole company is invited."""


class Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Why(Shape):
    rule: str = Field(description="Which rule decided; stable.")
    text: str = Field(description="The same in a sentence, as panels and pages show it.")
    source: str | None = Field(description="The calendar the answer comes from.")
    at: AwareDatetime | None = Field(description="When that calendar was last proved in step.")


class SpaceShape(Shape):
    id: str
    name: str
    kind: str
    building: str
    floor: str
    capacity: int | None
    zone: str = Field(description="IANA name of the zone of the clock on its door.")
    calendars: list[str] = Field(description="Ids of its calendars, the first healthy one speaks for it.")


class PartyShape(Shape):
    name: str
    address: str


class AttendeeShape(PartyShape):
    role: str
    response: str


class EventShape(Shape):
    id: str = Field(description="Lasting: the `key` of its changes in the feed.")
    title: str = Field(description="Always something to show: the subject, or a word that stands for it.")
    start: AwareDatetime
    end: AwareDatetime
    first: date | None = Field(description="All-day events: the first day …")
    until: date | None = Field(description="… and the day after the last.")
    kind: Literal["single", "series", "instance", "exception"]
    show_as: Literal["free", "tentative", "busy", "oof", "elsewhere", "unknown"]
    response: Literal["organizer", "none", "tentative", "accepted", "declined"]
    takes_time: bool = Field(description="Whether it makes its calendar busy.")
    is_cancelled: bool
    is_private: bool = Field(description="True: what is said of it is when, and nothing else.")
    subject: str | None
    organizer: PartyShape | None
    location: str | None
    description: str | None
    attendees: list[AttendeeShape] = Field(description=f"The first {MOST_ATTENDEES} of them.")
    attendee_count: int = Field(description="How many there are.")
    original_start: AwareDatetime | None


class StateShape(Shape):
    space: str
    state: Literal["available", "starting_soon", "in_use", "unknown"]
    until: AwareDatetime | None = Field(description="When the state ends as far as is known.")
    why: Why
    now: EventShape | None = Field(
        description="The meeting at this instant; if the state is unknown, the last one known."
    )
    next: EventShape | None
    overlapping: int = Field(description="How many more meetings take up this instant; above 0 it is double-booked.")


class Lag(Shape):
    p50_ms: int | None
    p95_ms: int | None


class CalendarShape(Shape):
    id: str
    address: str
    name: str
    account: str
    state: str
    reason: str
    since: AwareDatetime
    proved_at: AwareDatetime | None = Field(description="When it was last proved in step.")
    verified_at: AwareDatetime | None
    heard_at: AwareDatetime | None
    changed_at: AwareDatetime | None
    polling: str = Field(description="Why it is polled, in a sentence; empty where a stream tells of changes.")
    lag: Lag = Field(description="From a change at the provider to its commit here, over the last 64 changes.")
    unreadable: int


class AccountShape(Shape):
    id: str
    kind: str
    name: str
    state: str
    reason: str
    since: AwareDatetime
    privacy: Literal["P1", "P3"] = Field(description="P1: busy or free only. P3: whole meetings.")


class ChangeShape(Shape):
    cursor: str = Field(description="Give it as `after` to go on behind this change.")
    at: AwareDatetime
    kind: str
    calendar: str | None
    key: str
    version: str
    start: AwareDatetime | None = Field(description="Of an event: the earliest start it had before and after …")
    end: AwareDatetime | None = Field(description="… and the latest end.")


class SpacePage(Shape):
    items: list[SpaceShape]
    next: str | None = Field(description="Give it as `cursor` to read on; null at the end.")


class CalendarPage(Shape):
    items: list[CalendarShape]
    next: str | None


class AccountPage(Shape):
    items: list[AccountShape]
    next: str | None


class EventPage(Shape):
    items: list[EventShape]
    next: str | None
    source: str | None = Field(description="The calendar that speaks for the space now; null when it has none.")
    proved_at: AwareDatetime | None = Field(description="When that calendar was last proved in step.")
    trouble: str = Field(description="What is wrong with it, and what to do; empty when all is well.")


class ChangePage(Shape):
    items: list[ChangeShape]
    cursor: str = Field(description="Give it as `after` next time, even when nothing was new.")


class Check(Shape):
    name: str
    ok: bool
    detail: str


class Readiness(Shape):
    ready: bool
    checks: list[Check]


class Liveness(Shape):
    alive: Literal[True]


class Version(Shape):
    name: Literal["kalends"]
    version: str


Id = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.:@-]+$")]


def event_shape(room: RoomView, meeting: Meeting) -> EventShape:
    assert room.calendar is not None, "meetings come from a calendar"
    shown = room.shown(meeting.event, Audience.API)
    organizer = PartyShape(name=by.name, address=by.address) if (by := shown.organizer) else None
    return EventShape(
        id=key_of(room.calendar.id, meeting.event),
        title=shown.title,
        start=meeting.span.start,
        end=meeting.span.end,
        first=shown.dates.first if shown.dates else None,
        until=shown.dates.until if shown.dates else None,
        kind=shown.kind.value,
        show_as=shown.show_as.value,
        response=Response(shown.response).value,
        takes_time=shown.takes_time,
        is_cancelled=shown.is_cancelled,
        is_private=shown.is_private,
        subject=shown.subject,
        organizer=organizer,
        location=shown.location,
        description=shown.description,
        attendees=[
            AttendeeShape(name=a.party.name, address=a.party.address, role=a.role, response=a.response)
            for a in shown.attendees[:MOST_ATTENDEES]
        ],
        attendee_count=len(shown.attendees),
        original_start=shown.original_start,
    )


def state_shape(room: RoomView) -> StateShape:
    answer = room.answer

    def shaped(meeting: Meeting | None) -> EventShape | None:
        return event_shape(room, meeting) if meeting else None

    return StateShape(
        space=room.space.id,
        state=answer.state.value,
        until=answer.until,
        why=Why(rule=answer.rule, text=room.why, source=answer.proof.source, at=answer.proof.at),
        now=shaped(answer.now),
        next=shaped(answer.next),
        overlapping=answer.overlapping,
    )


def calendar_shape(calendar: CalendarFacts) -> CalendarShape:
    return CalendarShape(
        id=calendar.id,
        address=calendar.address,
        name=calendar.name,
        account=calendar.account.id,
        state=calendar.state,
        reason=calendar.reason,
        since=calendar.since,
        proved_at=proof_of(calendar).at,
        verified_at=calendar.verified_at,
        heard_at=calendar.heard_at,
        changed_at=calendar.changed_at,
        polling=calendar.polling,
        lag=Lag(p50_ms=calendar.lag_p50_ms, p95_ms=calendar.lag_p95_ms),
        unreadable=calendar.unreadable,
    )
