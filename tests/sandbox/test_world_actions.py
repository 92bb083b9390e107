"""What people do in Outlook, and what becomes of everybody's copy."""

from datetime import timedelta

import pytest
from small_world import ANN, BERLIN, BOB, ELM, EVE, HOUR, MONDAY, OAK, SmallWorld

from kalends_sandbox.actions import ActionRefused, Change
from kalends_sandbox.recurrence import Daily, Recurrence, Weekly

DAY = timedelta(days=1)
DAILY = Recurrence(Daily(), MONDAY.date(), count=60)


def met(world, **fields):
    """Ann meets Bob in Oak on Monday at nine; everything has settled and Bob has accepted."""
    item = world.actions.create(ANN, "Plan", MONDAY, MONDAY + HOUR, rooms=[OAK], required=[BOB], **fields)
    world.post.settle()
    world.actions.respond(BOB, item.uid, "Accept")
    world.post.settle()
    return item.uid


def test_everybody_has_a_copy_of_their_own_with_one_uid():
    world = SmallWorld()

    uid = met(world)

    copies = [world.only(address) for address in (ANN, BOB, OAK)]
    assert {one.uid for one in copies} == {uid}
    assert len({one.item_id for one in copies}) == 3
    assert [one.my_response for one in copies] == ["Organizer", "Accept", "Accept"]
    assert world.responses(ANN) == {BOB: "Accept", OAK: "Accept"}
    assert world.only(ANN).location == "Oak"
    assert dict(world.world.mails) == {"invitation": 2, "acceptance": 2}


def test_an_invited_person_sees_the_meeting_as_tentative_until_it_is_answered():
    world = SmallWorld()

    item = world.actions.create(ANN, "Plan", MONDAY, MONDAY + HOUR, required=[BOB])
    world.post.settle()
    unanswered = world.only(BOB)
    world.actions.respond(BOB, item.uid, "Accept")

    assert (unanswered.show_as, unanswered.my_response) == ("Tentative", "NoResponseReceived")
    assert (world.only(BOB).show_as, world.only(BOB).my_response) == ("Busy", "Accept")


def test_a_declined_copy_goes_to_deleted_items_and_the_organizer_is_told():
    world = SmallWorld()
    item = world.actions.create(ANN, "Plan", MONDAY, MONDAY + HOUR, required=[BOB])
    world.post.settle()

    world.actions.respond(BOB, item.uid, "Decline")
    world.post.settle()

    assert world.items(BOB) == []
    assert world.world.mailbox(BOB).folders["deleteditems"].count == 1
    assert world.responses(ANN) == {BOB: "Decline"}


def test_new_times_reach_everybody_and_ask_for_a_new_answer():
    world = SmallWorld()
    uid = met(world)
    before = {address: world.only(address).item_id for address in (ANN, BOB, OAK)}

    world.actions.move(ANN, uid, MONDAY + 2 * HOUR)
    world.post.settle()

    assert {world.only(address).start for address in (ANN, BOB, OAK)} == {MONDAY + 2 * HOUR}
    assert {address: world.only(address).item_id for address in (ANN, BOB, OAK)} == before
    assert world.only(BOB).my_response == "NoResponseReceived"
    assert world.responses(ANN) == {BOB: "Unknown", OAK: "Accept"}
    assert world.only(ANN).sequence == 1


def test_a_new_subject_leaves_every_answer_as_it_was():
    world = SmallWorld()
    uid = met(world)

    world.actions.edit(ANN, uid, Change(subject="Better plan"))
    world.post.settle()

    assert world.only(BOB).subject == "Better plan"
    assert world.responses(ANN) == {BOB: "Accept", OAK: "Accept"}
    assert (world.only(BOB).my_response, world.only(OAK).my_response) == ("Accept", "Accept")
    assert world.world.mails["acceptance"] == 2


def test_another_room_is_invited_and_the_former_one_let_go():
    world = SmallWorld()
    uid = met(world)

    world.actions.edit(ANN, uid, Change(rooms=[ELM]))
    world.post.settle()

    assert world.items(OAK) == []
    assert world.only(ELM).my_response == "Accept"
    assert world.only(ANN).location == "Elm"
    assert world.responses(ANN) == {BOB: "Accept", ELM: "Accept"}


def test_a_cancelled_meeting_is_gone_here_marked_there_and_the_room_is_free():
    world = SmallWorld()
    uid = met(world)

    world.actions.cancel(ANN, uid)
    world.post.settle()

    assert world.items(ANN) == []
    assert world.items(OAK) == []
    copy = world.only(BOB)
    assert (copy.subject, copy.is_cancelled, copy.show_as) == ("Canceled: Plan", True, "Free")
    assert world.world.mails["cancellation"] == 2


