"""World files: the shipped ones, everything that can be written, and sentences for what is wrong."""

import random
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from kalends_sandbox import series
from kalends_sandbox.clock import Clock
from kalends_sandbox.crowd import local_part
from kalends_sandbox.founding import found
from kalends_sandbox.place import BookingRules
from kalends_sandbox.recurrence import (
    AbsoluteMonthly,
    AbsoluteYearly,
    Daily,
    RelativeMonthly,
    RelativeYearly,
    Weekly,
)
from kalends_sandbox.verbs import VERBS
from kalends_sandbox.worldfile import WorldFileBroken, load, read
from kalends_sandbox.written import PATTERNS

THURSDAY = datetime(2026, 11, 19, 8, tzinfo=UTC)
SMALL = """
[organization]
name = "Small"
domain = "small.example"
zone = "W. Europe Standard Time"
[[buildings]]
name = "House"
[[rooms]]
name = "Oak"
building = "House"
[[people]]
name = "Ann"
"""

CROWDED = (
    SMALL
    + """
[crowd]
given_names = ["Ada", "Bo"]
surnames = ["Cole", "Dee", "Eek"]
departments = ["Glass", "Paper"]
titles = ["Lead"]
features = ["screen"]
[[sites]]
zone = "Tokyo Standard Time"
buildings = ["East", "West"]
rooms = 27
people = 4
booking = { allow_conflicts = true }
working_hours = { from = "10:00" }
[[sites]]
people = 2
"""
)


def built(text_or_name, start=THURSDAY, seed=1):
    description = load(text_or_name) if "\n" not in text_or_name else read(text_or_name, "small.toml")
    return found(description, Clock(start, 1.0, lambda: 0.0), random.Random(seed))


@pytest.fixture(scope="module")
def demo():
    return built("demo").world


def test_the_demo_has_three_buildings_forty_rooms_and_a_hundred_and_twenty_people(demo):
    assert len(demo.room_lists) == 3
    assert len(demo.rooms) == 40
    assert len(demo.people) == 120
    assert sorted(room for found in demo.room_lists for room in found.rooms) == sorted(r.primary for r in demo.rooms)
    assert all(room.place and room.place.capacity >= 2 for room in demo.rooms)


def busy_share(world, day):
    """How much of the rooms' working hours is taken on a day."""
    taken = total = timedelta()
    for room in world.rooms:
        local = day.astimezone(room.zone.tz).replace(hour=0, minute=0)
        opens = local + timedelta(minutes=room.working_hours.start_minute)
        closes = local + timedelta(minutes=room.working_hours.end_minute)
        reached = opens
        for item in room.calendar.view(opens, closes):
            if item.takes_time and item.end > reached:
                taken += min(item.end, closes) - max(item.start, reached)
                reached = item.end
        total += closes - opens
    return taken / total


@pytest.mark.parametrize("start", [THURSDAY, THURSDAY + timedelta(days=2), datetime(2027, 3, 28, 8, tzinfo=UTC)])
def test_the_demo_is_about_sixty_percent_busy_today_whatever_day_it_is(start):
    world = built("demo", start).world

    assert 0.5 < busy_share(world, start) < 0.72


def test_the_demo_shows_series_of_every_pattern_and_every_sort_of_item(demo):
    items = [item for box in demo.mailboxes if box.calendar for item in box.calendar.items.values()]

    patterns = {type(item.recurrence.pattern) for item in items if item.recurrence}
    assert patterns == {Daily, Weekly, AbsoluteMonthly, RelativeMonthly, AbsoluteYearly, RelativeYearly}
    assert {item.show_as for item in items} >= {"Free", "Tentative", "Busy", "OOF", "WorkingElsewhere"}
    assert {item.sensitivity for item in items} == {"Normal", "Personal", "Private", "Confidential"}
    assert any(item.is_all_day for item in items)
    assert any(item.is_cancelled for item in items)
    assert any(item.exceptions for item in items)
    assert any(item.deleted for item in items)


def test_no_meeting_of_the_demo_is_refused_by_its_room_and_no_room_is_taken_twice(demo):
    for person in demo.people:
        for item in person.calendar.items.values() if person.calendar else ():
            if item.is_organizer:
                assert {one.response for one in item.resources} <= {"Accept"}, item.subject
    for room in demo.rooms:
        days = room.calendar.view(THURSDAY - timedelta(days=9), THURSDAY + timedelta(days=14))
        firm = [item for item in days if item.takes_time and not item.is_all_day]
        assert all(one.end <= other.start for one, other in pairwise(firm)), room.name


def test_nothing_in_the_demo_was_mailed_by_anybody(demo):
    assert not demo.mails


