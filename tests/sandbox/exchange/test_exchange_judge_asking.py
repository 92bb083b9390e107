"""exchangelib 5.6, unpatched: free/busy, pulled events, paging, filters, extended properties, and a server that is busy."""

import asyncio
import base64
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from exchangelib import (
    BASIC,
    IMPERSONATION,
    Account,
    Build,
    CalendarItem,
    Configuration,
    EWSDateTime,
    EWSTimeZone,
    ExtendedProperty,
    FaultTolerance,
    FolderCollection,
    Q,
    Version,
)
from exchangelib import UTC as UTC_ZONE
from exchangelib.errors import (
    ErrorMailRecipientNotFound,
    ErrorNoFreeBusyAccess,
    ErrorSubscriptionNotFound,
    ErrorTimeIntervalTooBig,
    RateLimitError,
)
from exchangelib.services import SendNotification

from kalends_sandbox import http
from kalends_sandbox.exchange import Settings
from kalends_sandbox.item import ExtendedProperty as Stored
from kalends_sandbox.item import Item
from kalends_sandbox.recurrence import Daily, Recurrence
from sandbox.exchange.stage import TODAY, Stage, staged
from sandbox.exchange.test_exchange_judge import Tagged, account, judged

BERLIN = EWSTimeZone("Europe/Berlin")


def in_berlin(stage: Stage, days: float, hours: float = 0) -> EWSDateTime:
    return EWSDateTime.from_datetime(stage.at(days, hours)).astimezone(BERLIN)


# --- free/busy


@pytest.mark.asyncio
async def test_exchangelib_asks_who_is_free_when() -> None:
    async with staged(450) as stage:
        stage.book(0, 1, subject="Budget", location="Hall", recurrence=Recurrence(Daily(), TODAY.date(), count=3))
        stage.book(0, 4, subject="Doctor", sensitivity="Private", show_as="OOF")
        stage.room.default_rights = "Reviewer"
        stage.ann.default_rights = "LimitedDetails"
        stage.bob.default_rights = "None"
        acc = await judged(lambda: account(stage, stage.ann.primary))

        def read(*who: str) -> list[Any]:
            asked = [(one, "Required", False) for one in who]
            start, end = in_berlin(stage, 0), in_berlin(stage, 2)
            return list(acc.protocol.get_free_busy_info(asked, start, end, merged_free_busy_interval=60))

        ann, empty = await judged(lambda: read(stage.ann.primary, stage.other_room.primary))
        with pytest.raises(ErrorNoFreeBusyAccess):
            await judged(lambda: read(stage.ann.primary, stage.bob.primary))
        (nobody,) = await judged(lambda: read("nobody@north.example"))

        assert isinstance(nobody, ErrorMailRecipientNotFound)
        assert ann.view_type == "DetailedMerged"
        assert [(one.start, one.busy_type) for one in ann.calendar_events] == [
            (stage.at(0, 1), "Busy"), (stage.at(0, 4), "OOF"), (stage.at(1, 1), "Busy"),
        ]  # fmt: skip
        assert [one.details.subject for one in ann.calendar_events] == ["Budget", None, "Budget"]
        assert [one.details.is_private for one in ann.calendar_events] == [False, True, False]
        assert ann.merged == "020030" + "0" * 19 + "2" + "0" * 22
        assert ann.working_hours[0].start.hour == 8
        assert ann.working_hours_timezone.bias == -60
        assert (empty.view_type, empty.calendar_events, set(empty.merged)) == ("FreeBusyMerged", None, {"0"})


@pytest.mark.asyncio
async def test_exchangelib_asks_for_more_mailboxes_than_one_question_holds() -> None:
    async with staged(451) as stage:
        stage.book()
        acc = await judged(lambda: account(stage, stage.ann.primary))
        asked = [(stage.ann.primary, "Required", False)] * 130

        def read(days: int) -> list[Any]:
            return list(acc.protocol.get_free_busy_info(asked, in_berlin(stage, 0), in_berlin(stage, days)))

        found = await judged(lambda: read(1))
        with pytest.raises(ErrorTimeIntervalTooBig):
            await judged(lambda: read(63))

        assert [len(one.calendar_events) for one in found] == [1] * 130
        assert stage.exchange.counters()["calls"]["GetUserAvailability"] == 3  # type: ignore[index]


# --- a server that is busy


