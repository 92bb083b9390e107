"""FindItem and FindFolder by raw SOAP: every kind of page, every condition, words, and the server's own limits."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from kalends_sandbox.exchange import Settings, paging, query
from kalends_sandbox.item import ExtendedProperty, Item, Party
from sandbox.exchange import wire
from sandbox.exchange.stage import TODAY, Stage, staged

ITEM = f"{{{wire.T}}}CalendarItem"
SET = "c11ff724-aa03-4555-9952-8fa248a11c3e"
OWN = '<t:ExtendedFieldURI PropertySetId="' + SET + '" PropertyName="{}" PropertyType="{}"/>'


def uri(name: str) -> str:
    return f'<t:FieldURI FieldURI="{name}"/>'


def find(view: str = "", rest: str = "") -> str:
    return (
        f'<m:FindItem Traversal="Shallow">{wire.shape("item:Subject")}{view}{rest}'
        f"<m:ParentFolderIds>{wire.CALENDAR}</m:ParentFolderIds></m:FindItem>"
    )


def asked(words: str, view: str = "") -> str:
    return find(view).replace("</m:FindItem>", f"<m:QueryString>{words}</m:QueryString></m:FindItem>")


def indexed(offset: int = 0, limit: int = 100, base: str = "Beginning") -> str:
    return f'<m:IndexedPageItemView MaxEntriesReturned="{limit}" Offset="{offset}" BasePoint="{base}"/>'


def fraction(above: int, below: int, limit: int | None = None) -> str:
    most = "" if limit is None else f'MaxEntriesReturned="{limit}" '
    return f'<m:FractionalPageItemView {most}Numerator="{above}" Denominator="{below}"/>'


def seek(condition: str, base: str = "Beginning", limit: int = 2) -> str:
    return (
        f'<m:SeekToConditionPageItemView MaxEntriesReturned="{limit}" BasePoint="{base}"><t:Condition>{condition}'
        "</t:Condition></m:SeekToConditionPageItemView>"
    )


def restricted(condition: str) -> str:
    return f"<m:Restriction>{condition}</m:Restriction>"


def compared(kind: str, path: str, value: str) -> str:
    constant = f'<t:FieldURIOrConstant><t:Constant Value="{value}"/></t:FieldURIOrConstant>'
    return f"<t:{kind}>{path}{constant}</t:{kind}>"


def contains(path: str, value: str, mode: str, comparison: str = "Exact") -> str:
    return (
        f'<t:Contains ContainmentMode="{mode}" ContainmentComparison="{comparison}">{path}'
        f'<t:Constant Value="{value}"/></t:Contains>'
    )


SUBJECT_EXISTS = f"<t:Exists>{uri('item:Subject')}</t:Exists>"


def by_start(direction: str = "Ascending", path: str = uri("calendar:Start")) -> str:
    return f'<m:SortOrder><t:FieldOrder Order="{direction}">{path}</t:FieldOrder></m:SortOrder>'


def subjects(tree: etree._Element) -> list[str]:
    return wire.texts(tree, ".//t:CalendarItem/t:Subject")


def root(tree: etree._Element) -> dict[str, str]:
    (found,) = tree.iter(f"{{{wire.M}}}RootFolder")
    return {str(name): str(value) for name, value in found.attrib.items()}


async def booked(stage: Stage, names: Iterable[str] = "ABCDEF", **fields: Any) -> None:
    """One appointment a day in the room's own calendar."""
    for day, name in enumerate(names):
        stage.actions.create(stage.room.primary, name, stage.at(day), stage.at(day, 1), **fields)


async def code_of(stage: Stage, request: str) -> str:
    (code,) = (await stage.ask(request, stage.room.primary)).codes
    return code


