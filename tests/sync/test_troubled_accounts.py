"""One bad event never stops a calendar, one bad calendar never an account, one bad account never another."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from kalends.providers.protocol import AuthLost, CalendarGone, Page, Rejected, Throttled, Unavailable
from kalends.store import accounts, audit, calendars, feed, removal
from kalends_sim.simulation import START
from sync.rig import ORG, Rig, simulate, town

ROOM, OTHER, FAR_ROOM = "aspen@example.test", "birch@example.test", "cedar@example.test"
HOUR = timedelta(hours=1)


def loop_time() -> float:
    return asyncio.get_running_loop().time()


async def in_step(rig: Rig, **more) -> None:
    await rig.furnish(**more)
    rig.start()
    await rig.until(rig.all_in_step, 10)
    await asyncio.sleep(1)


@pytest.mark.parametrize("wish", [30, 200])
def test_a_throttled_account_rests_as_long_as_it_was_asked_to_and_others_go_on(wish: int) -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        hq.failing["*"] = [Throttled(timedelta(seconds=wish), "The server is busy and asked for a pause."), None]
        await rig.wake(ROOM)
        await asyncio.sleep(0.5)
        hq.book(OTHER).add("later", START + HOUR)
        branch.book(FAR_ROOM).add("now", START + HOUR)
        throttled_at, calls = loop_time(), len(hq.calls)

        await rig.wake(OTHER)
        await rig.wake(FAR_ROOM)
        await rig.until(lambda: rig.is_in_step(FAR_ROOM), 2)
        await rig.until(lambda: rig.is_in_step(OTHER), wish * 1.5, step=1)

        assert hq.calls[calls].at - throttled_at >= wish - 0.5, "nobody asked earlier"

    hq, branch = town("aspen", "birch"), town("cedar")
    simulate(scenario, {"hq": hq, "branch": branch})


def test_a_long_pause_is_said_of_the_account_and_forgotten_when_it_is_over() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        hq.failing["*"] = [Throttled(timedelta(minutes=4), "The server is busy and asked for a pause."), None]
        await rig.wake(ROOM)
        await asyncio.sleep(1)
        account = await rig.account()
        assert (account.state, account.reason) == ("degraded", "The server is busy and asked for a pause.")

        await asyncio.sleep(300)

        assert (await rig.account()).state == "in_sync"
        assert await rig.all_in_step()

    hq = town("aspen", "birch")
    simulate(scenario, {"hq": hq})


def test_a_shorter_wish_does_not_cut_a_longer_one_short() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        hq.answer_seconds = 1
        hq.failing[ROOM] = [Throttled(timedelta(seconds=200)), None]
        hq.failing[OTHER] = [Throttled(timedelta(seconds=2)), None]
        await rig.wake(ROOM)
        await asyncio.sleep(0.3)
        await rig.wake(OTHER)
        await asyncio.sleep(2)
        calls = len(hq.calls)

        await asyncio.sleep(190)

        assert len(hq.calls) == calls

    hq = town("aspen", "birch")
    simulate(scenario, {"hq": hq})


def test_a_server_that_is_busy_for_an_hour_is_in_step_soon_after() -> None:
    """Some minutes stand for the hour: the wishes are the same."""

    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        hq.failing["*"] = [Throttled(None, "The server is busy.")]
        for address in hq.books:
            hq.book(address).add("while busy", START + HOUR)
            await rig.wake(address)
        await asyncio.sleep(90)
        calls = len(hq.calls)
        await asyncio.sleep(90)
        assert len(hq.calls) - calls < 9, "it is asked ever more seldom"

        hq.failing.clear()
        took = await rig.until(rig.all_in_step, 700, step=5)

        assert took <= 360, "what a server that has been busy for so long is left alone for"

    hq = town(*(f"room{n}" for n in range(4)))
    simulate(scenario, {"hq": hq})


def test_a_wrong_password_is_sent_once_and_a_new_one_brings_everything_back() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.furnish(password="wrong", per_stream=10)
        rig.start()
        await asyncio.sleep(200)
        account = await rig.account()
        assert hq.refused == 1
        assert (account.state, account.reason) == (
            "reauthenticate",
            "The server refuses the password. Give the account the right one.",
        )

        await rig.new_password("right")
        took = await rig.until(rig.all_in_step, 30)

        assert took < 5
        assert (await rig.account()).state == "in_sync"
        assert hq.refused == 1

    hq = town(*(f"room{n}" for n in range(12)))
    simulate(scenario, {"hq": hq})


def test_a_second_wrong_password_is_sent_once_too() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.furnish(password="wrong", per_stream=4)
        rig.start()
        await asyncio.sleep(5)
        await rig.new_password("still wrong")
        await asyncio.sleep(60)

        assert hq.refused == 2
        assert (await rig.account()).state == "reauthenticate"

    hq = town(*(f"room{n}" for n in range(12)))
    simulate(scenario, {"hq": hq})


def test_the_refusal_of_an_old_password_says_nothing_about_the_new_one() -> None:
    """Turns that began with the old password end after the new one was entered."""

    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        hq.stalled[ROOM] = asyncio.Event()
        hq.failing[ROOM] = [AuthLost("The server refuses the password. Give the account the right one."), None]
        await rig.wake(ROOM)
        await asyncio.sleep(0.5)
        await rig.new_password("right")
        await asyncio.sleep(0.5)

        hq.stalled.pop(ROOM).set()
        hq.book(ROOM).add("fresh", START + HOUR)
        took = await rig.until(lambda: rig.is_in_step(ROOM), 30)

        assert took < 5
        assert (await rig.account()).state == "in_sync"

    hq = town("aspen", "birch")
    simulate(scenario, {"hq": hq})


def test_a_vanished_calendar_loses_nothing_and_recovers() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        before = await rig.subjects(ROOM)
        hq.failing[ROOM] = [CalendarGone("aspen@example.test has no mailbox. Check the address.")]
        await rig.wake(ROOM)
        await asyncio.sleep(1)
        calendar = await rig.calendar(ROOM)
        assert (calendar.state, calendar.reason) == ("gone", "aspen@example.test has no mailbox. Check the address.")
        assert await rig.subjects(ROOM) == before
        assert (await rig.calendar(OTHER)).state == "in_sync"

        hq.failing.clear()
        await rig.wake(ROOM)

        await rig.until_state(ROOM, "in_sync", 2)

    hq = town("aspen", "birch")
    simulate(scenario, {"hq": hq})


def _emptied(page: Page) -> Page:
    return replace(page, events=(), unchanged=frozenset())


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("empty list", "everything is missing from a full read"),
        ("short page", "half of the meetings are missing from a full read"),
        ("mass removal", "a delta names them as removed"),
    ],
)
def test_when_much_vanishes_nothing_is_removed_and_an_admin_is_asked(how: str, reason: str) -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        before = await rig.subjects(ROOM)
        book = hq.book(ROOM)
        if how == "mass removal":
            for key in list(book.meetings)[:15]:
                book.drop(key)
        else:
            book.forget_cursors()
            hq.lies[ROOM] = _emptied if how == "empty list" else _shortened
        await rig.wake(ROOM)

        held = await rig.until_state(ROOM, "held", 5)

        assert await rig.subjects(ROOM) == before, reason
        assert "nothing was removed" in held.reason
        assert "kalends calendars release aspen@example.test" in held.reason
        assert (await rig.calendar(OTHER)).state == "in_sync"

    def _shortened(page: Page) -> Page:
        kept = sorted(page.unchanged)[: len(page.unchanged) // 2]
        return replace(page, unchanged=frozenset(kept))

    hq = town("aspen", "birch", meetings=30)
    simulate(scenario, {"hq": hq})


def test_an_admin_who_looked_lets_a_large_removal_through() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        for key in list(hq.book(ROOM).meetings):
            hq.book(ROOM).drop(key)
        await rig.wake(ROOM)
        await rig.until_state(ROOM, "held", 5)

        until = rig.clock.now() + HOUR
        await rig.store.run(calendars.release, ROOM, until, rig.clock.now(), actor="admin")
        await rig.wake(ROOM)
        await rig.until(lambda: rig.is_in_step(ROOM), 5)

        assert await rig.subjects(ROOM) == []
        assert (await rig.calendar(ROOM)).state == "in_sync"

    hq = town("aspen", meetings=30)
    simulate(scenario, {"hq": hq})


def test_an_emptiness_that_passes_heals_by_itself() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        before = await rig.subjects(ROOM)
        hq.book(ROOM).forget_cursors()
        hq.lies[ROOM] = _emptied
        await rig.wake(ROOM)
        await rig.until_state(ROOM, "held", 5)
        hq.lies.clear()

        await rig.wake(ROOM)
        await rig.until_state(ROOM, "in_sync", 5)

        assert await rig.subjects(ROOM) == before
        read = await rig.store.read(feed.after, ORG, None, 1000)
        assert [change.key for change in read.changes if change.kind == "event.removed"] == []

    hq = town("aspen", meetings=30)
    simulate(scenario, {"hq": hq})


def test_an_unreadable_event_is_kept_and_counted_and_the_rest_goes_on() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        hq.book(ROOM).change("uid-1", is_readable=False)
        hq.book(ROOM).add("fresh", START + HOUR)
        await rig.wake(ROOM)
        await asyncio.sleep(1)

        [health] = await rig.store.read(calendars.list_health, ORG)
        assert "fresh" in await rig.subjects(ROOM)
        assert (health.unreadable, health.calendar.state) == (1, "in_sync")

        hq.book(ROOM).change("uid-1", is_readable=True)
        await rig.wake(ROOM)
        await asyncio.sleep(1)

        [health] = await rig.store.read(calendars.list_health, ORG)
        assert health.unreadable == 0
        assert await rig.is_in_step(ROOM)

    hq = town("aspen")
    simulate(scenario, {"hq": hq})


def test_a_server_that_never_answers_leaves_other_accounts_alone() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        never = asyncio.Event()
        for address in hole.books:
            hole.stalled[address] = never
            await rig.wake(address)
        await asyncio.sleep(1)
        branch.book(FAR_ROOM).add("fresh", START + HOUR)

        await rig.wake(FAR_ROOM)
        took = await rig.until(lambda: rig.is_in_step(FAR_ROOM), 5)

        assert took < 1.5
        assert sum(hole.at_once.values()) <= 8, "half of the places"

        await asyncio.sleep(620)
        assert "did not finish an answer within 10 minutes" in (await rig.calendar("hole0@example.test")).reason
        assert hole.overlaps == 0

    hole, branch = town(*(f"hole{n}" for n in range(8))), town("cedar")
    simulate(scenario, {"hole": hole, "branch": branch})


def test_when_nothing_answers_one_probe_asks_for_everybody() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        hq.failing["*"] = [Unavailable("mail.example.test refuses connections. Check that it runs.")]
        for address in hq.books:
            await rig.wake(address)
        await asyncio.sleep(60)
        account = await rig.account()
        assert account.state == "degraded"
        assert account.reason == "mail.example.test refuses connections. Check that it runs."
        before = len(hq.calls)
        await asyncio.sleep(120)
        assert len(hq.calls) - before <= 8, "a probe now and then, not twelve rooms"

        hq.failing.clear()
        for address in hq.books:
            hq.book(address).add("after", START + HOUR)
        await rig.until(rig.all_in_step, 600, step=5)

        assert (await rig.account()).state == "in_sync"

    hq = town(*(f"room{n}" for n in range(12)))
    simulate(scenario, {"hq": hq})


def test_one_calendar_with_unusable_answers_does_not_slow_the_others() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig, per_stream=10)
        hq.failing[ROOM] = [Unavailable("mail.example.test answered with more than 16 MiB.")]
        for _ in range(12):
            hq.tell(ROOM)
            await asyncio.sleep(10)
        hq.book(OTHER).add("fresh", START + HOUR)

        hq.tell(OTHER)
        took = await rig.until(lambda: rig.is_in_step(OTHER), 30)

        assert took < 0.5
        assert (await rig.calendar(ROOM)).reason == "mail.example.test answered with more than 16 MiB."

    hq = town("aspen", "birch")
    simulate(scenario, {"hq": hq})


def test_our_own_mistake_in_one_calendar_leaves_the_others_alone_and_tells_no_private_text() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        hq.failing[ROOM] = [KeyError("Salary talk with Ada")]
        hq.book(OTHER).add("fresh", START + HOUR)
        with capture_logs() as logs:
            await rig.wake(ROOM)
            await rig.wake(OTHER)
            await rig.until(lambda: rig.is_in_step(OTHER), 2)
            calendar = await rig.until_state(ROOM, "degraded", 2)

        assert calendar.reason.startswith("Kalends itself failed (KeyError)")
        told = [{name: value for name, value in line.items() if name != "exc_info"} for line in logs]
        assert "Salary" not in str(told)
        assert [line["verdict"] for line in logs if line["verdict"] == "broken"] == ["broken"]

    hq = town("aspen", "birch")
    simulate(scenario, {"hq": hq})


def test_a_refused_request_is_tried_ever_more_seldom_and_says_why() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        hq.failing[ROOM] = [Rejected("The server refused the request: ErrorSomething.")]
        before = len(hq.pulls_of(ROOM))
        await rig.wake(ROOM)

        await asyncio.sleep(600)

        assert 3 <= len(hq.pulls_of(ROOM)) - before <= 10
        calendar = await rig.calendar(ROOM)
        assert (calendar.state, calendar.reason) == ("degraded", "The server refused the request: ErrorSomething.")

    hq = town("aspen")
    simulate(scenario, {"hq": hq})


def test_every_state_has_its_reason_in_the_audit() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        hq.failing[ROOM] = [CalendarGone("No mailbox. Check the address."), None]
        await rig.wake(ROOM)
        await rig.until_state(ROOM, "gone", 5)

        entries = await rig.store.read(audit.list_entries, ORG, 50)

        assert "gone: No mailbox. Check the address." in [entry.why for entry in entries]

    hq = town("aspen")
    simulate(scenario, {"hq": hq})


def test_what_stays_unreadable_is_tried_ever_less_often() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        hq.book(ROOM).change("uid-1", is_readable=False)
        await rig.wake(ROOM)
        reads: list[float] = []
        seen = (await rig.calendar(ROOM)).reconciled_at
        for minute in range(170):
            await asyncio.sleep(60)
            at = (await rig.calendar(ROOM)).reconciled_at
            if at is not None and at != seen:
                seen = at
                reads.append(minute)

        assert 3 <= len(reads) <= 6, reads
        gaps = [later - earlier for earlier, later in pairwise(reads)]
        assert gaps == sorted(gaps), "each wait is as long as the one before, or longer"
        [health] = await rig.store.read(calendars.list_health, ORG)
        assert health.unreadable == 1

    hq = town("aspen")
    simulate(scenario, {"hq": hq})


def test_a_removed_account_is_let_go_with_its_credentials_while_others_go_on() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.furnish(per_stream=10)
        worker = rig.start()
        await rig.until(rig.all_in_step, 10)
        connections = worker.turns.connections
        [line] = [one.provider for one in connections._open.values() if one.account.id == "branch"]
        gone = await rig.store.read(removal.consequence, "branch")

        await rig.store.run(removal.begin, "branch", rig.clock.now(), actor="t")
        while await rig.store.run(removal.step, "branch", rig.clock.now(), actor="t"):
            pass
        await rig.store.run(removal.finish, "branch", gone, rig.clock.now(), actor="t")
        await asyncio.sleep(130)
        hq.book(ROOM).add("fresh", START + HOUR)
        hq.tell(ROOM)

        await rig.until(lambda: rig.is_in_step(ROOM), 5)
        assert sorted(connections._open) == ["hq"]
        assert line.closed  # type: ignore[attr-defined]
        assert branch.listeners == []

    hq, branch = town("aspen"), town("cedar")
    simulate(scenario, {"hq": hq, "branch": branch})


def test_a_server_not_verified_keeps_its_account_degraded_and_other_trouble_is_said_first() -> None:
    async def scenario(rig: Rig) -> None:
        await in_step(rig)
        await rig.store.run(accounts.trust, "hq", "mail.example.test", rig.clock.now(), actor="t")
        await rig.wake(ROOM)
        await asyncio.sleep(70)
        why = accounts.unverified_reason({"unverified": "mail.example.test"})
        assert ((await rig.account()).state, (await rig.account()).reason) == ("degraded", why)

        hq.failing["*"] = [Unavailable("mail.example.test refuses connections.")]
        await rig.wake(ROOM)
        await asyncio.sleep(60)
        assert (await rig.account()).reason == "mail.example.test refuses connections."

        hq.failing.clear()
        await rig.wake(ROOM)
        await asyncio.sleep(300)
        assert ((await rig.account()).state, (await rig.account()).reason) == ("degraded", why)

    hq = town("aspen")
    simulate(scenario, {"hq": hq})
