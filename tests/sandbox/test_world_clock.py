"""The clock and the post that lives by it."""

import asyncio
import math
import random
from datetime import UTC, datetime, timedelta

import pytest
from small_world import ANN, HOUR, MONDAY, OAK, SmallWorld

from kalends_sandbox.clock import Clock, loop_seconds
from kalends_sandbox.post import Mail, Post, Timing


def test_time_runs_at_its_factor_from_its_origin():
    real = [100.0]
    clock = Clock(MONDAY, 60.0, lambda: real[0], origin=90.0)

    real[0] = 105.0

    assert clock.now() == MONDAY + timedelta(minutes=15)
    assert clock.seconds_until(MONDAY + timedelta(minutes=25)) == 10.0
    assert clock.seconds_until(MONDAY) == 0.0


def test_two_clocks_with_one_start_factor_and_origin_agree_whenever_they_were_made():
    real = [5.0]
    first = Clock(MONDAY, 7.0, lambda: real[0], origin=1.0)
    real[0] = 50.0
    second = Clock(MONDAY, 7.0, lambda: real[0], origin=1.0)

    assert first.now() == second.now()


def test_a_change_of_pace_does_not_jump_and_a_standing_clock_is_never_there():
    real = [0.0]
    clock = Clock(MONDAY, 10.0, lambda: real[0])
    real[0] = 6.0

    clock.pace(0)
    real[0] = 99.0

    assert clock.now() == MONDAY + timedelta(minutes=1)
    assert clock.seconds_until(MONDAY + HOUR) == math.inf


def test_who_waits_is_told_of_a_jump():
    clock = Clock(MONDAY, 1.0, lambda: 0.0)
    told = []
    clock.listeners.append(lambda: told.append(clock.now()))

    clock.set(datetime(2026, 12, 24, 18, tzinfo=UTC))

    assert told == [datetime(2026, 12, 24, 18, tzinfo=UTC)]


@pytest.mark.parametrize("factor", [-1, math.nan, 2_000_000])
def test_an_impossible_pace_is_refused(factor):
    with pytest.raises(ValueError, match="factor"):
        Clock(MONDAY, factor, lambda: 0.0)


def test_a_start_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        Clock(datetime(2026, 1, 1), 1.0, lambda: 0.0)


def running(story):
    """Runs a scene beside the post's own loop, on the real event loop with a fast clock."""

    async def scene():
        world = SmallWorld(monotonic=loop_seconds)
        post = asyncio.create_task(world.post.run())
        try:
            async with asyncio.timeout(5):
                return await story(world)
        finally:
            post.cancel()
            await asyncio.gather(post, return_exceptions=True)

    return asyncio.run(scene())


async def until(holds):
    while not holds():  # noqa: ASYNC110  # the world has no event for "all is as it should be"
        await asyncio.sleep(0.001)


def test_the_post_delivers_when_its_time_comes():
    async def story(world):
        world.clock.pace(2000)
        world.actions.create(ANN, "s", MONDAY + HOUR, MONDAY + 2 * HOUR, rooms=[OAK])
        assert world.items(OAK) == []
        await until(lambda: world.items(OAK) and world.only(OAK).my_response == "Accept")
        return world.clock.now() - MONDAY

    assert running(story) >= timedelta(seconds=6)


def test_a_sleeping_post_wakes_when_the_clock_jumps():
    async def story(world):
        world.clock.pace(0)
        world.actions.create(ANN, "s", MONDAY + HOUR, MONDAY + 2 * HOUR, rooms=[OAK])
        await asyncio.sleep(0.01)
        assert world.items(OAK) == []
        world.clock.set(world.clock.now() + timedelta(seconds=2))
        await until(lambda: world.items(OAK))
        return world.only(OAK).my_response

    assert running(story) == "NoResponseReceived"


def test_after_a_jump_back_the_mail_still_comes_in_a_moment():
    world = SmallWorld()
    world.actions.create(ANN, "s", MONDAY + HOUR, MONDAY + 2 * HOUR, rooms=[OAK])

    world.clock.set(MONDAY - timedelta(days=365))
    world.actions.create(ANN, "t", MONDAY + HOUR, MONDAY + 2 * HOUR, rooms=[OAK])
    world.pass_time(3)

    assert [item.subject for item in world.items(OAK)] == ["s", "t"]


def test_mail_to_one_mailbox_arrives_in_the_order_it_was_sent():
    world = SmallWorld()
    for seed in range(20):
        post = Post(world.world, random.Random(seed), Timing((0.0, 5.0), (0.0, 0.0)))
        opened = []
        post.reader = opened.append
        item = world.actions.create(ANN, "s", MONDAY, MONDAY + HOUR)
        sent = [Mail("update", ANN, OAK, item) for _ in range(10)]
        for mail in sent:
            post.send(mail)
        post.settle()
        assert all(one is other for one, other in zip(opened, sent, strict=True))
