"""What is within a room's policy, who may book and who may ask: setting by setting, in every copy."""

from datetime import datetime, time, timedelta
from itertools import product

import pytest
from small_world import ANN, BERLIN, BOB, EVE, HOUR, MONDAY, OAK, SmallWorld

from kalends_sandbox.actions import Change
from kalends_sandbox.item import Party
from kalends_sandbox.place import WorkingHours
from kalends_sandbox.recurrence import Daily, Recurrence, Weekly
from kalends_sandbox.zones import zone

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
STRANGER = Party("Sam Stranger", "sam@elsewhere.example")


def book(world, who=ANN, start=MONDAY, length=HOUR, **fields):
    fields.setdefault("rooms", [OAK])
    item = world.actions.create(who, "Plan", start, start + length, **fields)
    world.post.settle()
    return item


def answer(world, who, uid, address=OAK):
    (mine,) = [one for one in world.items(who) if one.uid == uid]
    return {one.address: one.response for one in mine.attendees}[address]


def kept(world, uid, address=OAK):
    return [one for one in world.items(address) if one.uid == uid]


# --- who may


@pytest.mark.parametrize(
    ("rules", "ann", "bob"),
    [
        ({}, "Accept", "Accept"),
        ({"all_book_in_policy": False}, "Decline", "Decline"),
        ({"all_book_in_policy": False, "book_in_policy": ("ann@small.example",)}, "Accept", "Decline"),
        ({"all_book_in_policy": False, "book_in_policy": ("ann.alias@*",)}, "Accept", "Decline"),
        ({"all_book_in_policy": False, "book_in_policy": ("department:glass",)}, "Decline", "Accept"),
        ({"all_book_in_policy": False, "all_request_in_policy": True}, "Tentative", "Tentative"),
        ({"all_book_in_policy": False, "request_in_policy": ("bob@small.example",)}, "Decline", "Tentative"),
        ({"all_book_in_policy": False, "all_request_out_of_policy": True}, "Tentative", "Tentative"),
        ({"all_request_in_policy": True}, "Accept", "Accept"),
    ],
)
def test_who_may_book_and_who_may_ask_for_what_is_within_policy(rules, ann, bob):
    world = SmallWorld(**rules)

    for who, expected in ((ANN, ann), (BOB, bob)):
        start = MONDAY if who == ANN else MONDAY + 3 * HOUR
        item = book(world, who, start)

        assert answer(world, who, item.uid) == expected
        assert [one.my_response for one in kept(world, item.uid)] == [expected] * (expected != "Decline")


@pytest.mark.parametrize(
    ("rules", "ann", "bob"),
    [
        ({}, "Decline", "Decline"),
        ({"all_request_in_policy": True}, "Decline", "Decline"),
        ({"all_request_out_of_policy": True}, "Tentative", "Tentative"),
        ({"request_out_of_policy": ("department:Glass",)}, "Decline", "Tentative"),
    ],
)
@pytest.mark.parametrize("fault", ["conflict", "length"])
def test_who_may_ask_for_what_is_outside_policy(rules, ann, bob, fault):
    world = SmallWorld(maximum_duration_in_minutes=120, **rules)
    book(world, EVE)
    where = {"conflict": {}, "length": {"start": MONDAY + 5 * HOUR, "length": 3 * HOUR}}[fault]

    answers = []
    for who in (ANN, BOB):
        item = book(world, who, **where)
        answers.append(answer(world, who, item.uid))
        world.actions.cancel(who, item.uid)
        world.post.settle()

    assert answers == [ann, bob]


def test_a_reserved_room_takes_nobody():
    world = SmallWorld(booking_type="Reserved", all_request_out_of_policy=True)

    item = book(world)

    assert answer(world, ANN, item.uid) == "Decline"
    assert world.items(OAK) == []


@pytest.mark.parametrize(("processed", "copies"), [(False, 0), (True, 1)])
def test_a_request_from_outside_is_decided_only_where_the_room_says_so(processed, copies):
    world = SmallWorld(process_external_meeting_messages=processed)

    world.rooms.receive(OAK, STRANGER, "Visit", MONDAY, MONDAY + HOUR)
    world.pass_time(2)
    shown = len(world.items(OAK))
    world.post.settle()

    assert shown == copies
    assert [one.my_response for one in world.items(OAK)] == ["Accept"] * copies
    (said,) = world.notes(STRANGER.address)
    assert said.startswith("Oak is booked." if processed else "Oak declines your request.")
    assert ("from inside the organisation only" in said) is not processed


