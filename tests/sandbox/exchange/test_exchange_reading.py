"""Folders, items and views by raw SOAP: what comes back, what does not although asked, and the errors by name."""

import base64
from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest
from lxml import etree

from kalends_sandbox.actions import Change
from kalends_sandbox.exchange import Settings
from kalends_sandbox.ids import global_object_id
from kalends_sandbox.item import ExtendedProperty, Item
from kalends_sandbox.recurrence import Daily, Recurrence, Weekly
from kalends_sandbox.zones import Zone
from sandbox.exchange import wire
from sandbox.exchange.stage import TODAY, Stage, staged

ITEM = f"{{{wire.T}}}CalendarItem"
GUID = "c11ff724-aa03-4555-9952-8fa248a11c3e"


def names(element: etree._Element) -> list[str]:
    return [etree.QName(child).localname for child in element]


def items(tree: etree._Element) -> list[etree._Element]:
    return list(tree.iter(ITEM))


def ids(elements: Iterable[etree._Element]) -> list[str]:
    return [str(found.get("Id")) for element in elements for found in element.iterfind("t:ItemId", wire.NS)]


async def code_of(stage: Stage, operation: str) -> str:
    """The one response code that the operation gets in the room's name."""
    (code,) = (await stage.ask(operation, stage.room.primary)).codes
    return code


# --- shapes


@pytest.mark.asyncio
async def test_only_what_was_asked_comes_back_in_the_schemas_order() -> None:
    async with staged(20) as stage:
        _, theirs = stage.book()

        bare = await stage.in_room(wire.get_item(theirs.item_id))
        some = await stage.in_room(wire.get_item(theirs.item_id, fields="calendar:End item:Subject calendar:Start"))

        assert [names(item) for item in items(bare)] == [["ItemId"]]
        assert [names(item) for item in items(some)] == [["ItemId", "Subject", "Start", "End"]]


@pytest.mark.asyncio
async def test_lists_give_no_body_attendees_or_recurrence_although_asked_and_only_the_organizers_name() -> None:
    fields = (
        "item:Body calendar:RequiredAttendees calendar:Resources calendar:Recurrence calendar:Organizer calendar:UID"
    )
    async with staged(21) as stage:
        series = Recurrence(Daily(), TODAY.date(), count=3)
        _, theirs = stage.book(body="secret", recurrence=series)

        view = await stage.in_room(wire.calendar_view("2026-11-20T00:00:00Z", "2026-11-24T00:00:00Z", fields))
        changes = await stage.in_room(wire.sync(fields=fields))
        whole = await stage.in_room(wire.get_item(theirs.item_id, fields=fields))

        for item in [*items(view), *items(changes)]:
            assert names(item) == ["ItemId", "UID", "Organizer"]
            assert wire.texts(item, "t:Organizer/t:Mailbox/*") == [stage.ann.name]
        assert len(items(view)) == 3
        expected = ["ItemId", "UID", "Organizer", "RequiredAttendees", "Resources", "Recurrence"]
        assert names(items(whole)[0]) == expected  # the attendant has removed the body


