"""The large world: 500 rooms and 5,000 people, as it is and as exchangelib reads it."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio
from exchangelib import BASIC, IMPERSONATION, Account, Build, Configuration, EWSTimeZone, FailFast, Version

from kalends_sandbox.founding import Founded
from kalends_sandbox.item import Item
from kalends_sandbox.sandbox import Plan, Sandbox, opened
from sandbox.exchange.stage import judge
from sandbox.exchange.test_exchange_judge import Tagged, judged

THURSDAY = datetime(2026, 11, 19, 8, tzinfo=UTC)
HALL = "great.hall@meridian.example"
ALL_HANDS = "Meridian all hands"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    """Opened once for all that look at it: nobody here changes anything."""
    async with opened(Plan(world="large", control_port=None, clock_start=THURSDAY, clock_factor=0)) as found:
        yield found


@pytest.fixture
def large(sandbox: Sandbox) -> Founded:
    return sandbox.founded


def test_there_are_five_hundred_rooms_in_twelve_lists_and_five_thousand_people(large: Founded) -> None:
    world = large.world

    assert (len(world.rooms), len(world.people), len(world.room_lists)) == (500, 5000, 12)
    assert sorted(room for one in world.room_lists for room in one.rooms) == sorted(
        room.primary for room in world.rooms
    )
    assert min(len(one.rooms) for one in world.room_lists if one.name != "Meridian Hall") >= 40
    assert len({mailbox.name for mailbox in world.mailboxes}) == 5500
    assert len({mailbox.zone.id for mailbox in world.rooms}) == 4
    assert not world.mails
    assert not large.post.log


def test_a_working_day_is_busy_everywhere_and_no_room_is_taken_twice(large: Founded) -> None:
    hours_taken: Counter[str] = Counter()
    for room in large.world.rooms:
        assert room.calendar is not None
        local = THURSDAY.astimezone(room.zone.tz).replace(hour=0)
        today = [one for one in room.calendar.view(local, local + timedelta(days=1)) if one.takes_time]
        hours_taken[room.zone.id] += sum(int((one.end - one.start).total_seconds()) for one in today)
        assert all(one.end <= other.start for one, other in pairwise(today)), room.name
        month = room.calendar.view(local, local + timedelta(days=30))
        assert all(one.end <= other.start for one, other in pairwise(month)), room.name

    rooms = Counter(room.zone.id for room in large.world.rooms)
    shares = {zone: seconds / 36_000 / rooms[zone] for zone, seconds in hours_taken.items()}
    assert all(0.35 < share < 0.65 for share in shares.values()), shares


def test_people_meet_at_their_own_hours_and_a_share_of_the_meetings_comes_back_every_week(large: Founded) -> None:
    kinds: Counter[str] = Counter()
    for room in large.world.rooms:
        assert room.calendar is not None
        for item in room.calendar.items.values():
            if item.organizer is None or item.subject in (ALL_HANDS, "Board"):
                continue
            organizer = large.world.mailbox(item.organizer.address)
            assert organizer is not None
            assert organizer.zone == room.zone
            kinds[item.kind] += 1

    assert 0.1 < kinds["RecurringMaster"] / kinds.total() < 0.2
    assert kinds.total() > 5_000


def all_hands(large: Founded) -> Item:
    hall = large.world.mailbox(HALL)
    assert hall is not None
    assert hall.calendar is not None
    (held,) = [item for item in hall.calendar.items.values() if item.subject == ALL_HANDS]
    return held


def test_everybody_is_invited_to_one_meeting_and_the_organizer_knows_what_each_has_answered(large: Founded) -> None:
    held = all_hands(large)

    copies = {}
    for person in large.world.people:
        assert person.calendar is not None
        (copies[person.primary],) = person.calendar.by_uid(held.uid)

    (organizers,) = [one for one in copies.values() if one.is_organizer]
    assert len(organizers.attendees) == 5000
    assert [(one.address, one.response) for one in organizers.resources] == [(HALL, "Accept")]
    known = {one.address: one.response.replace("Unknown", "NoResponseReceived") for one in organizers.required}
    assert known == {address: one.my_response for address, one in copies.items() if one is not organizers}
    assert Counter(known.values())["Accept"] > 3500
    assert len({copy.item_id for copy in copies.values()}) == 5000
    assert {len(copy.attendees) for copy in copies.values()} == {5000}


@pytest.mark.asyncio(loop_scope="module")
async def test_exchangelib_reads_a_meeting_of_five_thousand_from_the_hall(sandbox: Sandbox) -> None:
    sandbox.exchange.recorder.keep(100)
    service = sandbox.founded.world.accounts[0]
    config = Configuration(
        service_endpoint=sandbox.exchange_url,
        credentials=Tagged("large", service.user, service.password),
        auth_type=BASIC,
        version=Version(Build(15, 2, 1748, 10)),
        retry_policy=FailFast(),
    )

    def read() -> tuple[int, int, list[Any]]:
        zone = EWSTimeZone("Europe/Berlin")
        hall = Account(HALL, config=config, access_type=IMPERSONATION, default_timezone=zone)
        found_lists = list(hall.protocol.get_roomlists())
        rooms = sum(len(list(hall.protocol.get_rooms(one.email_address))) for one in found_lists)
        view = hall.calendar.view(THURSDAY, THURSDAY + timedelta(days=3))
        return len(found_lists), rooms, list(view.only("subject", "uid", "required_attendees", "resources"))

    lists, rooms, found_items = await judged(read)

    assert (lists, rooms) == (12, 500)
    held = all_hands(sandbox.founded)
    (meeting,) = [one for one in found_items if one.uid == held.uid]
    theirs = [one.mailbox.email_address for one in meeting.required_attendees]
    assert theirs == [one.address for one in held.required]
    assert len(theirs) == 4999
    assert judge(sandbox.exchange) >= 20