# --- what is within policy


@pytest.mark.parametrize(
    ("rules", "booking", "accepted"),
    [
        ({"minimum_duration_in_minutes": 30}, {"length": 29 * MINUTE}, False),
        ({"minimum_duration_in_minutes": 30}, {"length": 30 * MINUTE}, True),
        ({"maximum_duration_in_minutes": 60}, {"length": 60 * MINUTE}, True),
        ({"maximum_duration_in_minutes": 60}, {"length": 61 * MINUTE}, False),
        ({"booking_window_in_days": 0}, {"start": MONDAY + 12 * HOUR}, True),
        ({"booking_window_in_days": 0}, {"start": MONDAY + 15 * HOUR}, False),
        ({"booking_window_in_days": 0}, {"start": MONDAY + 12 * HOUR, "length": 2 * HOUR}, True),
        ({"booking_window_in_days": 0}, {"start": MONDAY + 12 * HOUR, "length": 2 * HOUR + MINUTE}, False),
        ({"booking_window_in_days": 0}, {"start": MONDAY + 14 * HOUR - MINUTE, "length": 0 * HOUR}, True),
        ({"booking_window_in_days": 0}, {"start": MONDAY + 14 * HOUR, "length": 0 * HOUR}, False),
        ({"booking_window_in_days": 1080}, {"start": MONDAY + 1080 * DAY}, True),
        ({"booking_window_in_days": 1080}, {"start": MONDAY + 1081 * DAY}, False),
        ({"enforce_capacity": True}, {"required": [f"{name}@x.example" for name in "abcde"]}, True),
        ({"enforce_capacity": True}, {"required": [f"{name}@x.example" for name in "abcdef"]}, False),
        ({}, {"required": [f"{name}@x.example" for name in "abcdef"]}, True),
    ],
)
def test_the_bounds_of_a_rooms_policy_are_exact(rules, booking, accepted):
    world = SmallWorld(**rules)

    item = book(world, **booking)

    assert answer(world, ANN, item.uid) == ("Accept" if accepted else "Decline")
    assert len(kept(world, item.uid)) == accepted


def test_the_length_of_every_occurrence_counts():
    world = SmallWorld(maximum_duration_in_minutes=60)
    series = Recurrence(Daily(), MONDAY.date(), count=5)
    item = book(world, recurrence=series)

    world.actions.move(ANN, item.uid, MONDAY + DAY, MONDAY + DAY + 2 * HOUR, occurrence=MONDAY + DAY)
    world.post.settle()

    (master,) = kept(world, item.uid)
    assert master.deleted == (MONDAY + DAY,)
    assert answer(world, ANN, item.uid) == "Accept"


@pytest.mark.parametrize(
    ("start", "accepted"),
    [
        (time(8, 0), True),
        (time(7, 59), False),
        (time(16, 0), True),
        (time(16, 1), False),
    ],
)
@pytest.mark.parametrize("where", ["W. Europe Standard Time", "Tokyo Standard Time"])
def test_working_hours_are_the_rooms_own_whatever_the_organizers_zone(where, start, accepted):
    world = SmallWorld(schedule_only_during_work_hours=True)
    room = world.world.mailbox(OAK)
    room.zone = zone(where)
    begin = datetime.combine(MONDAY.date() + 2 * DAY, start, room.zone.tz).astimezone(MONDAY.tzinfo)

    item = book(world, start=begin, zone=BERLIN)

    assert answer(world, ANN, item.uid) == ("Accept" if accepted else "Decline")


def test_a_series_that_leaves_the_working_hours_when_the_clocks_differ_is_declined():
    world = SmallWorld(schedule_only_during_work_hours=True)
    new_york = zone("Eastern Standard Time")
    # 02:00 in New York is 08:00 in Berlin, but 07:00 in the weeks of March when only New York has changed its clocks.
    start = datetime(2026, 11, 24, 2, tzinfo=new_york.tz).astimezone(MONDAY.tzinfo)

    until_march = book(world, start=start, recurrence=_tuesdays(16), zone=new_york)
    world.actions.cancel(ANN, until_march.uid)
    through_march = book(world, BOB, start=start, recurrence=_tuesdays(17), zone=new_york)

    assert world.notes(ANN, "acceptance") == ["Oak is booked."]
    assert answer(world, BOB, through_march.uid) == "Decline"


