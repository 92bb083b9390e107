"""ews-javascript-api 0.15, unpatched: who is free when, what is found page by page, and which folders there are."""

import pytest

from kalends_sandbox.exchange import Settings
from sandbox.exchange.second_judge import Judged, asked, needed
from sandbox.exchange.stage import staged

pytestmark = [needed, pytest.mark.asyncio]

DAY = {"start": "2026-11-20T00:00:00Z", "end": "2026-11-21T00:00:00Z"}


async def test_it_asks_who_is_free_when() -> None:
    async with staged() as stage:
        stage.ann.default_rights = "Reviewer"
        stage.book(hours=2, subject="Budget", show_as="OOF")
        stage.book(hours=4, subject="Doctor", sensitivity="Private")

        ann, room = await asked(
            stage, "busy", stage.bob.primary, addresses=[stage.ann.primary, stage.room.primary], **DAY
        )

        assert [(one["start"], one["subject"]) for one in ann["events"]] == [
            ("2026-11-20T10:00:00.000Z", "Budget"),
            ("2026-11-20T12:00:00.000Z", None),
        ]
        # The client lives in Tokyo and asks for its whole day there: ten o'clock in UTC is seven in the evening.
        assert ann["merged"] == "0" * 38 + "33" + "00" + "22" + "0" * 4
        assert [one["subject"] for one in room["events"]] == [None, None]


async def test_a_question_too_long_is_refused_by_name() -> None:
    async with staged() as stage:
        with pytest.raises(Judged, match=r"(?i)too long|TimeIntervalTooBig"):
            await asked(
                stage,
                "busy",
                stage.bob.primary,
                addresses=[stage.ann.primary],
                start=DAY["start"],
                end="2027-02-01T00:00:00Z",
            )


async def test_it_finds_by_words_and_page_by_page() -> None:
    async with staged(settings=Settings(rows_per_search=3)) as stage:
        for day, subject in enumerate(("Budget", "Retro", "Budget II", "budget III", "Planning", "A budget")):
            stage.book(day, subject=subject)

        first = await asked(stage, "find", stage.ann.primary, most=4)
        second = await asked(stage, "find", stage.ann.primary, most=4, offset=4)
        searched = await asked(stage, "find", stage.ann.primary, subject="Budget")

        every = ["A budget", "Budget", "Budget II", "budget III", "Planning", "Retro"]
        assert (first["subjects"], second["subjects"]) == (every[:4], every[4:])
        assert (first["more"], second["more"], first["total"]) == (True, False, 6)
        assert (len(searched["subjects"]), searched["more"]) == (3, True)


async def test_it_lists_the_folders_of_a_mailbox() -> None:
    async with staged() as stage:
        found = await asked(stage, "folders", stage.ann.primary)

        assert {"Calendar", "Inbox", "Sent Items", "Deleted Items"} <= set(found)


async def test_it_pulls_what_happened_since_it_last_asked() -> None:
    async with staged() as stage:
        stage.book(hours=2)

        first, second = await asked(stage, "pull", stage.ann.primary, rounds=2)

        assert stage.ann.calendar is not None
        [made] = [one for one in stage.ann.calendar.items.values() if one.subject == "Heard by asking"]
        assert [item for _, item in first if item] == []  # nothing happened between subscribing and asking
        assert {item for _, item in second if item} == {made.item_id}


async def test_it_opens_one_meeting_by_its_id_and_the_folder_it_lies_in() -> None:
    async with staged() as stage:
        _, held = stage.book(hours=2)

        found = await asked(stage, "bind", stage.room.primary, id=held.item_id)
        folder = await asked(stage, "folder", stage.room.primary, name="Calendar")

        assert (found["uid"], found["change"]) == (held.uid, held.change_key)
        assert folder == {"name": "Calendar", "total": 1}