@pytest.mark.asyncio
async def test_extended_properties_are_found_by_set_name_guid_and_tag() -> None:
    async with staged(22) as stage:
        stored = (
            ExtendedProperty(GUID, "BookingId", "String", "b-17 <&>"),
            ExtendedProperty("Common", 0x8506, "Boolean", "true"),
            ExtendedProperty(None, "0x0e07", "Integer", "5"),
            ExtendedProperty("PublicStrings", "Tags", "StringArray", ("one", "two")),
        )
        mine, _ = stage.book(extended=stored)
        asked = (
            f'<t:ExtendedFieldURI PropertySetId="{GUID.upper()}" PropertyName="bookingid" PropertyType="String"/>'
            '<t:ExtendedFieldURI DistinguishedPropertySetId="Common" PropertyId="34054" PropertyType="Boolean"/>'
            '<t:ExtendedFieldURI PropertyTag="0x0E07" PropertyType="Integer"/>'
            '<t:ExtendedFieldURI PropertySetId="00020329-0000-0000-C000-000000000046" PropertyName="Tags" '
            'PropertyType="StringArray"/>'
            '<t:ExtendedFieldURI DistinguishedPropertySetId="Meeting" PropertyId="35" PropertyType="Binary"/>'
            '<t:ExtendedFieldURI DistinguishedPropertySetId="Meeting" PropertyId="99" PropertyType="Binary"/>'
        )
        wanted = f'<m:ItemIds><t:ItemId Id="{mine.item_id}"/></m:ItemIds>'

        answer = await stage.ask(f"<m:GetItem>{wire.shape(rest=asked)}{wanted}</m:GetItem>", stage.ann.primary)

        clean = base64.b64encode(global_object_id(mine.clean_uid)).decode()
        assert wire.texts(answer.tree, ".//t:ExtendedProperty/t:Value") == ["b-17 <&>", "true", "5", clean]
        assert wire.texts(answer.tree, ".//t:ExtendedProperty/t:Values/t:Value") == ["one", "two"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("kind", "expected"),
    [("Text", "a < b\nc"), ("HTML", "<html><body>a &lt; b<br>c</body></html>"), ("Best", "a < b\nc")],
)
async def test_the_body_comes_in_the_type_asked_for(kind: str, expected: str) -> None:
    async with staged(23) as stage:
        mine, _ = stage.book(body="a < b\nc")
        shape = (
            f"<m:ItemShape><t:BaseShape>IdOnly</t:BaseShape><t:BodyType>{kind}</t:BodyType><t:AdditionalProperties>"
            '<t:FieldURI FieldURI="item:Body"/></t:AdditionalProperties></m:ItemShape>'
        )
        wanted = f'<m:ItemIds><t:ItemId Id="{mine.item_id}"/></m:ItemIds>'

        answer = await stage.ask(f"<m:GetItem>{shape}{wanted}</m:GetItem>", stage.ann.primary)

        assert wire.texts(answer.tree, ".//t:Body") == [expected]


@pytest.mark.asyncio
async def test_odd_items_are_written_as_they_are() -> None:
    """No subject, no organizer, characters that XML cannot carry, zones that Windows does not know."""
    async with staged(24) as stage:
        assert stage.room.calendar is not None
        for number, zone_id in enumerate(("tzone://Microsoft/Custom", "Mitteleuropäische Zeit", "")):
            subject = None if number == 0 else "tab\there \x00null\ufffe \r\n end"
            zone = Zone(zone_id, "Europe/Berlin")
            start = stage.at(number)
            end = start + timedelta(hours=1)
            stage.room.calendar.add(Item(uid=f"uid-{number}", subject=subject, start=start, end=end, zone=zone))

        tree = await stage.in_room(
            wire.get_item(*stage.room.calendar.items, fields="item:Subject calendar:Organizer calendar:StartTimeZone")
        )

        assert [names(item) for item in items(tree)] == [["ItemId", "StartTimeZone"]] + [
            ["ItemId", "Subject", "StartTimeZone"]
        ] * 2
        assert wire.texts(tree, ".//t:Subject") == ["tab\there null \r\n end"] * 2
        zones = tree.findall(".//t:StartTimeZone", wire.NS)
        assert [zone.get("Id") for zone in zones] == ["tzone://Microsoft/Custom", "Mitteleuropäische Zeit", ""]
        assert [names(zone) for zone in zones] == [["Periods", "TransitionsGroups", "Transitions"]] * 2 + [[]]
        assert [period.get("Bias") for period in zones[0].iter(f"{{{wire.T}}}Period")] == ["-PT1H0M", "-PT2H0M"]


# --- GetItem by place in a series


def by_index(master: str, index: int) -> str:
    wanted = f'<t:OccurrenceItemId RecurringMasterId="{master}" InstanceIndex="{index}"/>'
    return f"<m:GetItem>{wire.shape('calendar:Start')}<m:ItemIds>{wanted}</m:ItemIds></m:GetItem>"


def master_of(occurrence: str) -> str:
    wanted = f'<t:RecurringMasterItemId OccurrenceId="{occurrence}"/>'
    return f"<m:GetItem>{wire.shape()}<m:ItemIds>{wanted}</m:ItemIds></m:GetItem>"