def _tuesdays(count):
    return Recurrence(Weekly(("Tuesday",)), (MONDAY + DAY).date(), count=count)


def test_working_hours_can_be_changed_while_the_world_runs():
    world = SmallWorld(schedule_only_during_work_hours=True)
    room = world.world.mailbox(OAK)
    evening = MONDAY + 9 * HOUR

    refused = book(world, start=evening)
    world.attendant.govern(room, room.place.rules, WorkingHours(end_minute=22 * 60))
    accepted = book(world, start=evening)

    assert answer(world, ANN, refused.uid) == "Decline"
    assert answer(world, ANN, accepted.uid) == "Accept"


# --- series and the window


@pytest.mark.parametrize(
    ("enforced", "count", "response", "left"),
    [(True, 31, "Accept", 31), (True, 32, "Decline", 0), (False, 32, "Accept", 31), (False, 400, "Accept", 31)],
)
def test_a_series_beyond_the_window_is_declined_or_cut_at_its_last_day(enforced, count, response, left):
    world = SmallWorld(booking_window_in_days=30, enforce_scheduling_horizon=enforced)

    item = book(world, recurrence=Recurrence(Daily(), MONDAY.date(), count=count))

    assert answer(world, ANN, item.uid) == response
    days = [one.start for one in world.calendar(OAK).view(MONDAY, MONDAY + 500 * DAY)]
    assert len(days) == left
    assert len(world.calendar(ANN).view(MONDAY, MONDAY + 500 * DAY)) == count
    cut = "up to 2026-12-23" in world.notes(ANN)[-1]
    assert cut == (left < count and response == "Accept")


def test_a_series_is_cut_by_the_rooms_days_not_the_organizers():
    world = SmallWorld(booking_window_in_days=1, enforce_scheduling_horizon=False)
    tokyo = zone("Tokyo Standard Time")
    start = datetime(2026, 11, 25, 7, 30, tzinfo=tokyo.tz).astimezone(MONDAY.tzinfo)  # Tuesday 23:30 in Berlin

    item = book(world, start=start, length=15 * MINUTE, zone=tokyo,
                recurrence=Recurrence(Daily(), datetime(2026, 11, 25).date()))  # fmt: skip

    (master,) = kept(world, item.uid)
    assert [one.start for one in world.calendar(OAK).view(MONDAY, MONDAY + 9 * DAY)] == [start]
    assert master.recurrence.end == datetime(2026, 11, 25).date()


# --- conflicts of series


def conflicting(world, conflicts, wanted):
    """A daily series of so many occurrences, the first of which are taken; its answer and how many the room keeps."""
    for day in range(conflicts):
        book(world, EVE, MONDAY + day * DAY)
    item = book(world, BOB, recurrence=Recurrence(Daily(), MONDAY.date(), count=wanted))
    mine = [one for one in world.calendar(OAK).view(MONDAY, MONDAY + 99 * DAY) if one.uid == item.uid]
    return answer(world, BOB, item.uid), len(mine), item


@pytest.mark.parametrize(
    ("percent", "instances", "conflicts", "wanted", "accepted"),
    [
        (0, 0, 0, 10, True),
        (0, 0, 1, 10, False),
        (10, 1, 1, 10, True),
        (9, 1, 1, 10, False),
        (10, 0, 1, 10, False),
        (40, 6, 5, 10, False),
        (40, 6, 4, 10, True),
        (100, 6, 7, 10, False),
        (100, 10, 10, 10, True),
        (33, 9, 3, 9, False),
        (34, 9, 3, 9, True),
    ],
)
def test_a_series_is_declined_when_conflicts_exceed_either_bound(percent, instances, conflicts, wanted, accepted):
    world = SmallWorld(conflict_percentage_allowed=percent, maximum_conflict_instances=instances)

    response, left, item = conflicting(world, conflicts, wanted)

    assert response == ("Accept" if accepted else "Decline")
    assert left == (wanted - conflicts if accepted else 0)
    refused = [mail for _, mail in world.post.log if mail.kind == "refusal" and mail.original_start is not None]
    assert len(refused) == (conflicts if accepted else 0)
    (organizers,) = [one for one in world.items(BOB) if one.uid == item.uid]
    assert len(organizers.exceptions) == len(refused)