def patient(stage: Stage, tag: str, max_wait: int) -> Account:
    config = Configuration(
        service_endpoint=stage.url,
        credentials=Tagged(tag),
        auth_type=BASIC,
        version=Version(Build(15, 2, 1748, 10)),
        retry_policy=FaultTolerance(max_wait=max_wait),
    )
    return Account(
        stage.ann.primary, config=config, autodiscover=False, access_type=IMPERSONATION, default_timezone=BERLIN
    )


@pytest.mark.asyncio
async def test_exchangelib_waits_as_long_as_an_empty_budget_says() -> None:
    # Ten milliseconds of debt are paid in a tenth of a second: 360,000 ms an hour.
    poor = Settings(
        budget=True, max_burst_ms=0, cutoff_ms=9, call_cost_ms=10, item_cost_ms=0, recharge_ms_per_hour=360_000
    )
    async with staged(452, poor) as stage:
        mine, _ = stage.book()
        acc = await judged(lambda: patient(stage, "patient", 60))
        ticking = asyncio.create_task(_tick(stage))

        found = await judged(lambda: list(acc.calendar.all().only("subject")))
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)

        assert [one.id for one in found] == [mine.item_id]
        busy = [
            one for one in stage.exchange.recorder.calls() if any(b"ErrorServerBusy" in part for part in one.answers)
        ]
        assert busy


async def _tick(stage: Stage) -> None:
    """The stage's clock stands by the loop's; while exchangelib sleeps in its thread, time goes on here."""
    while True:
        await asyncio.sleep(0.01)
        stage.world.clock.set(stage.world.clock.now() + timedelta(milliseconds=10))


@pytest.mark.asyncio
async def test_exchangelib_gives_up_when_the_lockout_outlasts_its_patience() -> None:
    async with staged(
        453, Settings(budget=True, max_burst_ms=0, cutoff_ms=9, call_cost_ms=10, recharge_ms_per_hour=1)
    ) as stage:
        acc = await judged(lambda: patient(stage, "impatient", 2))

        with pytest.raises(RateLimitError):
            await judged(lambda: list(acc.calendar.all().only("subject")))


# --- pulling events


@pytest.mark.asyncio
async def test_exchangelib_pulls_what_happened_and_unsubscribes() -> None:
    async with staged(454, Settings(echo_s=(0.005, 0.01))) as stage:
        acc = await judged(lambda: account(stage, stage.room.primary, tag="pull"))
        subscription, watermark = await judged(lambda: acc.calendar.subscribe_to_pull(timeout=10))

        quiet = await judged(lambda: list(acc.calendar.get_events(subscription, watermark)))
        _, theirs = stage.book()
        told = await judged(lambda: list(acc.calendar.get_events(subscription, watermark)))
        await judged(lambda: acc.calendar.unsubscribe(subscription))
        with pytest.raises(ErrorSubscriptionNotFound):
            await judged(lambda: list(acc.calendar.get_events(subscription, watermark)))

        assert [type(event).__name__ for event in quiet[0].events] == ["StatusEvent"]
        assert told[0].subscription_id == subscription
        assert told[0].previous_watermark == watermark
        kinds = {
            type(event).__name__ for event in told[0].events if event.item_id and event.item_id.id == theirs.item_id
        }
        assert {"CreatedEvent", "FreeBusyChangedEvent"} <= kinds


@pytest.mark.asyncio
async def test_exchangelib_pulls_from_all_folders_page_by_page() -> None:
    async with staged(455, Settings(echo_s=(0.005, 0.01))) as stage:
        acc = await judged(lambda: account(stage, stage.room.primary, tag="pull"))
        subscription, watermark = await judged(lambda: acc.subscribe_to_pull())
        ids = [stage.book(day)[1].item_id for day in range(20)]
        await stage.until(lambda: not stage.exchange._notifier._timers)
        events: list[Any] = []
        more = True

        while more:
            # It would ask with the same watermark for ever, so each page is asked for by itself.
            told = await judged(lambda: next(acc.calendar.get_events(subscription, watermark)))  # noqa: B023
            events += told.events
            more, watermark = told.more_events, told.events[-1].watermark

        created = [event.item_id.id for event in events if type(event).__name__ == "CreatedEvent"]
        assert created == ids
        assert len(events) > 50