@pytest.mark.asyncio
async def test_occurrences_are_found_by_index_and_lead_to_their_series() -> None:
    async with staged(25) as stage:
        _, series = stage.book(recurrence=Recurrence(Daily(2), TODAY.date(), count=4))
        _, single = stage.book(1)
        assert stage.room.calendar is not None
        occurrences = stage.room.calendar.view(TODAY, TODAY + timedelta(days=30))
        second = next(one for one in occurrences if one.master_id and one.start == series.start + timedelta(days=2))
        stage.actions.remove(stage.room.primary, series.item_id, series.start + timedelta(days=4))
        deleted = next(one for one in occurrences if one.start == series.start + timedelta(days=4))

        found = await stage.in_room(by_index(series.item_id, 2))
        masters = [await stage.in_room(master_of(one.item_id)) for one in (second, deleted)]

        assert ids(items(found)) == [second.item_id]
        assert [ids(items(master)) for master in masters] == [[series.item_id]] * 2
        assert await code_of(stage, by_index(series.item_id, 3)) == "ErrorCalendarOccurrenceIsDeletedFromRecurrence"
        for index in (0, -1, 5):
            expected = "ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange"
            assert await code_of(stage, by_index(series.item_id, index)) == expected
        assert await code_of(stage, by_index(single.item_id, 1)) == "ErrorCalendarCannotUseIdForRecurringMasterId"
        assert await code_of(stage, master_of(single.item_id)) == "ErrorCalendarCannotUseIdForOccurrenceId"
        assert await code_of(stage, wire.get_item(deleted.item_id)) == "ErrorItemNotFound"


@pytest.mark.asyncio
async def test_the_first_and_last_occurrence_carry_the_views_ids_and_exceptions_their_times() -> None:
    async with staged(26) as stage:
        _, series = stage.book(recurrence=Recurrence(Weekly(("Friday",)), TODAY.date(), count=3))
        moved = series.start + timedelta(days=7)
        stage.actions.edit(stage.room.primary, series.item_id, Change(start=moved + timedelta(hours=3),
                                                                     end=moved + timedelta(hours=5)), moved)  # fmt: skip
        fields = "calendar:FirstOccurrence calendar:LastOccurrence calendar:ModifiedOccurrences"

        whole = await stage.in_room(wire.get_item(series.item_id, fields=fields))
        view = await stage.in_room(
            wire.calendar_view("2026-11-20T00:00:00Z", "2026-12-31T00:00:00Z", "calendar:CalendarItemType")
        )

        first, _, last = ids(items(view))
        assert wire.texts(view, ".//t:CalendarItemType") == ["Occurrence", "Exception", "Occurrence"]
        (item,) = items(whole)
        assert [found.get("Id") for found in item.iterfind("t:FirstOccurrence/t:ItemId", wire.NS)] == [first]
        assert [found.get("Id") for found in item.iterfind("t:LastOccurrence/t:ItemId", wire.NS)] == [last]
        assert wire.texts(item, ".//t:Occurrence/*")[1:] == [
            "2026-11-27T12:00:00Z",
            "2026-11-27T14:00:00Z",
            "2026-11-27T09:00:00Z",
        ]


@pytest.mark.asyncio
async def test_a_batch_answers_each_id_in_order_and_case_matters() -> None:
    async with staged(27) as stage:
        _, one = stage.book()
        _, two = stage.book(1)
        swapped = one.item_id[:-8] + one.item_id[-8:].swapcase()

        answer = await stage.ask(wire.get_item(two.item_id, swapped, "nonsense", one.item_id), stage.room.primary)

        assert answer.codes == ["NoError", "ErrorItemNotFound", "ErrorInvalidIdMalformed", "NoError"]
        assert ids(items(answer.tree)) == [two.item_id, one.item_id]


@pytest.mark.asyncio
async def test_an_item_of_another_mailbox_is_not_found() -> None:
    async with staged(28) as stage:
        mine, _ = stage.book()

        assert await code_of(stage, wire.get_item(mine.item_id)) == "ErrorItemNotFound"


# --- CalendarView