def test_a_room_without_response_details_declines_occurrences_in_silence():
    world = SmallWorld(conflict_percentage_allowed=50, maximum_conflict_instances=5, enable_response_details=False)

    response, left, _ = conflicting(world, 2, 10)

    assert (response, left) == ("Accept", 8)
    assert world.world.mails["refusal"] == 0
    assert world.notes(BOB) == ["Oak is booked."]
    assert world.only(BOB).exceptions == {}


@pytest.mark.parametrize(
    ("regardless", "response", "left"),
    [(True, "Accept", 10), (False, "Decline", 0)],
)
def test_both_documented_ways_of_allowing_conflicts_can_be_played(regardless, response, left):
    world = SmallWorld(allow_conflicts=True, allow_conflicts_of_series=regardless)

    single = book(world, ANN)
    double = book(world, EVE)
    series = conflicting(world, 0, 10)

    assert [answer(world, who, one.uid) for who, one in ((ANN, single), (EVE, double))] == ["Accept", "Accept"]
    assert series[:2] == (response, left)


def test_a_booking_beyond_the_window_is_in_nobodys_way():
    world = SmallWorld(enforce_scheduling_horizon=False, booking_window_in_days=5)
    world.actions.create(OAK, "Repair", MONDAY + 20 * DAY, MONDAY + 21 * DAY)

    item = book(world, BOB, recurrence=Recurrence(Daily(), MONDAY.date(), count=60))

    assert answer(world, BOB, item.uid) == "Accept"


def test_a_booking_of_many_years_is_declined_without_harm():
    world = SmallWorld()

    item = book(world, length=3000 * DAY)

    assert answer(world, ANN, item.uid) == "Decline"


# --- what answers say


def test_a_refusal_names_the_time_and_the_organizer_in_the_way():
    world = SmallWorld()
    book(world, ANN)

    book(world, BOB, MONDAY + HOUR / 2)

    assert world.notes(BOB) == [
        "Oak declines your request.\nThe room is taken at that time.\n2026-11-23 10:30 to 11:30, booked by Ann"
    ]


@pytest.mark.parametrize(
    ("rules", "words", "absent"),
    [
        ({"organizer_info": False}, ["10:30 to 11:30"], ["Ann"]),
        ({"enable_response_details": False}, ["declines"], ["taken", "10:30", "Ann"]),
        ({"add_additional_response": True, "additional_response": "Ask Eve."}, ["Ann\nAsk Eve."], []),
        ({"add_additional_response": False, "additional_response": "Ask Eve."}, ["Ann"], ["Eve"]),
    ],
)
def test_what_a_refusal_tells_is_the_rooms_choice(rules, words, absent):
    world = SmallWorld(**rules)
    book(world, ANN)

    book(world, BOB, MONDAY + HOUR / 2)

    (said,) = world.notes(BOB)
    assert [word for word in words if word not in said] == []
    assert [word for word in absent if word in said] == []


@pytest.mark.parametrize(
    ("rules", "booking", "words"),
    [
        ({"allow_recurring_meetings": False}, {"recurrence": Recurrence(Daily(), MONDAY.date(), count=2)}, "single meetings"),
        ({"maximum_duration_in_minutes": 30}, {}, "longer than 30 minutes"),
        ({"minimum_duration_in_minutes": 90}, {}, "shorter than 90 minutes"),
        ({"booking_window_in_days": 10}, {"start": MONDAY + 11 * DAY}, "at most 10 days ahead"),
        ({}, {"recurrence": Recurrence(Daily(), MONDAY.date())}, "more than 180 days"),
        ({"schedule_only_during_work_hours": True}, {"start": MONDAY + 12 * HOUR}, "working hours"),
        ({"enforce_capacity": True}, {"required": [f"{name}@x.example" for name in "abcdefg"]}, "holds 6 people, and 8"),
        ({"booking_type": "Reserved"}, {}, "cannot be booked"),
        ({"all_book_in_policy": False}, {}, "may not book"),
    ],
)  # fmt: skip
def test_every_refusal_says_why(rules, booking, words):
    world = SmallWorld(**rules)

    book(world, **booking)

    (said,) = world.notes(ANN)
    assert words in said


