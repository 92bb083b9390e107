"""Rooms that answer, as exchangelib sees it: the organizer's copy, an attendee's and the room's, beside each other."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from kalends_sandbox.item import Item
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.place import BookingRules
from kalends_sandbox.recurrence import Daily, Recurrence
from sandbox.exchange.stage import TODAY, Stage, staged
from sandbox.exchange.test_exchange_judge import COMPARED, account, judged

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def govern(stage: Stage, **rules: Any) -> None:
    assert stage.room.place is not None
    stage.room.place = replace(stage.room.place, rules=replace(BookingRules(), **rules))


async def seen(stage: Stage, mailbox: Mailbox, days: float = 9) -> list[Any]:
    """What a foreign client finds in a calendar, by start."""

    def read() -> list[Any]:
        view = account(stage, mailbox.primary).calendar.view(TODAY, TODAY + days * DAY)
        return sorted(view.only(*COMPARED), key=lambda one: (one.start, one.subject or ""))

    return await judged(read)


def answers(found: Any) -> dict[str, str]:
    everybody = [*(found.required_attendees or ()), *(found.optional_attendees or ()), *(found.resources or ())]
    return {one.mailbox.email_address: one.response_type for one in everybody}


async def copies(stage: Stage) -> tuple[Any, Any, list[Any]]:
    """Ann's copy, Bob's, and whatever the room has of the one meeting there is."""
    (mine,), (theirs,) = await seen(stage, stage.ann), await seen(stage, stage.bob)
    return mine, theirs, await seen(stage, stage.room)


def book(stage: Stage, **fields: Any) -> Item:
    fields.setdefault("subject", "Plan")
    item = stage.actions.create(
        stage.ann.primary, start=stage.at(1), end=stage.at(1, 1), rooms=[stage.room.primary],
        required=[stage.bob.primary], body="Notes", **fields,
    )  # fmt: skip
    stage.post.settle()
    return item


@pytest.mark.asyncio
async def test_an_accepted_meeting_in_all_three_calendars() -> None:
    async with staged() as stage:
        govern(stage)
        item = book(stage, sensitivity="Private")

        mine, theirs, (held,) = await copies(stage)

    assert {mine.uid, theirs.uid, held.uid} == {item.uid}
    assert len({mine.id, theirs.id, held.id}) == 3
    assert (mine.subject, theirs.subject, held.subject) == ("Plan", "Plan", "Ann Ōkubo")
    assert (mine.sensitivity, theirs.sensitivity, held.sensitivity) == ("Private", "Private", "Normal")
    assert (mine.text_body, theirs.text_body, held.text_body or "") == ("Notes", "Notes", "")
    assert (mine.my_response_type, theirs.my_response_type, held.my_response_type) == (
        "Organizer",
        "NoResponseReceived",
        "Accept",
    )
    assert answers(mine) == {stage.bob.primary: "Unknown", stage.room.primary: "Accept"}
    assert held.legacy_free_busy_status == "Busy"


@pytest.mark.asyncio
async def test_a_declined_meeting_is_in_two_calendars_only() -> None:
    async with staged() as stage:
        govern(stage, maximum_duration_in_minutes=30)
        book(stage)

        mine, theirs, held = await copies(stage)

    assert held == []
    assert answers(mine)[stage.room.primary] == "Decline"
    assert (theirs.subject, theirs.my_response_type) == ("Plan", "NoResponseReceived")


@pytest.mark.asyncio
@pytest.mark.parametrize(("tentative", "shown"), [(True, "Tentative"), (False, "Free")])
async def test_a_meeting_that_waits_for_a_delegate_and_then_stands(tentative: bool, shown: str) -> None:
    async with staged() as stage:
        govern(
            stage, all_book_in_policy=False, all_request_in_policy=True, resource_delegates=(stage.bob.primary,),
            tentative_pending_approval=tentative,
        )  # fmt: skip
        item = book(stage)

        waiting, _, (held,) = await copies(stage)
        stage.rooms.decide(stage.bob.primary, stage.room.primary, item.uid, True)
        stage.post.settle()
        granted, theirs, (kept,) = await copies(stage)

    assert answers(waiting)[stage.room.primary] == "Tentative"
    assert (held.my_response_type, held.legacy_free_busy_status) == ("Tentative", shown)
    assert answers(granted)[stage.room.primary] == "Accept"
    assert (kept.my_response_type, kept.legacy_free_busy_status, kept.id) == ("Accept", "Busy", held.id)
    assert theirs.my_response_type == "NoResponseReceived"


@pytest.mark.asyncio
async def test_a_series_with_two_conflicts_is_kept_without_them() -> None:
    async with staged() as stage:
        govern(stage, conflict_percentage_allowed=50, maximum_conflict_instances=5)
        for day in (2, 3):
            stage.actions.create(stage.room.primary, "Repair", stage.at(day), stage.at(day, 1))
        item = book(stage, recurrence=Recurrence(Daily(), (TODAY + DAY).date(), count=6))

        held = [one for one in await seen(stage, stage.room) if one.uid == item.uid]
        mine = await seen(stage, stage.ann)

    assert [one.start for one in held] == [stage.at(day) for day in (1, 4, 5, 6)]
    assert {one.my_response_type for one in held} == {"Accept"}
    assert [answers(one)[stage.room.primary] for one in mine] == ["Accept", "Decline", "Decline"] + ["Accept"] * 3
    assert [one.type for one in mine] == ["Occurrence", "Exception", "Exception"] + ["Occurrence"] * 3


@pytest.mark.asyncio
async def test_a_series_cut_at_the_window_is_whole_at_the_organizers() -> None:
    async with staged() as stage:
        govern(stage, booking_window_in_days=3, enforce_scheduling_horizon=False)
        book(stage, recurrence=Recurrence(Daily(), (TODAY + DAY).date(), count=6))

        held, mine, theirs = [await seen(stage, box) for box in (stage.room, stage.ann, stage.bob)]

    assert [one.start for one in held] == [stage.at(day) for day in (1, 2, 3)]
    assert (len(mine), len(theirs)) == (6, 6)
    assert {answers(one)[stage.room.primary] for one in mine} == {"Accept"}


@pytest.mark.asyncio
async def test_attachments_are_known_to_whoever_keeps_them() -> None:
    async with staged() as stage:
        govern(stage)
        book(stage, attachments=("plan.pdf",))

        def has_attachments(mailbox: Mailbox) -> list[bool]:
            found = account(stage, mailbox.primary).calendar.view(TODAY, TODAY + 9 * DAY).only("has_attachments")
            return [one.has_attachments for one in found]

        known = [await judged(lambda box=box: has_attachments(box)) for box in (stage.ann, stage.room)]  # type: ignore[misc]

    assert known == [[True], [False]]
