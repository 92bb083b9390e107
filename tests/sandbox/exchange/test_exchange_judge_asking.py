"""exchangelib 5.6, unpatched: free/busy, pulled events, paging, filters, extended properties, and a server that is busy."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from exchangelib import (
    BASIC,
    IMPERSONATION,
    Account,
    Build,
    Configuration,
    EWSDateTime,
    EWSTimeZone,
    FaultTolerance,
    Version,
)
from exchangelib.errors import (
    ErrorMailRecipientNotFound,
    ErrorNoFreeBusyAccess,
    ErrorTimeIntervalTooBig,
    RateLimitError,
)

from kalends_sandbox.exchange import Settings
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
