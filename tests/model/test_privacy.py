"""Nobody learns from a view what they may not: canaries in every field, for every audience and storage mode."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalends.model.event import Attendee, Event, ItemId, Kind, Party, Role, Sensitivity, Version, Zone
from kalends.model.privacy import BOOKED, PRIVATE, UNTITLED, Audience, Mode, keep, keep_at, view
from kalends.model.time import Span

START = datetime(2026, 11, 23, 9, tzinfo=UTC)
CANARY = "CANARY"
modes = st.sampled_from([*Mode, "P9", ""])
audiences = st.sampled_from(Audience)
sensitivities = st.sampled_from(Sensitivity)
text = st.one_of(st.none(), st.just(""), st.just(CANARY), st.text(max_size=8).map(lambda s: s + CANARY))


@st.composite
def events(draw: st.DrawFn) -> Event:
    organizer = draw(st.one_of(st.none(), st.just(Party(f"{CANARY} Name", f"{CANARY}@example.org"))))
    return Event(
        uid="uid-1",
        original_start=draw(st.one_of(st.none(), st.just(START))),
        item=ItemId("item-1"),
        version=Version("1"),
        kind=draw(st.sampled_from(Kind)),
        span=Span(START, START + timedelta(hours=1)),
        zone=Zone(f"{CANARY} Time", "Europe/Berlin"),
        subject=draw(text),
        location=draw(text),
        description=draw(text),
        organizer=organizer,
        attendees=(Attendee(Party(f"{CANARY} Guest", f"{CANARY}@guest.example"), Role.REQUIRED),),
        sensitivity=draw(sensitivities),
        recurrence=CANARY,
    )


@given(events(), audiences, modes)
def test_a_private_meeting_says_when_and_nothing_else(event: Event, audience: Audience, mode: str) -> None:
    shown = view(event, audience, mode)

    if event.is_private:
        assert CANARY not in repr(shown)
        assert shown.title == PRIVATE
    assert shown.span == event.span


@given(events(), audiences)
def test_busy_only_accounts_show_nothing_of_the_content(event: Event, audience: Audience) -> None:
    shown = view(event, audience, Mode.BUSY_ONLY)

    assert CANARY not in repr(shown)
    assert shown.title in (PRIVATE, BOOKED)


@given(events(), modes)
def test_logs_never_hold_content(event: Event, mode: str) -> None:
    assert CANARY not in repr(view(event, Audience.LOG, mode))


@given(events())
def test_a_door_shows_subject_and_name_but_no_address_text_or_guests(event: Event) -> None:
    shown = view(event, Audience.DISPLAY, Mode.FULL)

    assert shown.description is None
    assert shown.location is None
    assert shown.attendees == ()
    assert "@example.org" not in repr(shown)


@given(events())
def test_an_unknown_mode_shows_as_little_as_the_most_careful_one(event: Event) -> None:
    assert view(event, Audience.ADMIN, "P9") == view(event, Audience.ADMIN, Mode.BUSY_ONLY)


@given(events(), st.sampled_from([Mode.BUSY_ONLY.value, "P9", ""]))
def test_what_busy_only_keeps_holds_no_content(event: Event, mode: str) -> None:
    kept = keep(event, mode)

    assert CANARY not in repr(kept)
    assert kept.is_private == event.is_private
    assert kept.takes_time == event.takes_time
    assert (kept.uid, kept.item, kept.version, kept.span) == (event.uid, event.item, event.version, event.span)
    assert keep(kept, mode) == kept


@given(events())
def test_pass_through_keeps_even_less(event: Event) -> None:
    kept = keep(event, Mode.PASS_THROUGH)

    assert CANARY not in repr(kept)
    assert kept.zone == Zone("", None)
    assert (kept.takes_time, kept.is_private, kept.span) == (event.takes_time, event.is_private, event.span)


@given(events(), st.booleans())
def test_minimal_keeps_who_and_what_of_a_meeting_until_it_is_over(event: Event, is_over: bool) -> None:
    kept = keep_at(event, Mode.MINIMAL, event.span.end if is_over else event.span.start)

    may_hold = not is_over and not event.is_private and event.kind is not Kind.SERIES
    assert (kept.subject, kept.organizer) == ((event.subject, event.organizer) if may_hold else (None, None))
    assert CANARY not in repr(replace(kept, subject=None, organizer=None))


@given(events())
def test_minimal_shows_who_and_what_and_no_more(event: Event) -> None:
    shown = view(event, Audience.ADMIN, Mode.MINIMAL)

    assert (shown.location, shown.description, shown.attendees) == (None, None, ())
    if not event.is_private:
        assert (shown.subject, shown.organizer) == (event.subject, event.organizer)


def test_a_forgotten_meeting_is_booked_and_no_more() -> None:
    event = Event("u", None, ItemId("i"), Version("1"), Kind.SINGLE, Span(START, START))

    assert view(event, Audience.ADMIN, Mode.MINIMAL).title == BOOKED


@given(events(), events(), audiences, modes)
def test_details_read_at_this_moment_are_shown_in_pass_through_alone_and_never_on_doors(
    event: Event, details: Event, audience: Audience, mode: str
) -> None:
    bare = keep(event, Mode.PASS_THROUGH)

    shown = view(bare, audience, mode, details)

    may_see = mode == Mode.PASS_THROUGH and audience in (Audience.ADMIN, Audience.API)
    if may_see and not (event.is_private or details.is_private):
        assert (shown.subject, shown.organizer, shown.location) == (
            details.subject,
            details.organizer,
            details.location,
        )
        assert (shown.description, shown.attendees) == (details.description, details.attendees)
    else:
        assert CANARY not in repr(shown)
    assert shown.span == event.span


@given(events())
def test_without_details_pass_through_shows_what_busy_only_shows(event: Event) -> None:
    assert view(event, Audience.ADMIN, Mode.PASS_THROUGH) == view(event, Audience.ADMIN, Mode.BUSY_ONLY)


@given(events())
def test_full_keeps_everything(event: Event) -> None:
    assert keep(event, Mode.FULL) == event


@pytest.mark.parametrize("subject", [None, "", "   "])
def test_a_meeting_without_a_subject_still_has_a_title(subject: str | None) -> None:
    event = Event("u", None, ItemId("i"), Version("1"), Kind.SINGLE, Span(START, START), subject=subject)

    assert view(event, Audience.ADMIN, Mode.FULL).title == UNTITLED


def test_every_field_of_an_event_was_thought_of() -> None:
    """A field added to Event must be given to `view` and `keep` on purpose."""
    known = (
        "uid original_start item version kind span dates zone master lasting_id subject location description organizer "
        "attendees show_as sensitivity is_cancelled response recurrence modified_at"
    )

    assert {field.name for field in fields(Event)} == set(known.split())
