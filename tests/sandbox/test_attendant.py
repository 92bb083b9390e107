"""Rooms answer as the resource booking attendant does, setting by setting."""

from datetime import timedelta

import pytest
from small_world import ANN, BOB, ELM, EVE, HOUR, MONDAY, OAK, SmallWorld

from kalends_sandbox.actions import Change
from kalends_sandbox.recurrence import Daily, Recurrence

DAY = timedelta(days=1)


def book(world, who=ANN, start=MONDAY, length=HOUR, **fields):
    return world.actions.create(who, "Plan", start, start + length, rooms=[OAK], body="Notes", **fields)


def daily(count):
    return Recurrence(Daily(), MONDAY.date(), count=count)


def test_a_room_shows_a_request_as_tentative_and_accepts_it_after_a_moment():
    world = SmallWorld()
    book(world, sensitivity="Private")

    world.pass_time(2)
    pending = world.only(OAK)
    world.pass_time(10)
    accepted = world.only(OAK)

    assert (pending.show_as, pending.my_response, pending.subject) == ("Tentative", "NoResponseReceived", "Plan")
    assert (accepted.show_as, accepted.my_response) == ("Busy", "Accept")
    assert (accepted.subject, accepted.body, accepted.sensitivity) == ("Ann", None, "Normal")
    assert accepted.item_id == pending.item_id
    assert world.responses(ANN) == {OAK: "Accept"}
    assert (world.only(ANN).subject, world.only(ANN).body, world.only(ANN).sensitivity) == ("Plan", "Notes", "Private")


@pytest.mark.parametrize(
    ("rules", "subject", "body", "sensitivity"),
    [
        ({"delete_subject": False}, "Ann Plan", None, "Normal"),
        ({"delete_subject": False, "add_organizer_to_subject": False}, "Plan", None, "Normal"),
        ({"add_organizer_to_subject": False}, "", None, "Normal"),
        ({"delete_comments": False, "remove_private_property": False}, "Ann", "Notes", "Private"),
    ],
)
def test_what_a_room_keeps_is_its_own_setting(rules, subject, body, sensitivity):
    world = SmallWorld(**rules)

    book(world, sensitivity="Private")
    world.post.settle()

    kept = world.only(OAK)
    assert (kept.subject, kept.body, kept.sensitivity) == (subject, body, sensitivity)


def test_the_first_request_wins_and_the_later_copy_disappears():
    world = SmallWorld()
    first = book(world, ANN)
    world.pass_time(1)

    book(world, BOB, MONDAY + HOUR / 2)
    world.pass_time(20)

    assert world.only(OAK).uid == first.uid
    assert (world.responses(ANN), world.responses(BOB)) == ({OAK: "Accept"}, {OAK: "Decline"})
    assert world.world.mails["refusal"] == 1
    assert [one.what for one in world.heard if one.mailbox.primary == OAK].count("deleted") == 1


def test_meetings_that_only_touch_do_not_conflict():
    world = SmallWorld()
    book(world, ANN)
    book(world, BOB, MONDAY + HOUR)

    world.post.settle()

    assert len(world.items(OAK)) == 2


@pytest.mark.parametrize("field", [{"show_as": "Free"}])
def test_a_free_booking_is_no_conflict(field):
    world = SmallWorld()
    book(world, ANN, **field)
    world.post.settle()

    book(world, BOB)
    world.post.settle()

    assert world.responses(BOB) == {OAK: "Accept"}


def test_a_meeting_moved_onto_another_is_declined_and_leaves_the_room():
    world = SmallWorld()
    book(world, ANN)
    other = book(world, BOB, MONDAY + 3 * HOUR)
    world.post.settle()

    world.actions.move(BOB, other.uid, MONDAY)
    world.post.settle()

    assert len(world.items(OAK)) == 1
    assert world.responses(BOB) == {OAK: "Decline"}


def test_a_move_that_overtakes_the_decision_is_decided_for_the_new_time_only():
    world = SmallWorld()
    book(world, ANN)
    world.post.settle()
    other = book(world, BOB, MONDAY + 3 * HOUR)
    world.pass_time(2)

    world.actions.move(BOB, other.uid, MONDAY)
    world.pass_time(30)

    assert {one.my_response for one in world.items(OAK)} == {"Accept"}
    assert world.responses(BOB) == {OAK: "Decline"}
    assert world.world.mails["refusal"] == 1


def test_a_request_cancelled_before_the_decision_leaves_nothing():
    world = SmallWorld(add_new_requests_tentatively=False)
    item = book(world)
    world.pass_time(2)

    world.actions.cancel(ANN, item.uid)
    world.pass_time(30)

    assert world.items(OAK) == []
    assert world.world.mails["acceptance"] == 0


def test_a_series_with_one_conflict_is_declined_whole_by_default():
    world = SmallWorld()
    book(world, ANN, MONDAY + DAY)
    world.post.settle()

    book(world, BOB, recurrence=daily(10))
    world.post.settle()

    assert world.responses(BOB) == {OAK: "Decline"}
    assert len(world.items(OAK)) == 1


def test_a_series_within_the_allowed_conflicts_is_accepted_but_for_those():
    world = SmallWorld(conflict_percentage_allowed=20, maximum_conflict_instances=2)
    book(world, ANN, MONDAY + DAY)
    world.post.settle()

    item = book(world, BOB, recurrence=daily(10))
    world.post.settle()

    kept = next(one for one in world.items(OAK) if one.uid == item.uid)
    assert kept.deleted == (MONDAY + DAY,)
    assert world.responses(BOB) == {OAK: "Accept"}
    answers = {one.address: one.response for one in world.only(BOB).exceptions[MONDAY + DAY].attendees}
    assert answers == {OAK: "Decline"}