def test_only_the_organizer_cancels():
    world = SmallWorld()
    uid = met(world)

    with pytest.raises(ActionRefused, match="organizer"):
        world.actions.cancel(BOB, uid)


def test_a_change_of_ones_own_copy_stays_with_oneself():
    world = SmallWorld()
    uid = met(world)

    world.actions.edit(BOB, uid, Change(subject="Mine", sensitivity="Private"))
    world.post.settle()

    assert world.only(BOB).subject == "Mine"
    assert (world.only(ANN).subject, world.only(ANN).sensitivity) == ("Plan", "Normal")


def test_removing_a_copy_tells_nobody():
    world = SmallWorld()
    uid = met(world)
    mails = dict(world.world.mails)

    world.actions.remove(BOB, uid)
    world.actions.remove(OAK, uid, hard=True)
    world.post.settle()

    assert (world.items(BOB), world.items(OAK)) == ([], [])
    assert world.responses(ANN) == {BOB: "Accept", OAK: "Accept"}
    assert dict(world.world.mails) == mails


def test_one_occurrence_moves_for_everybody():
    world = SmallWorld()
    uid = met(world, recurrence=DAILY)

    world.actions.move(ANN, uid, MONDAY + DAY + 3 * HOUR, occurrence=MONDAY + DAY)
    world.post.settle()

    for address in (ANN, BOB, OAK):
        starts = [one.start for one in world.calendar(address).view(MONDAY, MONDAY + 3 * DAY)]
        assert starts == [MONDAY, MONDAY + DAY + 3 * HOUR, MONDAY + 2 * DAY]
        assert set(world.only(address).exceptions) == {MONDAY + DAY}


def test_one_occurrence_called_off_is_deleted_at_organizer_and_room_and_marked_at_the_attendee():
    world = SmallWorld()
    uid = met(world, recurrence=DAILY)

    world.actions.cancel(ANN, uid, MONDAY + DAY)
    world.post.settle()

    assert world.only(ANN).deleted == world.only(OAK).deleted == (MONDAY + DAY,)
    marked = world.calendar(BOB).view(MONDAY + DAY, MONDAY + 2 * DAY)[0]
    assert (marked.kind, marked.is_cancelled, marked.subject) == ("Exception", True, "Canceled: Plan")


def test_one_occurrence_in_another_room_reaches_that_room_as_a_single_meeting():
    world = SmallWorld()
    uid = met(world, recurrence=DAILY)

    world.actions.edit(ANN, uid, Change(rooms=[ELM]), MONDAY + DAY)
    world.post.settle()

    alone = world.only(ELM)
    assert (alone.kind, alone.start, alone.my_response) == ("Single", MONDAY + DAY, "Accept")
    assert alone.uid != uid
    assert alone.clean_uid == uid
    assert world.only(OAK).deleted == (MONDAY + DAY,)
    answers = {one.address: one.response for one in world.only(ANN).exceptions[MONDAY + DAY].attendees}
    assert answers[ELM] == "Accept"
    assert world.responses(ANN)[OAK] == "Accept"


def test_who_joins_a_series_later_joins_its_exceptions_too_but_not_a_room_let_go():
    world = SmallWorld()
    uid = met(world, recurrence=DAILY)
    world.actions.respond(BOB, uid, "Decline", MONDAY + DAY)
    world.post.settle()

    world.actions.edit(ANN, uid, Change(required=[BOB, EVE], rooms=[]))
    world.post.settle()

    assert {one.address for one in world.only(ANN).exceptions[MONDAY + DAY].attendees} == {BOB, EVE}
    assert len(world.calendar(EVE).view(MONDAY, MONDAY + 3 * DAY)) == 3
    assert world.items(OAK) == []


def test_an_occurrence_one_is_not_invited_to_does_not_come_back_with_an_update():
    world = SmallWorld()
    uid = world.actions.create(ANN, "Plan", MONDAY, MONDAY + HOUR, required=[BOB], recurrence=DAILY).uid
    world.actions.edit(ANN, uid, Change(required=[EVE]), MONDAY + DAY)
    world.post.settle()

    starts = [one.start for one in world.calendar(BOB).view(MONDAY, MONDAY + 3 * DAY) if not one.is_cancelled]
    world.actions.edit(ANN, uid, Change(subject="Better plan"))
    world.post.settle()

    assert starts == [MONDAY, MONDAY + 2 * DAY]
    assert [one.start for one in world.calendar(BOB).view(MONDAY, MONDAY + 3 * DAY)] == starts


