"""exchangelib 5.6, unpatched, writes: what it saves, changes, answers, cancels and deletes is what the world then holds."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from exchangelib import CalendarItem, EWSDateTime, EWSTimeZone, ExtendedProperty, HTMLBody
from exchangelib.errors import ErrorIrresolvableConflict, ErrorItemNotFound, ErrorOccurrenceCrossingBoundary
from exchangelib.items import MeetingRequest, MeetingResponse
from exchangelib.properties import Attendee, Mailbox
from exchangelib.recurrence import (
    AbsoluteMonthlyPattern,
    AbsoluteYearlyPattern,
    DailyPattern,
    Recurrence,
    RelativeMonthlyPattern,
    RelativeYearlyPattern,
    WeeklyPattern,
)

from kalends_sandbox import recurrence as dates
from kalends_sandbox.folder import Distinguished
from kalends_sandbox.item import Item
from kalends_sandbox.mailbox import Mailbox as WorldMailbox
from sandbox.exchange.stage import TODAY, Stage, staged
from sandbox.exchange.test_exchange_judge import account, judged

BERLIN = EWSTimeZone("Europe/Berlin")
ALL = "SendToAllAndSaveCopy"


def at(days: float, hours: float = 9) -> EWSDateTime:
    """Local time in Berlin, so many days after today."""
    local = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=BERLIN) + timedelta(days=days, hours=hours)
    return EWSDateTime.from_datetime(local)


def invited(address: str) -> Attendee:
    return Attendee(mailbox=Mailbox(email_address=address), response_type="Unknown")


def letters(mailbox: WorldMailbox, folder: Distinguished = "inbox") -> list[tuple[str, str | None]]:
    found = mailbox.folders[folder].items.values()
    return [(one.letter.kind, one.subject) for one in found if one.letter is not None]


def held(mailbox: WorldMailbox, folder: Distinguished = "calendar") -> list[Item]:
    return list(mailbox.folders[folder].items.values())


async def saved(stage: Stage, send: str = "SendToNone", **fields: Any) -> Any:
    """A meeting of Ann's, saved by exchangelib; the mail has settled."""
    acc = await judged(lambda: account(stage, stage.ann.primary))
    fields = {"subject": "Plan", "start": at(1), "end": at(1, 10)} | fields
    item = CalendarItem(account=acc, folder=await judged(lambda: acc.calendar), **fields)
    await judged(lambda: item.save(send_meeting_invitations=send))
    stage.post.settle()
    return item


async def fresh(stage: Stage, mailbox: WorldMailbox, item_id: str) -> Any:
    acc = await judged(lambda: account(stage, mailbox.primary))
    return await judged(lambda: acc.calendar.get(id=item_id))


class Booking(ExtendedProperty):
    property_set_id = "c11ff724-aa03-4555-9952-8fa248a11c3e"
    property_name = "BookingId"
    property_type = "String"


class Numbers(ExtendedProperty):
    distinguished_property_set_id = "PublicStrings"
    property_name = "Numbers"
    property_type = "IntegerArray"


class Blob(ExtendedProperty):
    property_tag = 0x6001
    property_type = "Binary"


@pytest.fixture
def extended() -> Any:
    """Registered for one test: exchangelib keeps them for the whole process."""
    kinds = {"booking_id": Booking, "numbers": Numbers, "blob": Blob}
    for name, kind in kinds.items():
        CalendarItem.register(name, kind)
    yield
    for name in kinds:
        CalendarItem.deregister(name)


