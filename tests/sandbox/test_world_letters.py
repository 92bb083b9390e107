"""Meeting messages in inboxes and sent items, and what the desk keeps in order besides."""

from dataclasses import replace
from datetime import timedelta

import pytest
from small_world import ANN, BERLIN, BOB, HOUR, MONDAY, OAK, SmallWorld

from kalends_sandbox import folder as folder_module
from kalends_sandbox import letters as letters_module
from kalends_sandbox import series
from kalends_sandbox.actions import Change
from kalends_sandbox.desk import Held, Telling
from kalends_sandbox.item import Html, Item
from kalends_sandbox.recurrence import Daily, Recurrence, Weekly

DAY = timedelta(days=1)


def letters(world, address, folder="inbox"):
    found = world.world.mailbox(address).folders[folder].items.values()
    return [(one.letter.kind, one.subject, one.letter.is_outdated) for one in found if one.letter]


def test_a_request_its_update_and_its_cancellation_lie_in_the_inbox_and_only_the_last_counts():
    world = SmallWorld()
    uid = world.actions.create(ANN, "Plan", MONDAY, MONDAY + HOUR, required=[BOB]).uid
    world.post.settle()
    world.actions.move(ANN, uid, MONDAY + 2 * HOUR)
    world.post.settle()
    world.actions.cancel(ANN, uid)
    world.post.settle()

    assert letters(world, BOB) == [
        ("invitation", "Plan", True),
        ("update", "Plan", True),
        ("cancellation", "Canceled: Plan", False),
    ]


def test_a_letter_about_one_occurrence_leaves_those_about_others_as_they_are():
    world = SmallWorld()
    uid = world.actions.create(
        ANN, "Plan", MONDAY, MONDAY + HOUR, required=[BOB], recurrence=Recurrence(Daily(), MONDAY.date(), count=5)
    ).uid
    for day in (1, 2, 1):
        world.actions.edit(ANN, uid, Change(subject=f"Day {day}"), MONDAY + day * DAY)
    world.post.settle()

    assert letters(world, BOB) == [
        ("invitation", "Plan", False),
        ("update", "Day 1", True),
        ("update", "Day 2", False),
        ("update", "Day 1", False),
    ]


@pytest.mark.parametrize(("processing", "kept"), [("AutoAccept", 0), ("AutoUpdate", 1), ("None", 1)])
def test_a_room_that_answers_clears_its_inbox(processing, kept):
    world = SmallWorld(automate_processing=processing)

    world.actions.create(ANN, "Plan", MONDAY, MONDAY + HOUR, rooms=[OAK])
    world.post.settle()

    assert len(letters(world, OAK)) == kept


def test_a_letter_takes_no_time_and_is_not_the_meeting():
    world = SmallWorld()
    world.actions.create(ANN, "Plan", MONDAY, MONDAY + HOUR, required=[BOB])
    world.post.settle()

    inbox = world.world.mailbox(BOB).folders["inbox"]
    (letter,) = inbox.items.values()
    assert (letter.takes_time, letter.letter.calendar_item_id) == (False, world.only(BOB).item_id)
    assert [one.what for one in world.heard if one.folder is inbox] == ["new_mail"]


def test_the_oldest_letters_go_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr(letters_module, "MAX_LETTERS", 3)
    world = SmallWorld()

    for number in range(5):
        world.actions.create(ANN, str(number), MONDAY, MONDAY + HOUR, required=[BOB])
        world.post.settle()

    inbox = world.world.mailbox(BOB).folders["inbox"]
    assert [one.subject for one in inbox.items.values()] == ["2", "3", "4"]
    assert inbox.unread == 3


def test_what_is_told_to_nobody_is_a_draft_where_one_is_wanted():
    world = SmallWorld()
    ann = world.world.mailbox(ANN)
    uid = world.actions.create(BOB, "Plan", MONDAY, MONDAY + HOUR, required=[ANN]).uid
    world.post.settle()
    held = Held(ann, ann.calendar, ann.calendar.by_uid(uid)[0])

    done = world.actions.desk.respond(held, "Accept", Telling("nobody", ann.folders["drafts"], "Gladly"))
    world.post.settle()

    assert (done.filed.subject, done.filed.body) == ("Accepted: Plan", "Gladly")
    assert world.only(ANN).my_response == "Accept"
    assert world.responses(BOB) == {ANN: "Unknown"}


def test_earlier_versions_are_known_by_their_change_key_for_a_while(monkeypatch):
    monkeypatch.setattr(folder_module, "MAX_VERSIONS", 2)
    calendar = SmallWorld().calendar(ANN)
    versions = [calendar.add(Item(uid="u", subject="0", start=MONDAY, end=MONDAY + HOUR, zone=BERLIN))]
    for number in range(1, 4):
        versions.append(calendar.save(replace(versions[-1], subject=str(number))))

    found = [calendar.version(one.item_id, one.change_key) for one in versions]

    assert [one and one.subject for one in found] == [None, "1", "2", "3"]
    assert calendar.version("another", versions[-2].change_key) is None


def test_the_neighbours_of_an_occurrence_are_those_that_are_left():
    world = SmallWorld()
    uid = world.actions.create(
        ANN, "s", MONDAY, MONDAY + HOUR, recurrence=Recurrence(Daily(), MONDAY.date(), count=5)
    ).uid
    world.actions.remove(ANN, uid, MONDAY + DAY)
    world.actions.move(ANN, uid, MONDAY + 3 * DAY + HOUR, occurrence=MONDAY + 3 * DAY)
    master = world.only(ANN)

    def around(day):
        return [one.start for one in series.neighbours(master, MONDAY + day * DAY)]

    assert around(2) == [MONDAY, MONDAY + 3 * DAY + HOUR]
    assert around(0) == [MONDAY + 2 * DAY]
    assert around(4) == [MONDAY + 3 * DAY + HOUR]


def test_the_days_of_a_week_are_the_same_pattern_in_any_order():
    assert Weekly(("Friday", "Monday")) == Weekly(("Monday", "Friday"))


def test_what_is_somebodys_own_stays_at_home():
    world = SmallWorld()
    uid = world.actions.create(
        ANN, "Plan", MONDAY, MONDAY + HOUR, required=[BOB], categories=("Red",), body=Html("<b>x</b>")
    ).uid
    world.post.settle()
    bob = world.only(BOB)
    world.calendar(BOB).save(replace(bob, categories=("Blue",), has_reminder=True))

    world.actions.edit(ANN, uid, Change(subject="Other"))
    world.post.settle()

    copy = world.only(BOB)
    assert (bob.categories, copy.categories, copy.has_reminder, copy.subject) == ((), ("Blue",), True, "Other")
    assert isinstance(copy.body, Html)
