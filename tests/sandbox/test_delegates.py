"""Requests that wait for a room's delegates, and what comes of their word, in every copy."""

from datetime import timedelta

import pytest
from small_world import ANN, BOB, EVE, HOUR, MONDAY, OAK, SmallWorld

from kalends_sandbox.actions import ActionRefused, Change
from kalends_sandbox.recurrence import Daily, Recurrence

DAY = timedelta(days=1)
ASKED = {"all_book_in_policy": False, "all_request_in_policy": True, "resource_delegates": (EVE,)}


def book(world, who=ANN, start=MONDAY, **fields):
    fields.setdefault("rooms", [OAK])
    item = world.actions.create(who, "Plan", start, start + HOUR, body="Notes", **fields)
    world.post.settle()
    return item


def decide(world, meeting, is_granted, **more):
    world.rooms.decide(EVE, OAK, meeting, is_granted, **more)
    world.post.settle()


@pytest.mark.parametrize(("tentative", "shown"), [(True, "Tentative"), (False, "Free")])
def test_a_request_that_waits_is_answered_tentatively_and_forwarded_to_every_delegate(tentative, shown):
    world = SmallWorld(**ASKED | {"resource_delegates": (EVE, BOB)}, tentative_pending_approval=tentative)

    item = book(world)

    waiting = world.only(OAK)
    assert (waiting.show_as, waiting.my_response, waiting.subject, waiting.body) == (shown, "Tentative", "Ann", None)
    assert world.responses(ANN) == {OAK: "Tentative"}
    assert world.notes(ANN) == ["Your request for Oak was received and waits for approval."]
    assert world.notes(EVE) == world.notes(BOB)
    assert world.notes(EVE) == ["This in-policy request for Oak was forwarded to you for approval."]
    assert world.items(EVE) == []
    assert world.only(ANN).uid == item.uid


def test_the_delegates_read_why_a_request_is_outside_policy():
    world = SmallWorld(all_request_out_of_policy=True, resource_delegates=(EVE,), maximum_duration_in_minutes=30)

    book(world)

    assert world.notes(EVE) == [
        "This out-of-policy request for Oak was forwarded to you for approval.\nThe meeting is longer than 30 minutes."
    ]
    assert world.notes(ANN)[0].endswith("longer than 30 minutes.")


@pytest.mark.parametrize(("forward", "delegates"), [(False, (EVE,)), (True, ()), (True, ("gone@small.example",))])
def test_a_request_waits_also_where_nobody_hears_of_it(forward, delegates):
    world = SmallWorld(**ASKED | {"resource_delegates": delegates}, forward_requests_to_delegates=forward)

    book(world)

    assert world.world.mails["forwarded"] == 0
    assert world.responses(ANN) == {OAK: "Tentative"}


def test_an_approved_request_stands_as_the_organizer_meant_it():
    world = SmallWorld(**ASKED)
    item = book(world, show_as="OOF")

    decide(world, item.uid, True, note="Enjoy.")

    assert (world.only(OAK).show_as, world.only(OAK).my_response) == ("OOF", "Accept")
    assert world.responses(ANN) == {OAK: "Accept"}
    assert world.notes(ANN)[-1] == "Eve has approved your request for Oak.\nEnjoy."
    assert world.only(OAK).item_id == world.calendar(OAK).by_uid(item.uid)[0].item_id


def test_a_refused_request_leaves_the_room_and_the_next_may_have_it():
    world = SmallWorld(**ASKED)
    first = book(world)

    decide(world, first.uid, False)
    after = world.items(OAK)
    world.govern(OAK, all_book_in_policy=True)
    book(world, BOB)

    assert after == []
    assert world.responses(ANN) == {OAK: "Decline"}
    assert world.responses(BOB) == {OAK: "Accept"}