def test_a_world_built_twice_from_one_seed_is_the_same_and_from_another_is_not():
    first, again, other = (built("demo", seed=seed).world for seed in (7, 7, 8))

    def contents(world):
        return [box.calendar.items if box.calendar else None for box in world.mailboxes]

    assert contents(first) == contents(again)
    assert contents(first) != contents(other)


def test_the_smallest_world_has_one_meeting_in_one_room():
    world = built("one-mailbox").world

    (room,) = world.rooms
    (meeting,) = room.calendar.items.values()
    assert (meeting.subject, meeting.my_response) == ("Ada Moreau", "Accept")
    assert world.may_impersonate(world.accounts[0], room)


def test_a_described_series_has_its_exceptions_and_deletions_where_the_file_says():
    world = built(
        SMALL
        + """
[[meetings]]
subject = "Daily"
organizer = "Ann"
at = "09:00"
minutes = 30
rooms = ["Oak"]
series = { pattern = "daily", since = -10, count = 40 }
deleted = [2]
changes = [{ occurrence = 1, at = "11:15", minutes = 45, subject = "Later", sensitivity = "Private" }]
"""
    ).world

    (master,) = world.mailbox("ann@small.example").calendar.items.values()
    first, changed, third = world.mailbox("oak@small.example").calendar.view(THURSDAY, THURSDAY + timedelta(days=3.5))
    assert len(list(series.original_starts(master, THURSDAY - timedelta(days=30), THURSDAY))) >= 10
    assert (first.start.hour, third.start) == (8, THURSDAY + timedelta(days=3))
    assert (changed.start.hour, changed.start.minute, changed.end - changed.start) == (10, 15, timedelta(minutes=45))
    assert changed.kind == "Exception"


def test_a_crowd_has_a_name_an_address_and_a_zone_for_everybody():
    world = built(CROWDED).world

    people = [one for one in world.people if one.name != "Ann"]
    assert len({one.name for one in people}) == 6
    assert {one.primary for one in people} == {f"{one.name.lower().replace(' ', '.')}@small.example" for one in people}
    assert [one.zone.iana for one in people] == ["Asia/Tokyo"] * 4 + ["Europe/Berlin"] * 2
    assert [one.department for one in people] == ["Glass", "Paper"] * 3
    rooms = [one for one in world.rooms if one.name != "Oak"]
    assert [len(one.rooms) for one in world.room_lists] == [1, 14, 13]
    assert rooms[0].primary == "east.101@small.example"
    assert rooms[26].name == "East 2.02"
    assert all(room.place.rules.allow_conflicts and room.working_hours.start_minute == 600 for room in rooms)


def test_everybody_can_be_invited_with_a_star():
    world = built(CROWDED + '[[meetings]]\norganizer = "Ann"\nat = "09:00"\nrequired = ["*"]\nrooms = ["Oak"]\n').world

    (meeting,) = world.mailbox("ann@small.example").calendar.items.values()
    assert len(meeting.required) == 6
    assert all(person.calendar.count == 1 for person in world.people)


def test_made_up_meetings_may_come_back_every_week_and_stay_near():
    filled = CROWDED + '[filling]\nsubjects = ["Plan"]\nseries_percent = 50\nlocal = true\ndays = [0, 20]\n'

    world = built(filled).world

    kinds = set()
    for room in world.rooms:
        items = list(room.calendar.items.values())
        firm = [one for one in room.calendar.view(THURSDAY, THURSDAY + timedelta(days=90)) if one.takes_time]
        assert all(one.end <= other.start for one, other in pairwise(firm)), room.name
        if room.zone.iana == "Asia/Tokyo":
            kinds |= {item.kind for item in items}
            assert {world.mailbox(item.organizer.address).zone for item in items} <= {room.zone}
    assert kinds == {"Single", "RecurringMaster"}


def test_everybody_sees_of_a_calendar_what_the_file_says_and_else_when_it_is_busy():
    world = built(SMALL.replace('building = "House"', 'building = "House"\ndefault_rights = "Reviewer"')).world

    assert [(one.name, one.default_rights) for one in world.mailboxes] == [
        ("Oak", "Reviewer"),
        ("Ann", "AvailabilityOnly"),
    ]


