"""Writing in raw SOAP: what no well-behaved client sends, what is refused and by which name, and what is left afterwards."""

from datetime import UTC, datetime, timedelta

import pytest

from kalends_sandbox.actions import Change
from kalends_sandbox.item import Item
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.recurrence import Daily, Recurrence
from sandbox.exchange import wire
from sandbox.exchange.stage import TODAY, Answer, Stage, staged
from sandbox.exchange.wire import appointment, change, create, delete, item_ref, nth_ref, set_field, update

DAY = timedelta(days=1)


async def as_ann(stage: Stage, operation: str, **envelope: str) -> Answer:
    return await stage.ask(operation, stage.ann.primary, **envelope)


def only(mailbox: Mailbox) -> Item:
    assert mailbox.calendar is not None
    (item,) = mailbox.calendar.items.values()
    return item


def ids(answer: Answer) -> list[str]:
    return [str(found.get("Id")) for found in answer.tree.iter(f"{{{wire.T}}}ItemId")]


def attendees(role: str, *addresses: str) -> str:
    inside = "".join(
        f"<t:Attendee><t:Mailbox><t:EmailAddress>{one}</t:EmailAddress></t:Mailbox></t:Attendee>" for one in addresses
    )
    return f"<t:{role}>{inside}</t:{role}>"


def repeated(pattern: str, span: str, start: str = "2026-11-23") -> str:
    return (
        f"<t:Recurrence>{pattern}<t:{span.split()[0]}><t:StartDate>{start}</t:StartDate>"
        f"{''.join(span.split()[1:])}</t:{span.split()[0]}></t:Recurrence>"
    )


DAILY = "<t:DailyRecurrence><t:Interval>1</t:Interval></t:DailyRecurrence>"
FIVE = "NumberedRecurrence <t:NumberOfOccurrences>5</t:NumberOfOccurrences>"
FOREVER = "NoEndRecurrence"


def extended(path: str, value: str) -> str:
    return f"<t:ExtendedProperty><t:ExtendedFieldURI {path}/>{value}</t:ExtendedProperty>"


def property_(kind: str, value: str) -> str:
    """In an appointment, where the schema wants it before the times."""
    path = f'PropertySetId="c11ff724-aa03-4555-9952-8fa248a11c3e" PropertyName="X" PropertyType="{kind}"'
    return appointment().replace("<t:Start>", extended(path, value) + "<t:Start>", 1)


