"""The state of a room: by example for each rule, by property for what must never happen."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalends.model.availability import (
    Availability,
    Meeting,
    Policy,
    Proof,
    Rule,
    State,
    availability,
    meeting,
    midnight,
)
from kalends.model.event import Event, ItemId, Kind, Response, ShowAs, Version
from kalends.model.time import Dates, Span

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
FRESH = Proof("aspen@example.org", NOON)
POLICY = Policy()


def at(minutes: int) -> datetime:
    return NOON + timedelta(minutes=minutes)


def event(start: int, end: int, name: str = "", **facts: object) -> Event:
    span = Span(at(start), at(end))
    base = {"uid": name, "original_start": None, "item": ItemId(name or f"{start}-{end}"), "version": Version("1")}
    return Event(**{**base, "kind": Kind.SINGLE, "span": span, **facts})  # type: ignore[arg-type]


def state(*events: Event, proof: Proof = FRESH, now: datetime = NOON) -> Availability:
    return availability([Meeting(e.span, e) for e in events], proof, now, POLICY)


def test_a_free_room_says_until_when() -> None:
    found = state(event(60, 90))

    assert (found.state, found.rule, found.until) == (State.AVAILABLE, Rule.FREE_UNTIL, at(60))
    assert found.turns_at == at(50), "ten minutes before the meeting it says so"


def test_a_room_without_meetings_is_free_without_end() -> None:
    found = state()

    assert (found.state, found.rule, found.until) == (State.AVAILABLE, Rule.NOTHING_AHEAD, None)
    assert found.changes_at == NOON + POLICY.stale_after, "it changes by growing stale"


def test_ten_minutes_before_a_meeting_it_is_starting_soon() -> None:
    assert state(event(11, 30)).state is State.AVAILABLE
    assert state(event(10, 30)).state is State.STARTING_SOON
    assert state(event(10, 30)).until == at(10)


def test_a_meeting_begins_with_its_first_instant_and_has_ended_at_its_last() -> None:
    assert state(event(0, 30)).state is State.IN_USE
    assert state(event(-30, 0)).state is State.AVAILABLE


def test_meetings_without_a_gap_are_one_stretch_of_use() -> None:
    found = state(event(-10, 30), event(30, 60), event(60, 75), event(90, 120))

    assert found.until == at(75)
    assert found.turns_at == at(30), "the meeting shown changes there"
    assert found.next is not None
    assert found.next.span.start == at(30)


def test_a_long_meeting_that_covers_a_short_one_decides_the_end() -> None:
    assert state(event(-10, 120), event(0, 15)).until == at(120)


def test_a_double_booking_is_counted() -> None:
    found = state(event(-10, 30, "a"), event(-5, 20, "b"), event(-1, 5, "c"))

    assert found.overlapping == 2
    assert found.now is not None
    assert found.now.event.item == "a", "the one that began first is shown"
    assert found.turns_at == at(5)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"show_as": ShowAs.FREE}, "shown as free"),
        ({"is_cancelled": True}, "cancelled"),
        ({"response": Response.DECLINED}, "declined by the room"),
        ({"kind": Kind.SERIES}, "a series takes up no time itself"),
    ],
)
def test_what_never_makes_a_room_busy(facts: dict[str, object], reason: str) -> None:
    found = state(event(-10, 30, **facts), event(5, 20, **facts))

    assert (found.state, found.now, found.next) == (State.AVAILABLE, None, None), reason


@pytest.mark.parametrize("show_as", [s for s in ShowAs if s is not ShowAs.FREE])
def test_every_other_way_to_show_time_does(show_as: ShowAs) -> None:
    assert state(event(-10, 30, show_as=show_as)).state is State.IN_USE


def test_a_meeting_of_no_length_takes_no_time() -> None:
    assert state(event(0, 0), event(5, 5)).rule is Rule.NOTHING_AHEAD


def test_stale_is_unknown_and_keeps_what_was_last_known() -> None:
    old = Proof("aspen@example.org", NOON - timedelta(seconds=90))

    found = state(event(-10, 30), proof=old)

    assert (found.state, found.rule, found.until) == (State.UNKNOWN, Rule.STALE, None)
    assert found.now is not None


def test_just_within_the_limit_is_still_believed() -> None:
    nearly = Proof("aspen@example.org", NOON - timedelta(seconds=89))

    assert state(proof=nearly).state is State.AVAILABLE
    assert state(proof=nearly).changes_at == NOON + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("proof", "rule"), [(Proof(None, None), Rule.NO_CALENDAR), (Proof("aspen@example.org", None), Rule.NEVER_READ)]
)
def test_without_a_calendar_or_a_first_read_nothing_is_known(proof: Proof, rule: Rule) -> None:
    found = state(proof=proof)

    assert (found.state, found.rule) == (State.UNKNOWN, rule)


def test_an_all_day_event_lasts_from_midnight_to_midnight_of_the_room() -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    day = event(0, 0, dates=Dates(date(2026, 11, 24), date(2026, 11, 25)))

    found = meeting(day, tokyo)

    assert found.span == Span(datetime(2026, 11, 23, 15, tzinfo=UTC), datetime(2026, 11, 24, 15, tzinfo=UTC))


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Africa/Cairo", date(2026, 4, 24), 23),  # the clocks skip midnight itself
        ("Asia/Beirut", date(2026, 3, 29), 23),
    ],
)
def test_a_day_is_as_long_as_its_clock_makes_it(zone: str, day: date, hours: int) -> None:
    length = midnight(day + timedelta(days=1), ZoneInfo(zone)) - midnight(day, ZoneInfo(zone))

    assert length == timedelta(hours=hours)


minutes = st.integers(-600, 600)
facts = st.fixed_dictionaries(
    {
        "show_as": st.sampled_from(ShowAs),
        "is_cancelled": st.booleans(),
        "response": st.sampled_from(Response),
        "kind": st.sampled_from(Kind),
    }
)
days = st.lists(st.builds(lambda a, n, f: event(a, a + n, **f), minutes, st.integers(0, 300), facts), max_size=12)
proofs = st.one_of(
    st.just(Proof(None, None)),
    st.just(Proof("aspen@example.org", None)),
    st.builds(lambda s: Proof("aspen@example.org", NOON - timedelta(seconds=s)), st.integers(-10, 300)),
)


@given(days, proofs, minutes)
def test_free_is_never_said_of_stale_data_nor_of_a_taken_instant(
    events: list[Event], proof: Proof, minute: int
) -> None:
    now = at(minute)
    found = state(*events, proof=proof, now=now)

    is_fresh = proof.at is not None and now - proof.at < POLICY.stale_after
    is_taken = any(e.takes_time and now in e.span for e in events)
    assert (found.state is State.UNKNOWN) == (not is_fresh)
    if is_fresh:
        assert (found.state is State.IN_USE) == is_taken


@given(days, minutes)
def test_nothing_changes_before_the_moment_it_names(events: list[Event], minute: int) -> None:
    now = at(minute)
    proof = Proof("aspen@example.org", now)
    found = state(*events, proof=proof, now=now)
    assert found.changes_at is not None
    assert found.changes_at > now

    just_before = state(*events, proof=proof, now=found.changes_at - timedelta(microseconds=1))

    assert just_before == found


@given(days, st.randoms(use_true_random=False))
def test_the_order_in_which_events_come_means_nothing(events: list[Event], rng: object) -> None:
    shuffled = list(events)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]

    first, second = state(*events), state(*shuffled)

    assert (first.state, first.until, first.turns_at, first.overlapping) == (
        second.state,
        second.until,
        second.turns_at,
        second.overlapping,
    )


@given(days, minutes)
def test_free_until_means_free_until_then(events: list[Event], minute: int) -> None:
    now = at(minute)
    found = state(*events, proof=Proof("aspen@example.org", now), now=now)
    if found.state not in (State.AVAILABLE, State.STARTING_SOON) or found.until is None:
        return

    free = Span(now, found.until)

    assert not any(e.takes_time and e.span.start < e.span.end and e.span.overlaps(free) for e in events)
