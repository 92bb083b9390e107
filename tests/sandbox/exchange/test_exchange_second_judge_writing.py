"""ews-javascript-api, unpatched, writes: the world and the other mailboxes say what came of it."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from kalends_sandbox import recurrence as dates
from kalends_sandbox.folder import Distinguished
from kalends_sandbox.item import Item
from kalends_sandbox.mailbox import Mailbox
from sandbox.exchange.second_judge import Judged, asked, needed
from sandbox.exchange.stage import Stage, staged

pytestmark = [needed, pytest.mark.asyncio]

DAY = timedelta(days=1)
START, END = "2026-11-23T09:00:00Z", "2026-11-23T10:00:00Z"


def held(mailbox: Mailbox, folder: Distinguished = "calendar") -> list[Item]:
    return [one for one in mailbox.folders[folder].items.values() if one.letter is None]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def made(stage: Stage, **wish: Any) -> Item:
    """What Ann made; the mail has settled."""
    wish = {"subject": "Plan", "start": START, "end": END} | wish
    created = await asked(stage, "create", stage.ann.primary, **wish)
    stage.post.settle()
    (item,) = held(stage.ann)
    assert item.item_id == created["id"]
    return item


async def a_meeting(stage: Stage, **wish: Any) -> Item:
    return await made(stage, required=[stage.bob.primary], resources=[stage.room.primary], **wish)


async def test_a_meeting_it_saves_reaches_everybody_and_the_room_answers() -> None:
    async with staged(501) as stage:
        item = await a_meeting(stage, location="There", showAs="OOF", body="Now", zone="Tokyo Standard Time")

        assert (item.subject, item.start, item.end) == ("Plan", at(START), at(END))
        assert (item.location, item.show_as, item.body, item.zone.id) == (
            "There", "OOF", "Now", "Tokyo Standard Time",
        )  # fmt: skip
        assert {one.address: one.response for one in item.attendees} == {
            stage.bob.primary: "Unknown", stage.room.primary: "Accept",
        }  # fmt: skip
        assert stage.copy(stage.bob, item.uid).show_as == "OOF"


async def test_who_it_adds_is_invited_and_who_it_drops_hears_that_it_is_off() -> None:
    async with staged(502) as stage:
        item = await a_meeting(stage)

        await asked(
            stage, "edit", stage.ann.primary, id=item.item_id, set={"subject": "Other", "start": "2026-11-23T09:30:00Z"},
            add=[stage.other_room.primary], drop=[stage.bob.primary],
        )  # fmt: skip
        stage.post.settle()

        (after,) = held(stage.ann)
        assert (after.subject, after.start, after.item_id) == ("Other", at("2026-11-23T09:30:00Z"), item.item_id)
        assert [one.is_cancelled for one in held(stage.bob)] == [True]
        assert stage.copy(stage.other_room, item.uid).my_response == "Accept"
        assert stage.copy(stage.room, item.uid).start == after.start


async def test_the_second_of_two_writers_who_knew_the_same_version_is_refused() -> None:
    async with staged(503) as stage:
        item = await made(stage)

        with pytest.raises(Judged, match="out of date"):
            await asked(stage, "editTwice", stage.ann.primary, id=item.item_id, subjects=["First", "Second"])

        assert [one.subject for one in held(stage.ann)] == ["First"]


@pytest.mark.parametrize(
    ("mode", "where"),
    [("HardDelete", None), ("SoftDelete", "recoverableitemsdeletions"), ("MoveToDeletedItems", "deleteditems")],
)
async def test_what_it_deletes_lies_where_it_should_and_the_room_is_free(
    mode: str, where: Distinguished | None
) -> None:
    async with staged(504) as stage:
        item = await a_meeting(stage)

        await asked(stage, "remove", stage.ann.primary, id=item.item_id, mode=mode)
        stage.post.settle()

        assert (held(stage.ann), held(stage.room)) == ([], [])
        found = {kind: len(held(stage.ann, kind)) for kind in stage.ann.folders if held(stage.ann, kind)}
        assert found == ({where: 1} if where else {})


async def test_a_meeting_it_cancels_is_called_off_with_its_words() -> None:
    async with staged(505) as stage:
        item = await a_meeting(stage)

        await asked(stage, "cancel", stage.ann.primary, id=item.item_id, text="Another time")
        stage.post.settle()

        assert (held(stage.ann), held(stage.room)) == ([], [])
        notes = [one.body for one in stage.bob.folders["inbox"].items.values() if one.letter and one.is_cancelled]
        assert notes == ["Another time"]


@pytest.mark.parametrize(
    ("how", "response"), [("accept", "Accept"), ("tentative", "Tentative"), ("decline", "Decline")]
)
async def test_an_answer_it_gives_is_noted_by_the_organizer(how: str, response: str) -> None:
    async with staged(506) as stage:
        mine, _ = stage.book()
        theirs = stage.copy(stage.bob, mine.uid)

        await asked(stage, "answer", stage.bob.primary, id=theirs.item_id, how=how)
        stage.post.settle()

        (after,) = held(stage.ann)
        assert {one.address: one.response for one in after.attendees}[stage.bob.primary] == response
        assert [one.my_response for one in held(stage.bob)] == ([] if how == "decline" else [response])


PATTERNS: dict[str, tuple[dict[str, Any], dates.Pattern]] = {
    "daily": ({"every": 3}, dates.Daily(3)),
    "weekly": ({"every": 2, "days": ["Monday", "Thursday"]}, dates.Weekly(("Monday", "Thursday"), 2)),
    "monthly": ({"every": 1, "day": 23}, dates.AbsoluteMonthly(23, 1)),
    "relativeMonthly": ({"every": 2, "day": "Monday", "week": "Last"}, dates.RelativeMonthly("Monday", "Last", 2)),
    "yearly": ({"month": "November", "day": 23}, dates.AbsoluteYearly(23, 11)),
    "relativeYearly": (
        {"month": "December", "day": "Tuesday", "week": "Second"},
        dates.RelativeYearly("Tuesday", "Second", 12),
    ),
}


@pytest.mark.parametrize("kind", PATTERNS)
async def test_every_pattern_it_writes_is_kept(kind: str) -> None:
    said, pattern = PATTERNS[kind]
    async with staged(507) as stage:
        item = await made(stage, recurrence={"kind": kind, "start": START, "count": 4, **said})
        found = await asked(
            stage, "master", stage.ann.primary, id=stage.ann.calendar.view(item.start, item.end)[0].item_id
        )  # type: ignore[union-attr]

        assert item.recurrence is not None
        assert (item.recurrence.pattern, item.recurrence.count) == (pattern, 4)
        assert (found["id"], found["occurrences"]) == (item.item_id, 4)


async def test_it_changes_and_deletes_single_occurrences() -> None:
    async with staged(508) as stage:
        item = await made(stage, recurrence={"kind": "daily", "start": START, "every": 1, "count": 5})
        moved = {"start": "2026-11-24T12:00:00Z", "end": "2026-11-24T13:00:00Z"}

        await asked(stage, "occurrence", stage.ann.primary, master=item.item_id, index=2, set=moved)
        await asked(stage, "occurrence", stage.ann.primary, master=item.item_id, index=4, remove=True)
        late = {"start": "2026-11-25T08:00:00Z", "end": "2026-11-25T08:30:00Z"}
        with pytest.raises(Judged, match="adjacent"):
            await asked(stage, "occurrence", stage.ann.primary, master=item.item_id, index=2, set=late)

        (after,) = held(stage.ann)
        assert {start: one.start for start, one in after.exceptions.items()} == {at(START) + DAY: at(moved["start"])}
        assert after.deleted == (at(START) + 3 * DAY,)


async def test_it_copies_moves_tags_and_sees_a_rooms_settings() -> None:
    async with staged(509) as stage:
        item = await made(stage)

        tagged = await asked(stage, "tag", stage.ann.primary, id=item.item_id, value="one two")
        copied = await asked(stage, "move", stage.ann.primary, id=item.item_id, to="DeletedItems", copy=True)
        moved = await asked(stage, "move", stage.ann.primary, id=item.item_id, to="DeletedItems")
        automate = await asked(stage, "configuration", stage.room.primary)

        assert tagged == ["one two"]
        assert {one.item_id for one in held(stage.ann, "deleteditems")} == {copied, moved}
        assert held(stage.ann) == []
        assert automate == 2
