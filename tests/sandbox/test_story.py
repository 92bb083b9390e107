"""The story keeps the demo moving, believably and discreetly."""

import random
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from kalends_sandbox.clock import Clock
from kalends_sandbox.founding import found
from kalends_sandbox.story import Story
from kalends_sandbox.worldfile import load

TUESDAY_NINE = datetime(2026, 11, 24, 8, tzinfo=UTC)


def played(steps, seed=1, start=TUESDAY_NINE):
    """A story told for that many steps, a minute apart, with the post doing its work."""
    founded = found(load("demo"), Clock(start, 1.0, lambda: 0.0), random.Random(seed))
    story = Story(founded.world, founded.actions, random.Random(seed), lambda line: None)
    lines = []
    for _ in range(steps):
        lines.append(story.step())
        founded.world.clock.set(founded.world.clock.now() + timedelta(minutes=1))
        founded.post.do_due()
    founded.post.settle()
    return founded, lines


@pytest.fixture(scope="module")
def day():
    return played(300)


def test_something_happens_nearly_every_time(day):
    _, lines = day

    assert sum(line is not None for line in lines) > 270


def test_every_sort_of_event_is_told(day):
    _, lines = day
    told = " ".join(line for line in lines if line)

    for words in (
        "is booked from",
        "runs on until",
        "is free early",
        "called off",
        "moves from",
        "private now",
        "Today only",
    ):
        assert words in told


def test_no_line_names_a_person_or_a_subject(day):
    founded, lines = day
    told = " ".join(line for line in lines if line)
    subjects = {
        item.subject for person in founded.world.people if person.calendar for item in person.calendar.items.values()
    }

    assert not [person.name for person in founded.world.people if person.name in told]
    assert not [subject for subject in subjects if subject and re.search(rf"\b{re.escape(subject)}\b", told)]


def test_organizers_and_rooms_agree_in_the_end(day):
    founded, _ = day
    world = founded.world
    wrong = []
    for room in world.rooms:
        for copy in room.calendar.items.values():
            organizer = world.mailbox(copy.organizer.address)
            own = [one for one in organizer.calendar.items.values() if one.clean_uid == copy.clean_uid]
            if (
                copy.my_response == "Accept"
                and copy.recurrence is None
                and copy.uid == copy.clean_uid
                and not copy.is_cancelled
            ):
                wrong += [copy] * ([(one.start, one.end) for one in own] != [(copy.start, copy.end)])
    assert wrong == []


def test_no_room_is_taken_twice_by_a_story(day):
    founded, _ = day

    for room in founded.world.rooms:
        taken = [
            item
            for item in room.calendar.view(TUESDAY_NINE - timedelta(hours=2), TUESDAY_NINE + timedelta(hours=12))
            if item.takes_time and not item.is_all_day
        ]
        assert all(one.end <= other.start for one, other in pairwise(taken)), room.name


def test_the_same_seed_tells_the_same_story():
    assert played(40, seed=5)[1] == played(40, seed=5)[1] != played(40, seed=6)[1]


def test_nothing_happens_at_night():
    _, lines = played(20, start=datetime(2026, 11, 24, 1, tzinfo=UTC))

    assert set(lines) == {None}