REFUSED_CREATIONS = {
    "nobody says who is told": (create(appointment(), send=None), "ErrorSendMeetingInvitationsRequired"),
    "into the inbox": (
        create(appointment(), folder='<t:DistinguishedFolderId Id="inbox"/>'),
        "ErrorCannotCreateCalendarItemInNonCalendarFolder",
    ),
    "into no folder": (create(appointment(), folder='<t:FolderId Id="AQMkAAAA"/>'), "ErrorFolderNotFound"),
    "an end before the start": (
        create(appointment(end="2026-11-23T08:00:00Z")),
        "ErrorCalendarEndDateIsEarlierThanStartDate",
    ),
    "longer than five years": (create(appointment(end="2032-11-23T08:00:00Z")), "ErrorCalendarDurationIsTooLong"),
    "before the calendar begins": (create(appointment(start="1400-01-01T00:00:00Z")), "ErrorCalendarOutOfRange"),
    "a zone of its own": (
        create(appointment('<t:StartTimeZone Id="Somewhere" Name="x"/>')),
        "ErrorCalendarInvalidTimeZone",
    ),
    "an attendee who is no address": (
        create(appointment(attendees("RequiredAttendees", "nobody"))),
        "ErrorInvalidRecipients",
    ),
    "an interval of none": (
        create(appointment(repeated(DAILY.replace(">1<", ">0<"), FIVE))),
        "ErrorCalendarInvalidRecurrence",
    ),
    "a thirty-second of the month": (
        create(
            appointment(
                repeated(
                    "<t:AbsoluteMonthlyRecurrence><t:Interval>1</t:Interval><t:DayOfMonth>32</t:DayOfMonth>"
                    "</t:AbsoluteMonthlyRecurrence>",
                    FIVE,
                )
            )
        ),
        "ErrorCalendarInvalidRecurrence",
    ),
    "a series that ends before it begins": (
        create(appointment(repeated(DAILY, "EndDateRecurrence <t:EndDate>2026-11-20</t:EndDate>"))),
        "ErrorCalendarInvalidRecurrence",
    ),
    "a series until the stars go out": (
        create(appointment(repeated(DAILY, "EndDateRecurrence <t:EndDate>4600-01-01</t:EndDate>"))),
        "ErrorRecurrenceEndDateTooBig",
    ),
    "a series without a date": (
        create(
            appointment(
                repeated(
                    "<t:WeeklyRecurrence><t:Interval>1</t:Interval><t:DaysOfWeek>Friday</t:DaysOfWeek>"
                    "<t:FirstDayOfWeek>Monday</t:FirstDayOfWeek></t:WeeklyRecurrence>",
                    "EndDateRecurrence <t:EndDate>2026-11-24</t:EndDate>",
                )
            )
        ),
        "ErrorRecurrenceHasNoOccurrence",
    ),
    "occurrences longer than the time between them": (
        create(appointment(repeated(DAILY, FIVE), end="2026-11-24T11:00:00Z")),
        "ErrorOccurrenceTimeSpanTooBig",
    ),
    "what only Exchange may say": (
        create(appointment("<t:IsMeeting>true</t:IsMeeting>")),
        "ErrorInvalidPropertySet",
    ),
    "a number that is none": (
        create(property_("Integer", "<t:Value>x</t:Value>")),
        "ErrorInvalidExtendedPropertyValue",
    ),
    "many values of one": (
        create(property_("Integer", "<t:Values><t:Value>1</t:Value></t:Values>")),
        "ErrorInvalidExtendedPropertyValue",
    ),
    "an object": (create(property_("Object", "<t:Value>x</t:Value>")), "ErrorUnsupportedMapiPropertyType"),
    "a named property by tag": (
        create(
            appointment().replace(
                "<t:Start>",
                extended('PropertyTag="0x8001" PropertyType="String"', "<t:Value>x</t:Value>") + "<t:Start>",
            )
        ),
        "ErrorNoPropertyTagForCustomProperties",
    ),
    "a mail": (
        create("<t:Message><t:Subject>Hello</t:Subject></t:Message>", disposition="SaveOnly"),
        "ErrorInvalidItemForOperationCreateItem",
    ),
    "an answer to nothing": (
        create("<t:AcceptItem/>", disposition="SendOnly"),
        "ErrorMissingInformationReferenceItemId",
    ),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("case", REFUSED_CREATIONS)
async def test_what_cannot_be_made_is_refused_by_name_and_nothing_is_left(case: str) -> None:
    operation, code = REFUSED_CREATIONS[case]
    async with staged(401) as stage:
        answer = await as_ann(stage, operation)

        assert (answer.status, answer.codes) == (200, [code])
        assert stage.ann.calendar is not None
        assert stage.ann.calendar.count == 0


UNREADABLE = {
    "SendMeetingInvitations": create(appointment(), send="SendToSome"),
    "Start": create(appointment(start="tomorrow")),
    "Importance": create(appointment().replace("<t:Start>", "<t:Importance>Urgent</t:Importance><t:Start>")),
    "ConflictResolution": update(
        change(item_ref("AAMkAAAA", "AAAA"), wire.delete_field("item:Body")), resolution="Perhaps"
    ),
    "DeleteType": delete(item_ref("AAMkAAAA"), kind="Burn"),
    "Recurrence": create(appointment("<t:Recurrence/>")),
    "Body": create(appointment().replace("<t:Start>", '<t:Body BodyType="HTML"><b>now</b></t:Body><t:Start>')),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("what", UNREADABLE)
async def test_what_the_schema_does_not_allow_is_a_fault(what: str) -> None:
    async with staged(402) as stage:
        stage.book()

        answer = await as_ann(stage, UNREADABLE[what].replace("AAMkAAAA", only(stage.ann).item_id))

        assert (answer.status, answer.codes) == (500, ["ErrorSchemaValidation"])
        assert len(stage.ann.calendar.items) == 1  # type: ignore[union-attr]


@pytest.mark.asyncio
async def test_times_without_offset_are_meant_in_the_items_zone_or_else_the_requests() -> None:
    context = '<t:TimeZoneContext><t:TimeZoneDefinition Id="Tokyo Standard Time"/></t:TimeZoneContext>'
    bare = {"start": "2026-11-23T09:00:00", "end": "2026-11-23T10:00:00"}
    zone = '<t:StartTimeZone Id="Eastern Standard Time"/>'
    async with staged(403) as stage:
        await as_ann(stage, create(appointment(zone, **bare), appointment(**bare)), header=context)
        await as_ann(stage, create(appointment(**bare)))

        assert stage.ann.calendar is not None
        found = [(one.start.hour, one.zone.id) for one in stage.ann.calendar.items.values()]
        assert found == [(14, "Eastern Standard Time"), (0, "Tokyo Standard Time"), (9, "UTC")]


@pytest.mark.asyncio
async def test_an_all_day_item_is_pushed_out_to_whole_days_of_its_zone() -> None:
    rest = '<t:IsAllDayEvent>true</t:IsAllDayEvent><t:StartTimeZone Id="W. Europe Standard Time"/>'
    async with staged(404) as stage:
        await as_ann(stage, create(appointment(rest)))

        item = only(stage.ann)
        assert (item.start, item.end) == (
            datetime(2026, 11, 22, 23, tzinfo=UTC),
            datetime(2026, 11, 23, 23, tzinfo=UTC),
        )


KINDS = {
    "ApplicationTime": ("42.5", "42.5"),
    "Binary": ("AP8=", "AP8="),
    "Boolean": ("1", "true"),
    "CLSID": ("{C11FF724-AA03-4555-9952-8FA248A11C3E}", "c11ff724-aa03-4555-9952-8fa248a11c3e"),
    "Currency": ("99", "99"),
    "Double": ("1.5", "1.5"),
    "Float": ("2.5", "2.5"),
    "Integer": ("-7", "-7"),
    "Long": ("9007199254740993", "9007199254740993"),
    "Short": ("3", "3"),
    "String": (" as it is ", " as it is "),
    "SystemTime": ("2026-11-23T10:00:00+01:00", "2026-11-23T09:00:00Z"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", KINDS)
async def test_extended_properties_of_every_kind_are_set_read_changed_and_deleted(kind: str) -> None:
    written, read = KINDS[kind]
    path = f'DistinguishedPropertySetId="PublicStrings" PropertyName="X{kind}" PropertyType="{kind}"'
    many = path.replace(f'"{kind}"', f'"{kind}Array"').replace(f"X{kind}", f"Xs{kind}")
    uri = f"<t:ExtendedFieldURI {path}/>"
    values = f"<t:Values><t:Value>{written}</t:Value><t:Value>{written}</t:Value></t:Values>"
    arrays = "" if kind == "Boolean" else extended(many, values)
    given = extended(path, f"<t:Value>{written}</t:Value>") + arrays
    async with staged(405) as stage:
        made = await as_ann(stage, create(appointment().replace("<t:Start>", given + "<t:Start>")))
        (id_,) = ids(made)
        asked = uri if kind == "Boolean" else f"{uri}<t:ExtendedFieldURI {many}/>"
        get = f"<m:GetItem>{wire.shape(rest=asked)}<m:ItemIds>{item_ref(id_)}</m:ItemIds></m:GetItem>"
        found = await as_ann(stage, get)
        gone = f"<t:DeleteItemField>{uri}</t:DeleteItemField>"
        await as_ann(stage, update(change(item_ref(id_), gone), resolution="AlwaysOverwrite"))
        left = await as_ann(stage, get)

        assert wire.texts(found.tree, ".//t:Value") == [read] * (1 if kind == "Boolean" else 3)
        assert wire.texts(left.tree, ".//t:Value") == [read] * (0 if kind == "Boolean" else 2)


def stale(item: Item) -> str:
    return item_ref(item.item_id, item.change_key)


REFUSED_UPDATES = {
    "a header of a mail": (
        lambda item: update(
            change(
                stale(item),
                set_field("item:Subject", "<t:Subject>x</t:Subject>").replace(
                    '<t:FieldURI FieldURI="item:Subject"/>',
                    '<t:IndexedFieldURI FieldURI="item:InternetMessageHeader" FieldIndex="X"/>',
                ),
            )
        ),
        "ErrorInvalidPropertySet",
    ),
    "nobody says who is told": (
        lambda item: update(change(stale(item), set_field("item:Subject", "<t:Subject>x</t:Subject>")), send=None),
        "ErrorSendMeetingInvitationsOrCancellationsRequired",
    ),
    "no change key": (
        lambda item: update(change(item_ref(item.item_id), wire.delete_field("item:Body"))),
        "ErrorChangeKeyRequiredForWriteOperations",
    ),
    "no change key at all": (
        lambda item: update(change(item_ref(item.item_id, "(!)"), wire.delete_field("item:Body"))),
        "ErrorInvalidChangeKey",
    ),
    "a change key of nothing": (
        lambda item: update(change(item_ref(item.item_id, "AAAA"), wire.delete_field("item:Body"))),
        "ErrorIrresolvableConflict",
    ),
    "the wrong property": (
        lambda item: update(change(stale(item), set_field("item:Subject", "<t:Importance>Low</t:Importance>"))),
        "ErrorUpdatePropertyMismatch",
    ),
    "two properties": (
        lambda item: update(
            change(stale(item), set_field("item:Subject", "<t:Subject>x</t:Subject><t:Importance>Low</t:Importance>"))
        ),
        "ErrorIncorrectUpdatePropertyCount",
    ),
    "what only Exchange may say": (
        lambda item: update(
            change(stale(item), set_field("calendar:IsCancelled", "<t:IsCancelled>true</t:IsCancelled>"))
        ),
        "ErrorInvalidPropertySet",
    ),
    "a start taken away": (
        lambda item: update(change(stale(item), wire.delete_field("calendar:Start"))),
        "ErrorInvalidPropertyDelete",
    ),
    "a longer subject": (
        lambda item: update(change(stale(item), wire.append_to("item:Subject", "<t:Subject>x</t:Subject>"))),
        "ErrorInvalidPropertyAppend",
    ),
    "an end before the start": (
        lambda item: update(change(stale(item), set_field("calendar:End", "<t:End>2020-01-01T00:00:00Z</t:End>"))),
        "ErrorCalendarEndDateIsEarlierThanStartDate",
    ),
    "something else": (
        lambda item: update(change(item_ref("AAMkAAAA", "AAAA"), wire.delete_field("item:Body"))),
        "ErrorItemNotFound",
    ),
    "a single meeting's third occurrence": (
        lambda item: update(change(nth_ref(item.item_id, 3), wire.delete_field("item:Body"))),
        "ErrorCalendarCannotUseIdForRecurringMasterId",
    ),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("case", REFUSED_UPDATES)
async def test_an_update_that_cannot_be_is_refused_by_name_and_changes_nothing(case: str) -> None:
    operation, code = REFUSED_UPDATES[case]
    async with staged(406) as stage:
        before, _ = stage.book()

        answer = await as_ann(stage, operation(before))  # type: ignore[no-untyped-call]

        assert (answer.status, answer.codes) == (200, [code])
        assert only(stage.ann) == before


@pytest.mark.asyncio
async def test_a_body_and_attendees_are_appended_to() -> None:
    async with staged(407) as stage:
        mine, _ = stage.book(body="One.")
        more = (
            wire.append_to("item:Body", '<t:Body BodyType="Text"> Two.</t:Body>'),
            wire.append_to("item:Body", '<t:Body BodyType="Text"> Three.</t:Body>'),
            wire.append_to("calendar:OptionalAttendees", attendees("OptionalAttendees", "guest@elsewhere.example")),
            wire.append_to("calendar:Resources", attendees("Resources", stage.other_room.primary)),
        )

        answer = await as_ann(stage, update(change(stale(mine), *more), send="SendOnlyToAll"))
        stage.post.settle()

        assert answer.codes == ["NoError"]
        item = only(stage.ann)
        assert item.body == "One. Two. Three."
        assert [(one.role, one.address) for one in item.attendees] == [
            ("required", stage.bob.primary), ("optional", "guest@elsewhere.example"),
            ("resource", stage.room.primary), ("resource", stage.other_room.primary),
        ]  # fmt: skip
        assert only(stage.other_room).my_response == "Accept"


@pytest.mark.asyncio
async def test_deleted_fields_are_as_if_never_written() -> None:
    async with staged(408) as stage:
        mine, _ = stage.book(body="b", location="l", sensitivity="Private", categories=("Red",), importance="High")
        fields = (
            *("item:Subject", "item:Body", "calendar:Location", "item:Sensitivity", "item:Categories"),
            *("item:Importance", "calendar:Resources", "calendar:LegacyFreeBusyStatus"),
        )

        await as_ann(stage, update(change(stale(mine), *map(wire.delete_field, fields)), send="SendOnlyToAll"))
        stage.post.settle()

        item = only(stage.ann)
        assert (item.subject, item.body, item.location, item.sensitivity) == (None, None, None, "Normal")
        assert (item.categories, item.importance, item.resources) == ((), "Normal", ())
        assert stage.room.calendar is not None
        assert stage.room.calendar.count == 0


def five_days(stage: Stage) -> Item:
    """From tomorrow at eleven; Bob and the room are invited."""
    mine, _ = stage.book(1, recurrence=Recurrence(Daily(), (TODAY + DAY).date(), count=5))
    return mine


REFUSED_OCCURRENCES = {
    "past the end": (6, "<t:Location>x</t:Location>", "ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange"),
    "deleted": (2, "<t:Location>x</t:Location>", "ErrorCalendarOccurrenceIsDeletedFromRecurrence"),
    "on its neighbour's day": (4, "<t:Start>2026-11-23T06:00:00Z</t:Start>", "ErrorOccurrenceCrossingBoundary"),
    "into the next one": (4, "<t:End>2026-11-25T10:00:00Z</t:End>", "ErrorOccurrenceCrossingBoundary"),
    "beyond one that was moved": (3, "<t:End>2026-11-24T08:00:00Z</t:End>", "ErrorOccurrenceCrossingBoundary"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("case", REFUSED_OCCURRENCES)
async def test_an_occurrence_keeps_its_place_among_the_others(case: str) -> None:
    index, value, code = REFUSED_OCCURRENCES[case]
    async with staged(409) as stage:
        mine = five_days(stage)
        stage.actions.cancel(stage.ann.primary, mine.uid, mine.start + DAY)
        stage.actions.move(
            stage.ann.primary, mine.uid, mine.start + 3 * DAY - timedelta(hours=2), occurrence=mine.start + 3 * DAY
        )
        before = only(stage.ann)
        uri = f"calendar:{value[3:].partition('>')[0]}"

        answer = await as_ann(stage, update(change(nth_ref(mine.item_id, index), set_field(uri, value))))

        assert answer.codes == [code]
        assert only(stage.ann) == before


@pytest.mark.asyncio
async def test_an_occurrence_has_no_pattern_and_a_series_of_one_can_stop_repeating() -> None:
    async with staged(410) as stage:
        mine = five_days(stage)
        pattern = set_field("calendar:Recurrence", repeated(DAILY, FIVE))

        refused = await as_ann(stage, update(change(nth_ref(mine.item_id, 2), pattern)))
        single = await as_ann(stage, update(change(stale(only(stage.ann)), wire.delete_field("calendar:Recurrence"))))
        once = only(stage.ann)
        again = await as_ann(stage, update(change(stale(once), pattern)))

        assert (refused.codes, single.codes, again.codes) == (["ErrorInvalidPropertySet"], ["NoError"], ["NoError"])
        assert (once.kind, once.start, only(stage.ann).kind) == ("Single", mine.start, "RecurringMaster")
        assert only(stage.ann).start.date().isoformat() == "2026-11-23"


@pytest.mark.asyncio
async def test_a_series_moved_past_its_own_end_is_refused() -> None:
    async with staged(411) as stage:
        mine = stage.actions.create(
            stage.ann.primary,
            "s",
            stage.at(1),
            stage.at(1, 1),
            recurrence=Recurrence(Daily(), TODAY.date(), stage.at(3).date()),
        )
        late = "<t:Start>2027-01-01T09:00:00Z</t:Start>", "<t:End>2027-01-01T10:00:00Z</t:End>"
        changes = set_field("calendar:Start", late[0]), set_field("calendar:End", late[1])

        answer = await as_ann(stage, update(change(stale(mine), *changes)))

        assert answer.codes == ["ErrorCalendarInvalidRecurrence"]
        assert only(stage.ann) == mine


@pytest.mark.asyncio
async def test_with_its_last_occurrence_a_series_goes_altogether() -> None:
    async with staged(412) as stage:
        mine = five_days(stage)
        most = [nth_ref(mine.item_id, index) for index in (1, 2, 3, 4)]

        first = await as_ann(stage, delete(*most, kind="MoveToDeletedItems"))
        left = only(stage.ann).deleted
        last = await as_ann(
            stage, delete(nth_ref(mine.item_id, 5), nth_ref(mine.item_id, 5), kind="MoveToDeletedItems")
        )

        assert first.codes == ["NoError"] * 4
        assert left == tuple(mine.start + number * DAY for number in range(4))
        assert last.codes == ["NoError", "ErrorItemNotFound"]
        assert stage.ann.calendar is not None
        assert (stage.ann.calendar.count, stage.ann.folders["deleteditems"].count) == (0, 1)


@pytest.mark.asyncio
async def test_a_deletion_must_say_who_is_told_and_an_attendees_tells_nobody() -> None:
    async with staged(413) as stage:
        mine, _ = stage.book()
        theirs = stage.copy(stage.bob, mine.uid)
        sent = dict(stage.world.mails)

        refused = await as_ann(stage, delete(stale(mine), send=None))
        done = await stage.ask(delete(item_ref(theirs.item_id), send="SendToAllAndSaveCopy"), stage.bob.primary)

        assert (refused.codes, done.codes) == (["ErrorSendMeetingCancellationsRequired"], ["NoError"])
        assert only(stage.ann) == mine
        assert dict(stage.world.mails) == sent


@pytest.mark.asyncio
async def test_a_meeting_in_deleted_items_is_not_updated_for_others() -> None:
    async with staged(418) as stage:
        mine, _ = stage.book()
        gone = stage.ann.move(mine.item_id, stage.ann.folders["deleteditems"])
        renamed = change(stale(gone), set_field("item:Subject", "<t:Subject>x</t:Subject>"))

        told = await as_ann(stage, update(renamed, send="SendToAllAndSaveCopy"))
        quiet = await as_ann(stage, update(renamed))

        assert (told.codes, quiet.codes) == (["ErrorCalendarCannotUpdateDeletedItem"], ["NoError"])


@pytest.mark.asyncio
async def test_moved_and_copied_items_get_other_ids_and_occurrences_stay_where_they_are() -> None:
    async with staged(419) as stage:
        mine = five_days(stage)
        quiet = "<m:ReturnNewItemIds>false</m:ReturnNewItemIds>"

        occurrence = await as_ann(stage, wire.file("MoveItem", "deleteditems", nth_ref(mine.item_id, 1)))
        copied = await as_ann(stage, wire.file("CopyItem", "calendar", item_ref(mine.item_id)))
        moved = await as_ann(
            stage, wire.file("MoveItem", "deleteditems", item_ref(mine.item_id), item_ref(mine.item_id))
        )
        silent = await as_ann(stage, wire.file("MoveItem", "inbox", item_ref(ids(copied)[0]), rest=quiet))
        nowhere = await as_ann(stage, wire.file("CopyItem", "tasks", item_ref(mine.item_id)))

        assert occurrence.codes == ["ErrorCalendarCannotMoveOrCopyOccurrence"]
        assert (copied.codes, moved.codes) == (["NoError"], ["NoError", "ErrorItemNotFound"])
        assert (silent.codes, ids(silent), nowhere.codes) == (["NoError"], [], ["ErrorToFolderNotFound"])
        (trashed,) = stage.ann.folders["deleteditems"].items.values()
        assert (trashed.item_id, trashed.uid, trashed.kind) == (ids(moved)[0], mine.uid, "RecurringMaster")
        assert stage.ann.calendar is not None
        assert stage.ann.calendar.count == 0


@pytest.mark.asyncio
async def test_every_kind_of_writing_is_notified_as_what_it_is() -> None:
    async with staged(422) as stage:
        heard: list[tuple[str, str]] = []
        stage.world.listeners.append(lambda one: heard.append((one.mailbox.primary, f"{one.what} {one.folder.kind}")))

        (id_,) = ids(await as_ann(stage, create(appointment())))
        await as_ann(
            stage,
            update(
                change(item_ref(id_), set_field("item:Subject", "<t:Subject>x</t:Subject>")),
                resolution="AlwaysOverwrite",
            ),
        )
        await as_ann(stage, wire.file("CopyItem", "deleteditems", item_ref(id_)))
        await as_ann(stage, delete(item_ref(id_), kind="MoveToDeletedItems"))
        (one, two) = stage.ann.folders["deleteditems"].items
        await as_ann(stage, delete(item_ref(one), kind="SoftDelete"))
        await as_ann(stage, delete(item_ref(two)))

        assert {mailbox for mailbox, _ in heard} == {stage.ann.primary}
        assert [what for _, what in heard] == [
            "created calendar", "free_busy calendar", "modified calendar", "copied deleteditems", "moved deleteditems",
            "moved recoverableitemsdeletions", "deleted deleteditems",
        ]  # fmt: skip


@pytest.mark.asyncio
async def test_attendees_are_known_by_any_of_their_names_and_invited_once() -> None:
    async with staged(424) as stage:
        name = "<t:Attendee><t:Mailbox><t:Name>Linden</t:Name></t:Mailbox></t:Attendee>"
        rest = (
            attendees("RequiredAttendees", "A.OKUBO@north.example", "bob@north.example")
            + attendees("OptionalAttendees", "BOB@north.example")
            + f"<t:Resources>{name}</t:Resources>"
        )

        await as_ann(stage, create(appointment(rest), send="SendOnlyToAll"))
        stage.post.settle()

        assert [(one.role, one.address) for one in only(stage.ann).attendees] == [
            ("required", stage.ann.primary), ("required", stage.bob.primary), ("resource", stage.other_room.primary),
        ]  # fmt: skip
        assert only(stage.other_room).my_response == "Accept"
        assert only(stage.ann).is_organizer
        assert stage.ann.folders["inbox"].unread == 1  # the room's answer, and no invitation to her own meeting


@pytest.mark.asyncio
async def test_a_batch_with_a_fault_in_it_changes_nothing_at_all() -> None:
    async with staged(425) as stage:
        mine, _ = stage.book()
        good = change(stale(mine), set_field("item:Subject", "<t:Subject>x</t:Subject>"))
        bad = change(stale(mine), set_field("calendar:Start", "<t:Start>tomorrow</t:Start>"))

        made = await as_ann(stage, create(appointment(), appointment(start="tomorrow")))
        changed = await as_ann(stage, update(good, bad))
        gone = await as_ann(stage, delete(item_ref(mine.item_id), nth_ref(mine.item_id, 1).replace('"1"', '"one"')))

        assert [one.codes for one in (made, changed, gone)] == [["ErrorSchemaValidation"]] * 3
        assert only(stage.ann) == mine


@pytest.mark.asyncio
async def test_a_batch_may_change_one_item_twice_and_make_things_in_between() -> None:
    async with staged(426) as stage:
        mine, _ = stage.book()
        subject, place = (
            change(item_ref(mine.item_id), set_field(uri, value))
            for uri, value in (
                ("item:Subject", "<t:Subject>x</t:Subject>"),
                ("calendar:Location", "<t:Location>y</t:Location>"),
            )
        )

        answer = await as_ann(stage, update(subject, place, resolution="AlwaysOverwrite"))

        assert answer.codes == ["NoError", "NoError"]
        assert (only(stage.ann).subject, only(stage.ann).location) == ("x", "y")
        assert len(set(ids(answer))) == 1


@pytest.mark.asyncio
async def test_what_is_written_straight_into_a_room_passes_by_its_attendant() -> None:
    async with staged(427) as stage:
        _, theirs = stage.book(3)
        start, end = (at.strftime("%Y-%m-%dT%H:%M:%SZ") for at in (theirs.start, theirs.end))

        answer = await stage.ask(create(appointment(start=start, end=end)), stage.room.primary)
        stage.post.settle()

        assert answer.codes == ["NoError"]
        assert stage.room.calendar is not None
        assert [one.my_response for one in stage.room.calendar.view(theirs.start, theirs.end)] in (
            ["Accept", "Organizer"],
            ["Organizer", "Accept"],
        )


@pytest.mark.asyncio
async def test_a_series_in_another_zone_falls_on_other_instants_and_drops_its_exceptions() -> None:
    async with staged(428) as stage:
        mine = five_days(stage)
        stage.actions.edit(stage.ann.primary, mine.uid, Change(subject="Once"), mine.start + DAY)
        zone = '<t:StartTimeZone Id="Eastern Standard Time"/>'

        await as_ann(stage, update(change(stale(only(stage.ann)), set_field("calendar:StartTimeZone", zone))))

        series = only(stage.ann)
        assert (series.zone.id, series.start, dict(series.exceptions)) == ("Eastern Standard Time", mine.start, {})


@pytest.mark.asyncio
async def test_one_occurrence_keeps_all_that_was_written_about_it() -> None:
    fields = {
        "item:Importance": "<t:Importance>High</t:Importance>",
        "item:Categories": "<t:Categories><t:String>Red</t:String></t:Categories>",
        "item:ReminderIsSet": "<t:ReminderIsSet>true</t:ReminderIsSet>",
        "calendar:AllowNewTimeProposal": "<t:AllowNewTimeProposal>false</t:AllowNewTimeProposal>",
        "calendar:NetShowUrl": "<t:NetShowUrl>http://show.example</t:NetShowUrl>",
        "item:Body": '<t:Body BodyType="HTML">&lt;b&gt;now&lt;/b&gt;</t:Body>',
    }
    path = 'PropertySetId="c11ff724-aa03-4555-9952-8fa248a11c3e" PropertyName="X" PropertyType="String"'
    mark = (
        f"<t:SetItemField><t:ExtendedFieldURI {path}/><t:CalendarItem>{extended(path, '<t:Value>v</t:Value>')}"
        "</t:CalendarItem></t:SetItemField>"
    )
    async with staged(429) as stage:
        mine = five_days(stage)
        updates = [set_field(uri, value) for uri, value in fields.items()]

        answer = await as_ann(stage, update(change(nth_ref(mine.item_id, 2), *updates, mark)))
        got = await as_ann(stage, wire.get_item(*ids(answer), fields=f"{' '.join(fields)} calendar:CalendarItemType"))

        (item,) = got.tree.iter(f"{{{wire.T}}}CalendarItem")
        assert wire.texts(item, "t:CalendarItemType") == ["Exception"]
        for name, value in (
            ("Importance", "High"),
            ("ReminderIsSet", "true"),
            ("AllowNewTimeProposal", "false"),
            ("NetShowUrl", "http://show.example"),
            ("Body", "<b>now</b>"),
            ("Categories/t:String", "Red"),
        ):
            assert wire.texts(item, f"t:{name}") == [value]  # fmt: skip
        override = only(stage.ann).exceptions[mine.start + DAY]
        assert [one.value for one in override.extended or ()] == ["v"]
        assert (only(stage.ann).importance, only(stage.ann).extended) == ("Normal", ())


@pytest.mark.asyncio
async def test_two_writers_who_agree_are_merged_and_the_agreement_is_counted() -> None:
    async with staged(430) as stage:
        mine, _ = stage.book(subject="Plan")
        stage.actions.edit(stage.ann.primary, mine.uid, Change(subject="x", location="y"))
        same = set_field("item:Subject", "<t:Subject>x</t:Subject>")
        other = set_field("item:Importance", "<t:Importance>High</t:Importance>")
        against = set_field("calendar:Location", "<t:Location>z</t:Location>")
        reminder = set_field("item:ReminderIsSet", "<t:ReminderIsSet>true</t:ReminderIsSet>")

        agreed = await as_ann(stage, update(change(stale(mine), same, other)))
        apart = await as_ann(stage, update(change(stale(mine), reminder)))
        refused = await as_ann(stage, update(change(stale(mine), against)))

        assert [one.codes for one in (agreed, apart, refused)] == [
            ["NoError"],
            ["NoError"],
            ["ErrorIrresolvableConflict"],
        ]
        assert [wire.texts(one.tree, ".//t:Count") for one in (agreed, apart)] == [["1"], ["0"]]
        assert (only(stage.ann).subject, only(stage.ann).location, only(stage.ann).importance) == ("x", "y", "High")
