"""Calendars, spaces, their links and stream groups."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection
from store_given import ACCOUNT, CALENDAR, HOUR, NOW, ORG, given_account, given_calendar

from kalends.store import audit, calendars, due, feed, organizations, spaces
from kalends.store.door import Store
from kalends.store.due import Lease, LeaseLost

pytestmark = pytest.mark.asyncio


def given_rooms(conn: Connection, count: int = 1) -> None:
    given_account(conn)
    for n in range(1, count + 1):
        given_calendar(conn, f"cal_{n}", f"room{n}@aurora.test")


def given_listening(conn: Connection) -> Lease:
    due.ensure(conn, "stream", ["g"], NOW)
    [lease] = due.claim(conn, ["stream"], NOW, HOUR, 1, None)
    return lease


async def state_of(store: Store, id: str = CALENDAR) -> calendars.Calendar:
    found = await store.read(calendars.get, id)
    assert found is not None
    return found


async def news(store: Store) -> list[tuple[str, str, str]]:
    batch = await store.read(feed.after, ORG, None)
    return [(change.kind, change.key, change.version) for change in batch.changes]


async def test_a_new_calendar_is_catching_up_and_says_why(store: Store) -> None:
    await store.run(given_rooms)

    calendar = await state_of(store)

    assert (calendar.state, calendar.reason) == ("catching_up", "It is being read for the first time.")
    assert await store.read(calendars.by_address, ACCOUNT, "room1@aurora.test") == calendar
    assert await store.read(calendars.find, ORG, "room1@aurora.test") == [calendar]
    assert await store.read(calendars.by_address, ACCOUNT, "elsewhere@aurora.test") is None


async def test_a_state_is_news_only_when_it_differs(store: Store) -> None:
    await store.run(given_rooms)
    before = len(await news(store))

    told = [
        await store.run(calendars.set_state, CALENDAR, "degraded", reason, NOW + hours * HOUR)
        for hours, reason in ((1, "No answer."), (2, "No answer."), (3, "Still none."))
    ]

    calendar = await state_of(store)
    assert told == [True, False, True]
    assert (calendar.reason, calendar.since) == ("Still none.", NOW + HOUR)
    assert (await news(store))[before:] == [("calendar.state", CALENDAR, "degraded")] * 2
    whys = [entry.why for entry in await store.read(audit.list_entries, ORG, 10, CALENDAR)]
    assert whys == ["degraded: Still none.", "degraded: No answer."]


async def test_a_zombie_may_not_say_how_a_calendar_is(store: Store) -> None:
    await store.run(given_rooms)
    [lease] = await store.run(due.claim, ["pull"], NOW, HOUR, 1, None)
    await store.run(due.finish, lease, NOW, HOUR, HOUR)

    with pytest.raises(LeaseLost):
        await store.run(calendars.set_state, CALENDAR, "gone", "No such mailbox.", NOW, lease=lease)

    assert (await state_of(store)).state == "catching_up"


async def test_a_full_read_ends_with_the_calendar_verified_and_reconciled(store: Store) -> None:
    await store.run(given_rooms)
    await store.run(calendars.verified, CALENDAR, NOW)
    await store.run(calendars.verified, CALENDAR, NOW + HOUR)
    delta = await state_of(store)

    await store.run(calendars.begin_full_read, CALENDAR)
    during = await state_of(store)
    await store.run(calendars.verified, CALENDAR, NOW + 2 * HOUR)
    after = await state_of(store)

    assert (delta.state, delta.verified_at, delta.reconciled_at) == ("in_sync", NOW + HOUR, NOW)
    assert during.reconciled_at is None
    assert (after.verified_at, after.reconciled_at) == (NOW + 2 * HOUR, NOW + 2 * HOUR)


async def test_being_heard_is_noted_without_news(store: Store) -> None:
    await store.run(given_rooms, 2)
    lease = await store.run(given_listening)
    before = await news(store)

    await store.run(calendars.heard, lease, ["cal_1", "cal_2"], NOW)
    heard = await state_of(store, "cal_2")
    await store.run(calendars.unheard, ["cal_2"])
    unheard = await state_of(store, "cal_2")

    assert (heard.heard_at, unheard.heard_at) == (NOW, None)
    assert (await state_of(store, "cal_1")).heard_at == NOW
    assert await news(store) == before


async def test_a_zombie_stream_proves_nothing(store: Store) -> None:
    await store.run(given_rooms)
    lease = await store.run(given_listening)
    await store.run(due.forget, "stream", ["g"])

    with pytest.raises(LeaseLost):
        await store.run(calendars.heard, lease, [CALENDAR], NOW)

    assert (await state_of(store)).heard_at is None


async def test_stream_groups_fill_up_and_members_stay_where_they_are(store: Store) -> None:
    await store.run(given_rooms, 5)
    groups = await store.run(calendars.assign_stream, ACCOUNT, 2)
    before = {group: [c.id for c in await store.read(calendars.in_stream, group)] for group in groups}

    await store.run(given_calendar, "cal_0", "room0@aurora.test")
    again = await store.run(calendars.assign_stream, ACCOUNT, 2)
    after = {group: [c.id for c in await store.read(calendars.in_stream, group)] for group in again}

    assert [sorted(members) for members in before.values()] == [["cal_1", "cal_2"], ["cal_3", "cal_4"], ["cal_5"]]
    assert again == groups
    assert sorted(after[groups[2]]) == ["cal_0", "cal_5"]
    assert [after[group] for group in groups[:2]] == [before[group] for group in groups[:2]]


async def test_stream_groups_shrink_when_the_limit_does(store: Store) -> None:
    await store.run(given_rooms, 5)
    await store.run(calendars.assign_stream, ACCOUNT, 5)

    groups = await store.run(calendars.assign_stream, ACCOUNT, 2)

    sizes = [len(await store.read(calendars.in_stream, group)) for group in groups]
    assert sorted(sizes) == [1, 2, 2]


async def test_an_admin_releases_a_held_calendar_for_a_while(store: Store) -> None:
    await store.run(given_rooms)

    await store.run(calendars.release, CALENDAR, NOW + HOUR, NOW, actor="user:ada")

    assert (await state_of(store)).release_until == NOW + HOUR
    [entry, *_] = await store.read(audit.list_entries, ORG, 1, CALENDAR)
    assert (entry.actor, entry.action) == ("user:ada", "calendar.released")


async def test_forgetting_the_cursor_keeps_everything_else(store: Store) -> None:
    await store.run(given_rooms)
    await store.run(calendars.verified, CALENDAR, NOW)

    await store.run(calendars.forget_cursor, CALENDAR)

    calendar = await state_of(store)
    assert (calendar.cursor, calendar.verified_at) == (None, NOW)


async def test_health_names_account_links_and_counts(store: Store) -> None:
    await store.run(given_rooms, 2)
    await store.run(spaces.add, "spc_1", ORG, "Aula", NOW, actor="cli:root")
    await store.run(spaces.link, "spc_1", "cal_2", 0, NOW, actor="cli:root")

    first, second = await store.read(calendars.list_health, ORG)

    assert (first.calendar.id, first.account_name, first.privacy) == ("cal_1", "HQ", "P3")
    assert (first.events, first.unreadable, first.lag_p50_ms, first.spaces) == (0, 0, None, ())
    assert second.spaces == ("spc_1",)


async def test_a_space_lists_its_calendars_by_rank(store: Store) -> None:
    await store.run(given_rooms, 3)
    await store.run(spaces.add, "spc_1", ORG, "Aula", NOW, actor="cli:root", building="A", floor="2", capacity=12)
    for rank, calendar in ((2, "cal_1"), (0, "cal_2"), (1, "cal_3")):
        await store.run(spaces.link, "spc_1", calendar, rank, NOW, actor="cli:root")
    await store.run(spaces.link, "spc_1", "cal_1", -1, NOW, actor="cli:root")
    await store.run(spaces.unlink, "spc_1", "cal_3", NOW, actor="cli:root")

    [space] = await store.read(spaces.list_all, ORG)

    assert space == await store.read(spaces.get, "spc_1")
    assert space.calendars == ("cal_1", "cal_2")
    assert (space.building, space.floor, space.capacity, space.kind) == ("A", "2", 12, "room")
    assert await store.read(spaces.of_calendar, "cal_3") == []
    assert await store.read(spaces.of_calendar, "cal_1") == ["spc_1"]


async def test_what_is_done_to_spaces_is_news_and_audited_once(store: Store) -> None:
    await store.run(given_rooms)
    before = len(await news(store))
    await store.run(spaces.add, "spc_1", ORG, "Aula", NOW, actor="cli:root")
    for _ in range(2):
        await store.run(spaces.link, "spc_1", CALENDAR, 0, NOW, actor="cli:root")
        await store.run(spaces.change, "spc_1", NOW, actor="user:ada", name="Great Hall")
    for _ in range(2):
        await store.run(spaces.unlink, "spc_1", CALENDAR, NOW, actor="cli:root")
        await store.run(spaces.remove, "spc_1", NOW, actor="cli:root")

    entries = await store.read(audit.list_entries, ORG, 10, "spc_1")

    actions = ["space.added", "space.linked", "space.changed", "space.unlinked", "space.removed"]
    assert [entry.action for entry in reversed(entries)] == actions
    assert (await news(store))[before:] == [
        ("space.removed" if action == "space.removed" else "space.changed", "spc_1", action) for action in actions
    ]
    assert await store.read(spaces.list_all, ORG) == []


async def test_the_first_organization_stays_the_default(store: Store) -> None:
    first = await store.run(organizations.ensure_default, "org_1", "Aurora", "eu", NOW)
    second = await store.run(organizations.ensure_default, "org_2", "Other", "us", NOW + timedelta(days=1))

    assert first == second == await store.read(organizations.get, "org_1")
    assert await store.read(organizations.get, "org_2") is None
