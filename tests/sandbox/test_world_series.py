"""Series unfolded: wall time across clock changes, exceptions, deletions, first and last, ids."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from small_world import ANN, BERLIN, HOUR, MONDAY, SmallWorld

from kalends_sandbox import series
from kalends_sandbox.actions import Change
from kalends_sandbox.item import Item, Override
from kalends_sandbox.recurrence import Daily, Recurrence, Weekly
from kalends_sandbox.zones import Zone


def daily(start, length=HOUR, zone=BERLIN, **bounds):
    day = start.astimezone(zone.tz).date()
    return Item(
        uid="u", subject="s", item_id="m", start=start, end=start + length, zone=zone,
        recurrence=Recurrence(Daily(), day, **bounds),
    )  # fmt: skip


def at(*parts, zone=BERLIN):
    return datetime(*parts, tzinfo=zone.tz).astimezone(UTC)


def spans(master, since, until):
    return [(one.start, one.end) for one in series.occurrences(master, since, until)]


@pytest.mark.parametrize(
    ("iana", "winter", "summer"),
    [
        ("Europe/Berlin", (2027, 3, 26), (2027, 3, 30)),
        ("America/New_York", (2027, 3, 12), (2027, 3, 16)),
        ("Australia/Lord_Howe", (2027, 4, 2), (2027, 4, 6)),
        ("Africa/Casablanca", (2027, 2, 5), (2027, 2, 9)),
        ("America/Sao_Paulo", (2027, 2, 18), (2027, 2, 22)),
    ],
)
def test_wall_time_stays_the_same_across_clock_changes(iana, winter, summer):
    zone = Zone("any", iana)
    master = daily(at(2026, 11, 2, 9, 30, zone=zone), zone=zone)

    found = list(series.occurrences(master, at(*winter, zone=zone), at(*summer, zone=zone)))

    assert len(found) == 4
    assert {one.start.astimezone(zone.tz).time().isoformat() for one in found} == {"09:30:00"}
    assert {one.end.astimezone(zone.tz).time().isoformat() for one in found} == {"10:30:00"}


def test_a_time_that_the_clock_skips_comes_an_hour_later_and_one_that_comes_twice_the_first_time():
    master = daily(at(2027, 3, 1, 2, 30), timedelta(minutes=15))

    spring = spans(master, at(2027, 3, 28), at(2027, 3, 29))
    autumn = spans(master, at(2027, 10, 31), at(2027, 11, 1))

    assert spring == [(datetime(2027, 3, 28, 1, 30, tzinfo=UTC), datetime(2027, 3, 28, 1, 45, tzinfo=UTC))]
    assert autumn == [(datetime(2027, 10, 31, 0, 30, tzinfo=UTC), datetime(2027, 10, 31, 0, 45, tzinfo=UTC))]


def test_an_end_inside_the_skipped_hour_never_comes_before_its_start():
    master = daily(at(2027, 3, 1, 2, 30), timedelta(minutes=40))

    ((start, end),) = spans(master, at(2027, 3, 28), at(2027, 3, 29))

    assert end - start == timedelta(minutes=40)


def test_an_all_day_series_covers_local_days_of_23_and_25_hours():
    start = at(2027, 3, 27)
    master = daily(start, timedelta(days=1))

    found = spans(master, at(2027, 3, 27, 12), at(2027, 3, 29, 12))

    assert found == [(at(2027, 3, day), at(2027, 3, day + 1)) for day in (27, 28, 29)]
    assert found[1][1] - found[1][0] == timedelta(hours=23)


def test_spans_are_half_open_unless_touching_is_asked_for():
    master = daily(MONDAY, count=1)
    end = MONDAY + HOUR

    assert list(series.occurrences(master, end, end + HOUR)) == []
    assert list(series.occurrences(master, MONDAY - HOUR, MONDAY)) == []
    assert len(list(series.occurrences(master, end, end + HOUR, touching=True))) == 1
    assert len(list(series.occurrences(master, MONDAY - HOUR, MONDAY, touching=True))) == 1


def test_an_exception_moved_out_of_the_window_leaves_it_and_one_moved_in_enters():
    master = daily(MONDAY)
    tuesday, friday = MONDAY + timedelta(days=1), MONDAY + timedelta(days=4)
    master = series.overridden(master, tuesday, Override(start=friday + HOUR, end=friday + 2 * HOUR, subject="moved"))

    on_tuesday = list(series.occurrences(master, tuesday - HOUR, tuesday + 5 * HOUR))
    on_friday = list(series.occurrences(master, friday - HOUR, friday + 5 * HOUR))

    assert on_tuesday == []
    assert sorted((one.subject, one.kind) for one in on_friday) == [("moved", "Exception"), ("s", "Occurrence")]


def test_a_later_change_of_the_series_shows_through_what_an_exception_does_not_say():
    world = SmallWorld()
    item = world.calendar(ANN).add(daily(MONDAY))
    item = world.calendar(ANN).save(series.overridden(item, MONDAY, Override(subject="once")))
    item = world.calendar(ANN).save(replace(item, subject="new", location="Oak"))

    first, second = world.calendar(ANN).view(MONDAY, MONDAY + timedelta(days=2))
    assert (first.subject, first.location) == ("once", "Oak")
    assert (second.subject, second.location) == ("new", "Oak")


def test_first_and_last_occurrence_pass_over_deleted_ones():
    master = daily(MONDAY, count=5)
    starts = [MONDAY + timedelta(days=day) for day in range(5)]
    for start in (starts[0], starts[3], starts[4]):
        master = series.without(master, start)

    first, last = series.first_occurrence(master), series.last_occurrence(master)

    assert (first and first.start, last and last.start) == (starts[1], starts[2])


def test_a_series_of_which_everything_is_deleted_has_no_first_and_no_last():
    master = daily(MONDAY, count=2)
    for start in (MONDAY, MONDAY + timedelta(days=1)):
        master = series.without(master, start)

    assert series.first_occurrence(master) is None
    assert series.last_occurrence(master) is None


def test_a_series_without_end_has_no_last_occurrence():
    assert series.last_occurrence(daily(MONDAY)) is None


def test_an_occurrence_is_found_by_its_id_until_the_pattern_changes():
    world = SmallWorld()
    item = world.actions.create(ANN, "s", MONDAY, MONDAY + HOUR, recurrence=Recurrence(Daily(), date(2026, 11, 23)))
    calendar = world.calendar(ANN)
    second = calendar.view(MONDAY, MONDAY + timedelta(days=3))[1]

    found = calendar.find(second.item_id)
    world.actions.edit(ANN, item.item_id, Change(subject="t"))
    still = calendar.find(second.item_id)
    world.actions.repattern(ANN, item.item_id, Recurrence(Weekly(("Tuesday",)), date(2026, 11, 23)))

    assert found == second
    assert still is not None
    assert still.subject == "t"
    assert calendar.find(second.item_id) is None


def test_more_than_five_years_are_refused():
    with pytest.raises(ValueError, match="five years"):
        list(series.occurrences(daily(MONDAY), MONDAY, MONDAY + timedelta(days=2000)))
