"""Rooms that release what nobody checks in to, on the world's clock."""

import asyncio
from datetime import timedelta

import pytest
from small_world import ANN, BOB, HOUR, MONDAY, OAK, SmallWorld

from kalends_sandbox.actions import ActionRefused
from kalends_sandbox.clock import loop_seconds
from kalends_sandbox.recurrence import Daily, Recurrence

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def released(**rules):
    world = SmallWorld(enable_auto_release=True, **rules)
    world.attendant.watch()
    return world


def book(world, who=ANN, start=MONDAY + HOUR, **fields):
    item = world.actions.create(who, "Plan", start, start + HOUR, rooms=[OAK], **fields)
    world.post.settle()
    return item


def at(world, when):
    """The clock jumps there; what is due happens, mail on its way arrives."""
    world.clock.set(when)
    world.post.do_due()
    world.post.settle()


def test_a_meeting_that_nobody_enters_leaves_the_room_after_ten_minutes_and_the_organizer_hears():
    world = released()
    book(world)

    at(world, MONDAY + HOUR + 9.9 * MINUTE)
    before = len(world.items(OAK))
    at(world, MONDAY + HOUR + 10 * MINUTE)

    assert before == 1
    assert world.items(OAK) == []
    assert world.responses(ANN) == {OAK: "Decline"}
    assert world.notes(ANN)[-1] == "Oak was released: nobody checked in within 10 minutes."


def test_a_released_room_can_be_booked_for_the_rest_of_the_hour():
    world = released()
    book(world)
    at(world, MONDAY + HOUR + 12 * MINUTE)

    book(world, BOB, MONDAY + HOUR + 15 * MINUTE)

    assert world.responses(BOB) == {OAK: "Accept"}


@pytest.mark.parametrize("early", [HOUR, -5 * MINUTE])
def test_a_meeting_that_somebody_checks_in_to_keeps_its_room(early):
    world = released()
    item = book(world)
    at(world, MONDAY + HOUR - early)

    world.rooms.check_in(OAK, item.uid)
    at(world, MONDAY + HOUR + 50 * MINUTE)

    assert len(world.items(OAK)) == 1
    assert world.responses(ANN) == {OAK: "Accept"}


def test_the_room_decides_how_long_it_waits_and_whether():
    patient, indifferent = released(post_reservation_max_claim_time_in_minutes=25), SmallWorld()

    for world in (patient, indifferent):
        book(world)
        at(world, MONDAY + HOUR + 24 * MINUTE)
    before = len(patient.items(OAK))
    for world in (patient, indifferent):
        at(world, MONDAY + HOUR + 25 * MINUTE)

    assert before == 1
    assert patient.items(OAK) == []
    assert len(indifferent.items(OAK)) == 1


def test_every_day_of_a_series_is_claimed_for_itself():
    world = released()
    item = book(world, recurrence=Recurrence(Daily(), MONDAY.date(), count=4))

    world.rooms.check_in(OAK, item.uid, MONDAY + HOUR + DAY)
    for day in range(3):
        at(world, MONDAY + day * DAY)
        at(world, MONDAY + day * DAY + HOUR + 11 * MINUTE)

    assert world.only(OAK).deleted == (MONDAY + HOUR, MONDAY + HOUR + 2 * DAY)
    answers = {start: one.attendees[0].response for start, one in world.only(ANN).exceptions.items()}
    assert answers == {MONDAY + HOUR: "Decline", MONDAY + HOUR + 2 * DAY: "Decline"}


def test_a_meeting_moved_to_another_hour_wants_checking_in_again():
    world = released()
    item = book(world)
    world.rooms.check_in(OAK, item.uid)

    world.actions.move(ANN, item.uid, MONDAY + 3 * HOUR)
    world.post.settle()
    at(world, MONDAY + 3 * HOUR + 10 * MINUTE)

    assert world.items(OAK) == []


def test_what_stands_in_a_room_by_its_own_hand_is_not_released():
    world = released()
    world.actions.create(OAK, "Repair", MONDAY + HOUR, MONDAY + 2 * HOUR)

    at(world, MONDAY + HOUR + 30 * MINUTE)

    assert len(world.items(OAK)) == 1


def test_a_meeting_under_way_when_a_room_begins_to_release_counts_as_entered():
    world = SmallWorld()
    book(world, start=MONDAY - HOUR / 2)
    book(world, BOB, start=MONDAY + HOUR)

    world.govern(OAK, enable_auto_release=True)
    at(world, MONDAY + 15 * MINUTE)
    running = len(world.items(OAK))
    at(world, MONDAY + HOUR + 15 * MINUTE)

    assert running == 2
    assert [one.organizer.name for one in world.items(OAK)] == ["Ann"]


def test_a_room_that_no_longer_releases_keeps_what_it_has():
    world = released()
    book(world)

    world.govern(OAK, enable_auto_release=False)
    at(world, MONDAY + HOUR + 30 * MINUTE)

    assert len(world.items(OAK)) == 1


def test_a_clock_set_back_looks_at_the_earlier_day_too():
    world = released()
    book(world, start=MONDAY + HOUR)
    at(world, MONDAY + 5 * HOUR)  # the meeting is over: nothing to release

    at(world, MONDAY)
    at(world, MONDAY + HOUR + 10 * MINUTE)

    assert world.items(OAK) == []


def test_a_clock_that_runs_by_itself_releases_at_the_minute():
    seconds = [0.0]
    world = SmallWorld(monotonic=lambda: seconds[0], enable_auto_release=True)
    world.attendant.watch()
    book(world)

    counts = []
    for minute in (60, 69, 70, 71):
        seconds[0] = minute * 60.0
        world.post.do_due()
        counts.append(len(world.items(OAK)))

    assert counts == [1, 1, 0, 0]


def test_the_post_wakes_for_a_release_as_it_does_for_mail():
    async def run():
        world = SmallWorld(monotonic=loop_seconds, enable_auto_release=True)
        book(world)
        world.attendant.watch()
        world.clock.pace(100_000)  # an hour in a few hundredths of a second
        post = asyncio.get_running_loop().create_task(world.post.run())
        for _ in range(1000):
            if world.responses(ANN) == {OAK: "Decline"}:
                break
            await asyncio.sleep(0.005)
        post.cancel()
        await asyncio.gather(post, return_exceptions=True)
        return world

    world = asyncio.run(run())

    assert world.items(OAK) == []
    assert world.responses(ANN) == {OAK: "Decline"}


def test_settling_the_mail_does_not_release_what_has_not_begun():
    world = released()

    book(world)
    world.post.settle()

    assert len(world.items(OAK)) == 1


def test_many_requests_leave_no_crowd_of_appointments():
    world = released()
    for number in range(50):
        book(world, start=MONDAY + 10 * DAY + number * 2 * HOUR)
        world.pass_time(1)

    assert len(world.post._appointed) <= 3


def test_nobody_checks_in_to_a_meeting_that_is_over_or_not_there():
    world = released()
    item = book(world)

    with pytest.raises(ActionRefused, match="holds no meeting"):
        world.rooms.check_in(OAK, "another")
    at(world, MONDAY + HOUR + 5 * MINUTE)
    world.rooms.check_in(OAK, item.uid)
    at(world, MONDAY + 2 * HOUR)
    with pytest.raises(ActionRefused, match="over"):
        world.rooms.check_in(OAK, item.uid)