# --- pages


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("view", "shown", "attributes"),
    [
        (indexed(1, 2), "BC", {"IndexedPagingOffset": "3", "IncludesLastItemInRange": "false"}),
        (indexed(4, 9), "EF", {"IndexedPagingOffset": "6", "IncludesLastItemInRange": "true"}),
        (indexed(9, 9), "", {"IndexedPagingOffset": "9", "IncludesLastItemInRange": "true"}),
        (indexed(0, 2, "End"), "EF", {"IndexedPagingOffset": "2", "IncludesLastItemInRange": "false"}),
        (indexed(2, 2, "End"), "CD", {"IndexedPagingOffset": "4", "IncludesLastItemInRange": "false"}),
        (indexed(4, 2, "End"), "AB", {"IndexedPagingOffset": "6", "IncludesLastItemInRange": "true"}),
        (
            fraction(0, 1, 2),
            "AB",
            {"NumeratorOffset": "2", "AbsoluteDenominator": "6", "IncludesLastItemInRange": "false"},
        ),
        (
            fraction(1, 2),
            "DEF",
            {"NumeratorOffset": "6", "AbsoluteDenominator": "6", "IncludesLastItemInRange": "true"},
        ),
        (fraction(3, 3), "", {"NumeratorOffset": "6", "AbsoluteDenominator": "6", "IncludesLastItemInRange": "true"}),
        (
            seek(compared("IsGreaterThanOrEqualTo", uri("item:Subject"), "C")),
            "CD",
            {"IndexedPagingOffset": "4", "IncludesLastItemInRange": "false"},
        ),
        (
            seek(compared("IsLessThan", uri("item:Subject"), "C"), "End"),
            "AB",
            {"IndexedPagingOffset": "6", "IncludesLastItemInRange": "true"},
        ),
        (
            seek(compared("IsEqualTo", uri("item:Subject"), "none")),
            "",
            {"IndexedPagingOffset": "6", "IncludesLastItemInRange": "true"},
        ),
        ("", "ABCDEF", {"IndexedPagingOffset": "6", "IncludesLastItemInRange": "true"}),
    ],
)
async def test_each_kind_of_page_shows_its_part_and_where_the_next_begins(
    view: str, shown: str, attributes: dict[str, str]
) -> None:
    async with staged(550) as stage:
        await booked(stage)

        tree = await stage.in_room(find(view, by_start()))

        assert "".join(subjects(tree)) == shown
        assert root(tree) == {"TotalItemsInView": "6", **attributes}


@given(st.integers(0, 30), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_pages_by_index_cover_everything_once(total: int, limit: int, most: int, from_end: bool) -> None:
    found, seen, offset = list(range(total)), [], 0
    is_last = False

    while not is_last:
        view = etree.fromstring(
            f"<FindItem><IndexedPageItemView MaxEntriesReturned='{limit}' Offset='{offset}' "
            f"BasePoint='{'End' if from_end else 'Beginning'}'/></FindItem>"
        )
        part = paging.part(view, found, most, lambda condition: lambda row: True)
        attributes = dict(one.split("=") for one in part.attributes.split())
        offset, is_last = (
            int(attributes["IndexedPagingOffset"].strip('"')),
            attributes["IncludesLastItemInRange"] == '"true"',
        )
        seen = [*part.rows, *seen] if from_end else [*seen, *part.rows]
        assert len(part.rows) <= min(limit, most)

    assert seen == found


@pytest.mark.asyncio
async def test_pages_by_index_are_cut_at_the_servers_limit_and_all_others_refused() -> None:
    async with staged(551, Settings(rows_per_find=4, rows_per_search=3)) as stage:
        await booked(stage)
        everything = restricted(f"<t:Exists>{uri('item:Subject')}</t:Exists>")

        page = await stage.in_room(find(indexed(), by_start()))
        searched = await stage.in_room(find(indexed(), everything + by_start()))
        worded = await stage.in_room(asked("kind:meetings", indexed()))

        assert (len(subjects(page)), len(subjects(searched)), len(subjects(worded))) == (4, 3, 3)
        assert {root(tree)["IncludesLastItemInRange"] for tree in (page, searched, worded)} == {"false"}
        assert await code_of(stage, find()) == "ErrorExceededFindCountLimit"
        assert await code_of(stage, find("", restricted(compared("IsNotEqualTo", uri("item:Subject"), "A")))) == (
            "ErrorExceededFindCountLimit"
        )
        assert await code_of(stage, find("", restricted(compared("IsEqualTo", uri("item:Subject"), "A")))) == "NoError"
        assert await code_of(stage, find(fraction(0, 1))) == "ErrorExceededFindCountLimit"
        assert await code_of(stage, find(fraction(0, 1, 4))) == "NoError"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (find(indexed(-1)), "ErrorInvalidIndexedPagingParameters"),
        (find(indexed(0, 0)), "ErrorInvalidPagingMaxRows"),
        (find(fraction(2, 1)), "ErrorInvalidFractionalPagingParameters"),
        (find(fraction(0, 0)), "ErrorInvalidFractionalPagingParameters"),
        (find(fraction(-1, 2)), "ErrorInvalidFractionalPagingParameters"),
        (find('<m:ContactsView MaxEntriesReturned="5"/>'), "ErrorInvalidOperation"),
        (
            find(
                indexed(),
                '<m:GroupBy Order="Ascending"><t:FieldURI FieldURI="item:Subject"/><t:AggregateOn Aggregate="Maximum">'
                '<t:FieldURI FieldURI="calendar:Start"/></t:AggregateOn></m:GroupBy>',
            ),
            "ErrorInvalidOperation",
        ),
        (
            asked("x").replace("<m:ParentFolderIds>", restricted(SUBJECT_EXISTS) + "<m:ParentFolderIds>"),
            "ErrorInvalidOperation",
        ),
        (
            asked("x", '<m:CalendarView StartDate="2026-11-20T00:00:00Z" EndDate="2026-11-21T00:00:00Z"/>'),
            "ErrorInvalidOperation",
        ),
        (asked(" ".join(["x"] * 51), indexed()), "ErrorSearchQueryHasTooManyKeywords"),
        (find(indexed(), restricted(compared("IsLessThan", uri("calendar:Start"), "soon"))), "ErrorInvalidValueForProperty"),
        (find(indexed(), restricted(compared("IsEqualTo", uri("calendar:IsMeeting"), "perhaps"))),
         "ErrorInvalidValueForProperty"),
        (find(indexed(), restricted(compared("IsEqualTo", uri("item:Attachments"), "1"))), "ErrorUnsupportedPathForQuery"),
        (find(indexed(), restricted("<t:Not>" * 21 + SUBJECT_EXISTS + "</t:Not>" * 21)),
         "ErrorRestrictionTooComplex"),
        (find(indexed(), restricted("<t:Or>" + compared("IsEqualTo", uri("item:Subject"), "x") * 256 + "</t:Or>")),
         "ErrorRestrictionTooLong"),
    ],
)  # fmt: skip
async def test_what_cannot_be_found_so_is_refused_by_name(request_: str, code: str) -> None:
    async with staged(552) as stage:
        await booked(stage, "A")

        assert await code_of(stage, request_) == code


