"""All-day meetings keep their dates, whatever zone they were made in and whether or not anybody knows it."""

import zoneinfo
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalends.model.event import Zone
from kalends.model.time import Dates, Span
from kalends.providers.exchange.alldays import dates_of

NOWHERE = Zone("Customized Time Zone", None)


def span_of(first: date, until: date, tz: ZoneInfo) -> Span:
    """As Exchange sends it: midnight to midnight in the zone, as instants."""
    start, end = (datetime(day.year, day.month, day.day, tzinfo=tz).astimezone(UTC) for day in (first, until))
    return Span(start, end)


@given(
    st.sampled_from(sorted(zoneinfo.available_timezones() - {"localtime"})),
    st.dates(date(2000, 1, 1), date(2040, 12, 30)),
    st.integers(1, 20),
)
def test_a_known_zone_gives_the_dates_back(iana: str, first: date, days: int) -> None:
    until = first + timedelta(days=days)

    assert dates_of(span_of(first, until, ZoneInfo(iana)), Zone(iana, iana)) == Dates(first, until)


@pytest.mark.parametrize(
    "iana",
    [
        "Europe/Berlin",
        "Europe/London",
        "America/New_York",
        "America/Los_Angeles",
        "Pacific/Honolulu",
        "Asia/Kolkata",
        "Asia/Tokyo",
        "Pacific/Auckland",
        "America/St_Johns",
        "Australia/Adelaide",
        "Asia/Kathmandu",
        "America/Sao_Paulo",
        "Etc/UTC",
    ],
)
@pytest.mark.parametrize("first", [date(2026, 1, 15), date(2026, 7, 15), date(2026, 3, 28), date(2026, 10, 24)])
def test_an_unknown_zone_is_told_by_its_midnights(iana: str, first: date) -> None:
    until = first + timedelta(days=2)

    assert dates_of(span_of(first, until, ZoneInfo(iana)), NOWHERE) == Dates(first, until)


def test_a_zone_that_does_not_fit_the_midnights_is_not_believed() -> None:
    span = span_of(date(2026, 12, 1), date(2026, 12, 2), ZoneInfo("Europe/Berlin"))

    assert dates_of(span, Zone("Tokyo Standard Time", "Asia/Tokyo")) == Dates(date(2026, 12, 1), date(2026, 12, 2))


def test_a_day_that_begins_at_one_oclock_is_that_day() -> None:
    cairo = ZoneInfo("Africa/Cairo")  # summer time begins at midnight
    start = datetime(2026, 4, 24, 1, tzinfo=cairo).astimezone(UTC)
    end = datetime(2026, 4, 25, tzinfo=cairo).astimezone(UTC)

    assert dates_of(Span(start, end), Zone("Egypt Standard Time", "Africa/Cairo")) == Dates(
        date(2026, 4, 24), date(2026, 4, 25)
    )


def test_an_empty_all_day_meeting_lasts_a_day() -> None:
    start = datetime(2026, 11, 20, tzinfo=UTC)

    assert dates_of(Span(start, start), Zone("UTC", "Etc/UTC")) == Dates(date(2026, 11, 20), date(2026, 11, 21))
