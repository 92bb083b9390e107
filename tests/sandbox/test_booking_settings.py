"""Booking settings in world files and through the control API: every one of them, and sentences for what is wrong."""

import asyncio
import random
from dataclasses import asdict, fields
from datetime import UTC, datetime

import pytest

from kalends_sandbox.clock import Clock
from kalends_sandbox.founding import found
from kalends_sandbox.place import BookingRules
from kalends_sandbox.worldfile import WorldFileBroken, read
from sandbox.test_control import START, directed

THURSDAY = datetime(2026, 11, 19, 8, tzinfo=UTC)
WORLD = """
[organization]
name = "Small"
domain = "small.example"
zone = "W. Europe Standard Time"
working_hours = {{ from = "09:00", to = "17:00" }}
[booking]
{all}
[[buildings]]
name = "House"
[[rooms]]
name = "Oak"
building = "House"
[rooms.booking]
{own}
[[rooms]]
name = "Elm"
building = "House"
working_hours = {{ days = ["Saturday"], to = "23:59" }}
[[people]]
name = "Ann"
"""
# A value for each setting that is not its default.
OTHER = {
    "automate_processing": "AutoUpdate",
    "booking_type": "Reserved",
    "resource_delegates": ("ann@small.example",),
    "additional_response": "Ask Ann.",
}


def other(name, standard):
    if name in OTHER:
        return OTHER[name]
    if isinstance(standard, bool):
        return not standard
    if isinstance(standard, int):
        return standard + 7
    return ("*@small.example", "department:Glass")


EVERY = {one.name: other(one.name, getattr(BookingRules(), one.name)) for one in fields(BookingRules)}


def toml(value):
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, tuple) else repr(value)


def built(every="", own=""):
    return found(
        read(WORLD.format(all=every, own=own), "small.toml"), Clock(THURSDAY, 1.0, lambda: 0.0), random.Random(1)
    )


@pytest.mark.parametrize("name", EVERY)
def test_every_setting_can_stand_in_a_world_file_for_all_rooms_or_for_one(name):
    line = f"{name} = {toml(EVERY[name])}"

    all_of_them, one_of_them = built(every=line).world, built(own=line).world

    assert EVERY[name] != getattr(BookingRules(), name)
    assert [asdict(room.place.rules) for room in all_of_them.rooms] == [
        asdict(BookingRules()) | {name: EVERY[name]}
    ] * 2
    assert [getattr(room.place.rules, name) for room in one_of_them.rooms] == [
        EVERY[name],
        getattr(BookingRules(), name),
    ]


def test_rooms_have_working_hours_of_their_own_and_otherwise_the_organisations():
    oak, elm = built().world.rooms

    assert (oak.working_hours.start_minute, oak.working_hours.end_minute, len(oak.working_hours.days)) == (540, 1020, 5)
    assert (elm.working_hours.start_minute, elm.working_hours.end_minute) == (540, 1439)
    assert elm.working_hours.days == ("Saturday",)


WRONG = [
    ('automate_processing = "Auto"', "choose one of None, AutoUpdate, AutoAccept"),
    ('booking_type = "Free"', "choose one of Standard, Reserved"),
    ("booking_window_in_days = 1081", "from 0 to 1080"),
    ("conflict_percentage_allowed = 101", "from 0 to 100"),
    ("maximum_conflict_instances = -1", "from 0 to 2147483647"),
    (
        "maximum_duration_in_minutes = 30\nminimum_duration_in_minutes = 31",
        "more than the longest meeting of 30 minutes",
    ),
    ('allow_conflicts = "yes"', "expected true or false"),
    ('book_in_policy = ["Ann"]', "'Ann' is no address"),
    ('book_in_policy = ["department:"]', "is no address"),
    ('resource_delegates = ["department:Glass"]', "is no address"),
    ('resource_delegates = ["bob@small.example"]', "bob@small.example is nobody's address"),
    ('resource_delegates = ["elm@small.example"]', "elm@small.example is nobody's address"),
    ("additional_response = 3", "expected text"),
    (f'additional_response = "{"x" * 1025}"', "at most 1024 characters"),
    ("allow_conflict = true", "did you mean allow_conflicts?"),
]


@pytest.mark.parametrize(("line", "words"), WRONG)
def test_a_setting_that_cannot_be_is_refused_with_its_place(line, words):
    with pytest.raises(WorldFileBroken) as refused:
        built(own=line)

    assert "small.toml, rooms[1].booking" in str(refused.value)
    assert words in str(refused.value)


# --- while a sandbox runs


ADA, STUDY = "ada.moreau@one.example", "study@one.example"


def scene(story):
    async def run():
        async with directed() as call:
            return await story(call)

    return asyncio.run(run())