@pytest.mark.asyncio
async def test_a_view_unfolds_a_series_and_includes_what_touches_its_ends() -> None:
    async with staged(29) as stage:
        endless = Recurrence(Daily(), datetime(1999, 1, 1).date())
        stage.actions.create(stage.ann.primary, "Standup", stage.at(0, 1), stage.at(0, 2), recurrence=endless)
        view = wire.calendar_view("2026-11-21T10:00:00Z", "2026-11-23T09:00:00Z", "calendar:Start calendar:IsRecurring")

        tree = (await stage.ask(view, stage.ann.primary)).tree

        starts = wire.texts(tree, ".//t:Start")
        assert starts == [f"2026-11-{day}T09:00:00Z" for day in (21, 22, 23)]
        assert wire.texts(tree, ".//t:IsRecurring") == ["true"] * 3


@pytest.mark.asyncio
async def test_a_view_stops_at_the_limit_asked_for_and_at_the_servers() -> None:
    async with staged(30, Settings(rows_per_find=10)) as stage:
        stage.book(recurrence=Recurrence(Daily(), TODAY.date(), count=15))
        span = ("2026-11-20T00:00:00Z", "2026-12-31T00:00:00Z")

        three = await stage.in_room(wire.calendar_view(*span, limit=3))
        ten = await stage.in_room(wire.calendar_view(*span))
        all_of = await stage.in_room(wire.calendar_view(span[0], "2026-11-22T00:00:00Z"))

        for tree, count, is_last in ((three, 3, "false"), (ten, 10, "false"), (all_of, 2, "true")):
            (root,) = tree.iter(f"{{{wire.M}}}RootFolder")
            assert (len(items(tree)), root.get("IncludesLastItemInRange")) == (count, is_last)


VIEW = '<m:CalendarView StartDate="{}" EndDate="{}"/>'
RESTRICTION = '<m:Restriction><t:Exists><t:FieldURI FieldURI="item:Subject"/></t:Exists></m:Restriction>'
SORTED = (
    '<m:SortOrder><t:FieldOrder Order="Ascending"><t:FieldURI FieldURI="item:Subject"/></t:FieldOrder></m:SortOrder>'
)


def find(view: str, rest: str = "", folder: str = wire.CALENDAR) -> str:
    return (
        f'<m:FindItem Traversal="Shallow">{wire.shape("item:Subject")}{view}{rest}'
        f"<m:ParentFolderIds>{folder}</m:ParentFolderIds></m:FindItem>"
    )


WEEK = VIEW.format("2026-11-20T00:00:00Z", "2026-11-27T00:00:00Z")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (find(VIEW.format("2026-11-20T00:00:00Z", "2028-11-22T00:00:00Z")), "ErrorCalendarViewRangeTooBig"),
        (
            find(VIEW.format("2026-11-20T00:00:00Z", "2026-11-19T00:00:00Z")),
            "ErrorCalendarEndDateIsEarlierThanStartDate",
        ),
        (find(WEEK, RESTRICTION), "ErrorInvalidOperation"),
        (find(WEEK, SORTED), "ErrorInvalidOperation"),
        (find(WEEK.replace("StartDate", 'MaxEntriesReturned="0" StartDate')), "ErrorInvalidPagingMaxRows"),
        (find(WEEK, folder='<t:DistinguishedFolderId Id="inbox"/>'), "ErrorCalendarFolderIsInvalidForCalendarView"),
        (find(WEEK, folder='<t:DistinguishedFolderId Id="tasks"/>'), "ErrorFolderNotFound"),
        (find(VIEW.format("2026-11-20T00:00:00Z", "2028-11-20T00:00:00Z")), "NoError"),
    ],
    ids=[
        "two years",
        "backwards",
        "restriction",
        "sort",
        "no rows",
        "not a calendar",
        "no such folder",
        "just two years",
    ],
)
async def test_views_that_exchange_refuses_are_refused_by_name(request_: str, code: str) -> None:
    async with staged(31) as stage:
        assert await code_of(stage, request_) == code