@pytest.mark.asyncio
async def test_every_field_that_is_saved_is_what_the_world_holds(extended: None) -> None:
    async with staged(301) as stage:
        item = await saved(
            stage,
            subject="Größe & <Maß>",
            body=HTMLBody("<html><body><p>One</p>two &amp; three</body></html>"),
            location="Somewhere else",
            sensitivity="Private",
            importance="High",
            categories=["Red", "Blue"],
            legacy_free_busy_status="OOF",
            reminder_is_set=True,
            reminder_minutes_before_start=42,
            is_response_requested=False,
            allow_new_time_proposal=False,
            uid="4711@elsewhere",
            booking_id="bk-1",
            numbers=[1, 2, 3],
            blob=b"\x00\xff",
        )
        found = await fresh(stage, stage.ann, item.id)

        (kept,) = held(stage.ann)
        assert (kept.item_id, kept.change_key) == (item.id, item.changekey)
        assert (kept.subject, kept.location, kept.uid) == ("Größe & <Maß>", "Somewhere else", "4711@elsewhere")
        assert (kept.start, kept.end, kept.zone.id) == (at(1), at(1, 10), "W. Europe Standard Time")
        assert (kept.sensitivity, kept.importance, kept.categories) == ("Private", "High", ("Red", "Blue"))
        assert (kept.show_as, kept.has_reminder, kept.reminder_minutes) == ("OOF", True, 42)
        assert (kept.wants_answers, kept.allows_new_times, kept.is_meeting) == (False, False, False)
        assert {one.value for one in kept.extended} == {"bk-1", ("1", "2", "3"), "AP8="}
        assert (found.booking_id, found.numbers, found.blob) == ("bk-1", [1, 2, 3], b"\x00\xff")
        assert isinstance(found.body, HTMLBody)
        assert found.text_body == "One\ntwo & three"
        assert (found.importance, found.reminder_minutes_before_start) == ("High", 42)


@pytest.mark.asyncio
async def test_an_all_day_item_covers_whole_local_days() -> None:
    async with staged(302) as stage:
        item = await saved(stage, start=date(2026, 12, 1), end=date(2026, 12, 2), is_all_day=True)
        found = await fresh(stage, stage.ann, item.id)

        (kept,) = held(stage.ann)
        local = [moment.astimezone(BERLIN).replace(tzinfo=None) for moment in (kept.start, kept.end)]
        assert (kept.is_all_day, local) == (True, [datetime(2026, 12, 1), datetime(2026, 12, 3)])
        assert (found.start, found.end) == (date(2026, 12, 1), date(2026, 12, 2))


@pytest.mark.asyncio
async def test_a_saved_meeting_reaches_everybody_and_the_room_answers() -> None:
    async with staged(303) as stage:
        item = await saved(
            stage,
            send=ALL,
            required_attendees=[stage.bob.primary],  # sent as already accepted, which means nothing
            optional_attendees=[invited("guest@elsewhere.example")],
            resources=[invited(stage.room.primary)],
        )
        found = await fresh(stage, stage.ann, item.id)

        theirs = stage.copy(stage.bob, found.uid)
        assert (theirs.my_response, theirs.show_as, theirs.subject) == ("NoResponseReceived", "Tentative", "Plan")
        assert stage.copy(stage.room, found.uid).my_response == "Accept"
        assert [one.response_type for one in found.required_attendees] == ["Unknown"]
        assert [one.response_type for one in found.resources] == ["Accept"]
        assert (found.is_meeting, found.meeting_request_was_sent, found.my_response_type) == (True, True, "Organizer")
        assert dict(stage.world.mails) == {"invitation": 3, "acceptance": 1}
        assert letters(stage.bob) == [("invitation", "Plan")]
        assert letters(stage.ann, "sentitems") == [("invitation", "Plan")]
        assert letters(stage.ann) == [("acceptance", "Accepted: Plan")]
        assert letters(stage.room) == []


@pytest.mark.asyncio
async def test_attendees_saved_without_a_word_to_them_know_nothing() -> None:
    async with staged(304) as stage:
        item = await saved(stage, required_attendees=[invited(stage.bob.primary)])
        found = await fresh(stage, stage.ann, item.id)

        assert (found.is_meeting, found.meeting_request_was_sent) == (True, False)
        assert held(stage.bob) == []
        assert dict(stage.world.mails) == {}

        found.subject = "Plan, told"
        await judged(lambda: found.save(update_fields=["subject"], send_meeting_invitations="SendOnlyToAll"))
        stage.post.settle()

        assert [one.subject for one in held(stage.bob)] == ["Plan, told"]
        assert dict(stage.world.mails) == {"invitation": 1}
        assert letters(stage.ann, "sentitems") == []


