"""Exchange's XML in the normal form. The payloads beside this file are named by what is special about them."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from kalends.model.event import (
    Attendee,
    Event,
    ItemId,
    Kind,
    Party,
    Response,
    Role,
    Sensitivity,
    ShowAs,
    Unreadable,
    Version,
    Zone,
)
from kalends.model.time import Dates, Span
from kalends.providers.exchange import codec, faults
from kalends.providers.exchange.codec import Changed, Row, Series
from kalends.providers.exchange.soap import T
from providers.exchange_stage import utc
from providers.schema import check

PAYLOADS = Path(__file__).parent / "exchange_payloads"
LASTING = "040000008200E00074C5B7101A82E00800000000D0AD90C15ADC01000000000000000010000000"


def message(name: str) -> etree._Element:
    return faults.only(etree.parse(PAYLOADS / f"{name}.xml").getroot(), None)


def event(name: str) -> Event:
    found = codec.meeting(message(name))
    assert isinstance(found, Event)
    return found


def series(name: str) -> Series:
    found = codec.meeting(message(name))
    assert isinstance(found, Series)
    return found


@pytest.mark.parametrize("path", sorted(PAYLOADS.glob("*.xml")), ids=lambda path: path.stem)
def test_the_payloads_are_what_exchange_may_send(path: Path) -> None:
    check(etree.parse(path).getroot())


def test_a_single_meeting_is_read_whole() -> None:
    found = event("single_with_everything")

    assert found == Event(
        uid=found.uid,
        original_start=None,
        item=ItemId("AAMkAGU0Single="),
        version=Version("DwAAABYAAAB1"),
        kind=Kind.SINGLE,
        span=Span(utc(2026, 11, 20, 9), utc(2026, 11, 20, 10, 30)),
        zone=Zone("W. Europe Standard Time", "Europe/Berlin"),
        lasting_id=found.lasting_id,
        subject="Budget & plans",
        location="Almond",
        description="Bring figures.\nSecond line.",
        organizer=Party("Ada Example", "ada@example.test"),
        attendees=(
            Attendee(Party("Bo Example", "bo@example.test"), Role.REQUIRED, Response.TENTATIVE),
            Attendee(Party("Cy Example", "cy@example.test"), Role.OPTIONAL, Response.NONE),
            Attendee(Party("Almond", "almond@example.test"), Role.RESOURCE, Response.ACCEPTED),
        ),
        show_as=ShowAs.OUT_OF_OFFICE,
        sensitivity=Sensitivity.PRIVATE,
        response=Response.ACCEPTED,
        modified_at=utc(2026, 11, 19, 8, 30),
    )
    assert found.uid.startswith("040000008200E00074C5B7101A82E008")
    assert found.lasting_id is not None
    assert found.lasting_id.startswith("040000008200E00074C5B7101A82E008")


def test_a_meeting_without_subject_organizer_zone_or_length_is_read() -> None:
    found = event("nothing_but_times")

    assert (found.subject, found.organizer, found.location, found.zone) == (None, None, None, Zone("", None))
    assert found.uid == found.item
    assert found.span.start == found.span.end


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("all_day_berlin", Zone("W. Europe Standard Time", "Europe/Berlin")),
        ("all_day_localised_zone", Zone("Mitteleuropäische Zeit", "Europe/Berlin")),
        ("all_day_custom_zone", Zone("tzone://Microsoft/Custom", None)),
        ("all_day_utc_zone", Zone("tzone://Microsoft/Utc", "Etc/UTC")),
        ("all_day_empty_zone", Zone("", None)),
        ("all_day_without_zone", Zone("", None)),
    ],
)
def test_an_all_day_meeting_keeps_its_date_in_any_zone(name: str, zone: Zone) -> None:
    found = event(name)

    assert found.dates == Dates(date(2026, 12, 1), date(2026, 12, 2))
    assert found.zone == zone


def test_a_meeting_cancelled_by_its_state_alone_is_cancelled() -> None:
    found = event("cancelled_by_state_only")

    assert found.is_cancelled
    assert not found.takes_time


def test_an_internal_address_is_nobodys_mail_address() -> None:
    assert event("organizer_with_internal_address").organizer == Party("Ada Example", "")


def test_times_that_run_backwards_are_unreadable_and_their_content_stays_private() -> None:
    found = codec.meeting(message("end_before_start"))

    assert found == Unreadable(ItemId("AAMkAGU0Backwards="), Version("DwAAABYAAAB8"), "End lies before Start.")


def test_a_series_reaches_from_its_first_to_its_last_meeting_exceptions_included() -> None:
    found = series("series_with_exceptions")

    assert found.event.recurrence == "FREQ=WEEKLY;BYDAY=MO;WKST=MO;COUNT=4"
    assert found.reach == Span(utc(2026, 3, 23, 8), utc(2026, 5, 1, 7, 15))
    assert found.starts == {ItemId("AAMkAGU0Moved="): utc(2026, 3, 30, 7)}


def test_an_instance_is_its_series_at_another_time() -> None:
    master = series("series_with_exceptions")
    span = Span(utc(2026, 4, 6, 7), utc(2026, 4, 6, 7, 15))
    row = Row(ItemId("AAMkAGU0Second="), Version("x"), Kind.INSTANCE, span, LASTING)

    found = master.instance(row)

    assert found == replace(
        master.event,
        item=row.item,
        version=row.version,
        kind=Kind.INSTANCE,
        span=span,
        original_start=span.start,
        master=master.event.item,
        recurrence=None,
    )


def test_an_exception_is_known_by_the_uid_of_its_series_and_its_original_start() -> None:
    master = series("series_with_exceptions")

    found = master.exception(event("exception_without_original_start"))

    assert (found.uid, found.original_start) == (master.event.uid, utc(2026, 3, 30, 7))
    assert (found.master, found.lasting_id) == (master.event.item, master.event.lasting_id)
    assert found.subject == "Stand-up, later"


def test_rows_of_a_view_are_read_and_a_bad_one_is_set_aside() -> None:
    found = list(codec.rows(message("view_with_series_and_unreadable")))

    assert [type(each) for each in found] == [Row, Row, Unreadable]
    occurrence, bad = found[1], found[2]
    assert isinstance(occurrence, Row)
    assert isinstance(bad, Unreadable)
    assert occurrence.kind is Kind.INSTANCE
    assert occurrence.lasting_id == series("series_with_exceptions").event.lasting_id
    assert (bad.item, bad.reason) == ("AAMkAGU0NoEnd=", "End is missing.")


def test_a_sync_names_what_changed_and_ignores_read_flags() -> None:
    found = list(codec.changes(message("sync_with_read_flags")))

    assert found == [
        Changed(ItemId("AAMkAGU0New="), Version("a"), is_gone=False),
        Changed(ItemId("AAMkAGU0Changed="), Version("b"), is_gone=False),
        Changed(ItemId("AAMkAGU0NoMeeting="), Version("c"), is_gone=False),
        Changed(ItemId("AAMkAGU0Gone="), Version("d"), is_gone=True),
    ]


@pytest.mark.parametrize(
    ("field", "sent", "read"),
    [
        ("LegacyFreeBusyStatus", sent, read)
        for sent, read in [
            ("Free", ShowAs.FREE),
            ("Tentative", ShowAs.TENTATIVE),
            ("Busy", ShowAs.BUSY),
            ("OOF", ShowAs.OUT_OF_OFFICE),
            ("WorkingElsewhere", ShowAs.ELSEWHERE),
            ("NoData", ShowAs.UNKNOWN),
            ("Dancing", ShowAs.UNKNOWN),
        ]
    ]
    + [
        ("Sensitivity", sent, read)
        for sent, read in [
            ("Normal", Sensitivity.NORMAL),
            ("Personal", Sensitivity.PERSONAL),
            ("Private", Sensitivity.PRIVATE),
            ("Confidential", Sensitivity.CONFIDENTIAL),
            ("TopSecret", Sensitivity.PRIVATE),
        ]
    ]
    + [
        ("MyResponseType", sent, read)
        for sent, read in [
            ("Organizer", Response.ORGANIZER),
            ("Accept", Response.ACCEPTED),
            ("Tentative", Response.TENTATIVE),
            ("Decline", Response.DECLINED),
            ("NoResponseReceived", Response.NONE),
            ("Unknown", Response.NONE),
        ]
    ],
)
def test_each_word_has_its_meaning_and_an_unknown_one_the_careful_one(field: str, sent: str, read: object) -> None:
    content = message("single_with_everything")
    next(content.iter(f"{T}{field}")).text = sent

    found = codec.meeting(content)

    assert isinstance(found, Event)
    assert read in (found.show_as, found.sensitivity, found.response)
    assert {"LegacyFreeBusyStatus": found.show_as, "Sensitivity": found.sensitivity, "MyResponseType": found.response}[
        field
    ] is read


FIELDS = [
    "Start", "End", "IsAllDayEvent", "LegacyFreeBusyStatus", "Sensitivity", "CalendarItemType", "MyResponseType",
    "AppointmentState", "LastModifiedTime", "UID", "Subject", "Location", "Value", "EmailAddress", "ResponseType",
    "NumberOfOccurrences", "StartDate", "DaysOfWeek", "OriginalStart", "StartTimeZone", "Interval",
]  # fmt: skip


@given(
    st.sampled_from(["single_with_everything", "series_with_exceptions", "all_day_berlin"]),
    st.dictionaries(st.sampled_from(FIELDS), st.one_of(st.none(), st.text("aZ09 :-+./TZ=", max_size=30)), max_size=4),
)
def test_whatever_a_field_holds_a_meeting_is_read_or_unreadable(name: str, spoiled: dict[str, str | None]) -> None:
    content = message(name)
    for field, value in spoiled.items():
        for each in list(content.iter(f"{T}{field}")):
            if value is None:
                each.getparent().remove(each)
            else:
                each.text = value

    found = codec.meeting(content)

    assert isinstance(found, Event | Series | Unreadable)


def test_very_long_text_is_cut() -> None:
    content = message("single_with_everything")
    next(content.iter(f"{T}Body")).text = "x" * 500_000
    next(content.iter(f"{T}Subject")).text = "y" * 500_000

    found = codec.meeting(content)

    assert isinstance(found, Event)
    assert len(found.description or "") == codec.DESCRIPTION_CHARACTERS
    assert len(found.subject or "") < 5_000


def test_something_else_than_a_meeting_is_none() -> None:
    content = message("single_with_everything")
    next(content.iter(f"{T}CalendarItem")).tag = f"{T}Message"

    assert codec.meeting(content) is None


def test_an_endless_series_has_no_reach() -> None:
    content = message("series_with_exceptions")
    bounds = next(content.iter(f"{T}NumberedRecurrence"))
    bounds.tag = f"{T}NoEndRecurrence"

    found = codec.meeting(content)

    assert isinstance(found, Series)
    assert found.reach is None
    assert found.event.span.end - found.event.span.start == timedelta(minutes=15)