def test_every_setting_can_be_changed_and_read_while_a_sandbox_runs():
    said = EVERY | {"resource_delegates": [ADA]}

    async def story(call):
        before = await call("GET", "/booking")
        changed = await call(
            "POST", "/booking", {"room": "study@*", "settings": said, "working_hours": {"to": "20:00"}}
        )
        return before, changed, await call("GET", "/booking?room=STUDY@one.example")

    (_, before), (status, changed), (_, after) = scene(story)

    defaults = {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(BookingRules()).items()
    }
    expected = {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}
    assert before["rooms"][0]["settings"] == defaults
    assert status == 200
    assert changed == after
    assert after["rooms"] == [
        {
            "room": STUDY,
            "zone": "UTC",
            "settings": expected,
            "working_hours": {
                "days": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"],
                "from": "08:00",
                "to": "20:00",
            },
        }
    ]


def test_a_changed_setting_changes_the_next_decision_and_mails_can_be_read():
    async def story(call):
        book = {"verb": "create", "mailbox": ADA, "start": "2026-11-24T16:00Z", "rooms": [STUDY]}
        await call("POST", "/booking", {"room": STUDY, "settings": {"all_book_in_policy": False}})
        _, refused = await call("POST", "/act", book)
        await call("POST", "/settle")
        await call("POST", "/booking", {"room": STUDY, "settings": {"all_book_in_policy": True}})
        await call("POST", "/act", book)
        await call("POST", "/settle")
        return refused, await call("GET", "/mails"), await call("GET", f"/mails?to={ADA}&last=1")

    refused, (_, mails), (_, last) = scene(story)

    assert [(one["kind"], one["to"]) for one in mails["mails"]] == [
        ("invitation", STUDY), ("refusal", ADA), ("invitation", STUDY), ("acceptance", ADA),
    ]  # fmt: skip
    assert mails["mails"][1]["note"] == "Study declines your request.\nYou may not book this room."
    assert mails["mails"][1]["uid"] == refused["item"]["uid"]
    assert last["mails"] == mails["mails"][-1:]
    assert last["mails"][0]["sent"] >= START.isoformat()[:19]


def test_delegates_strangers_and_whoever_checks_in_act_through_the_control_api():
    async def story(call):
        settings = {"all_book_in_policy": False, "all_request_in_policy": True, "resource_delegates": [ADA]}
        await call(
            "POST", "/booking", {"room": STUDY, "settings": {**settings, "process_external_meeting_messages": True}}
        )
        outside = {"verb": "receive", "mailbox": STUDY, "sender": "sam@else.example", "sender_name": "Sam"}
        _, asked = await call(
            "POST", "/act", {**outside, "subject": "Visit", "start": "2026-11-24T16:00Z", "minutes": 30}
        )
        await call("POST", "/settle")
        meeting = {"meeting": asked["item"]["uid"]}
        waiting = await call(
            "POST", "/act", {"verb": "approve", "mailbox": ADA, "room": STUDY, "note": "Yes.", **meeting}
        )
        await call("POST", "/settle")
        entered = await call("POST", "/act", {"verb": "check_in", "mailbox": STUDY, **meeting})
        again = await call("POST", "/act", {"verb": "refuse", "mailbox": ADA, "room": STUDY, **meeting})
        return waiting, entered, again, await call("GET", "/mails?to=sam@*")

    waiting, entered, again, (_, mails) = scene(story)

    assert (waiting[0], waiting[1]["item"]["my_response"]) == (200, "Tentative")
    assert (entered[0], entered[1]["item"]["my_response"]) == (200, "Accept")
    assert (again[0], "already answered" in again[1]["error"]) == (400, True)
    assert [one["kind"] for one in mails["mails"]] == ["tentative", "acceptance"]
    assert mails["mails"][1]["note"].endswith("\nYes.")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"settings": {}}, "room: is missing"),
        ({"room": "ada.moreau@*"}, "no room matches"),
        ({"room": "*", "settings": {"booking_window_in_days": 5000}}, "settings.booking_window_in_days"),
        ({"room": "*", "settings": {"resource_delegates": ["bob@one.example"]}}, "nobody's address in this world"),
        ({"room": "*", "settings": {"resource_delegates": [STUDY]}}, "nobody's address in this world"),
        ({"room": "*", "working_hours": {"from": "19:00"}}, "must be later than"),
        ({"room": "*", "rules": {}}, "unknown key"),
    ],
)
def test_a_change_that_cannot_be_changes_nothing(body, words):
    async def story(call):
        before = await call("GET", "/booking")
        refused = await call("POST", "/booking", body)
        return refused, before == await call("GET", "/booking")

    (status, facts), is_unchanged = scene(story)

    assert (status, is_unchanged) == (400, True)
    assert words in facts["error"]
