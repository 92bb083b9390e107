"""Answers, cancellations and the messages about meetings in raw SOAP: who may, who hears, what lies in which folder."""

import pytest

from kalends_sandbox.actions import Change
from sandbox.exchange import wire
from sandbox.exchange.stage import staged
from sandbox.exchange.test_exchange_writing import DAY, as_ann, attendees, five_days, ids, only, stale
from sandbox.exchange.wire import appointment, change, create, reply, set_field, update

REPLIES = {
    "the organizer accepts": ("ann", "AcceptItem", "ErrorCalendarIsOrganizerForAccept"),
    "the organizer hesitates": ("ann", "TentativelyAcceptItem", "ErrorCalendarIsOrganizerForTentative"),
    "the organizer declines": ("ann", "DeclineItem", "ErrorCalendarIsOrganizerForDecline"),
    "an attendee cancels": ("bob", "CancelCalendarItem", "ErrorCalendarIsNotOrganizer"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("case", REPLIES)
async def test_nobody_answers_or_cancels_what_is_not_theirs_to(case: str) -> None:
    who, kind, code = REPLIES[case]
    async with staged(414) as stage:
        mine, _ = stage.book()
        mailbox = stage.ann if who == "ann" else stage.bob
        copy = stage.copy(mailbox, mine.uid)

        answer = await stage.ask(create(reply(kind, copy.item_id), disposition="SendOnly"), mailbox.primary)

        assert answer.codes == [code]
        assert stage.copy(mailbox, mine.uid) == copy


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("kind", "verb"), [("AcceptItem", "Accept"), ("TentativelyAcceptItem", "Tentative"), ("DeclineItem", "Decline")]
)
async def test_a_cancelled_meeting_takes_no_answer(kind: str, verb: str) -> None:
    async with staged(415) as stage:
        mine, _ = stage.book()
        stage.actions.cancel(stage.ann.primary, mine.uid)
        stage.post.settle()

        answer = await stage.ask(
            create(reply(kind, only(stage.bob).item_id), disposition="SendOnly"), stage.bob.primary
        )

        assert answer.codes == [f"ErrorCalendarIsCancelledFor{verb}"]


@pytest.mark.asyncio
async def test_an_outdated_request_is_not_answered_and_an_answer_is_no_request() -> None:
    async with staged(416) as stage:
        mine, _ = stage.book()
        (request,) = stage.bob.folders["inbox"].items.values()
        stage.actions.edit(stage.ann.primary, mine.uid, Change(start=stage.at(2), end=stage.at(2, 1)))
        stage.post.settle()
        flags = [one.letter.is_outdated for one in stage.bob.folders["inbox"].items.values() if one.letter]
        (of_room,) = (one for one in stage.ann.folders["inbox"].items.values() if one.sequence == 0)

        old = await stage.ask(create(reply("AcceptItem", request.item_id), disposition="SendOnly"), stage.bob.primary)
        wrong = await as_ann(stage, create(reply("AcceptItem", of_room.item_id), disposition="SendOnly"))
        bare = await stage.ask(create(reply("AcceptItem", request.item_id)), stage.bob.primary)

        assert (old.codes, wrong.codes) == (["ErrorCalendarMeetingRequestIsOutOfDate"], ["ErrorInvalidReferenceItem"])
        assert bare.codes == ["ErrorMessageDispositionRequired"]
        assert flags == [True, False]
        assert only(stage.bob).my_response == "NoResponseReceived"


@pytest.mark.asyncio
@pytest.mark.parametrize("disposition", ["SaveOnly", "SendOnly", "SendAndSaveCopy"])
async def test_a_reply_is_sent_and_saved_as_its_disposition_says(disposition: str) -> None:
    async with staged(417) as stage:
        mine, _ = stage.book()
        copy = stage.copy(stage.bob, mine.uid)

        answer = await stage.ask(create(reply("AcceptItem", copy.item_id), disposition=disposition), stage.bob.primary)
        stage.post.settle()

        filed = {kind: stage.bob.folders[kind].count for kind in ("drafts", "sentitems")}  # type: ignore[index]
        assert filed == {"drafts": int(disposition == "SaveOnly"), "sentitems": int(disposition == "SendAndSaveCopy")}
        assert len(ids(answer)) == (0 if disposition == "SendOnly" else 1)
        assert stage.copy(stage.bob, mine.uid).my_response == "Accept"
        noted = {one.address: one.response for one in only(stage.ann).attendees}[stage.bob.primary]
        assert noted == ("Unknown" if disposition == "SaveOnly" else "Accept")


@pytest.mark.asyncio
async def test_messages_are_listed_synced_and_read_in_the_schemas_order() -> None:
    async with staged(420) as stage:
        mine = five_days(stage)
        stage.actions.respond(stage.bob.primary, mine.uid, "Tentative", mine.start + DAY)
        stage.post.settle()
        stage.actions.cancel(stage.ann.primary, mine.uid)
        stage.post.settle()
        found: dict[str, list[str]] = {}

        for mailbox in (stage.ann, stage.bob):
            inbox = '<t:DistinguishedFolderId Id="inbox"/>'
            synced = await stage.ask(wire.sync(folder=inbox), mailbox.primary)
            listed = await stage.ask(
                f'<m:FindItem Traversal="Shallow">{wire.shape(base="AllProperties")}'
                f"<m:ParentFolderIds>{inbox}</m:ParentFolderIds></m:FindItem>",
                mailbox.primary,
            )
            read = await stage.ask(wire.get_item(*ids(synced), base="AllProperties"), mailbox.primary)
            assert len(ids(synced)) == mailbox.folders["inbox"].count > 0
            found[mailbox.primary] = wire.texts(read.tree, ".//t:ItemClass")
            assert sorted(wire.texts(listed.tree, ".//t:Subject")) == sorted(wire.texts(read.tree, ".//t:Subject"))

        assert sorted(found[stage.ann.primary]) == ["IPM.Schedule.Meeting.Resp.Pos", "IPM.Schedule.Meeting.Resp.Tent"]
        assert sorted(found[stage.bob.primary]) == ["IPM.Schedule.Meeting.Canceled", "IPM.Schedule.Meeting.Request"]


@pytest.mark.asyncio
async def test_a_message_changes_in_nothing_but_whether_it_was_read() -> None:
    async with staged(421) as stage:
        stage.book()
        (request,) = stage.bob.folders["inbox"].items.values()
        reads = set_field("message:IsRead", "<t:IsRead>true</t:IsRead>", "MeetingRequest")
        renames = set_field("item:Subject", "<t:Subject>x</t:Subject>", "MeetingRequest")

        bare = await stage.ask(update(change(stale(request), reads)), stage.bob.primary)
        renamed = await stage.ask(update(change(stale(request), renames), disposition="SaveOnly"), stage.bob.primary)
        read = await stage.ask(
            update(change(stale(request), reads), disposition="SaveOnly", send=None), stage.bob.primary
        )

        assert (bare.codes, renamed.codes) == (
            ["ErrorMessageDispositionRequired"],
            ["ErrorInvalidPropertyUpdateSentMessage"],
        )
        assert read.codes == ["NoError"]
        assert stage.bob.folders["inbox"].unread == 0


@pytest.mark.asyncio
async def test_mail_announces_itself_in_the_inbox() -> None:
    async with staged(423) as stage:
        heard: list[str] = []
        stage.world.listeners.append(lambda one: heard.append(f"{one.mailbox.name} {one.what} {one.folder.kind}"))

        rest = attendees("RequiredAttendees", stage.bob.primary)
        await as_ann(stage, create(appointment(rest), send="SendToAllAndSaveCopy"))
        stage.post.settle()

        assert [one for one in heard if "inbox" in one or "sent" in one] == [
            "Ann Ōkubo created sentitems", "Bob <Brown> & Sons new_mail inbox",
        ]  # fmt: skip
