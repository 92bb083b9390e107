"""How much a caller may ask for: budgets, calls and streams at a time, and turning the limits while the server runs."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalends_sandbox.clock import Clock
from kalends_sandbox.exchange import Settings
from kalends_sandbox.exchange.budgets import Budgets
from kalends_sandbox.exchange.limits import LimitRefused, shown, turn
from kalends_sandbox.exchange.soap import Fault
from sandbox.exchange import wire
from sandbox.exchange.stage import Stage, staged
from sandbox.exchange.test_exchange_autodiscover import users

NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)
PAYER = ("svc", "ann@north.example")
# Full with 100 ms, 50 ms of credit beyond; each call takes 30 ms, each item 10; 3,600 ms an hour: one a second.
SMALL = Settings(
    budget=True, max_burst_ms=100, cutoff_ms=50, call_cost_ms=30, item_cost_ms=10, recharge_ms_per_hour=3600
)


def back_off(answer) -> list[str]:
    return [str(one.text) for one in answer.tree.iter(f"{{{wire.T}}}Value") if one.get("Name") == "BackOffMilliseconds"]


# --- budgets


def test_a_budget_is_overdrawn_to_its_cutoff_and_then_locked_until_the_debt_is_paid() -> None:
    clock = Clock(NOW, 0.0, lambda: 0.0)
    budgets = Budgets(SMALL, clock)
    for _ in range(6):
        budgets.admit(PAYER)  # 180 of 150 ms

    locked_ms = budgets.back_off_ms(PAYER)
    with pytest.raises(Fault) as refused:
        budgets.admit(PAYER)
    clock.set(NOW + timedelta(seconds=79))
    nearly_ms = budgets.back_off_ms(PAYER)
    clock.set(NOW + timedelta(seconds=80))

    assert locked_ms == 80_000
    assert (refused.value.code, refused.value.values) == ("ErrorServerBusy", {"BackOffMilliseconds": "80000"})
    assert nearly_ms == 1000
    assert budgets.back_off_ms(PAYER) == 0
    budgets.admit(PAYER)


def test_each_account_pays_for_each_mailbox_from_a_budget_of_its_own() -> None:
    budgets = Budgets(SMALL, Clock(NOW, 0.0, lambda: 0.0))
    for _ in range(6):
        budgets.admit(PAYER)

    assert budgets.back_off_ms(PAYER) > 0
    assert budgets.back_off_ms(("svc", "bob@north.example")) == 0
    assert budgets.back_off_ms(("other", "ann@north.example")) == 0


def test_without_a_budget_nothing_is_ever_refused() -> None:
    budgets = Budgets(Settings(), Clock(NOW, 0.0, lambda: 0.0))

    budgets.charge(PAYER, 10**9)

    budgets.admit(PAYER)


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(-20, 60)), max_size=30))
def test_a_budget_never_holds_more_than_it_began_with_nor_forgives_a_debt(steps: list[tuple[int, int]]) -> None:
    clock = Clock(NOW, 0.0, lambda: 0.0)
    budgets = Budgets(SMALL, clock)
    least = most = 100.0

    for cost, seconds in steps:
        budgets.charge(PAYER, cost // 10)
        most = most - cost // 10 * 10
        clock.set(clock.now() + timedelta(seconds=seconds))
        most = min(100.0, most + max(0, seconds))
        back_off_ms = budgets.back_off_ms(PAYER)

        assert (back_off_ms > 0) <= (most < 0)
        if back_off_ms:
            assert back_off_ms == pytest.approx(-most * 1000, abs=2)
    assert most <= least


@pytest.mark.asyncio
async def test_a_locked_out_caller_is_told_for_how_long_and_others_go_on() -> None:
    async with staged(460, SMALL) as stage:
        stage.world.clock.pace(0)
        for _ in range(6):
            assert (
                await stage.ask(wire.calendar_view("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"), stage.room.primary)
            ).status == 200

        busy = await stage.ask(wire.sync(), stage.room.primary)
        other = await stage.ask(wire.sync(), stage.ann.primary)
        stage.world.clock.set(stage.world.clock.now() + timedelta(seconds=81))
        again = await stage.ask(wire.sync(), stage.room.primary)

        assert (busy.status, busy.codes, back_off(busy)) == (500, ["ErrorServerBusy"], ["80000"])
        assert other.codes == ["NoError"]
        assert again.codes == ["NoError"]


@pytest.mark.asyncio
async def test_a_batch_that_uses_the_budget_up_is_served_in_part() -> None:
    async with staged(461, SMALL) as stage:
        stage.world.clock.pace(0)
        copies = [stage.book(day)[1] for day in range(20)]

        answer = await stage.ask(wire.get_item(*[one.item_id for one in copies]), stage.room.primary)

        # 30 ms for the call; the thirteenth item takes the debt beyond 50 ms.
        assert answer.status == 200
        assert answer.codes == ["NoError"] * 13 + ["ErrorServerBusy"] * 7
        assert back_off(answer) == ["60000"] * 7


@pytest.mark.asyncio
async def test_found_rows_and_asked_mailboxes_are_charged_too() -> None:
    costly = Settings(budget=True, max_burst_ms=0, cutoff_ms=35, call_cost_ms=0, item_cost_ms=10)
    async with staged(462, costly) as stage:
        for day in range(4):
            stage.book(day)

        found = await stage.ask(wire.calendar_view("2026-11-20T00:00:00Z", "2026-11-30T00:00:00Z"), stage.room.primary)
        after = await stage.ask(wire.sync(), stage.room.primary)

        assert (found.codes, after.codes) == (["NoError"], ["ErrorServerBusy"])


@pytest.mark.asyncio
async def test_every_item_written_is_charged_and_what_comes_after_the_last_penny_is_left_alone() -> None:
    costly = Settings(budget=True, max_burst_ms=0, cutoff_ms=15, call_cost_ms=0, item_cost_ms=10)
    async with staged(465, costly) as stage:
        stage.world.clock.pace(0)
        calendar = stage.ann.calendar
        assert calendar is not None
        start = stage.world.clock.now()

        async def asked(number: int, operation: str) -> list[str]:
            stage.world.clock.set(start + timedelta(hours=number))  # the debt is paid
            return (await stage.ask(operation, stage.ann.primary)).codes

        created = await asked(1, wire.create(*[wire.appointment()] * 3))
        first, second = (wire.item_ref(one.item_id, one.change_key) for one in list(calendar.items.values()))
        subject = wire.set_field("item:Subject", "<t:Subject>New</t:Subject>")
        updated = await asked(2, wire.update(*[wire.change(first, subject)] * 3, resolution="AlwaysOverwrite"))
        copied = await asked(3, wire.file("CopyItem", "calendar", first, first, first))
        deleted = await asked(4, wire.delete(second, first, first))

        assert [created, updated, copied, deleted] == [["NoError", "NoError", "ErrorServerBusy"]] * 4
        assert len(calendar.items) == 2


@pytest.mark.asyncio
async def test_who_is_locked_out_of_ews_still_asks_autodiscover() -> None:
    async with staged(466, Settings(budget=True, max_burst_ms=0, cutoff_ms=0)) as stage:
        stage.world.clock.pace(0)
        codes = [(await stage.ask(wire.sync(), stage.room.primary)).codes for _ in range(2)]

        found = [(await users(stage, stage.room.primary))[0]["code"] for _ in range(3)]

        assert codes == [["NoError"], ["ErrorServerBusy"]]
        assert found == ["NoError"] * 3
        assert (await stage.ask(wire.sync(), stage.room.primary)).codes == ["ErrorServerBusy"]


# --- at a time


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [("fault", 500, ["ErrorExceededConnectionCount"]), ("busy", 500, ["ErrorServerBusy"]), ("503", 503, [])],
)
async def test_more_calls_at_a_time_than_allowed_are_refused_as_the_server_is_set_up(
    kind: str, status: int, code: list[str]
) -> None:
    async with staged(463, Settings(concurrency=1, concurrency_answer=kind)) as stage:  # type: ignore[arg-type]
        stage.faults.add("slow", count=1, parameters={"delay_s": 0.3})
        first = asyncio.create_task(stage.ask(wire.sync(), stage.room.primary))
        await stage.until(lambda: stage.exchange.counters()["calls"] != {})

        second = await stage.ask(wire.sync(), stage.room.primary)
        other = await stage.ask(wire.sync(), stage.ann.primary)

        assert second.status == status
        assert (second.codes if status == 500 else []) == code
        assert other.codes == ["NoError"]
        assert (await first).codes == ["NoError"]


def test_exchange_2013_has_room_for_three_streams_and_later_ones_for_ten() -> None:
    assert Settings(build=(15, 0, 1497, 48)).streams_at_once == 3
    assert Settings(build=(15, 1, 2507, 6)).streams_at_once == 10
    assert Settings().as_release("2013").streams_at_once == 3
    assert Settings().as_release("2013").as_release("2019").streams_at_once == 10
    assert Settings(hanging_connections=7).as_release("2013").streams_at_once == 7


# --- turning them


@pytest.mark.asyncio
async def test_a_limit_turned_holds_from_the_next_call_on_and_for_this_server_only() -> None:
    async with staged(464, SETTINGS) as stage:
        assert await rows(stage) == 3

        stage.exchange.turn({"rows_per_find": 2})

        assert await rows(stage) == 2
        assert stage.exchange.limits()["rows_per_find"] == 2
        assert SETTINGS.rows_per_find == 1000


SETTINGS = Settings()


async def rows(stage: Stage) -> int:
    if stage.room.calendar is not None and not stage.room.calendar.items:
        for day in range(3):
            stage.book(day)
    tree = await stage.in_room(wire.calendar_view("2026-11-20T00:00:00Z", "2026-11-30T00:00:00Z"))
    return len(list(tree.iter(f"{{{wire.T}}}CalendarItem")))


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"rows_per_find": 0}, "rows_per_find is a whole number from 1"),
        ({"rows_per_find": True}, "rows_per_find is a whole number"),
        ({"budget": 1}, "true or false"),
        ({"concurrency_answer": "silence"}, "one of fault, busy, 503"),
        ({"hanging_connections": -1}, "from 0"),
        ({"heartbeat_s": 1}, "no limit called 'heartbeat_s'"),
        ({"concurrency": 5, "nonsense": 1}, "no limit called 'nonsense'"),
    ],
)
def test_a_limit_that_cannot_be_so_is_refused_in_a_sentence_and_none_is_turned(wanted, words: str) -> None:
    settings = Settings()

    with pytest.raises(LimitRefused, match=words):
        turn(settings, wanted)

    assert settings == Settings()


def test_every_limit_is_shown_by_its_name() -> None:
    limits = shown(Settings())

    assert limits["hanging_connections"] == 10
    assert limits["budget"] is False
    assert {"concurrency", "subscriptions_per_mailbox", "ids_per_stream", "availability_days"} <= set(limits)