@pytest.mark.asyncio
async def test_a_whole_item_read_and_saved_again_loses_nothing() -> None:
    async with staged(305) as stage:
        mine, _ = stage.book(recurrence=dates.Recurrence(dates.Weekly(("Friday", "Monday")), TODAY.date(), count=9))
        second = held(stage.ann)[0]
        start = stage.ann.calendar.view(stage.at(0), stage.at(30))[1].start  # type: ignore[union-attr]
        stage.actions.move(stage.ann.primary, mine.uid, start + timedelta(hours=1), occurrence=start)
        before = held(stage.ann)[0]

        found = await fresh(stage, stage.ann, mine.item_id)
        await judged(lambda: found.save())
        (after,) = held(stage.ann)

        assert second.item_id == after.item_id == found.id
        assert after.change_key == found.changekey != before.change_key
        assert (after.recurrence, after.exceptions, after.deleted) == (before.recurrence, before.exceptions, ())
        assert (after.attendees, after.subject, after.uid) == (before.attendees, before.subject, before.uid)
        assert (after.start, after.end, after.generation) == (before.start, before.end, before.generation)


@pytest.mark.asyncio
async def test_new_times_reach_the_others_and_who_comes_or_goes_hears_of_it() -> None:
    async with staged(306) as stage:
        item = await saved(
            stage, send=ALL, required_attendees=[invited(stage.bob.primary)], resources=[invited(stage.room.primary)]
        )
        before = stage.copy(stage.bob, held(stage.ann)[0].uid)
        stage.world.mails.clear()

        item.start, item.end = at(2), at(2, 11)
        item.resources = [invited(stage.other_room.primary)]
        await judged(lambda: item.save(update_fields=["start", "end", "resources"], send_meeting_invitations=ALL))
        stage.post.settle()

        (mine,) = held(stage.ann)
        assert (item.id, item.changekey) != (mine.item_id, mine.change_key)  # the other room has answered since
        assert (stage.copy(stage.bob, mine.uid).start, stage.copy(stage.bob, mine.uid).item_id) == (
            at(2), before.item_id,
        )  # fmt: skip
        assert held(stage.room) == []
        assert stage.copy(stage.other_room, mine.uid).my_response == "Accept"
        assert dict(stage.world.mails) == {"update": 1, "invitation": 1, "cancellation": 1, "acceptance": 1}
        sent = [kind for kind, _ in letters(stage.ann, "sentitems")]
        assert sent == ["invitation", "update", "invitation", "cancellation"]


@pytest.mark.asyncio
async def test_told_only_to_who_comes_or_goes_the_others_keep_what_they_had() -> None:
    async with staged(307) as stage:
        item = await saved(stage, send=ALL, required_attendees=[invited(stage.bob.primary)])

        item.subject, item.resources = "Renamed", [invited(stage.room.primary)]
        await judged(
            lambda: item.save(update_fields=["subject", "resources"], send_meeting_invitations="SendOnlyToChanged")
        )
        stage.post.settle()

        (mine,) = held(stage.ann)
        assert stage.copy(stage.bob, mine.uid).subject == "Plan"
        assert stage.copy(stage.room, mine.uid).my_response == "Accept"
        assert stage.world.mails["update"] == 0


@pytest.mark.asyncio
async def test_a_cancelled_meeting_is_in_deleted_items_here_and_marked_there() -> None:
    async with staged(308) as stage:
        item = await saved(
            stage, send=ALL, required_attendees=[invited(stage.bob.primary)], resources=[invited(stage.room.primary)]
        )

        filed = await judged(lambda: item.cancel(new_body="Sorry"))
        stage.post.settle()

        assert (held(stage.ann), held(stage.room)) == ([], [])
        (gone,) = [one for one in held(stage.ann, "deleteditems") if one.letter is None]
        assert (gone.subject, gone.item_id == item.id) == ("Plan", False)
        (marked,) = held(stage.bob)
        assert (marked.is_cancelled, marked.show_as, marked.subject) == (True, "Free", "Canceled: Plan")
        (copy,) = [one for one in held(stage.ann, "sentitems") if one.letter and one.letter.kind == "cancellation"]
        assert (filed.id, copy.body) == (copy.item_id, "Sorry")
        assert ("cancellation", "Canceled: Plan") in letters(stage.bob)