@pytest.mark.asyncio
async def test_exchangelib_is_pushed_what_happened_and_ends_it_by_its_answer() -> None:
    service, told, answers = SendNotification(protocol=None), [], []

    async def receive(request: http.Request) -> http.Response:
        for notification in service.parse(request.body):
            told.append(notification)
        answers.append(service.ok_payload() if len(told) < 2 else service.unsubscribe_payload())
        return http.Response(200, [("Content-Type", "text/xml")], answers[-1])

    async with staged(471, Settings(echo_s=(0.005, 0.01))) as stage:
        server = await http.serve(receive, "127.0.0.1", 0)
        pushing = asyncio.create_task(stage.exchange.push())
        acc = await judged(lambda: account(stage, stage.room.primary, tag="push"))
        url = f"http://127.0.0.1:{server.port}/"
        subscription, _ = await judged(lambda: acc.calendar.subscribe_to_push(url))
        await stage.until(lambda: len(told) == 1)

        _, theirs = stage.book()
        await stage.until(lambda: stage.exchange.counters()["subscriptions"] == 0)
        pushing.cancel()
        await asyncio.gather(pushing, return_exceptions=True)
        await server.close()

        assert [one.subscription_id for one in told] == [subscription] * 2
        assert [type(event).__name__ for event in told[0].events] == ["StatusEvent"]
        created = [event for event in told[1].events if type(event).__name__ == "CreatedEvent"]
        assert [event.item_id.id for event in created] == [theirs.item_id]


# --- searching


@pytest.mark.asyncio
async def test_exchangelib_filters_excludes_and_orders_as_the_world_itself_would() -> None:
    async with staged(456) as stage:
        subjects = ["Budget", "budget review", "Réview", "Retro", "Budget", "Planning", "retro II"]
        for day, subject in enumerate(subjects):
            stage.book(day, 1 + day % 3, subject=subject, show_as="OOF" if day % 2 else "Busy", location=f"Hall {day}")
        assert stage.ann.calendar is not None
        world = list(stage.ann.calendar.items.values())
        acc = await judged(lambda: account(stage, stage.ann.primary))
        cal = await judged(lambda: acc.calendar)
        late = in_berlin(stage, 3)

        async def found(query: Any) -> list[str]:
            return [one.id for one in await judged(lambda: list(query.only("subject")))]

        def expected(keeps: Callable[[Item], bool]) -> set[str]:
            return {item.item_id for item in world if keeps(item)}

        cases: list[tuple[Any, Callable[[Item], bool]]] = [
            (cal.filter(subject="Budget"), lambda item: item.subject == "Budget"),
            (cal.filter(subject__iexact="budget"), lambda item: str(item.subject).lower() == "budget"),
            (cal.filter(subject__contains="udget"), lambda item: "udget" in str(item.subject)),
            (cal.filter(subject__icontains="RE"), lambda item: "re" in str(item.subject).lower()),
            (cal.filter(subject__startswith="Re"), lambda item: str(item.subject).startswith("Re")),
            (cal.filter(subject__istartswith="re"), lambda item: str(item.subject).lower().startswith("re")),
            (cal.filter(subject__in=["Planning", "Retro"]), lambda item: item.subject in ("Planning", "Retro")),
            (cal.exclude(subject="Budget"), lambda item: item.subject != "Budget"),
            (cal.filter(start__gte=late), lambda item: item.start >= stage.at(3)),
            (cal.filter(start__range=(in_berlin(stage, 1), late)), lambda item: stage.at(1) <= item.start <= stage.at(3)),
            (cal.filter(Q(subject="Retro") | Q(legacy_free_busy_status="OOF")),
             lambda item: item.subject == "Retro" or item.show_as == "OOF"),
            (cal.filter(~Q(subject__icontains="re"), location__exists=True),
             lambda item: "re" not in str(item.subject).lower()),
            (cal.filter(is_all_day=True), lambda item: False),
            (cal.filter(subject__not="Retro", end__lt=late), lambda item: item.subject != "Retro" and item.end < stage.at(3)),
        ]  # fmt: skip
        for query, keeps in cases:
            ids = await found(query)
            assert (set(ids), len(ids)) == (expected(keeps), len(set(ids))), str(query.q)

        by_name = await found(cal.all().order_by("subject", "-start"))
        ordered = sorted(
            sorted(world, key=lambda item: item.start, reverse=True), key=lambda item: str(item.subject).casefold()
        )
        assert by_name == [item.item_id for item in ordered]
        assert await found(cal.filter("subject:budget")) != []
        assert set(await found(cal.filter("subject:budget"))) == expected(
            lambda item: "budget" in str(item.subject).lower()
        )