def test_forty_percent_and_six_instances_allowed_still_decline_five_of_ten():
    world = SmallWorld(conflict_percentage_allowed=40, maximum_conflict_instances=6)
    for day in range(5):
        book(world, ANN, MONDAY + day * DAY)
    world.post.settle()

    book(world, BOB, recurrence=daily(10))
    world.post.settle()

    assert world.responses(BOB) == {OAK: "Decline"}


def test_an_update_that_changes_no_times_does_not_bring_declined_occurrences_back():
    world = SmallWorld(conflict_percentage_allowed=50, maximum_conflict_instances=9)
    book(world, ANN, MONDAY + DAY)
    world.post.settle()
    item = book(world, BOB, recurrence=daily(10))
    world.post.settle()

    world.actions.edit(BOB, item.uid, Change(subject="Other"))
    world.post.settle()

    on_tuesday = world.calendar(OAK).view(MONDAY + DAY, MONDAY + DAY + HOUR)
    assert [one.organizer.name for one in on_tuesday] == ["Ann"]


def test_conflicts_are_allowed_when_the_room_says_so():
    world = SmallWorld(allow_conflicts=True)
    book(world, ANN)
    book(world, BOB, recurrence=daily(3))

    world.post.settle()

    assert len(world.items(OAK)) == 2


@pytest.mark.parametrize(
    ("rules", "booking", "accepted"),
    [
        ({"booking_window_in_days": 30}, {"start": MONDAY + 31 * DAY}, False),
        ({"booking_window_in_days": 30}, {"start": MONDAY + 29 * DAY}, True),
        ({"maximum_duration_in_minutes": 60}, {"length": 2 * HOUR}, False),
        ({"maximum_duration_in_minutes": 0}, {"length": 60 * DAY}, True),
        ({"allow_recurring_meetings": False}, {"recurrence": daily(2)}, False),
        ({"schedule_only_during_work_hours": True}, {"start": MONDAY + 9 * HOUR}, False),
        ({"schedule_only_during_work_hours": True}, {"start": MONDAY + 5 * DAY}, False),
        ({"schedule_only_during_work_hours": True}, {}, True),
        ({}, {"recurrence": Recurrence(Daily(), MONDAY.date())}, False),
    ],
)
def test_a_request_outside_the_rooms_policy_is_declined(rules, booking, accepted):
    world = SmallWorld(**rules)

    book(world, ANN, **booking)
    world.post.settle()

    assert world.responses(ANN) == {OAK: "Accept" if accepted else "Decline"}
    assert len(world.items(OAK)) == int(accepted)


def test_an_endless_series_is_cut_at_the_horizon_where_that_is_not_enforced():
    world = SmallWorld(enforce_scheduling_horizon=False, booking_window_in_days=30)

    book(world, ANN, recurrence=Recurrence(Daily(), MONDAY.date()))
    world.post.settle()

    recurrence = world.only(OAK).recurrence
    assert recurrence is not None
    assert recurrence.end == (MONDAY + 30 * DAY).date()
    assert world.only(ANN).recurrence == Recurrence(Daily(), MONDAY.date())


@pytest.mark.parametrize(("processing", "copies"), [("None", 0), ("AutoUpdate", 1)])
def test_a_room_that_does_not_decide_never_answers(processing, copies):
    world = SmallWorld(automate_processing=processing)

    book(world)
    world.post.settle()

    assert [one.my_response for one in world.items(OAK)] == ["NoResponseReceived"] * copies
    assert world.responses(ANN) == {OAK: "Unknown"}


def test_a_room_may_keep_cancelled_meetings():
    world = SmallWorld(remove_canceled_meetings=False)
    item = book(world)
    world.post.settle()

    world.actions.cancel(ANN, item.uid)
    world.post.settle()

    kept = world.only(OAK)
    assert (kept.subject, kept.is_cancelled, kept.show_as) == ("Canceled: Ann", True, "Free")
    book(world, BOB)
    world.post.settle()
    assert world.responses(BOB) == {OAK: "Accept"}


def test_what_is_written_straight_into_a_room_passes_every_rule_and_then_blocks():
    world = SmallWorld()
    book(world, ANN)
    world.post.settle()

    world.actions.create(OAK, "Repair", MONDAY, MONDAY + HOUR)
    book(world, EVE, MONDAY + HOUR / 2)
    world.post.settle()

    assert len(world.items(OAK)) == 2
    assert world.responses(EVE) == {OAK: "Decline"}


def test_an_unanswered_request_blocks_nobody():
    world = SmallWorld()
    book(world, ANN)
    book(world, BOB)

    world.pass_time(3)
    shown = [(one.show_as, one.my_response) for one in world.items(OAK)]
    world.pass_time(30)

    assert shown == [("Tentative", "NoResponseReceived")] * 2
    assert world.only(OAK).organizer.name == "Ann"


def test_two_rooms_of_one_meeting_answer_each_for_itself():
    world = SmallWorld()
    world.actions.create(ELM, "Repair", MONDAY, MONDAY + HOUR)

    world.actions.create(ANN, "Plan", MONDAY, MONDAY + HOUR, rooms=[OAK, ELM])
    world.post.settle()

    assert world.responses(ANN) == {OAK: "Accept", ELM: "Decline"}
