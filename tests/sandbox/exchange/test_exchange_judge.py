"""exchangelib 5.6, unpatched, over a real socket: a client nobody here wrote finds what the world holds, field by field."""

import asyncio
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests.adapters
from exchangelib import (
    BASIC,
    IMPERSONATION,
    Account,
    Build,
    Configuration,
    Credentials,
    EWSTimeZone,
    FailFast,
    Identity,
    Version,
)
from exchangelib.errors import ErrorImpersonateUserDenied, ErrorInvalidSyncStateData, ErrorNonExistentMailbox
from exchangelib.properties import ItemId
from exchangelib.protocol import BaseProtocol
from exchangelib.recurrence import (
    AbsoluteMonthlyPattern,
    AbsoluteYearlyPattern,
    DailyPattern,
    RelativeMonthlyPattern,
    RelativeYearlyPattern,
    WeeklyPattern,
)

from kalends_sandbox.actions import Change
from kalends_sandbox.exchange import Settings
from kalends_sandbox.item import Item
from kalends_sandbox.recurrence import (
    AbsoluteMonthly,
    AbsoluteYearly,
    Daily,
    Recurrence,
    RelativeMonthly,
    RelativeYearly,
    Weekly,
)
from kalends_sandbox.tls import self_signed
from sandbox.exchange.stage import PASSWORD, TODAY, USER, Stage, staged, words

R = TypeVar("R")
BERLIN = EWSTimeZone("Europe/Berlin")


class Tagged(Credentials):
    """exchangelib keeps one connection pool per (URL, credentials) for the whole process: a tag gives each its own."""

    def __init__(self, tag: str, username: str = USER, password: str = PASSWORD) -> None:
        super().__init__(username, password)
        self.tag = tag


def account(stage: Stage, address: str, tag: str = "calls", **credentials: str) -> Account:
    config = Configuration(
        service_endpoint=stage.url,
        credentials=Tagged(tag, **credentials),
        auth_type=BASIC,
        version=Version(Build(15, 2, 1748, 10)),
        retry_policy=FailFast(),
    )
    return Account(
        address,
        config=config,
        autodiscover=False,
        access_type=IMPERSONATION,
        default_timezone=EWSTimeZone("Europe/Berlin"),
    )


async def judged(call: Callable[[], R]) -> R:
    """exchangelib blocks; the server lives on this loop."""
    return await asyncio.wait_for(asyncio.to_thread(call), 30)


def same(found: Any, expected: Item) -> None:
    """Everything of an item that exchangelib and the world both know."""
    assert found.id == expected.item_id
    assert found.changekey == expected.change_key
    assert found.subject == expected.subject
    assert found.start == expected.start
    assert found.end == expected.end
    assert found.location == expected.location
    assert found.uid == expected.uid
    assert found.sensitivity == expected.sensitivity
    assert found.legacy_free_busy_status == expected.show_as
    assert found.is_all_day == expected.is_all_day
    assert found.is_cancelled == expected.is_cancelled
    assert found.is_meeting == expected.is_meeting
    assert found.type == expected.kind
    assert found.my_response_type == expected.my_response
    assert (found.text_body or "") == (expected.body or "")
    assert found.organizer.email_address == (expected.organizer.address if expected.organizer else None)
    for theirs, ours in (
        (found.required_attendees, expected.required),
        (found.optional_attendees, expected.optional),
        (found.resources, expected.resources),
    ):
        listed = [(one.mailbox.name, one.mailbox.email_address, one.response_type) for one in theirs or ()]
        assert listed == [(one.name, one.address, one.response) for one in ours]


COMPARED = (
    *("subject", "start", "end", "location", "uid", "sensitivity", "legacy_free_busy_status", "is_all_day"),
    *("is_cancelled", "is_meeting", "type", "my_response_type", "text_body", "organizer"),
    *("required_attendees", "optional_attendees", "resources"),
)


def random_fields(rng: random.Random) -> dict[str, Any]:
    return {
        "subject": words(rng),
        "body": f"{words(rng)}\n {words(rng)}",
        "location": words(rng),
        "show_as": rng.choice(("Free", "Tentative", "Busy", "OOF", "WorkingElsewhere")),
        "sensitivity": rng.choice(("Normal", "Personal", "Private", "Confidential")),
    }