@pytest.mark.asyncio
async def test_exchangelib_counts_slices_and_pages_through_more_than_one_answer_holds() -> None:
    async with staged(457, Settings(rows_per_find=10, rows_per_search=4)) as stage:
        mine = [stage.book(day)[0] for day in range(23)]
        acc = await judged(lambda: account(stage, stage.ann.primary))

        def read() -> tuple[int, list[str], list[str], list[str]]:
            cal = acc.calendar
            every = [one.id for one in cal.all().only("subject").order_by("start")]
            some = [one.id for one in cal.all().only("subject").order_by("-start")[2:5]]
            later = [one.id for one in cal.filter(start__gte=in_berlin(stage, 10)).only("subject").order_by("start")]
            return cal.all().count(), every, some, later

        count, every, some, later = await judged(read)

        ids = [item.item_id for item in mine]
        assert count == 23
        assert every == ids
        assert some == ids[::-1][2:5]
        assert later == ids[10:]


@pytest.mark.asyncio
async def test_exchangelib_finds_folders_by_name() -> None:
    async with staged(458) as stage:
        acc = await judged(lambda: account(stage, stage.ann.primary))

        def find() -> list[str]:
            below = FolderCollection(account=acc, folders=[acc.root])
            return [one.name for one in below.find_folders(q=Q(name__contains="Items"), depth="Deep")]

        found = await judged(find)

        assert sorted(found) == ["Deleted Items", "Sent Items"]


# --- extended properties

SET = "c11ff724-aa03-4555-9952-8fa248a11c3e"
VALUES: dict[str, Any] = {
    "Integer": 17,
    "Short": -3,
    "Long": 2**40,
    "Double": Decimal("1.5"),
    "Float": Decimal("0.25"),
    "Currency": 12,  # exchangelib takes whole ones only
    "Boolean": True,
    "String": "täxt <&>",
    "Binary": b"\x00\xff",
    "SystemTime": EWSDateTime(2026, 11, 20, 9, tzinfo=UTC_ZONE),
    "CLSID": SET,
    "ApplicationTime": Decimal("40000.5"),
}


def on_the_wire(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, EWSDateTime) else str(value)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "kind", [*VALUES, *(f"{kind}Array" for kind in VALUES if kind not in ("Boolean", "ApplicationTime"))]
)
async def test_exchangelib_reads_extended_properties_of_every_type(kind: str) -> None:
    single = kind.removesuffix("Array")
    value = VALUES[single] if single == kind else [VALUES[single]] * 2
    written = on_the_wire(VALUES[single])
    property_class = type(
        "Own", (ExtendedProperty,), {"property_set_id": SET, "property_name": "Own", "property_type": kind}
    )
    async with staged(459) as stage:
        stored = Stored(SET, "Own", kind, written if single == kind else (written, written))
        mine, _ = stage.book(extended=(stored,))
        CalendarItem.register("own", property_class)
        try:
            acc = await judged(lambda: account(stage, stage.ann.primary))
            found = await judged(lambda: acc.calendar.all().only("own").get(id=mine.item_id, changekey=mine.change_key))
        finally:
            CalendarItem.deregister("own")

        assert found.own == value


NAMED: dict[str, tuple[dict[str, Any], Callable[[Item], Any]]] = {
    "a tag": ({"property_tag": 0x37, "property_type": "String"}, lambda item: item.subject),
    "a distinguished set and an id": (
        {"distinguished_property_set_id": "Appointment", "property_id": 0x8208, "property_type": "String"},
        lambda item: item.location,
    ),
    "a set's guid and an id": (
        {"property_set_id": "6ed8da90-450b-101b-98da-00aa003f1305", "property_id": 35, "property_type": "Binary"},
        lambda item: item.clean_global_object_id,
    ),
    "a distinguished set and a name": (
        {"distinguished_property_set_id": "PublicStrings", "property_name": "Own", "property_type": "String"},
        lambda item: "x",
    ),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", NAMED)
async def test_exchangelib_reads_and_searches_extended_properties_however_they_are_named(name: str) -> None:
    facts, expected = NAMED[name]
    async with staged(470) as stage:
        mine, _ = stage.book(subject="one", location="Hall", extended=(Stored("PublicStrings", "Own", "String", "x"),))
        stage.book(1, subject="two", location="Elsewhere")
        CalendarItem.register("own", type("Own", (ExtendedProperty,), facts))
        try:
            acc = await judged(lambda: account(stage, stage.ann.primary))
            found = await judged(lambda: list(acc.calendar.filter(subject="one").only("own")))
            if facts["property_type"] == "String":
                searched = await judged(lambda: list(acc.calendar.filter(own=expected(mine)).only("subject")))
                assert [one.id for one in searched] == [mine.item_id]
        finally:
            CalendarItem.deregister("own")

        assert [one.own for one in found] == [expected(mine)]
