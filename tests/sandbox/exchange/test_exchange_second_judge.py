"""ews-javascript-api 0.15, unpatched: a second client nobody here wrote, with other habits than the first."""

import pytest

from kalends_sandbox.actions import Change
from sandbox.exchange.second_judge import Judged, asked, needed
from sandbox.exchange.stage import Stage, staged

pytestmark = [needed, pytest.mark.asyncio]

DAY = {"start": "2026-11-20T00:00:00Z", "end": "2026-11-21T00:00:00Z"}
SHOW_AS = ("Free", "Tentative", "Busy", "OOF", "WorkingElsewhere")
SENSITIVITY = ("Normal", "Personal", "Private", "Confidential")
RESPONSES = ("Unknown", "Organizer", "Tentative", "Accept", "Decline", "NoResponseReceived")
KINDS = ("Single", "Occurrence", "Exception", "RecurringMaster")


async def test_it_reads_every_field_of_a_day_as_the_world_holds_it() -> None:
    async with staged() as stage:
        _, held = stage.book(hours=2, sensitivity="Private", show_as="Tentative")

        [found] = await asked(stage, "view", stage.room.primary, **DAY)

        assert (found["id"], found["change"], found["uid"]) == (held.item_id, held.change_key, held.uid)
        assert (found["subject"], found["location"]) == (held.subject, held.location)
        assert found["start"] == held.start.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        assert found["end"] == held.end.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        assert SHOW_AS[found["showAs"]] == held.show_as
        assert SENSITIVITY[found["sensitivity"]] == held.sensitivity
        assert RESPONSES[found["response"]] == held.my_response
        assert KINDS[found["kind"]] == held.kind
        assert held.organizer is not None
        assert found["organizer"] == held.organizer.address
        for field, people in (("required", held.required), ("optional", held.optional), ("resources", held.resources)):
            assert [one["address"] for one in found[field]] == [one.address for one in people]


async def test_it_syncs_a_folder_page_by_page_and_then_only_what_changed() -> None:
    async with staged() as stage:
        held = [stage.book(hours=hours)[1] for hours in (1, 3, 5)]

        first = await asked(stage, "sync", stage.room.primary, most=2)
        second = await asked(stage, "sync", stage.room.primary, most=2, state=first["state"])
        stage.actions.edit(stage.ann.primary, held[0].uid, Change(subject="Other"))
        stage.post.settle()
        third = await asked(stage, "sync", stage.room.primary, most=2, state=second["state"])

        seen = [change["id"] for page in (first, second) for change in page["changes"]]
        assert (first["more"], second["more"]) == (True, False)
        assert sorted(seen) == sorted(item.item_id for item in held)
        assert [change["id"] for change in third["changes"]] == [stage.copy(stage.room, held[0].uid).item_id]


async def test_it_finds_the_rooms_of_every_list_and_a_name() -> None:
    async with staged() as stage:
        rooms = await asked(stage, "rooms")
        found = await asked(stage, "resolve", name="Linden")

        [listed] = stage.world.room_lists
        assert [(of, room) for of, _, room in rooms] == [(listed.address, room) for room in listed.rooms]
        assert found == [["Linden", stage.other_room.primary]]


async def test_it_hears_of_a_change_while_it_streams() -> None:
    async with staged() as stage:
        made: list[str] = []
        heard = await asked(
            stage, "listen", stage.room.primary, wanted=1, began=lambda: made.append(stage.book(hours=5)[1].item_id)
        )

        assert {item for _, item in heard} == set(made)


async def test_a_mailbox_outside_the_accounts_scope_is_refused_by_name() -> None:
    async with staged() as stage:
        narrow = {"user": "narrow", "password": "narrow"}

        with pytest.raises(Judged, match="impersonate"):
            await asked(stage, "view", stage.ann.primary, connection=narrow, **DAY)


def copies(stage: Stage, uid: str) -> list[str]:
    """Whose calendars hold the meeting."""
    people = (stage.ann, stage.bob, stage.room, stage.other_room)
    return [one.primary for one in people if one.calendar is not None and one.calendar.by_uid(uid)]