def test_an_acceptance_counts_what_the_series_does_not_get():
    world = SmallWorld(conflict_percentage_allowed=50, maximum_conflict_instances=50)

    conflicting(world, 12, 30)

    first, *each = world.notes(BOB)
    assert first.startswith("Oak is booked.\n12 occurrences are declined")
    assert first.endswith("… and 2 more.")
    assert len(each) == 12
    assert each[0] == "Oak declines one occurrence of your series:\n2026-11-23 10:00 to 11:00, booked by Eve"


# --- what stays


@pytest.mark.parametrize(("deleted", "left"), [(True, ()), (False, ("plan.pdf",))])
def test_attachments_stay_or_go_as_the_room_says(deleted, left):
    world = SmallWorld(delete_attachments=deleted)

    item = book(world, attachments=("plan.pdf",))

    assert kept(world, item.uid)[0].attachments == left
    assert world.only(ANN).attachments == ("plan.pdf",)


@pytest.mark.parametrize(
    ("processing", "tentatively"), list(product(("AutoUpdate", "AutoAccept", "None"), (True, False)))
)
def test_new_requests_show_at_once_only_where_the_calendar_attendant_adds_them(processing, tentatively):
    world = SmallWorld(automate_processing=processing, add_new_requests_tentatively=tentatively)
    world.actions.create(ANN, "Plan", MONDAY, MONDAY + HOUR, rooms=[OAK])

    world.pass_time(2)
    shown = len(world.items(OAK))
    world.post.settle()

    assert shown == (tentatively and processing != "None")
    assert len(world.items(OAK)) == (shown or processing == "AutoAccept")


def test_a_room_without_processing_leaves_cancellations_unopened_too():
    world = SmallWorld()
    item = book(world)
    world.govern(OAK, automate_processing="None")

    world.actions.cancel(ANN, item.uid)
    world.post.settle()

    assert [one.is_cancelled for one in world.items(OAK)] == [False]


def test_a_room_that_only_updates_marks_cancelled_meetings():
    world = SmallWorld(automate_processing="AutoUpdate")
    item = book(world)

    world.actions.cancel(ANN, item.uid)
    world.post.settle()

    assert [(one.is_cancelled, one.show_as) for one in world.items(OAK)] == [(True, "Free")]


def test_a_decision_obeys_the_rules_of_its_moment():
    world = SmallWorld()
    item = world.actions.create(ANN, "Plan", MONDAY, MONDAY + HOUR, rooms=[OAK])
    world.pass_time(2)

    world.govern(OAK, booking_type="Reserved")
    world.pass_time(10)

    assert answer(world, ANN, item.uid) == "Decline"


def test_a_room_switched_off_while_it_thinks_never_answers():
    world = SmallWorld()
    item = world.actions.create(ANN, "Plan", MONDAY, MONDAY + HOUR, rooms=[OAK])
    world.pass_time(2)

    world.govern(OAK, automate_processing="AutoUpdate")
    world.pass_time(10)

    assert answer(world, ANN, item.uid) == "Unknown"
    assert [one.my_response for one in world.items(OAK)] == ["NoResponseReceived"]


def test_a_free_booking_made_busy_is_decided_anew():
    """An update without new times is settled only while it takes no more of the room than before."""
    world = SmallWorld()
    first = book(world, ANN, show_as="Free")
    book(world, BOB)

    world.actions.edit(ANN, first.uid, Change(show_as="Busy"))
    world.post.settle()

    assert answer(world, ANN, first.uid) == "Decline"
    assert [one.organizer.name for one in world.items(OAK)] == ["Bob"]


def test_an_answer_about_one_occurrence_reaches_the_organizers_series():
    """A room invited to one occurrence only answers under that occurrence's own UID."""
    world = SmallWorld()
    item = book(world, rooms=[], recurrence=Recurrence(Daily(), MONDAY.date(), count=5))
    day = MONDAY + 2 * DAY
    world.actions.edit(ANN, item.uid, Change(required=[BOB]), day)
    world.post.settle()

    (orphan,) = world.items(BOB)
    world.actions.respond(BOB, orphan.item_id, "Accept")
    world.post.settle()

    (attendee,) = world.only(ANN).exceptions[day].attendees
    assert (attendee.address, attendee.response) == (BOB, "Accept")