@pytest.mark.asyncio
@pytest.mark.parametrize("seed", [1, 2])
async def test_exchangelib_sees_every_field_of_random_meetings_in_all_three_copies(seed: int) -> None:
    async with staged(seed) as stage:
        for day in range(12):
            stage.book(day, stage.rng.randint(0, 9), optional=["guest@elsewhere.example"], **random_fields(stage.rng))
        since, until = stage.at(-1), stage.at(20)

        for mailbox in (stage.ann, stage.bob, stage.room):
            cal = await judged(lambda box=mailbox: account(stage, box.primary).calendar)  # type: ignore[misc]
            found = await judged(lambda cal=cal: list(cal.view(since, until).only(*COMPARED)))  # type: ignore[misc]

            assert mailbox.calendar is not None
            assert len(found) == len(mailbox.calendar.items) > 0
            for one, expected in zip(found, mailbox.calendar.view(since, until), strict=True):
                same(one, expected)


SERIES = {
    "daily": (Daily(3), DailyPattern(interval=3)),
    "weekly": (
        Weekly(("Monday", "Thursday"), 2, "Monday"),
        WeeklyPattern(interval=2, weekdays=[1, 4], first_day_of_week="Monday"),
    ),
    "monthly": (AbsoluteMonthly(31, 1), AbsoluteMonthlyPattern(interval=1, day_of_month=31)),
    "relative monthly": (
        RelativeMonthly("Weekday", "Last", 2),
        RelativeMonthlyPattern(interval=2, weekday="Weekday", week_number="Last"),
    ),
    "yearly": (AbsoluteYearly(29, 2), AbsoluteYearlyPattern(day_of_month=29, month="February")),
    "relative yearly": (
        RelativeYearly("Tuesday", "Second", 12),
        RelativeYearlyPattern(weekday="Tuesday", week_number="Second", month="December"),
    ),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", SERIES)
async def test_exchangelib_reads_a_series_its_occurrences_exceptions_and_deletions(kind: str) -> None:
    pattern, expected_pattern = SERIES[kind]
    async with staged(3) as stage:
        rng = stage.rng
        mine = stage.actions.create(
            stage.ann.primary,
            start=stage.at(0),
            end=stage.at(0, 1),
            required=[stage.bob.primary],
            recurrence=Recurrence(pattern, TODAY.date(), count=rng.randint(4, 9)),
            **random_fields(rng),
        )
        assert stage.ann.calendar is not None
        starts = [one.start for one in stage.ann.calendar.view(TODAY, TODAY + timedelta(days=1800))]
        changed, gone = starts[0], starts[1]
        stage.actions.edit(stage.ann.primary, mine.uid, Change(subject=words(rng), start=changed + timedelta(hours=2),
                                                              end=changed + timedelta(hours=4)), changed)  # fmt: skip
        stage.actions.remove(stage.ann.primary, mine.uid, gone)
        master = stage.ann.calendar.items[mine.item_id]
        acc = await judged(lambda: account(stage, stage.ann.primary))

        found = await judged(lambda: acc.calendar.get(id=master.item_id, changekey=master.change_key))
        view = await judged(lambda: list(acc.calendar.view(TODAY, TODAY + timedelta(days=700)).only(*COMPARED)))

        same(found, master)
        assert str(found.recurrence.pattern) == str(expected_pattern)  # it reads names, and is given numbers
        assert found.recurrence.boundary.number == master.recurrence.count  # type: ignore[union-attr]
        assert found.recurrence.boundary.start == master.recurrence.start  # type: ignore[union-attr]
        assert [(one.original_start, one.start, one.end) for one in found.modified_occurrences] == [
            (changed, changed + timedelta(hours=2), changed + timedelta(hours=4))
        ]
        assert [one.start for one in found.deleted_occurrences] == [gone]
        expected = stage.ann.calendar.view(TODAY, TODAY + timedelta(days=700))
        assert len(view) == len(expected) >= 1
        for one, other in zip(view, expected, strict=True):
            same(one, other)
        assert [one.type for one in view if one.start == changed + timedelta(hours=2)] == ["Exception"]
        assert found.first_occurrence.id == view[0].id


@pytest.mark.asyncio
async def test_exchangelib_walks_between_a_series_and_its_occurrences() -> None:
    async with staged(4) as stage:
        mine, _ = stage.book(recurrence=Recurrence(Daily(), TODAY.date(), count=5))
        acc = await judged(lambda: account(stage, stage.ann.primary))
        assert stage.ann.calendar is not None
        third = stage.ann.calendar.view(TODAY, stage.at(30))[2]

        occurrence = await judged(lambda: acc.calendar.get(id=third.item_id, changekey=third.change_key))
        master = await judged(lambda: occurrence.recurring_master().refresh())
        by_index = await judged(lambda: acc.calendar.get(id=mine.item_id).occurrence(3).refresh())

        assert occurrence.start == third.start
        assert (master.id, master.type) == (mine.item_id, "RecurringMaster")
        assert (by_index.id, by_index.start) == (third.item_id, third.start)


@pytest.mark.asyncio
async def test_exchangelib_reads_all_day_events_on_the_right_day() -> None:
    async with staged(5) as stage:
        midnight = datetime(2026, 12, 1, tzinfo=BERLIN)
        stage.actions.create(stage.ann.primary, "Off-site", midnight, midnight + timedelta(days=2), is_all_day=True)
        acc = await judged(lambda: account(stage, stage.ann.primary))

        (found,) = await judged(
            lambda: list(acc.calendar.view(stage.at(0), stage.at(30)).only("start", "end", "is_all_day"))
        )

        assert found.is_all_day
        assert (found.start.isoformat(), found.end.isoformat()) == ("2026-12-01", "2026-12-02")


@pytest.mark.asyncio
async def test_exchangelib_pages_and_filters_a_calendar() -> None:
    async with staged(6) as stage:
        pairs = [stage.book(day) for day in range(25)]
        acc = await judged(lambda: account(stage, stage.ann.primary))

        def read() -> list[Any]:
            query = acc.calendar.all().only("subject").order_by("start")
            query.page_size = 7
            return list(query)

        found = await judged(read)
        one = await judged(
            lambda: list(acc.calendar.filter(subject=pairs[7][0].subject, start__lt=stage.at(9)).only("uid"))
        )

        assert [item.id for item in found] == [mine.item_id for mine, _ in pairs]
        assert pairs[7][0].uid in [item.uid for item in one]


@pytest.mark.asyncio
async def test_exchangelib_syncs_what_is_new_changed_and_gone() -> None:
    async with staged(7) as stage:
        kept, changed, gone = (stage.book(day)[0] for day in range(3))
        acc = await judged(lambda: account(stage, stage.ann.primary))
        first = await judged(lambda: list(acc.calendar.sync_items(only_fields=["subject"], max_changes_returned=2)))

        stage.actions.edit(stage.ann.primary, changed.uid, Change(subject="Otherwise"))
        stage.actions.remove(stage.ann.primary, gone.uid, hard=True)
        new = stage.actions.create(stage.ann.primary, "Brand new", stage.at(5), stage.at(5, 1))
        second = await judged(lambda: list(acc.calendar.sync_items(only_fields=["subject"])))
        acc.calendar.item_sync_state = "bm90IGEgc3RhdGU="
        with pytest.raises(ErrorInvalidSyncStateData):
            await judged(lambda: list(acc.calendar.sync_items()))

        assert [(kind, item.id) for kind, item in first] == [("create", one.item_id) for one in (gone, changed, kept)]
        told = {(kind, item.id, getattr(item, "subject", None)) for kind, item in second}
        assert told == {
            ("update", changed.item_id, "Otherwise"),
            ("delete", gone.item_id, None),
            ("create", new.item_id, "Brand new"),
        }


@pytest.mark.asyncio
async def test_exchangelib_streams_the_events_of_what_happens() -> None:
    async with staged(8, Settings(minute_s=1.5, echo_s=(0.01, 0.02))) as stage:
        acc = await judged(lambda: account(stage, stage.room.primary, tag="stream"))
        subscription = await judged(lambda: acc.calendar.subscribe_to_streaming())

        def listen() -> list[tuple[str, str]]:
            events: list[tuple[str, str]] = []
            for notification in acc.calendar.get_streaming_events(subscription, connection_timeout=1):
                for event in notification.events:
                    events.append((type(event).__name__, getattr(event.item_id, "id", "") if event.item_id else ""))
            return events

        listening = asyncio.create_task(judged(listen))
        await stage.until(lambda: stage.exchange.nodes.streams_open == 1)
        _, theirs = stage.book()
        events = await listening

        assert ("CreatedEvent", theirs.item_id) in events
        assert ("FreeBusyChangedEvent", theirs.item_id) in events
        assert 3 <= len(events) <= 16  # created as tentative, then accepted: two changes
        assert stage.exchange.nodes.streams_open == 0
        await judged(lambda: acc.calendar.unsubscribe(subscription))
        assert stage.exchange.counters()["subscriptions"] == 0


@pytest.mark.asyncio
async def test_exchangelib_finds_rooms_names_and_time_zones() -> None:
    async with staged(9) as stage:
        acc = await judged(lambda: account(stage, stage.ann.primary))

        lists = await judged(lambda: list(acc.protocol.get_roomlists()))
        rooms = await judged(lambda: list(acc.protocol.get_rooms(lists[0].email_address)))
        known = await judged(
            lambda: list(acc.protocol.resolve_names(["R2@north.example"], return_full_contact_data=True))
        )
        zones = await judged(lambda: list(acc.protocol.get_timezones(return_full_timezone_data=True)))

        assert [(one.name, one.email_address) for one in lists] == [("Haus A", "haus-a@north.example")]
        assert [(one.name, one.email_address) for one in rooms] == [
            (one.name, one.primary) for one in (stage.room, stage.other_room)
        ]
        ((mailbox, contact),) = known
        assert mailbox.email_address == stage.other_room.primary
        assert contact.display_name == stage.other_room.name
        berlin = next(zone for zone in zones if zone.id == "W. Europe Standard Time")
        (_, standard, daylight) = (None, *sorted(berlin.periods, key=lambda period: period.bias, reverse=True))
        assert (standard.bias_in_minutes, daylight.bias_in_minutes) == (-60, -120)


@pytest.mark.asyncio
async def test_exchangelib_probes_sign_in_and_version_by_itself() -> None:
    async with staged(10) as stage:
        config = Configuration(service_endpoint=stage.url, credentials=Tagged("probe"), retry_policy=FailFast())

        version, kind = await judged(lambda: _probed(config))

        assert (version.major_version, version.minor_version) == (15, 2)
        assert kind == BASIC


def _probed(config: Configuration) -> tuple[Build, str]:
    probed = Account("ann@north.example", config=config, autodiscover=False, access_type=IMPERSONATION)
    return probed.protocol.version.build, probed.protocol.auth_type


IDENTITIES: dict[str, Callable[[Stage], Identity]] = {
    "primary_smtp_address": lambda stage: Identity(primary_smtp_address=stage.ann.primary),
    "smtp_address": lambda stage: Identity(smtp_address=stage.ann.addresses[1]),
    "upn": lambda stage: Identity(upn=stage.ann.upn),
    "sid": lambda stage: Identity(sid=stage.ann.sid),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", IDENTITIES)
async def test_exchangelib_impersonates_by_any_of_the_four_identities(kind: str) -> None:
    async with staged(11) as stage:
        mine, _ = stage.book()

        def read() -> Iterator[Any]:
            acc = account(stage, stage.ann.primary, tag=kind)
            assert acc.root.id  # found once by address; exchangelib needs it to sort what it fetches
            acc.identity = IDENTITIES[kind](stage)
            return iter(list(acc.fetch([ItemId(mine.item_id, mine.change_key)], only_fields=["uid"])))

        (found,) = await judged(read)

        assert found.uid == mine.uid


@pytest.mark.asyncio
async def test_exchangelib_is_refused_outside_the_accounts_scope() -> None:
    async with staged(12) as stage:
        with pytest.raises(ErrorImpersonateUserDenied):
            await judged(lambda: account(stage, stage.ann.primary, "narrow", username="narrow", password="narrow").root)
        with pytest.raises(ErrorNonExistentMailbox):
            await judged(lambda: account(stage, "nobody@north.example").root)
        assert (
            await judged(lambda: account(stage, stage.room.primary, "n2", username="narrow", password="narrow").root)
        ).id


@pytest.mark.asyncio
async def test_exchangelib_reads_over_tls_with_the_certificate_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path, random.Random(1))

    class Trusting(requests.adapters.HTTPAdapter):
        def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
            super().cert_verify(conn, url, str(certificate.path), cert)  # type: ignore[no-untyped-call]

        def get_connection_with_tls_context(
            self, request: Any, verify: Any, proxies: Any = None, cert: Any = None
        ) -> Any:
            return super().get_connection_with_tls_context(request, str(certificate.path), proxies, cert)

    async with staged(13, ssl=certificate.context) as stage:
        mine, _ = stage.book()

        with pytest.raises(Exception, match=r"(?i)certificate|ssl"):
            await judged(lambda: account(stage, stage.ann.primary, "distrust").calendar)
        monkeypatch.setattr(BaseProtocol, "HTTP_ADAPTER_CLS", Trusting)
        found = await judged(
            lambda: list(account(stage, stage.ann.primary, "trust").calendar.view(stage.at(0), stage.at(1)).only("uid"))
        )

        assert [one.uid for one in found] == [mine.uid]