# --- conditions

TAGS = (
    ExtendedProperty(SET, "Count", "Integer", "9"),
    ExtendedProperty(SET, "Ratio", "Double", "10.5"),
    ExtendedProperty(SET, "When", "SystemTime", "2026-11-20T10:00:00Z"),
    ExtendedProperty(SET, "Done", "Boolean", "true"),
    ExtendedProperty(SET, "Flags", "Integer", "6"),
    ExtendedProperty(SET, "Words", "StringArray", ("red", "Blue green")),
)
CONDITIONS: dict[str, tuple[str, bool]] = {
    "numbers compare as numbers": (compared("IsGreaterThan", OWN.format("Count", "Integer"), "10"), False),
    "numbers in hex are none": (compared("IsLessThan", OWN.format("Count", "Integer"), "10"), True),
    "fractions compare as numbers": (compared("IsGreaterThan", OWN.format("Ratio", "Double"), "9.75"), True),
    "instants compare in any zone": (
        compared("IsEqualTo", OWN.format("When", "SystemTime"), "2026-11-20T11:00:00+01:00"),
        True,
    ),
    "truths compare as written": (compared("IsEqualTo", OWN.format("Done", "Boolean"), "1"), True),
    "another type is another property": (f"<t:Exists>{OWN.format('Count', 'String')}</t:Exists>", False),
    "any of several values will do": (compared("IsEqualTo", OWN.format("Words", "StringArray"), "red"), True),
    "none of several values may be it": (compared("IsNotEqualTo", OWN.format("Words", "StringArray"), "red"), False),
    "what is not there is not equal": (compared("IsNotEqualTo", OWN.format("None", "String"), "x"), True),
    "what is not there is not less": (compared("IsLessThan", OWN.format("None", "String"), "x"), False),
    "no bit of the mask": (f'<t:Excludes>{OWN.format("Flags", "Integer")}<t:Bitmask Value="0x9"/></t:Excludes>', True),
    "a bit of the mask": (f'<t:Excludes>{OWN.format("Flags", "Integer")}<t:Bitmask Value="2"/></t:Excludes>', False),
    "prefix on words": (contains(uri("item:Subject"), "qu", "PrefixOnWords"), True),
    "not inside a word": (contains(uri("item:Subject"), "ick", "PrefixOnWords"), False),
    "an exact phrase": (contains(uri("item:Subject"), "Quick br", "ExactPhrase", "IgnoreCase"), False),
    "an exact phrase of whole words": (contains(uri("item:Subject"), "the quick", "ExactPhrase", "IgnoreCase"), True),
    "accents count": (contains(uri("item:Subject"), "fóx", "Substring", "IgnoreCase"), False),
    "accents do not count": (contains(uri("item:Subject"), "fóx", "Substring", "IgnoreNonSpacingCharacters"), True),
    "case counts": (contains(uri("item:Subject"), "FÓX", "Substring", "IgnoreNonSpacingCharacters"), False),
    "loosely": (contains(uri("item:Subject"), "FÓX", "Substring", "Loose"), True),
    "among several values": (contains(OWN.format("Words", "StringArray"), "Blue", "Prefixed"), True),
    "two properties of one item": (
        f"<t:IsLessThan>{uri('calendar:Start')}<t:FieldURIOrConstant>{uri('calendar:End')}</t:FieldURIOrConstant></t:IsLessThan>",
        True,
    ),
    "two properties that differ": (
        f"<t:IsEqualTo>{uri('calendar:Start')}<t:FieldURIOrConstant>{uri('calendar:End')}</t:FieldURIOrConstant></t:IsEqualTo>",
        False,
    ),
    "all must hold": (
        f"<t:And><t:Exists>{uri('item:Subject')}</t:Exists><t:Exists>{uri('calendar:Location')}</t:Exists></t:And>",
        False,
    ),
    "what MAPI keeps has one type": (
        '<t:Exists><t:ExtendedFieldURI PropertyTag="0x36" PropertyType="String"/></t:Exists>',
        False,
    ),
    "what MAPI keeps": (
        compared("IsEqualTo", '<t:ExtendedFieldURI PropertyTag="0x37" PropertyType="String"/>', "The quick fox"),
        True,
    ),
}  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize("name", CONDITIONS)
async def test_a_condition_keeps_what_it_says(name: str) -> None:
    condition, keeps = CONDITIONS[name]
    async with staged(553) as stage:
        await booked(stage, ["The quick fox"], extended=TAGS)

        tree = await stage.in_room(find(indexed(), restricted(condition)))

        assert bool(subjects(tree)) is keeps


