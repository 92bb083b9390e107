"""GetUserAvailability by raw SOAP: who sees how much of whom, in whose time, and what is refused by name."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree

from kalends_sandbox.exchange import Settings, free_busy
from kalends_sandbox.exchange.bias import Bias, Rule
from kalends_sandbox.item import Item
from kalends_sandbox.recurrence import Daily, Recurrence
from kalends_sandbox.rights import Level, Permission
from sandbox.exchange import wire
from sandbox.exchange.stage import TODAY, Answer, staged

NS = wire.NS
BERLIN = (
    "<t:TimeZone><t:Bias>-60</t:Bias>"
    "<t:StandardTime><t:Bias>0</t:Bias><t:Time>03:00:00</t:Time><t:DayOrder>5</t:DayOrder><t:Month>10</t:Month>"
    "<t:DayOfWeek>Sunday</t:DayOfWeek></t:StandardTime>"
    "<t:DaylightTime><t:Bias>-60</t:Bias><t:Time>02:00:00</t:Time><t:DayOrder>5</t:DayOrder><t:Month>3</t:Month>"
    "<t:DayOfWeek>Sunday</t:DayOfWeek></t:DaylightTime></t:TimeZone>"
)
UTC_ZONE = BERLIN.replace("<t:Bias>-60</t:Bias>", "<t:Bias>0</t:Bias>")
DAY = ("2026-11-20T00:00:00", "2026-11-21T00:00:00")


def ask(
    *addresses: str, span: tuple[str, str] = DAY, view: str = "Detailed", zone: str = BERLIN, step: int = 30
) -> str:
    who = "".join(
        f"<t:MailboxData><t:Email><t:Address>{one}</t:Address></t:Email><t:AttendeeType>Required</t:AttendeeType>"
        "</t:MailboxData>"
        for one in addresses
    )
    return (
        f"<m:GetUserAvailabilityRequest>{zone}<m:MailboxDataArray>{who}</m:MailboxDataArray><t:FreeBusyViewOptions>"
        f"<t:TimeWindow><t:StartTime>{span[0]}</t:StartTime><t:EndTime>{span[1]}</t:EndTime></t:TimeWindow>"
        f"<t:MergedFreeBusyIntervalInMinutes>{step}</t:MergedFreeBusyIntervalInMinutes>"
        f"<t:RequestedView>{view}</t:RequestedView></t:FreeBusyViewOptions></m:GetUserAvailabilityRequest>"
    )


def views(answer: Answer) -> list[etree._Element]:
    assert answer.status == 200, answer.content
    return answer.tree.findall(".//m:FreeBusyView", NS)


def events(view: etree._Element) -> list[tuple[str, str, str]]:
    return [
        tuple(wire.texts(event, f"t:{name}")[0] for name in ("StartTime", "EndTime", "BusyType"))  # type: ignore[misc]
        for event in view.iterfind(".//t:CalendarEvent", NS)
    ]


# --- what is seen


@pytest.mark.asyncio
async def test_the_own_calendar_is_seen_with_its_details_in_the_requests_wall_time() -> None:
    async with staged(400) as stage:
        mine, _ = stage.book(0, 1, subject="Budget <Q3>", location="Hall", show_as="OOF")

        (view,) = views(await stage.ask(ask(stage.ann.primary), stage.ann.primary))

        assert wire.texts(view, "t:FreeBusyViewType") == ["Detailed"]
        assert events(view) == [("2026-11-20T10:00:00", "2026-11-20T11:00:00", "OOF")]
        details = view.find(".//t:CalendarEventDetails", NS)
        assert details is not None
        told = {etree.QName(one).localname: one.text for one in details}
        assert (told["Subject"], told["Location"]) == ("Budget <Q3>", "Hall")
        assert (told["IsMeeting"], told["IsRecurring"], told["IsPrivate"]) == ("true", "false", "false")
        convert = (
            f'<m:ConvertId DestinationFormat="EwsId"><m:SourceIds><t:AlternateId Format="HexEntryId" Id="{told["ID"]}" '
            f'Mailbox="{stage.ann.primary}"/></m:SourceIds></m:ConvertId>'
        )
        converted = await stage.ask(convert, stage.ann.primary)
        assert [one.get("Id") for one in converted.tree.iter(f"{{{wire.M}}}AlternateId")] == [mine.item_id]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("rights", "view", "shown", "subjects", "has_id"),
    [
        ("AvailabilityOnly", "Detailed", "FreeBusy", [], False),
        ("AvailabilityOnly", "DetailedMerged", "FreeBusyMerged", [], False),
        ("LimitedDetails", "Detailed", "Detailed", ["Secret plan"], False),
        ("Reviewer", "DetailedMerged", "DetailedMerged", ["Secret plan"], True),
        ("Reviewer", "FreeBusy", "FreeBusy", [], False),
    ],
)
async def test_others_see_as_much_as_the_calendars_rights_leave(
    rights: str, view: str, shown: str, subjects: list[str], has_id: bool
) -> None:
    async with staged(401) as stage:
        stage.book(subject="Secret plan")
        stage.ann.default_rights = rights  # type: ignore[assignment]

        (found,) = views(await stage.ask(ask(stage.ann.primary, view=view), stage.room.primary))

        assert wire.texts(found, "t:FreeBusyViewType") == [shown]
        assert len(events(found)) == 1
        assert wire.texts(found, ".//t:Subject") == subjects
        assert bool(wire.texts(found, ".//t:ID")) is has_id
        assert bool(wire.texts(found, "t:MergedFreeBusy")) is ("Merged" in view)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("level", "code", "shown", "subjects", "has_id"),
    [
        ("None", "ErrorNoFreeBusyAccess", "None", [], False),
        ("AvailabilityOnly", "NoError", "FreeBusy", [], False),
        ("LimitedDetails", "NoError", "Detailed", ["Secret plan"], False),
        ("Contributor", "ErrorNoFreeBusyAccess", "None", [], False),
        ("Reviewer", "NoError", "Detailed", ["Secret plan"], True),
        ("Editor", "NoError", "Detailed", ["Secret plan"], True),
        ("Owner", "NoError", "Detailed", ["Secret plan"], True),
        ("FullAccess", "NoError", "Detailed", ["Secret plan"], True),
    ],
)
@pytest.mark.parametrize("everybody", ["None", "LimitedDetails"])
async def test_a_permission_decides_what_its_holder_sees_whatever_everybody_may(
    level: Level, code: str, shown: str, subjects: list[str], has_id: bool, everybody: str
) -> None:
    async with staged(410) as stage:
        stage.book(subject="Secret plan")
        stage.bob.default_rights = everybody  # type: ignore[assignment]
        stage.world.permissions.append(Permission("ann", (stage.bob.primary,), level))
        own = stage.account_headers("ann", "ann's own")

        answer = await stage.ask(ask(stage.bob.primary), headers=own)

        (found,) = views(answer)
        assert answer.codes == [code]
        assert wire.texts(found, "t:FreeBusyViewType") == [shown]
        assert wire.texts(found, ".//t:Subject") == subjects
        assert bool(wire.texts(found, ".//t:ID")) is has_id


@pytest.mark.asyncio
@pytest.mark.parametrize("sensitivity", ["Private", "Confidential"])
async def test_a_private_meeting_shows_only_that_it_is_private(sensitivity: str) -> None:
    async with staged(402) as stage:
        stage.book(subject="Doctor", location="Clinic", sensitivity=sensitivity)

        answer = await stage.ask(ask(stage.ann.primary), stage.ann.primary)

        (details,) = views(answer)[0].findall(".//t:CalendarEventDetails", NS)
        assert [etree.QName(one).localname for one in details if one.text != "false"] == ["IsPrivate"]
        assert b"Doctor" not in answer.content
        assert b"Clinic" not in answer.content


@pytest.mark.asyncio
async def test_one_mailbox_that_cannot_be_seen_does_not_hide_the_others() -> None:
    async with staged(403) as stage:
        stage.book()
        stage.bob.default_rights = "None"
        asked = (
            stage.ann.primary,
            "nobody@north.example",
            stage.bob.primary,
            "hollow@north.example",
            stage.room.primary,
        )

        answer = await stage.ask(ask(*asked, view="FreeBusyMerged"), stage.other_room.primary)

        assert answer.codes == [
            "NoError",
            "ErrorMailRecipientNotFound",
            "ErrorNoFreeBusyAccess",
            "ErrorFreeBusyGenerationFailed",
            "NoError",
        ]
        kinds = [wire.texts(view, "t:FreeBusyViewType") for view in views(answer)]
        assert kinds == [["FreeBusyMerged"], ["None"], ["None"], ["None"], ["FreeBusyMerged"]]
        assert [len(events(view)) for view in views(answer)] == [1, 0, 0, 0, 1]


@pytest.mark.asyncio
async def test_series_are_unfolded_and_singles_outside_the_window_left_out() -> None:
    async with staged(404) as stage:
        stage.book(recurrence=Recurrence(Daily(), TODAY.date(), count=4))
        stage.book(10)
        span = ("2026-11-21T00:00:00", "2026-11-23T00:00:00")

        (view,) = views(await stage.ask(ask(stage.ann.primary, span=span), stage.ann.primary))

        assert [start for start, _, _ in events(view)] == ["2026-11-21T10:00:00", "2026-11-22T10:00:00"]
        assert wire.texts(view, ".//t:IsRecurring") == ["true", "true"]


@pytest.mark.asyncio
async def test_the_weightiest_meeting_of_a_step_gives_its_digit() -> None:
    async with staged(405) as stage:
        for hour, minutes, show_as in ((8, 60, "Tentative"), (8, 30, "Busy"), (9, 15, "OOF"), (9, 60, "Busy"),
                                       (10, 30, "Free"), (11, 30, "WorkingElsewhere")):  # fmt: skip
            start = datetime(2026, 11, 20, hour, tzinfo=UTC)
            stage.actions.create(stage.ann.primary, "x", start, start + timedelta(minutes=minutes), show_as=show_as)  # type: ignore[arg-type]
        span = ("2026-11-20T08:00:00", "2026-11-20T11:45:00")

        (view,) = views(
            await stage.ask(ask(stage.ann.primary, span=span, zone=UTC_ZONE, view="MergedOnly"), stage.bob.primary)
        )

        assert wire.texts(view, "t:MergedFreeBusy") == ["21320040"]
        assert events(view) == []


@pytest.mark.asyncio
async def test_working_hours_come_in_the_mailboxs_own_zone() -> None:
    async with staged(406) as stage:
        (view,) = views(await stage.ask(ask(stage.ann.primary, zone=UTC_ZONE), stage.ann.primary))

        (hours,) = view.iterfind("t:WorkingHours", NS)
        assert wire.texts(hours, ".//t:WorkingPeriod/*") == ["Monday Tuesday Wednesday Thursday Friday", "480", "1020"]
        assert wire.texts(hours, "t:TimeZone/t:Bias") == ["-60"]
        assert wire.texts(hours, "t:TimeZone/t:StandardTime/*") == ["0", "03:00:00", "5", "10", "Sunday"]
        assert wire.texts(hours, "t:TimeZone/t:DaylightTime/*") == ["-60", "02:00:00", "5", "3", "Sunday"]


@pytest.mark.asyncio
async def test_a_room_list_is_as_busy_as_its_busiest_room_that_may_be_seen() -> None:
    async with staged(407) as stage:
        for room, hour in ((stage.room, 9), (stage.other_room, 10)):
            start = datetime(2026, 11, 20, hour, tzinfo=UTC)
            stage.actions.create(room.primary, "x", start, start + timedelta(hours=1))
        span = ("2026-11-20T09:00:00", "2026-11-20T12:00:00")
        question = ask("haus-a@north.example", span=span, zone=UTC_ZONE, step=60)

        (both,) = views(await stage.ask(question, stage.ann.primary))
        stage.room.default_rights = "None"
        (one,) = views(await stage.ask(question, stage.ann.primary))

        stage.world.permissions.append(Permission(stage.ann.primary, (stage.room.primary,), "AvailabilityOnly"))
        (permitted,) = views(await stage.ask(question, stage.ann.primary))

        assert wire.texts(both, "t:FreeBusyViewType") == ["MergedOnly"]
        assert wire.texts(both, "t:MergedFreeBusy") == ["220"]
        assert wire.texts(one, "t:MergedFreeBusy") == ["020"]
        assert wire.texts(permitted, "t:MergedFreeBusy") == ["220"]


@pytest.mark.asyncio
async def test_a_list_with_too_many_members_is_refused_beside_others() -> None:
    async with staged(408, Settings(availability_members=1)) as stage:
        answer = await stage.ask(ask("haus-a@north.example", stage.ann.primary), stage.ann.primary)

        assert answer.codes == ["ErrorFreeBusyDLLimitReached", "NoError"]


@pytest.mark.asyncio
async def test_an_account_without_a_mailbox_asks_like_everybody() -> None:
    async with staged(409) as stage:
        stage.book(subject="Secret plan")

        (view,) = views(await stage.ask(ask(stage.ann.primary)))

        assert wire.texts(view, "t:FreeBusyViewType") == ["FreeBusy"]
        assert len(events(view)) == 1


@pytest.mark.asyncio
async def test_without_a_zone_of_its_own_the_requests_context_counts_and_else_utc() -> None:
    context = '<t:TimeZoneContext><t:TimeZoneDefinition Id="Tokyo Standard Time"/></t:TimeZoneContext>'
    async with staged(410) as stage:
        stage.book()
        question = ask(stage.ann.primary, zone="")

        (tokyo,) = views(await stage.ask(question, stage.ann.primary, header=context))
        (utc,) = views(await stage.ask(question, stage.ann.primary))

        assert [start for start, _, _ in events(tokyo)] == ["2026-11-20T18:00:00"]
        assert [start for start, _, _ in events(utc)] == ["2026-11-20T09:00:00"]


# --- what is refused


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("question", "code"),
    [
        (ask("ann@north.example", span=("2026-11-20T00:00:00", "2027-01-21T00:00:00")), "NoError"),
        (ask("ann@north.example", span=("2026-11-20T00:00:00", "2027-01-21T00:30:00")), "ErrorTimeIntervalTooBig"),
        (ask("ann@north.example", span=(DAY[1], DAY[0])), "ErrorInvalidTimeInterval"),
        (ask("ann@north.example", span=(DAY[0], DAY[0])), "ErrorInvalidTimeInterval"),
        (ask("ann@north.example", step=4), "ErrorInvalidMergedFreeBusyInterval"),
        (ask("ann@north.example", step=1441), "ErrorInvalidMergedFreeBusyInterval"),
        (ask("ann@north.example", step=30, span=(DAY[0], "2026-11-20T00:20:00")), "ErrorInvalidMergedFreeBusyInterval"),
        (ask("ann@north.example", view="None"), "ErrorInvalidFreeBusyViewType"),
        (ask("ann@north.example", zone=BERLIN.replace("-60", "-9000")), "ErrorTimeZone"),
        (ask("ann@north.example", zone=BERLIN.replace(">10<", ">13<")), "ErrorTimeZone"),
        (ask("ann@north.example", zone=BERLIN.replace("03:00:00", "noon")), "ErrorTimeZone"),
        (ask(*[f"p{number}@north.example" for number in range(101)]), "ErrorMailboxDataArrayTooBig"),
        ("<m:GetUserAvailability/>", "ErrorSchemaValidation"),
    ],
)
async def test_the_whole_question_is_refused_by_name(question: str, code: str) -> None:
    async with staged(411) as stage:
        answer = await stage.ask(question, stage.ann.primary)

        assert answer.codes == [code]
        assert answer.status == (200 if code == "NoError" else 500)


@pytest.mark.asyncio
async def test_a_question_without_a_window_is_refused_by_name() -> None:
    question = ask("ann@north.example")
    bare = question[: question.index("<t:FreeBusyViewOptions>")] + "</m:GetUserAvailabilityRequest>"
    async with staged(412) as stage:
        assert (await stage.ask(bare, stage.ann.primary)).codes == ["ErrorMissingArgument"]


# --- zones without a name


def rule(bias: int, hour: int, order: int, month: int) -> Rule:
    return Rule(timedelta(minutes=bias), time(hour), order, month, "Sunday")


ZONES = {
    "Europe/Berlin": Bias(timedelta(minutes=-60), rule(0, 3, 5, 10), rule(-60, 2, 5, 3)),
    "America/New_York": Bias(timedelta(minutes=300), rule(0, 2, 1, 11), rule(-60, 2, 2, 3)),
    "Australia/Sydney": Bias(timedelta(minutes=-600), rule(0, 3, 1, 4), rule(-60, 2, 1, 10)),
    "Asia/Katmandu": Bias(timedelta(minutes=-345), rule(0, 0, 0, 0), rule(0, 0, 0, 0)),
}
INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 12, 31)).map(
    lambda at: at.replace(tzinfo=UTC, microsecond=0)
)


@pytest.mark.parametrize("name", ZONES)
@given(at=INSTANTS)
@example(at=datetime(2020, 1, 1, 4, tzinfo=UTC))  # new year by one of the two clocks only
def test_rules_give_the_wall_time_of_the_zone_they_describe(name: str, at: datetime) -> None:
    wall = at.astimezone(ZoneInfo(name)).replace(tzinfo=None)

    assert ZONES[name].local(at) == wall
    assert ZONES[name].local(ZONES[name].instant(wall)) == wall


def test_a_rule_of_one_year_holds_on_its_day_of_the_month_only() -> None:
    once = replace(rule(-60, 2, 31, 2), year=2026)

    assert once.start(2026) == datetime.combine(date(2026, 2, 28), time(2))
    assert once.start(2027) is None


@given(
    st.lists(
        st.tuples(
            st.integers(-90, 300),
            st.integers(0, 120),
            st.sampled_from(["Free", "Tentative", "Busy", "OOF", "WorkingElsewhere", "NoData"]),
        ),
        max_size=8,
    ),
    st.integers(5, 70),
    st.integers(70, 250),
)
def test_every_minute_of_a_step_counts_for_its_digit(
    meetings: list[tuple[int, int, str]], step: int, length: int
) -> None:
    window = free_busy.Window(TODAY, TODAY + timedelta(minutes=length), timedelta(minutes=step))
    items = [
        Item(
            uid=str(number),
            subject=None,
            start=TODAY + timedelta(minutes=start),
            end=TODAY + timedelta(minutes=start + long),
            show_as=show_as,  # type: ignore[arg-type]
        )
        for number, (start, long, show_as) in enumerate(meetings)
    ]

    digits = free_busy.merged(items, window)

    expected = ""
    for first in range(0, length, step):
        minutes = range(first, first + step)
        touching = [show_as for start, long, show_as in meetings if any(start <= at < start + long for at in minutes)]
        weights = {"Free": "0", "NoData": "4", "WorkingElsewhere": "4", "Tentative": "1", "Busy": "2", "OOF": "3"}
        expected += max((weights[one] for one in touching), key="04123".index, default="0")
    assert digits == expected
