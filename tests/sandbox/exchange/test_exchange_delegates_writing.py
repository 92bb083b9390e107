"""What delegates may write, and what becomes of a write whose answer is lost."""

import httpx2
import pytest

from kalends_sandbox.rights import Level, Permission
from sandbox.exchange import wire
from sandbox.exchange.stage import Stage, staged

ROOM = "room1@north.example"
MAILBOX = f"<t:Mailbox><t:EmailAddress>{ROOM}</t:EmailAddress></t:Mailbox>"


def create(folder: str = "") -> str:
    where = f"<m:SavedItemFolderId>{folder}</m:SavedItemFolderId>" if folder else ""
    return (
        f'<m:CreateItem SendMeetingInvitations="SendToNone">{where}<m:Items><t:CalendarItem><t:Subject>x</t:Subject>'
        "<t:Start>2026-12-01T09:00:00Z</t:Start><t:End>2026-12-01T10:00:00Z</t:End></t:CalendarItem></m:Items></m:CreateItem>"
    )


def delete(item_id: str) -> str:
    return (
        '<m:DeleteItem DeleteType="HardDelete" SendMeetingCancellations="SendToNone">'
        f'<m:ItemIds><t:ItemId Id="{item_id}"/></m:ItemIds></m:DeleteItem>'
    )


def items(stage: Stage) -> int:
    assert stage.room.calendar is not None
    return len(stage.room.calendar.items)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("level", "creates", "deletes"),
    [("Reviewer", False, False), ("Contributor", True, False), ("Editor", True, True), ("FullAccess", True, True)],
)
async def test_the_operation_decides_which_right_it_needs(level: Level, creates: bool, deletes: bool) -> None:
    async with staged(350) as stage:
        stage.world.permissions.append(Permission("ann", (ROOM,), level))
        _, copy = stage.book()
        headers = stage.account_headers("ann", "ann's own")
        calendar = f'<t:DistinguishedFolderId Id="calendar">{MAILBOX}</t:DistinguishedFolderId>'

        created = (await stage.ask(create(calendar), headers=headers)).codes
        after_creating = items(stage)
        deleted = (await stage.ask(delete(copy.item_id), headers=headers)).codes

        assert created == (["NoError"] if creates else ["ErrorAccessDenied"])
        assert deleted == (["NoError"] if deletes else ["ErrorAccessDenied"])
        assert (after_creating, items(stage)) == (1 + creates, 1 + creates - deletes)


@pytest.mark.asyncio
@pytest.mark.parametrize(("fault", "stands"), [("reset_before", 0), ("reset_after_processing", 1)])
async def test_a_write_whose_answer_is_lost_stands_and_one_that_never_arrived_does_not(fault: str, stands: int) -> None:
    async with staged(351) as stage:
        stage.faults.add(fault, operation="CreateItem", count=1)
        with pytest.raises(httpx2.TransportError):
            await stage.ask(create(), ROOM)

        assert items(stage) == stands
        assert (await stage.ask(wire.sync(), ROOM)).codes == ["NoError"]