@pytest.mark.asyncio
async def test_items_are_sorted_by_several_properties_and_what_lacks_one_comes_first() -> None:
    async with staged(554) as stage:
        for number, words in enumerate(("b", "A", None, "a")):
            stored = () if words is None else (ExtendedProperty(SET, "Own", "String", words),)
            stage.actions.create(
                stage.room.primary, f"{number}", stage.at(number), stage.at(number, 1), extended=stored
            )
        order = by_start("Ascending", OWN.format("Own", "String")).replace(
            "</m:SortOrder>", f'<t:FieldOrder Order="Descending">{uri("calendar:Start")}</t:FieldOrder></m:SortOrder>'
        )

        tree = await stage.in_room(find(indexed(), order))

        assert subjects(tree) == ["2", "3", "1", "0"]


# --- words


def item(**fields: Any) -> Item:
    start: datetime = TODAY
    return Item(uid="x", start=start, end=start + timedelta(hours=1), **{"subject": None, **fields})


MEETING = item(
    subject="Budget review Q3",
    location="Große Stube",
    body="Bring réports",
    organizer=Party("Ann Ōkubo", "ann@x.example"),
)


@pytest.mark.parametrize(
    ("words", "keeps"),
    [
        ("budget", True),
        ("BUD", True),
        ("udget", False),
        ("budget reports", True),
        ("budget planning", False),
        ("budget OR planning", True),
        ("planning OR", False),
        ('"review q3"', True),
        ('"budget q3"', False),
        ("subject:review", True),
        ("subject:stube", False),
        ("location:grosse OR location:große", True),
        ('subject:"budget review"', True),
        ("organizer:ann", True),
        ("from:okubo", True),
        ("NOT planning", True),
        ("-budget", False),
        ("review -planning", True),
        ("kind:meetings", True),
        ("flavour:sweet", False),
        ("bud*", True),
        ("", True),
    ],
)
def test_words_are_found_at_the_beginning_of_words(words: str, keeps: bool) -> None:
    assert query.compiled(words)(MEETING) is keeps