def test_a_room_invited_to_one_occurrence_is_let_go_with_the_series():
    world = SmallWorld()
    uid = met(world, recurrence=DAILY)
    world.actions.edit(ANN, uid, Change(rooms=[ELM]), MONDAY + DAY)
    world.post.settle()

    world.actions.cancel(ANN, uid)
    world.post.settle()

    assert (world.items(OAK), world.items(ELM)) == ([], [])


def test_a_new_pattern_drops_exceptions_and_deletions_everywhere():
    world = SmallWorld()
    uid = met(world, recurrence=DAILY)
    world.actions.edit(ANN, uid, Change(subject="Once"), MONDAY + DAY)
    world.actions.cancel(ANN, uid, MONDAY + 2 * DAY)
    world.post.settle()
    old = [one.item_id for one in world.calendar(OAK).view(MONDAY, MONDAY + 7 * DAY)]

    world.actions.repattern(ANN, uid, Recurrence(Weekly(("Monday", "Wednesday")), MONDAY.date(), count=4))
    world.post.settle()

    for address in (ANN, BOB, OAK):
        master = world.only(address)
        assert (dict(master.exceptions), master.deleted) == ({}, ())
        assert [one.start for one in world.calendar(address).view(MONDAY, MONDAY + 14 * DAY)] == [
            MONDAY + offset * DAY for offset in (0, 2, 7, 9)
        ]
    assert not set(old) & {one.item_id for one in world.calendar(OAK).view(MONDAY, MONDAY + 7 * DAY)}


def test_a_series_starts_with_the_first_date_of_its_pattern():
    world = SmallWorld()

    item = world.actions.create(
        ANN, "s", MONDAY, MONDAY + HOUR, recurrence=Recurrence(Weekly(("Friday",)), MONDAY.date())
    )

    assert item.start == MONDAY + 4 * DAY
    assert world.calendar(ANN).view(MONDAY, MONDAY + 14 * DAY)[0].start == item.start


def test_one_private_occurrence_is_private_and_the_others_are_not():
    world = SmallWorld(remove_private_property=False)
    uid = met(world, recurrence=DAILY)

    world.actions.edit(ANN, uid, Change(sensitivity="Private"), MONDAY + DAY)
    world.post.settle()

    for address in (ANN, BOB, OAK):
        found = [one.sensitivity for one in world.calendar(address).view(MONDAY, MONDAY + 3 * DAY)]
        assert found == ["Normal", "Private", "Normal"]


def test_an_answer_to_one_occurrence_is_noted_for_that_one():
    world = SmallWorld()
    uid = met(world, recurrence=DAILY)

    world.actions.respond(BOB, uid, "Decline", MONDAY + DAY)
    world.post.settle()

    assert world.only(BOB).deleted == (MONDAY + DAY,)
    answers = {one.address: one.response for one in world.only(ANN).exceptions[MONDAY + DAY].attendees}
    assert answers == {BOB: "Decline", OAK: "Accept"}
    assert world.responses(ANN)[BOB] == "Accept"


def test_an_all_day_meeting_covers_the_local_day():
    world = SmallWorld()
    start = MONDAY.astimezone(BERLIN.tz).replace(hour=0)

    world.actions.create(ANN, "s", start, start + DAY, is_all_day=True, rooms=[OAK])
    world.post.settle()

    assert (world.only(OAK).is_all_day, world.only(OAK).start, world.only(OAK).end) == (True, start, start + DAY)


def test_somebody_outside_is_mailed_and_nothing_else_happens():
    world = SmallWorld()

    world.actions.create(ANN, "s", MONDAY, MONDAY + HOUR, required=["guest@elsewhere.example"])
    world.post.settle()

    assert world.world.mails["invitation"] == 1
    assert world.only(ANN).required[0].address == "guest@elsewhere.example"


@pytest.mark.parametrize(
    ("deed", "word"),
    [
        (lambda world: world.actions.create("who@small.example", "s", MONDAY, MONDAY), "no mailbox"),
        (lambda world: world.actions.create(ANN, "s", MONDAY, MONDAY - HOUR), "end before it starts"),
        (lambda world: world.actions.move(ANN, "nothing", MONDAY), "holds no meeting"),
        (lambda world: world.actions.respond(ANN, met(world), "Accept"), "nothing to answer"),
        (lambda world: world.actions.cancel(ANN, met(world), MONDAY), "no occurrence"),
        (lambda world: world.actions.repattern(ANN, met(world), DAILY), "Only a series"),
        (
            lambda world: world.actions.create(
                EVE, "s", MONDAY, MONDAY + HOUR,
                recurrence=Recurrence(Weekly(("Friday",)), MONDAY.date(), end=MONDAY.date()),
            ),
            "No date fits",
        ),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_a_sentence(deed, word):
    with pytest.raises(ActionRefused, match=word):
        deed(SmallWorld())