@pytest.mark.asyncio
async def test_a_time_without_offset_is_meant_in_the_requests_zone() -> None:
    context = '<t:TimeZoneContext><t:TimeZoneDefinition Id="W. Europe Standard Time"/></t:TimeZoneContext>'
    async with staged(32, Settings(answers_in_context_zone=True)) as stage:
        stage.book()
        view = wire.calendar_view("2026-11-20T10:30:00", "2026-11-20T10:45:00", "calendar:Start")

        berlin = await stage.in_room(view, header=context)
        utc = await stage.in_room(view)

        assert wire.texts(berlin, ".//t:Start") == ["2026-11-20T10:00:00+01:00"]
        assert items(utc) == []


# --- pages


def page(offset: int, limit: int, base: str = "Beginning", rest: str = "") -> str:
    view = f'<m:IndexedPageItemView MaxEntriesReturned="{limit}" Offset="{offset}" BasePoint="{base}"/>'
    return find(view, rest)


@pytest.mark.asyncio
async def test_pages_cover_every_item_once_and_leave_series_folded() -> None:
    async with staged(33) as stage:
        pairs = [stage.book(day) for day in range(6)]
        pairs.append(stage.book(0, 3, recurrence=Recurrence(Daily(), TODAY.date(), count=2)))
        order = SORTED.replace("item:Subject", "calendar:Start").replace("Ascending", "Descending")
        found: list[str] = []
        lasts: list[str | None] = []

        for offset in (0, 3, 6):
            tree = await stage.in_room(page(offset, 3, rest=order))
            (root,) = tree.iter(f"{{{wire.M}}}RootFolder")
            found += ids(items(tree))
            lasts.append(root.get("IncludesLastItemInRange"))
        end = await stage.in_room(page(0, 2, "End", order))

        by_start = sorted((theirs for _, theirs in pairs), key=lambda item: item.start, reverse=True)
        assert sorted(found) == sorted(item.item_id for item in by_start)
        assert found[0] == by_start[0].item_id
        assert lasts == ["false", "false", "true"]
        assert ids(items(end)) == found[-2:]