@pytest.mark.parametrize(("tentative", "second"), [(True, "Decline"), (False, "Accept")])
def test_what_waits_is_in_the_way_only_where_it_shows_as_tentative(tentative, second):
    world = SmallWorld(
        all_book_in_policy=False, book_in_policy=(BOB,), request_in_policy=(ANN,), resource_delegates=(EVE,),
        tentative_pending_approval=tentative,
    )  # fmt: skip
    book(world, ANN)

    book(world, BOB)

    assert world.responses(ANN) == {OAK: "Tentative"}
    assert world.responses(BOB) == {OAK: second}


def test_a_delegate_may_grant_what_meets_another_booking():
    world = SmallWorld(all_request_out_of_policy=True, resource_delegates=(EVE,))
    book(world, ANN)
    second = book(world, BOB)

    decide(world, second.uid, True)

    assert sorted(one.organizer.name for one in world.items(OAK)) == ["Ann", "Bob"]
    assert {one.my_response for one in world.items(OAK)} == {"Accept"}
    assert world.responses(BOB) == {OAK: "Accept"}


def test_a_room_that_only_updates_is_decided_by_its_delegates_and_tidies_nothing_up():
    world = SmallWorld(automate_processing="AutoUpdate", resource_delegates=(EVE,))
    item = book(world, sensitivity="Private")
    before = world.responses(ANN)

    decide(world, item.uid, True)

    kept = world.only(OAK)
    assert before == {OAK: "Unknown"}
    assert world.world.mails["forwarded"] == 0
    assert (kept.subject, kept.body, kept.sensitivity, kept.show_as) == ("Plan", "Notes", "Normal", "Busy")
    assert world.responses(ANN) == {OAK: "Accept"}


def test_a_delegate_who_is_quicker_than_the_room_has_the_last_word():
    world = SmallWorld(resource_delegates=(EVE,))
    item = world.actions.create(ANN, "Plan", MONDAY, MONDAY + HOUR, rooms=[OAK])
    world.pass_time(2)

    world.rooms.decide(EVE, OAK, item.uid, False)
    world.pass_time(30)

    assert world.items(OAK) == []
    assert world.responses(ANN) == {OAK: "Decline"}
    assert world.world.mails["acceptance"] == 0


def test_of_two_delegates_the_first_decides():
    world = SmallWorld(**ASKED | {"resource_delegates": (EVE, BOB)})
    item = book(world)

    world.rooms.decide(EVE, OAK, item.uid, True)
    world.rooms.decide(BOB, OAK, item.uid, False)
    world.post.settle()

    assert world.responses(ANN) == {OAK: "Accept"}
    assert world.world.mails["refusal"] == 0


def test_an_update_without_new_times_keeps_waiting_in_silence():
    world = SmallWorld(**ASKED, tentative_pending_approval=False)
    item = book(world)

    world.actions.edit(ANN, item.uid, Change(location="Garden"))
    world.post.settle()

    assert (world.only(OAK).location, world.only(OAK).show_as, world.only(OAK).my_response) == (
        "Garden",
        "Free",
        "Tentative",
    )
    assert len(world.notes(EVE)) == 1
    assert len(world.notes(ANN)) == 1


def test_new_times_are_asked_for_anew():
    world = SmallWorld(**ASKED)
    item = book(world)
    decide(world, item.uid, True)

    world.actions.move(ANN, item.uid, MONDAY + 3 * HOUR)
    world.post.settle()

    assert world.only(OAK).my_response == "Tentative"
    assert world.responses(ANN) == {OAK: "Tentative"}
    assert len(world.notes(EVE)) == 2


def test_a_request_taken_back_leaves_nothing_to_decide():
    world = SmallWorld(**ASKED)
    item = book(world)

    world.actions.cancel(ANN, item.uid)
    world.rooms.decide(EVE, OAK, item.uid, True)  # both are on their way; the cancellation was first
    world.post.settle()

    assert world.items(OAK) == []
    assert world.world.mails["acceptance"] == 0


