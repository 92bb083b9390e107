"""What a page of a pull does to the store, on every engine."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import func, select
from store_given import (
    ALL,
    CALENDAR,
    CONTENTS,
    DAY,
    HOUR,
    NOW,
    ORG,
    WINDOW,
    changed,
    given_calendar,
    given_lease,
    instance,
    page,
    series,
    single,
)

from kalends.model.event import (
    Attendee,
    Event,
    ItemId,
    Party,
    Response,
    Role,
    Sensitivity,
    ShowAs,
    Unreadable,
    Version,
    Zone,
)
from kalends.model.time import Dates, Span
from kalends.providers.protocol import InWindow, OfSeries, Page
from kalends.store import audit, calendars, due, events, feed
from kalends.store.door import InlineStore, Store
from kalends.store.due import Lease, LeaseLost
from kalends.store.event_rows import key_of
from kalends.store.events import Applied, Removals
from kalends.store.feed import Change
from kalends.store.schema import bases, unreadable
from kalends.store.schema import events as table

pytestmark = pytest.mark.asyncio


class Turn:
    """A turn on one calendar."""

    def __init__(self, store: Store, lease: Lease) -> None:
        self.store, self.lease = store, lease

    async def apply(self, *given: Event, window: Span = WINDOW, lag: bool = False, **more: Any) -> Applied:
        return await self.apply_page(page(*given, **more), window, lag)

    async def apply_page(self, given: Page, window: Span = WINDOW, lag: bool = False) -> Applied:
        return await self.store.run(events.apply, CONTENTS, self.lease, CALENDAR, given, window, NOW, measure_lag=lag)

    async def removals(self, *given: Event, **more: Any) -> Removals:
        return await self.store.read(events.plan_removals, CALENDAR, page(*given, **more), WINDOW)

    async def held(self) -> list[Event]:
        """Every row, masters too."""
        keys = await self.store.read(lambda conn: list(conn.execute(select(table.c.key)).scalars()))
        found = await self.store.read(events.by_keys, CONTENTS, keys)
        return sorted((event for pairs in found.values() for _, event in pairs), key=lambda event: event.item)

    async def items(self) -> list[str]:
        return [event.item for event in await self.held()]

    async def changes(self) -> list[Change]:
        batch = await self.store.read(feed.after, ORG, None)
        return [change for change in batch.changes if change.kind.startswith("event.")]

    async def calendar(self) -> calendars.Calendar:
        found = await self.store.read(calendars.get, CALENDAR)
        assert found is not None
        return found


@pytest_asyncio.fixture
async def turn(store: Store) -> Turn:
    return Turn(store, await store.run(given_lease))


@pytest_asyncio.fixture
async def inline_turn(inline: InlineStore) -> Turn:
    return Turn(inline, await inline.run(given_lease))


async def test_every_field_of_an_event_comes_back_as_it_was(turn: Turn) -> None:
    rich = single(
        "A",
        dates=Dates(date(2026, 11, 24), date(2026, 11, 26)),
        zone=Zone("Mitteleuropäische Zeit", "Europe/Berlin"),
        lasting_id="0400",
        location="Turm 🏰",
        description="Zeile 1\r\nZeile 2",
        organizer=Party("Zoë", "zoe@aurora.test"),
        attendees=(Attendee(Party("Ann", "ann@aurora.test"), Role.OPTIONAL, Response.TENTATIVE),),
        show_as=ShowAs.OUT_OF_OFFICE,
        sensitivity=Sensitivity.CONFIDENTIAL,
        is_cancelled=True,
        response=Response.DECLINED,
        modified_at=NOW - HOUR,
    )

    await turn.apply(rich, series("S", "u1"), instance("I", "S", "u1", NOW + DAY))

    assert await turn.held() == [rich, instance("I", "S", "u1", NOW + DAY), series("S", "u1")]


async def test_one_page_leaves_rows_bases_cursor_feed_and_audit(turn: Turn) -> None:
    applied = await turn.apply(single("A"), single("B", NOW + DAY), cursor="c7")

    assert (applied.created, applied.updated, applied.removed) == (2, 0, 0)
    assert (await turn.calendar()).cursor == "c7"
    assert (await turn.calendar()).changed_at == NOW
    assert [(c.kind, c.calendar, c.key) for c in await turn.changes()] == [
        ("event.created", CALENDAR, key_of(CALENDAR, single("A"))),
        ("event.created", CALENDAR, key_of(CALENDAR, single("B"))),
    ]
    agreed = await turn.store.read(lambda conn: conn.execute(select(bases.c.item, bases.c.version)).all())
    assert sorted(agreed) == [("A", "1"), ("B", "1")]
    [entry] = await turn.store.read(audit.list_entries, ORG, 1, CALENDAR)
    assert (entry.action, entry.actor, entry.why[:9]) == ("events.applied", "sync", "2 created")
    assert applied.changed == tuple(c.key for c in await turn.changes())


async def test_applying_a_page_again_writes_nothing(inline_turn: Turn) -> None:
    turn = inline_turn
    given = page(
        single("A"),
        series("S", "u1"),
        instance("I", "S", "u1", NOW + DAY),
        removed=["gone"],
        complete=[ALL],
        unreadable=[Unreadable(ItemId("X"), Version("1"), "Its start is no date.")],
    )
    await turn.apply_page(given)
    changes = await turn.changes()

    def apply_again(conn: Any) -> tuple[int, Applied]:
        driver = conn.connection.dbapi_connection
        before = driver.total_changes
        applied = events.apply(conn, CONTENTS, turn.lease, CALENDAR, given, WINDOW, NOW + HOUR)
        return driver.total_changes - before, applied

    written, applied = await turn.store.run(apply_again)

    assert written == 0
    assert applied == Applied(0, 0, 0, 1, ())
    assert await turn.changes() == changes


async def test_a_changed_event_is_news_and_tells_the_reach_of_both_its_times(turn: Turn) -> None:
    await turn.apply(single("A"))

    applied = await turn.apply(changed(single("A"), "2", span=Span(NOW + DAY, NOW + DAY + HOUR)))

    assert applied.updated == 1
    change = (await turn.changes())[-1]
    assert (change.kind, change.version, change.start, change.end) == ("event.updated", "2", NOW, NOW + DAY + HOUR)


async def test_a_new_version_without_new_content_is_kept_but_no_news(turn: Turn) -> None:
    await turn.apply(single("A"))

    applied = await turn.apply(changed(single("A"), "2", modified_at=NOW))

    assert applied.changed == ()
    assert len(await turn.changes()) == 1
    known = await turn.store.read(events.known, CALENDAR)
    assert known[ItemId("A")].version == "2"


async def test_ids_that_differ_only_by_case_are_two_items(turn: Turn) -> None:
    await turn.apply(single("AAkALg=="), single("aakalg=="))

    await turn.apply(removed=["AAkALg=="])

    assert await turn.items() == ["aakalg=="]


async def test_what_is_named_as_removed_is_gone(turn: Turn) -> None:
    await turn.apply(single("A"), single("B"))

    applied = await turn.apply(removed=["A", "never heard of"])

    assert applied.removed == 1
    assert await turn.items() == ["B"]
    assert (await turn.changes())[-1].kind == "event.removed"


async def test_removing_a_series_removes_its_instances(turn: Turn) -> None:
    await turn.apply(
        series("S", "u1"),
        instance("I1", "S", "u1", NOW + DAY),
        instance("I2", "S", "u1", NOW + 2 * DAY),
        single("other"),
    )

    applied = await turn.apply(removed=["S"])

    assert applied.removed == 3
    assert await turn.items() == ["other"]
    left = await turn.store.read(lambda conn: conn.execute(select(bases.c.item)).scalars().all())
    assert list(left) == ["other"]


async def test_a_complete_window_takes_away_what_it_does_not_hold_and_leaves_the_rest(turn: Turn) -> None:
    await turn.apply(
        single("in page"),
        single("unchanged", NOW + HOUR),
        single("gone", NOW + 2 * HOUR),
        single("outside", NOW + 3 * DAY),
        single("across the edge", NOW + DAY - HOUR, 2 * HOUR),
        series("S", "u1"),
    )

    await turn.apply(single("in page"), unchanged=["unchanged"], complete=[InWindow(Span(NOW, NOW + DAY))])

    assert await turn.items() == ["S", "in page", "outside", "unchanged"]


async def test_an_event_that_only_touches_the_edge_of_a_complete_window_stays(turn: Turn) -> None:
    await turn.apply(single("before", NOW - HOUR), single("after", NOW + DAY), single("instant", NOW, timedelta(0)))

    await turn.apply(complete=[InWindow(Span(NOW, NOW + DAY))])

    assert await turn.items() == ["after", "before"]


async def test_a_complete_series_takes_away_only_its_own_instances(turn: Turn) -> None:
    await turn.apply(
        series("S", "u1"),
        instance("I1", "S", "u1", NOW + DAY),
        instance("I2", "S", "u1", NOW + 2 * DAY),
        instance("I9", "S", "u1", NOW + 9 * DAY),
        series("T", "u2"),
        instance("J1", "T", "u2", NOW + DAY),
        single("A", NOW + DAY),
    )
    scope = OfSeries(ItemId("S"), Span(NOW, NOW + 5 * DAY))

    await turn.apply(instance("I1", "S", "u1", NOW + DAY), complete=[scope])

    assert await turn.items() == ["A", "I1", "I9", "J1", "S", "T"]


async def test_an_unreadable_item_stays_as_it_was_last_read_and_is_counted_once(turn: Turn) -> None:
    await turn.apply(single("A"))
    bad = Unreadable(ItemId("A"), Version("2"), "Its end lies before its start.")

    await turn.apply(complete=[ALL], unreadable=[bad])
    await turn.apply(complete=[ALL], unreadable=[bad])

    assert await turn.items() == ["A"]
    [health] = await turn.store.read(calendars.list_health, ORG)
    assert health.unreadable == 1


@pytest.mark.parametrize("healed", [{"events": [single("A")]}, {"removed": ["A"]}], ids=["read", "removed"])
async def test_an_unreadable_item_is_forgotten_once_it_is_read_or_gone(turn: Turn, healed: dict[str, Any]) -> None:
    await turn.apply(unreadable=[Unreadable(ItemId("A"), None, "Its start is no date.")])

    await turn.apply(*healed.get("events", ()), removed=healed.get("removed", ()))

    count = await turn.store.read(lambda conn: conn.execute(select(func.count()).select_from(unreadable)).scalar_one())
    assert count == 0


async def test_a_meeting_that_comes_back_under_another_id_keeps_its_row(turn: Turn) -> None:
    await turn.apply(single("old", uid="u1"))

    applied = await turn.apply(single("new", uid="u1"), removed=["old"])

    assert applied.changed == ()
    assert await turn.items() == ["new"]
    assert len(await turn.changes()) == 1


async def test_all_ids_may_change_in_a_full_read(turn: Turn) -> None:
    await turn.apply(series("S", "u1"), instance("I", "S", "u1", NOW + DAY), single("A"))

    applied = await turn.apply(
        series("S2", "u1"),
        instance("I2", "S2", "u1", NOW + DAY),
        single("A2", uid="uid-A"),
        removed=["S"],
        complete=[ALL],
    )

    assert (applied.created, applied.removed) == (0, 0)
    assert await turn.items() == ["A2", "I2", "S2"]
    assert (await turn.held())[1].master == "S2"


async def test_two_copies_of_one_meeting_are_two_items(turn: Turn) -> None:
    await turn.apply(single("A", uid="u1"))

    await turn.apply(single("copy", uid="u1"))

    assert await turn.items() == ["A", "copy"]


async def test_what_rolls_out_of_the_window_is_forgotten_without_news(turn: Turn) -> None:
    await turn.apply(single("old", WINDOW.start), single("A"), series("S", "u1", WINDOW.start))
    later = Span(WINDOW.start + DAY, WINDOW.end + DAY)

    applied = await turn.apply(window=later)

    assert applied.removed == 0
    assert await turn.items() == ["A", "S"]
    assert len(await turn.changes()) == 3
    left = await turn.store.read(lambda conn: conn.execute(select(bases.c.item)).scalars().all())
    assert sorted(left) == ["A", "S"]


async def test_an_event_before_the_window_is_not_kept_at_all(turn: Turn) -> None:
    applied = await turn.apply(single("old", WINDOW.start - DAY))

    assert applied.created == 0
    assert await turn.items() == []


async def test_a_meeting_moved_to_before_the_window_is_removed(turn: Turn) -> None:
    await turn.apply(single("A"))

    applied = await turn.apply(changed(single("A", WINDOW.start - DAY), "2"))

    assert applied.removed == 1
    assert await turn.items() == []


async def test_the_breaker_hears_of_masters_and_singles_not_of_instances(turn: Turn) -> None:
    meetings = [instance(f"I{n}", "S", "u1", NOW + n * DAY) for n in range(1, 30)]
    await turn.apply(series("S", "u1"), *meetings, single("A"), single("B"), single("C"))

    removals = await turn.removals(removed=["S", "A"])

    assert removals.items == {"S", "A"}
    assert (removals.count, removals.total) == (2, 4)


async def test_the_breaker_hears_of_a_series_whose_last_instances_vanish(turn: Turn) -> None:
    await turn.apply(series("S", "u1"), instance("I1", "S", "u1", NOW + DAY), instance("I9", "S", "u1", NOW + 9 * DAY))
    half = InWindow(Span(NOW, NOW + 5 * DAY))

    some = await turn.removals(complete=[half])
    all_of_it = await turn.removals(complete=[ALL])

    assert some.count == 0
    assert all_of_it.series == {"S"}


async def test_the_breaker_does_not_hear_of_changed_ids_or_of_what_is_over(turn: Turn) -> None:
    await turn.apply(single("old id", uid="u1"), single("over", WINDOW.start))
    later = Span(WINDOW.start + DAY, WINDOW.end)
    given = page(single("new id", uid="u1"), removed=["old id"], complete=[ALL])

    removals = await turn.store.read(events.plan_removals, CALENDAR, given, later)

    assert removals.count == 0


async def test_a_page_that_takes_nothing_away_is_not_judged(turn: Turn) -> None:
    await turn.apply(single("A"))

    removals = await turn.removals(single("B"))

    assert removals == Removals(frozenset(), frozenset(), 0)


async def test_a_pull_remembers_what_it_took_away_until_it_is_verified(turn: Turn) -> None:
    await turn.apply(*(single(f"A{n}") for n in range(6)))

    await turn.apply(removed=["A0", "A1"])
    await turn.apply(removed=["A2"])
    during = await turn.calendar()
    await turn.store.run(calendars.verified, CALENDAR, NOW)
    after = await turn.calendar()

    assert (during.removed_in_pull, during.items_at_pull) == (3, 6)
    assert (after.removed_in_pull, after.items_at_pull) == (0, 0)


async def test_a_zombie_may_not_apply(turn: Turn) -> None:
    await turn.store.run(due.finish, turn.lease, NOW, HOUR, HOUR)

    with pytest.raises(LeaseLost):
        await turn.apply(single("A"))

    assert await turn.items() == []
    assert await turn.changes() == []


async def test_a_failing_transaction_leaves_nothing(turn: Turn) -> None:
    def apply_and_fail(conn: Any) -> None:
        events.apply(conn, CONTENTS, turn.lease, CALENDAR, page(single("A"), cursor="c9"), WINDOW, NOW)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await turn.store.run(apply_and_fail)

    assert await turn.items() == []
    assert await turn.changes() == []
    assert (await turn.calendar()).cursor is None


async def test_lags_are_of_fresh_changes_only(turn: Turn) -> None:
    await turn.store.run(calendars.verified, CALENDAR, NOW - timedelta(minutes=1))
    fresh = single("A", modified_at=NOW - timedelta(milliseconds=250))
    rolled_in = single("B", modified_at=NOW - 90 * DAY)
    clock_ahead = single("C", modified_at=NOW + timedelta(seconds=3))

    applied = await turn.apply(fresh, rolled_in, clock_ahead, lag=True)

    assert applied.lags == (timedelta(milliseconds=250), timedelta(0))
    [health] = await turn.store.read(calendars.list_health, ORG)
    assert (health.lag_p50_ms, health.lag_p95_ms) == (0, 250)


async def test_only_the_last_lags_are_kept(turn: Turn) -> None:
    for round_ in range(3):
        batch = [single(f"{round_}-{n}", modified_at=NOW - timedelta(milliseconds=round_)) for n in range(40)]
        await turn.apply(*batch, lag=True)

    [health] = await turn.store.read(calendars.list_health, ORG)

    assert (health.lag_p50_ms, health.lag_p95_ms) == (2, 2)


async def test_a_span_holds_what_overlaps_it_in_order(turn: Turn) -> None:
    long = single("three weeks", NOW - 6 * DAY, timedelta(days=21))
    await turn.apply(
        single("later", NOW + 2 * HOUR),
        single("ends when it begins", NOW - HOUR),
        single("begins when it ends", NOW + 4 * HOUR),
        single("instant", NOW, timedelta(0)),
        single("first", NOW - HOUR, timedelta(hours=2)),
        long,
        series("S", "u1"),
    )

    found = await turn.store.read(events.in_span, CONTENTS, [CALENDAR, "unknown"], Span(NOW, NOW + 4 * HOUR))

    assert [event.item for event in found[CALENDAR]] == ["three weeks", "first", "instant", "later"]
    assert found["unknown"] == []


async def test_an_instant_is_a_span_too(turn: Turn) -> None:
    await turn.apply(single("now", NOW - HOUR, 2 * HOUR), single("over", NOW - HOUR))

    found = await turn.store.read(events.in_span, CONTENTS, [CALENDAR], Span(NOW, NOW))

    assert [event.item for event in found[CALENDAR]] == ["now"]


async def test_too_many_events_are_refused_not_cut_short(turn: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LIMIT", 2)
    await turn.apply(single("A"), single("B"), single("C"))

    with pytest.raises(events.TooMuch):
        await turn.store.read(events.in_span, CONTENTS, [CALENDAR], WINDOW)


async def test_calendars_do_not_see_each_others_items(turn: Turn) -> None:
    await turn.store.run(given_calendar, "cal_2", "room2@aurora.test")
    [lease] = await turn.store.run(due.claim, ["pull"], NOW, HOUR, 1, None)
    await turn.apply(single("A"))

    await turn.store.run(events.apply, CONTENTS, lease, "cal_2", page(single("A"), single("B")), WINDOW, NOW)
    await turn.apply(removed=["A"], complete=[ALL])

    assert sorted(await turn.store.read(events.known, "cal_2")) == ["A", "B"]


async def test_an_item_named_twice_in_a_page_counts_once(turn: Turn) -> None:
    applied = await turn.apply(single("A"), changed(single("A"), "2", subject="Moved"))

    assert applied.created == 1
    assert [event.subject for event in await turn.held()] == ["Moved"]


async def test_a_single_that_becomes_a_series_keeps_its_key(turn: Turn) -> None:
    await turn.apply(single("A", uid="u1"))

    await turn.apply(replace(series("A", "u1"), version=Version("2")), instance("I", "A", "u1", NOW))

    [created, updated, added] = await turn.changes()
    assert (created.key, created.kind) == (updated.key, "event.created")
    assert (updated.kind, added.kind) == ("event.updated", "event.created")


async def test_a_meeting_read_under_a_new_id_before_the_old_one_went_is_never_told_as_removed(turn: Turn) -> None:
    """Seed 5 of the simulated hour: one exception moved to another day and got another id, and its days were read in turn."""
    day = NOW + DAY
    old = instance("old", "m", "u", NOW)
    await turn.apply(series("m", "u"), old)
    await turn.apply(
        replace(old, item=ItemId("new"), span=Span(day, day + HOUR)), complete=[InWindow(Span(day, day + HOUR))]
    )

    await turn.apply(complete=[InWindow(Span(NOW, NOW + HOUR))])

    kinds = [change.kind for change in await turn.changes() if change.key == key_of(CALENDAR, old)]
    assert await turn.items() == ["m", "new"]
    assert kinds == ["event.created", "event.created", "event.updated"]