FILTERS = {
    "equal": (
        '<t:IsEqualTo>{uid}<t:FieldURIOrConstant><t:Constant Value="{value}"/></t:FieldURIOrConstant></t:IsEqualTo>',
        1,
    ),
    "not": (
        '<t:Not><t:IsEqualTo>{uid}<t:FieldURIOrConstant><t:Constant Value="{value}"/></t:FieldURIOrConstant>'
        "</t:IsEqualTo></t:Not>",
        3,
    ),
    "later": (
        '<t:IsGreaterThan><t:FieldURI FieldURI="calendar:Start"/><t:FieldURIOrConstant>'
        '<t:Constant Value="2026-11-21T09:00:00Z"/></t:FieldURIOrConstant></t:IsGreaterThan>',
        2,
    ),
    "or": (
        '<t:Or><t:IsLessThanOrEqualTo><t:FieldURI FieldURI="calendar:Start"/><t:FieldURIOrConstant>'
        '<t:Constant Value="2026-11-20T09:00:00Z"/></t:FieldURIOrConstant></t:IsLessThanOrEqualTo>'
        '<t:IsEqualTo>{uid}<t:FieldURIOrConstant><t:Constant Value="{value}"/></t:FieldURIOrConstant></t:IsEqualTo></t:Or>',
        2,
    ),
    "contains": (
        '<t:Contains ContainmentMode="Substring" ContainmentComparison="IgnoreCase">'
        '<t:FieldURI FieldURI="calendar:Location"/><t:Constant Value="STUBE"/></t:Contains>',
        4,
    ),
    "exists": ('<t:Exists><t:FieldURI FieldURI="item:Body"/></t:Exists>', 0),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", FILTERS)
async def test_restrictions_keep_what_they_say(name: str) -> None:
    condition, count = FILTERS[name]
    async with staged(34) as stage:
        copies = [stage.book(day)[1] for day in range(4)]
        uid = '<t:FieldURI FieldURI="calendar:UID"/>'
        restriction = condition.format(uid=uid, value=copies[2].uid)

        tree = await stage.in_room(page(0, 100, rest=f"<m:Restriction>{restriction}</m:Restriction>"))

        assert len(items(tree)) == count
        assert (copies[2].item_id in ids(items(tree))) is (name not in ("not", "exists"))


@pytest.mark.asyncio
async def test_paths_that_cannot_be_searched_or_sorted_are_refused_by_name() -> None:
    async with staged(35) as stage:
        searched = RESTRICTION.replace("item:Subject", "item:Size")
        sorted_ = SORTED.replace("item:Subject", "item:Size")

        assert await code_of(stage, page(0, 9, rest=searched)) == "ErrorUnsupportedPathForQuery"
        assert await code_of(stage, page(0, 9, rest=sorted_)) == "ErrorUnsupportedPathForSortGroup"


# --- folders and the directory


def get_folder(*folders: str, base: str = "AllProperties") -> str:
    return (
        f"<m:GetFolder><m:FolderShape><t:BaseShape>{base}</t:BaseShape></m:FolderShape>"
        f"<m:FolderIds>{''.join(folders)}</m:FolderIds></m:GetFolder>"
    )


def of_mailbox(address: str) -> str:
    return f'<t:DistinguishedFolderId Id="calendar"><t:Mailbox><t:EmailAddress>{address}</t:EmailAddress></t:Mailbox></t:DistinguishedFolderId>'  # noqa: E501


@pytest.mark.asyncio
async def test_folders_are_found_by_name_id_and_owner_and_refused_by_name() -> None:
    async with staged(36) as stage:
        stage.book()
        assert stage.room.calendar is not None
        known = stage.room.calendar

        answer = await stage.ask(
            get_folder(
                wire.CALENDAR,
                f'<t:FolderId Id="{known.id}"/>',
                of_mailbox(stage.room.addresses[1]),
                of_mailbox(stage.ann.primary),
                of_mailbox("nobody@north.example"),
                f'<t:FolderId Id="{known.id[:-4]}AAAA"/>',
                '<t:FolderId Id="nonsense"/>',
            ),
            stage.room.primary,
        )
        bare = await stage.in_room(get_folder(wire.CALENDAR, base="IdOnly"))

        assert answer.codes == [
            *("NoError", "NoError", "NoError", "ErrorAccessDenied", "ErrorNonExistentMailbox"),
            *("ErrorFolderNotFound", "ErrorInvalidIdMalformed"),
        ]
        folders = list(answer.tree.iter(f"{{{wire.T}}}CalendarFolder"))
        assert {folder.find("t:FolderId", wire.NS).get("Id") for folder in folders} == {known.id}  # type: ignore[union-attr]
        assert wire.texts(folders[0], "t:TotalCount") == ["1"]
        assert wire.texts(folders[0], "t:FolderClass") == ["IPF.Appointment"]
        assert [names(folder) for folder in bare.iter(f"{{{wire.T}}}CalendarFolder")] == [["FolderId"]]


@pytest.mark.asyncio
async def test_folders_below_the_root_are_found_page_by_page() -> None:
    def below(traversal: str, view: str = "") -> str:
        return (
            f'<m:FindFolder Traversal="{traversal}"><m:FolderShape><t:BaseShape>Default</t:BaseShape></m:FolderShape>'
            f'{view}<m:ParentFolderIds><t:DistinguishedFolderId Id="root"/></m:ParentFolderIds></m:FindFolder>'
        )

    async with staged(37) as stage:
        shallow = await stage.in_room(below("Shallow"))
        deep = await stage.in_room(below("Deep"))
        second = '<m:IndexedPageFolderView MaxEntriesReturned="2" Offset="2" BasePoint="Beginning"/>'
        part = await stage.in_room(below("Deep", second))

        assert wire.texts(shallow, ".//t:DisplayName") == ["Top of Information Store", "Deletions"]
        everything = wire.texts(deep, ".//t:DisplayName")
        assert set(everything) >= {"Calendar", "Inbox"}
        assert wire.texts(part, ".//t:DisplayName") == everything[2:4]


@pytest.mark.asyncio
async def test_a_mailbox_without_a_calendar_says_so() -> None:
    async with staged(38) as stage:
        answer = await stage.ask(get_folder(wire.CALENDAR), "hollow@north.example")

        assert answer.codes == ["ErrorFolderNotFound"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("entry", "code", "found"),
    [
        ("R1@NORTH.example", "NoError", ["room1@north.example"]),
        ("smtp:room2@north.example", "NoError", ["room2@north.example"]),
        ("Linden", "NoError", ["room2@north.example"]),
        ("room", "ErrorNameResolutionMultipleResults", ["room1@north.example", "room2@north.example"]),
        ("Haus", "NoError", ["haus-a@north.example"]),
        ("zzz", "ErrorNameResolutionNoResults", []),
    ],
)
async def test_names_are_resolved_to_primary_addresses(entry: str, code: str, found: list[str]) -> None:
    async with staged(39) as stage:
        answer = await stage.ask(
            f'<m:ResolveNames ReturnFullContactData="false"><m:UnresolvedEntry>{entry}</m:UnresolvedEntry></m:ResolveNames>'
        )

        assert answer.codes == [code]
        assert wire.texts(answer.tree, ".//t:Resolution/t:Mailbox/t:EmailAddress") == found


@pytest.mark.asyncio
async def test_an_unknown_room_list_is_an_error() -> None:
    async with staged(40) as stage:
        answer = await stage.ask(
            "<m:GetRooms><m:RoomList><t:EmailAddress>attic@north.example</t:EmailAddress></m:RoomList></m:GetRooms>"
        )

        assert answer.codes == ["ErrorNameResolutionNoResults"]


@pytest.mark.asyncio
async def test_ids_are_converted_there_and_back() -> None:
    def convert(kind: str, id_: str, to: str, mailbox: str = "ann@north.example") -> str:
        source = f'<t:AlternateId Format="{kind}" Id="{id_}" Mailbox="{mailbox}"/>'
        return f'<m:ConvertId DestinationFormat="{to}"><m:SourceIds>{source}</m:SourceIds></m:ConvertId>'

    async with staged(41) as stage:
        mine, _ = stage.book()
        for kind in ("EntryId", "HexEntryId", "StoreId", "OwaId", "EwsLegacyId"):
            there = await stage.ask(convert("EwsId", mine.item_id, kind))
            (found,) = there.tree.iter(f"{{{wire.M}}}AlternateId")
            back = await stage.ask(convert(kind, str(found.get("Id")), "EwsId"))
            (again,) = back.tree.iter(f"{{{wire.M}}}AlternateId")
            assert again.get("Id") == mine.item_id

        assert (await stage.ask(convert("EwsId", "DUMMY", "EntryId"))).codes == ["ErrorInvalidIdMalformed"]
        assert (await stage.ask(convert("HexEntryId", "XYZ", "EwsId"))).codes == ["ErrorInvalidIdMalformed"]
        assert (await stage.ask(convert("EwsId", "DUMMY", "EntryId", "DUMMY"))).codes == ["ErrorInvalidSmtpAddress"]


@pytest.mark.asyncio
async def test_time_zones_follow_their_rules_by_hemisphere() -> None:
    wanted = "".join(
        f"<t:Id>{name}</t:Id>" for name in ("W. Europe Standard Time", "AUS Eastern Standard Time", "UTC", "None")
    )
    async with staged(42) as stage:
        answer = await stage.ask(
            f'<m:GetServerTimeZones ReturnFullTimeZoneData="true"><m:Ids>{wanted}</m:Ids></m:GetServerTimeZones>'
        )

        zones = list(answer.tree.iter(f"{{{wire.T}}}TimeZoneDefinition"))
        assert [zone.get("Id") for zone in zones] == ["W. Europe Standard Time", "AUS Eastern Standard Time", "UTC"]
        rules = [[wire.texts(rule, "*") for rule in zone.iter(f"{{{wire.T}}}RecurringDayTransition")] for zone in zones]
        assert rules == [
            [["dlt", "PT2H0M", "3", "Sunday", "-1"], ["std", "PT3H0M", "10", "Sunday", "-1"]],
            [["std", "PT3H0M", "4", "Sunday", "1"], ["dlt", "PT2H0M", "10", "Sunday", "1"]],
            [],
        ]