ANSWERS: dict[str, tuple[Callable[[Any], Any], str, str]] = {
    "accept": (lambda item: item.accept(body="Yes"), "Accept", "Accepted: Plan"),
    "tentative": (lambda item: item.tentatively_accept(body="Yes"), "Tentative", "Tentative: Plan"),
    "decline": (lambda item: item.decline(body="Yes"), "Decline", "Declined: Plan"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("to_the_request", [False, True])
async def test_an_answer_is_noted_here_and_reaches_the_organizer(answer: str, to_the_request: bool) -> None:
    give, response, subject = ANSWERS[answer]
    async with staged(309) as stage:
        await saved(stage, send=ALL, required_attendees=[invited(stage.bob.primary)])
        acc = await judged(lambda: account(stage, stage.bob.primary))
        if to_the_request:
            (asked,) = await judged(lambda: list(acc.inbox.all()))
            assert isinstance(asked, MeetingRequest)
        else:
            asked = await fresh(stage, stage.bob, held(stage.bob)[0].item_id)

        answered = await judged(lambda: give(asked))
        stage.post.settle()

        (mine,) = held(stage.ann)
        assert [(one.address, one.response) for one in mine.attendees] == [(stage.bob.primary, response)]
        assert letters(stage.bob, "sentitems") == [(
            {"Accept": "acceptance", "Tentative": "tentative", "Decline": "refusal"}[response], subject,
        )]  # fmt: skip
        kept = held(stage.bob, "deleteditems" if response == "Decline" else "calendar")
        assert [one.my_response for one in kept if one.letter is None] == [
            "NoResponseReceived" if response == "Decline" else response
        ]
        assert len(letters(stage.bob)) == (0 if to_the_request else 1)  # an answered request goes to Deleted Items
        filed = held(stage.bob, "sentitems")[0]
        assert filed.body == "Yes"
        assert (answered[0] if to_the_request else answered).id == filed.item_id
        assert letters(stage.ann)[-1][1] == subject


@pytest.mark.asyncio
async def test_messages_in_the_inbox_say_what_they_are_about() -> None:
    async with staged(310) as stage:
        mine, _ = stage.book(1, subject="Plan")
        stage.actions.respond(stage.bob.primary, mine.uid, "Decline")
        stage.post.settle()
        bob = await judged(lambda: account(stage, stage.bob.primary))
        ann = await judged(lambda: account(stage, stage.ann.primary))

        (request,) = await judged(lambda: list(bob.inbox.all()))
        answers = await judged(lambda: list(ann.inbox.all()))
        unread = (await judged(lambda: bob.inbox.refresh())).unread_count
        request.is_read = True
        await judged(lambda: request.save(update_fields=["is_read"]))

        assert (request.subject, request.start, request.end) == ("Plan", mine.start, mine.end)
        assert (request.sender.email_address, request.meeting_request_type) == (stage.ann.primary, "NewMeetingRequest")
        assert [one.mailbox.email_address for one in request.resources] == [stage.room.primary]
        refusal = next(one for one in answers if one.subject == "Declined: Plan")
        assert isinstance(refusal, MeetingResponse)
        assert (refusal.response_type, refusal.associated_calendar_item_id.id) == ("Decline", mine.item_id)
        assert (unread, stage.bob.folders["inbox"].unread) == (1, 0)


DELETIONS: dict[str, tuple[Callable[[Any, str], Any], Distinguished | None]] = {
    "hard": (lambda item, send: item.delete(send_meeting_cancellations=send), None),
    "soft": (lambda item, send: item.soft_delete(send_meeting_cancellations=send), "recoverableitemsdeletions"),
    "to the trash": (lambda item, send: item.move_to_trash(send_meeting_cancellations=send), "deleteditems"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", DELETIONS)
@pytest.mark.parametrize("send", ["SendToNone", "SendOnlyToAll"])
async def test_a_deleted_meeting_lies_where_its_deletion_says_and_tells_who_it_says(kind: str, send: str) -> None:
    delete, where = DELETIONS[kind]
    async with staged(311) as stage:
        item = await saved(stage, send=ALL, resources=[invited(stage.room.primary)])
        item = await fresh(stage, stage.ann, item.id)
        id_ = item.id

        await judged(lambda: delete(item, send))
        stage.post.settle()

        assert held(stage.ann) == []
        found = [
            folder.kind for folder in stage.ann.folders.values() for one in folder.items.values() if one.letter is None
        ]
        assert found == ([] if where is None else [where])
        assert len(held(stage.room)) == (1 if send == "SendToNone" else 0)
        with pytest.raises(ErrorItemNotFound):
            await fresh(stage, stage.ann, id_)


@pytest.mark.asyncio
async def test_an_item_copied_is_two_and_an_item_moved_has_another_id() -> None:
    async with staged(312) as stage:
        item = await saved(stage)
        first = item.id
        acc = item.account

        copy_id, _ = await judged(lambda: item.copy(acc.trash))
        await judged(lambda: item.move(acc.trash))

        assert held(stage.ann) == []
        assert {one.item_id for one in held(stage.ann, "deleteditems")} == {copy_id, item.id}
        assert len({first, copy_id, item.id}) == 3
        assert {one.subject for one in await judged(lambda: list(acc.trash.all()))} == {"Plan"}


PATTERNS = {
    "daily": (DailyPattern(interval=3), dates.Daily(3)),
    "weekly": (
        WeeklyPattern(interval=2, weekdays=["Monday", "Thursday"], first_day_of_week="Monday"),
        dates.Weekly(("Monday", "Thursday"), 2, "Monday"),
    ),
    "monthly": (AbsoluteMonthlyPattern(interval=1, day_of_month=31), dates.AbsoluteMonthly(31, 1)),
    "relative monthly": (
        RelativeMonthlyPattern(interval=2, weekday="Weekday", week_number="Last"),
        dates.RelativeMonthly("Weekday", "Last", 2),
    ),
    "yearly": (AbsoluteYearlyPattern(day_of_month=29, month="February"), dates.AbsoluteYearly(29, 2)),
    "relative yearly": (
        RelativeYearlyPattern(weekday="Tuesday", week_number="Second", month="December"),
        dates.RelativeYearly("Tuesday", "Second", 12),
    ),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", PATTERNS)
async def test_every_pattern_and_range_is_kept_as_it_was_saved(kind: str) -> None:
    pattern, expected = PATTERNS[kind]
    first = at(1).date()
    ranges = ({"number": 5}, {"end": first + timedelta(days=4000)}, {})
    async with staged(313) as stage:
        for bounds in ranges:
            await saved(stage, subject=str(bounds), recurrence=Recurrence(pattern=pattern, start=first, **bounds))

        kept = {one.subject: one for one in held(stage.ann)}
        for bounds in ranges:
            series = kept[str(bounds)]
            assert series.recurrence is not None
            assert (series.recurrence.pattern, series.recurrence.start) == (expected, first)
            assert (series.recurrence.count, series.recurrence.end) == (bounds.get("number"), bounds.get("end"))
            assert series.start.astimezone(BERLIN).date() == series.recurrence.first


async def a_week(stage: Stage, **fields: Any) -> Any:
    """A daily series of seven, from tomorrow at nine, to which Bob and the room are invited."""
    return await saved(
        stage,
        send=ALL,
        recurrence=Recurrence(pattern=DailyPattern(interval=1), start=at(1).date(), number=7),
        required_attendees=[invited(stage.bob.primary)],
        resources=[invited(stage.room.primary)],
        **fields,
    )


def starts(stage: Stage, mailbox: WorldMailbox) -> list[datetime]:
    assert mailbox.calendar is not None
    return [one.start for one in mailbox.calendar.view(stage.at(0), stage.at(30)) if not one.is_cancelled]


@pytest.mark.asyncio
async def test_one_occurrence_is_changed_for_everybody_and_becomes_an_exception() -> None:
    async with staged(314) as stage:
        master = await a_week(stage)

        third = await judged(lambda: master.occurrence(3).refresh())
        by_index = third.id
        third.start, third.end, third.subject = at(3, 14), at(3, 15), "Moved"
        await judged(lambda: third.save(update_fields=["start", "end", "subject"], send_meeting_invitations=ALL))
        stage.post.settle()
        found = await fresh(stage, stage.ann, master.id)

        for mailbox in (stage.ann, stage.bob, stage.room):
            assert starts(stage, mailbox) == [at(day, 14 if day == 3 else 9) for day in range(1, 8)]
        assert third.id == by_index
        assert [(one.id, one.start, one.original_start) for one in found.modified_occurrences] == [
            (third.id, at(3, 14), at(3))
        ]
        again = await judged(lambda: master.occurrence(3).refresh())
        assert (again.type, again.subject, again.is_recurring, found.is_recurring) == (
            "Exception",
            "Moved",
            True,
            False,
        )


@pytest.mark.asyncio
@pytest.mark.parametrize("by", ["index", "id"])
async def test_one_occurrence_is_deleted_for_everybody(by: str) -> None:
    async with staged(315) as stage:
        master = await a_week(stage)

        second = master.occurrence(2)
        if by == "id":
            second = await judged(lambda: second.refresh())
        await judged(lambda: second.delete(send_meeting_cancellations=ALL))
        stage.post.settle()
        found = await fresh(stage, stage.ann, master.id)

        for mailbox in (stage.ann, stage.bob, stage.room):
            assert starts(stage, mailbox) == [at(day) for day in (1, 3, 4, 5, 6, 7)]
        assert [one.start for one in found.deleted_occurrences] == [at(2)]
        assert found.first_occurrence.start == at(1)


@pytest.mark.asyncio
async def test_a_series_is_deleted_by_one_of_its_occurrences() -> None:
    async with staged(316) as stage:
        master = await a_week(stage)
        third = await judged(lambda: master.occurrence(3).refresh())

        await judged(lambda: third.recurring_master().delete(send_meeting_cancellations=ALL))
        stage.post.settle()

        assert (held(stage.ann), held(stage.room)) == ([], [])
        with pytest.raises(ErrorItemNotFound):
            await judged(lambda: third.delete(send_meeting_cancellations="SendToNone"))


@pytest.mark.asyncio
async def test_another_pattern_drops_exceptions_and_gives_occurrences_other_ids() -> None:
    async with staged(317) as stage:
        master = await a_week(stage)
        third = await judged(lambda: master.occurrence(3).refresh())
        third.location = "Elsewhere"
        await judged(lambda: third.save(update_fields=["location"], send_meeting_invitations=ALL))
        stage.post.settle()
        master = await fresh(stage, stage.ann, master.id)

        master.recurrence = Recurrence(pattern=DailyPattern(interval=2), start=at(1).date(), number=3)
        await judged(lambda: master.save(update_fields=["recurrence"], send_meeting_invitations=ALL))
        stage.post.settle()

        for mailbox in (stage.ann, stage.bob, stage.room):
            assert starts(stage, mailbox) == [at(1), at(3), at(5)]
        assert not held(stage.ann)[0].exceptions
        with pytest.raises(ErrorItemNotFound):
            await fresh(stage, stage.ann, third.id)


@pytest.mark.asyncio
async def test_an_occurrence_may_not_meet_its_neighbour() -> None:
    async with staged(318) as stage:
        master = await a_week(stage)
        third = await judged(lambda: master.occurrence(3).refresh())

        third.start, third.end = at(4, 7), at(4, 8)

        with pytest.raises(ErrorOccurrenceCrossingBoundary):
            await judged(lambda: third.save(update_fields=["start", "end"]))
        assert starts(stage, stage.ann) == [at(day) for day in range(1, 8)]


@pytest.mark.asyncio
async def test_an_answer_to_one_occurrence_is_noted_for_that_one() -> None:
    async with staged(319) as stage:
        await a_week(stage)
        (theirs,) = held(stage.bob)
        acc = await judged(lambda: account(stage, stage.bob.primary))
        master = await judged(lambda: acc.calendar.get(id=theirs.item_id))
        second = await judged(lambda: master.occurrence(2).refresh())

        await judged(lambda: second.decline())
        stage.post.settle()

        (mine,) = held(stage.ann)
        answers = {one.address: one.response for one in mine.exceptions[at(2)].attendees or ()}
        assert answers[stage.bob.primary] == "Decline"
        assert starts(stage, stage.bob) == [at(day) for day in (1, 3, 4, 5, 6, 7)]
        assert {one.address: one.response for one in mine.attendees}[stage.bob.primary] == "Unknown"


@pytest.mark.asyncio
async def test_a_stale_writer_is_merged_overwrites_or_is_refused_as_it_wishes() -> None:
    async with staged(320) as stage:
        item = await saved(stage, location="Here")
        stale = await fresh(stage, stage.ann, item.id)
        item.subject = "First"
        await judged(lambda: item.save(update_fields=["subject"]))

        stale.location = "There"
        with pytest.raises(ErrorIrresolvableConflict):
            await judged(lambda: stale.save(update_fields=["location"], conflict_resolution="NeverOverwrite"))
        await judged(lambda: stale.save(update_fields=["location"], conflict_resolution="AutoResolve"))
        (merged,) = held(stage.ann)
        stale = await fresh(stage, stage.ann, item.id)
        item = await fresh(stage, stage.ann, item.id)
        item.subject = "Second"
        await judged(lambda: item.save(update_fields=["subject"]))
        stale.subject = "Third"
        with pytest.raises(ErrorIrresolvableConflict):
            await judged(lambda: stale.save(update_fields=["subject"], conflict_resolution="AutoResolve"))
        await judged(lambda: stale.save(update_fields=["subject"], conflict_resolution="AlwaysOverwrite"))

        assert (merged.subject, merged.location) == ("First", "There")
        assert [(one.subject, one.location) for one in held(stage.ann)] == [("Third", "There")]


@pytest.mark.asyncio
async def test_a_batch_goes_on_past_what_is_refused() -> None:
    async with staged(321) as stage:
        acc = await judged(lambda: account(stage, stage.ann.primary))
        calendar = await judged(lambda: acc.calendar)
        items = [
            CalendarItem(account=acc, folder=calendar, subject=str(day), start=at(day), end=at(day, 10))
            for day in range(3)
        ]

        made = await judged(lambda: acc.bulk_create(calendar, items))
        gone = await judged(
            lambda: acc.bulk_delete([made[0], made[0], made[1]], send_meeting_cancellations="SendToNone")
        )

        assert [one.subject for one in held(stage.ann)] == ["2"]
        assert [one is True for one in gone] == [True, False, True]
        assert isinstance(gone[1], ErrorItemNotFound)


@pytest.mark.asyncio
async def test_the_settings_of_a_room_can_be_seen_as_far_as_exchange_shows_them() -> None:
    async with staged(322) as stage:
        of_room = await judged(lambda: account(stage, stage.room.primary))
        of_ann = await judged(lambda: account(stage, stage.ann.primary))

        room = await judged(lambda: of_room.calendar.get_user_configuration(name="Calendar"))
        ann = await judged(lambda: of_ann.calendar.get_user_configuration(name="Calendar", properties="Dictionary"))

        assert (room.dictionary["AutomateProcessing"], ann.dictionary["AutomateProcessing"]) == (2, 1)
        with pytest.raises(ErrorItemNotFound):
            await judged(lambda: of_room.calendar.get_user_configuration(name="Other"))