def test_a_delegate_decides_about_one_occurrence():
    world = SmallWorld(resource_delegates=(EVE,), maximum_duration_in_minutes=60, all_request_out_of_policy=True)
    item = book(world, recurrence=Recurrence(Daily(), MONDAY.date(), count=4))
    day = MONDAY + DAY
    world.actions.move(ANN, item.uid, day, day + 2 * HOUR, occurrence=day)
    world.post.settle()
    waiting = [one.my_response for one in world.calendar(OAK).view(MONDAY, MONDAY + 9 * DAY)]

    decide(world, item.uid, True, occurrence=day)

    assert waiting == ["Accept", "Tentative", "Accept", "Accept"]
    assert [one.my_response for one in world.calendar(OAK).view(MONDAY, MONDAY + 9 * DAY)] == ["Accept"] * 4
    (attendee,) = world.only(ANN).exceptions[day].attendees
    assert attendee.response == "Accept"


def test_a_series_that_waits_has_already_lost_its_conflicts_and_its_end():
    world = SmallWorld(
        **ASKED, conflict_percentage_allowed=50, maximum_conflict_instances=5, booking_window_in_days=9,
        enforce_scheduling_horizon=False,
    )  # fmt: skip
    world.actions.create(OAK, "Repair", MONDAY + DAY, MONDAY + DAY + HOUR)
    item = book(world, recurrence=Recurrence(Daily(), MONDAY.date()))

    decide(world, item.uid, True)

    mine = [one.start for one in world.calendar(OAK).view(MONDAY, MONDAY + 50 * DAY) if one.uid == item.uid]
    assert mine == [MONDAY + day * DAY for day in range(10) if day != 1]
    assert world.responses(ANN) == {OAK: "Accept"}


def letters(world, address, folder="inbox"):
    return [item for item in world.world.mailbox(address).folders[folder].items.values() if item.letter is not None]


def test_a_delegate_finds_the_request_in_the_inbox_and_nothing_in_the_calendar():
    world = SmallWorld(**ASKED)

    book(world)

    (letter,) = letters(world, EVE)
    assert (letter.letter.kind, letter.letter.sender.address, letter.subject) == ("forwarded", OAK, "Plan")
    assert letter.body == "This in-policy request for Oak was forwarded to you for approval."
    assert world.items(EVE) == []


@pytest.mark.parametrize(
    ("removed", "left", "gone"), [(True, ["update"], ["invitation"]), (False, ["invitation", "update"], [])]
)
def test_a_room_without_booking_attendant_removes_outdated_requests_if_told_so(removed, left, gone):
    world = SmallWorld(automate_processing="AutoUpdate", remove_old_meeting_messages=removed)
    item = book(world)

    world.actions.move(ANN, item.uid, MONDAY + 3 * HOUR)
    world.post.settle()

    assert [one.letter.kind for one in letters(world, OAK)] == left
    assert [one.letter.kind for one in letters(world, OAK, "deleteditems")] == gone


@pytest.mark.parametrize(
    ("delegate", "room", "meeting", "words"),
    [
        (BOB, OAK, "it", "is no delegate of Oak"),
        ("nobody@small.example", OAK, "it", "is no delegate of Oak"),
        (EVE, OAK, "another", "holds no meeting"),
        (EVE, ANN, "it", "is no room"),
        (EVE, "attic@small.example", "it", "is no room"),
    ],
)
def test_only_a_delegate_decides_and_only_what_is_there(delegate, room, meeting, words):
    world = SmallWorld(**ASKED)
    item = book(world)

    with pytest.raises(ActionRefused, match=words):
        world.rooms.decide(delegate, room, item.uid if meeting == "it" else meeting, True)


def test_what_is_answered_can_not_be_decided_again():
    world = SmallWorld(resource_delegates=(EVE,))
    item = book(world)

    with pytest.raises(ActionRefused, match="already answered"):
        world.rooms.decide(EVE, OAK, item.uid, False)