# --- extended properties


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "code"),
    [
        ('PropertyTag="0x8001" PropertyType="String"', "ErrorNoPropertyTagForCustomProperties"),
        ('PropertyTag="0x37" PropertyName="Own" PropertyType="String"', "ErrorInvalidExtendedProperty"),
        ('PropertyName="Own" PropertyType="String"', "ErrorInvalidExtendedProperty"),
        ('PropertySetId="' + SET + '" PropertyType="String"', "ErrorInvalidExtendedProperty"),
        ('PropertySetId="' + SET + '" PropertyName="Own" PropertyId="3" PropertyType="String"', "ErrorInvalidExtendedProperty"),
        ('PropertySetId="' + SET + '" DistinguishedPropertySetId="Common" PropertyId="3" PropertyType="String"',
         "ErrorInvalidExtendedProperty"),
        ('PropertyTag="0x37" PropertyType="Object"', "ErrorUnsupportedMapiPropertyType"),
        ('PropertyTag="0x37" PropertyType="Null"', "ErrorUnsupportedMapiPropertyType"),
        ('PropertyTag="0x37" PropertyType="Text"', "ErrorSchemaValidation"),
        ('PropertySetId="nonsense" PropertyId="3" PropertyType="String"', "ErrorSchemaValidation"),
        ('DistinguishedPropertySetId="Nonsense" PropertyId="3" PropertyType="String"', "ErrorSchemaValidation"),
        ('PropertyTag="many" PropertyType="String"', "ErrorSchemaValidation"),
    ],
)  # fmt: skip
async def test_a_property_that_is_not_named_properly_is_refused_by_name(path: str, code: str) -> None:
    async with staged(555) as stage:
        request = find(indexed()).replace(uri("item:Subject"), f"<t:ExtendedFieldURI {path}/>")

        assert await code_of(stage, request) == code


# --- folders


def folders(view: str = "", condition: str = "", traversal: str = "Shallow") -> str:
    restriction = restricted(condition) if condition else ""
    return (
        f'<m:FindFolder Traversal="{traversal}"><m:FolderShape><t:BaseShape>Default</t:BaseShape></m:FolderShape>{view}'
        f'{restriction}<m:ParentFolderIds><t:DistinguishedFolderId Id="msgfolderroot"/></m:ParentFolderIds></m:FindFolder>'
    )


def names(tree: etree._Element) -> list[str]:
    return wire.texts(tree, ".//t:DisplayName")


@pytest.mark.asyncio
async def test_folders_are_paged_from_either_end_and_by_fraction() -> None:
    async with staged(556) as stage:
        every = names(await stage.in_room(folders()))
        view = '<m:IndexedPageFolderView MaxEntriesReturned="2" Offset="{}" BasePoint="{}"/>'
        last = await stage.in_room(folders(view.format(0, "End")))
        half = await stage.in_room(folders('<m:FractionalPageFolderView Numerator="1" Denominator="2"/>'))

        assert len(every) >= 4
        assert names(last) == every[-2:]
        assert names(half) == every[len(every) // 2 :]


@pytest.mark.asyncio
async def test_folders_are_found_by_name_class_and_count() -> None:
    async with staged(557) as stage:
        await booked(stage, "AB")

        by_name = await stage.in_room(
            folders(condition=contains(uri("folder:DisplayName"), "items", "Substring", "IgnoreCase"))
        )
        by_class = await stage.in_room(
            folders(condition=compared("IsEqualTo", uri("folder:FolderClass"), "IPF.Appointment"))
        )
        by_count = await stage.in_room(folders(condition=compared("IsGreaterThan", uri("folder:TotalCount"), "1")))
        refused = await code_of(stage, folders(condition=compared("IsEqualTo", uri("folder:EffectiveRights"), "x")))

        assert sorted(names(by_name)) == ["Deleted Items", "Sent Items"]
        assert names(by_class) == names(by_count) == ["Calendar"]
        assert refused == "ErrorUnsupportedPathForQuery"


PROBE = (
    '<t:ExtendedFieldURI PropertyTag="0x670a" PropertyType="SystemTime"/>'
    '<t:ExtendedFieldURI PropertyTag="0x670b" PropertyType="Integer"/>'
)


@pytest.mark.asyncio
async def test_a_folder_tells_cheaply_whether_anything_has_changed_or_gone() -> None:
    request = (
        "<m:GetFolder><m:FolderShape><t:BaseShape>IdOnly</t:BaseShape>"
        f"<t:AdditionalProperties>{PROBE}</t:AdditionalProperties></m:FolderShape>"
        f"<m:FolderIds>{wire.CALENDAR}</m:FolderIds></m:GetFolder>"
    )
    async with staged(558) as stage:
        stage.world.clock.pace(0)
        before = wire.texts(await stage.in_room(request), ".//t:Value")
        stage.world.clock.set(TODAY + timedelta(hours=1))
        made = stage.actions.create(stage.room.primary, "x", stage.at(1), stage.at(1, 1))
        after = wire.texts(await stage.in_room(request), ".//t:Value")
        stage.world.clock.set(TODAY + timedelta(hours=2))
        stage.actions.remove(stage.room.primary, made.uid, hard=True)
        gone = wire.texts(await stage.in_room(request), ".//t:Value")

        assert before[1] == after[1] == "0"
        assert after[0] == "2026-11-20T09:00:00Z"
        assert gone == ["2026-11-20T10:00:00Z", "1"]