def test_names_become_plain_addresses():
    assert local_part("Zoë Ångström") == "zoe.angstrom"
    assert local_part("Tomás Ó Briain") == "tomas.o.briain"
    assert local_part("Elif Yıldız") == "elif.yildiz"
    assert local_part("Mei-Ling Zhou") == "mei-ling.zhou"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[organization\n", ["small.toml", "line 1"]),
        ("[organization]\ndomain = 'x'\n", ["organization.zone", "is missing"]),
        (SMALL.replace("zone =", "zon ="), ["organization.zone", "is missing"]),
        (SMALL.replace("W. Europe Standard Time", "W. Europe Time"), ["did you mean 'W. Europe Standard Time'"]),
        (SMALL + "capacitiy = 3\n", ["people[1].capacitiy", "unknown key"]),
        (SMALL.replace('building = "House"', 'building = "Shed"'), ["rooms[1].building", "'Shed' is no building"]),
        (SMALL + '[[people]]\nname = "Ann"\n', ["people[2]", "ann@small.example is given twice"]),
        (SMALL + '[[rooms]]\nname = "X"\nbuilding = "House"\ncapacity = 0\n', ["rooms[2].capacity", "from 1 to"]),
        (SMALL + '[[rooms]]\nname = "X"\nbuilding = "House"\ncapacity = "ten"\n', ["capacity", "a whole number"]),
        (SMALL + "[filling]\nbusy_percent = 60\n", ["filling.subjects", "at least one"]),
        (SMALL + '[[meetings]]\norganizer = "Bob"\nat = "9:00"\n', ["meetings[1].at", 'write it like "09:30"']),
        (SMALL + '[[meetings]]\norganizer = "Bob"\nat = "09:00"\n', ["meetings[1]", "no person or room 'Bob'"]),
        (SMALL + '[[meetings]]\norganizer = "Ann"\nat = "09:00"\ndeleted = [1]\n', ["deleted", "only a series"]),
        (
            SMALL + '[[meetings]]\norganizer = "Ann"\nat = "09:00"\nseries = { pattern = "weekly" }\n',
            ["meetings[1].series.days", "needs days"],
        ),
        (
            SMALL + '[[meetings]]\norganizer = "Ann"\nat = "09:00"\nseries = { pattern = "fortnightly" }\n',
            ["series.pattern", "daily, weekly"],
        ),
        (
            SMALL + '[[meetings]]\norganizer = "Ann"\nat = "09:00"\n'
            'series = { pattern = "daily", count = 2 }\ndeleted = [5]\n',
            ["meetings[1]", "outside the series"],
        ),
        (
            SMALL + '[[meetings]]\norganizer = "Ann"\nat = "09:00"\nseries = { pattern = "daily", until = -3 }\n',
            ["meetings[1]", "before it starts"],
        ),
        (SMALL + '[[permissions]]\nuser = "s"\nlevel = "Boss"\n', ["permissions[1].level", "Reviewer"]),
        (SMALL + '[[permissions]]\nuser = "s"\nlevel = "Editor"\n', ["permissions[1].mailboxes", "whose calendars"]),
        (SMALL + '[[applications]]\nclient_id = "a"\n', ["applications[1].secret", "is missing"]),
        (SMALL + '[autodiscover]\ninternal_url = "mbx01"\n', ["autodiscover.internal_url", "is no URL"]),
        (SMALL + '[[accounts]]\nuser = "s"\npassword = "p"\nmailbox = "no@x"\n', ["accounts[1].mailbox", "no mailbox"]),
        (SMALL.replace('name = "Ann"', "name = 3"), ["people[1].name", "text in quotes"]),
        (CROWDED + "[[sites]]\npeople = 1\n", ["crowd", "7 people need as many pairs"]),
        (CROWDED + "[[sites]]\npeople = 20000\n", ["sites", "at most 20000"]),
        (CROWDED + "[[sites]]\nrooms = 1\n", ["sites[3].buildings", "name at least one"]),
        ("rooms = 3\n" + SMALL.replace("[[rooms]]", "[[people]]"), ["rooms", "a list of tables"]),
    ],
)  # fmt: skip
def test_a_broken_file_is_refused_with_the_place_and_what_to_do(text, words):
    with pytest.raises(WorldFileBroken) as refused:
        built(text)

    for word in ("small.toml", *words):
        assert word in str(refused.value)


def test_a_file_that_is_not_there_says_what_there_is(tmp_path):
    with pytest.raises(WorldFileBroken, match="one of: demo, one-mailbox"):
        load(str(tmp_path / "nothing.toml"))


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "world.toml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(WorldFileBroken, match="UTF-8"):
        load(str(tmp_path / "world.toml"))


DOCS = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text("utf-8")


def test_the_world_file_of_the_documentation_is_one():
    text = DOCS.partition("```toml\n")[2].partition("```")[0]
    text = text.replace('room = "Halo", ', "").replace(
        "[[people]]", '[[people]]\nname = "Amara Okafor"\n\n[[people]]', 1
    )

    world = built(text).world

    assert [
        item.subject
        for item in world.mailbox("prism@halden.example").calendar.view(THURSDAY, THURSDAY + timedelta(days=14))
    ]


@pytest.mark.parametrize("word", [*VERBS, *PATTERNS, *(rule.name for rule in fields(BookingRules))])
def test_every_verb_pattern_and_booking_setting_is_documented(word):
    assert f"`{word}`" in DOCS
