"""The loop: virtual time, seeded order, and asyncio's own tools on it."""

import asyncio
import random
import threading

import pytest

from kalends_sim.loop import Deadlock, SimLoop, TooManySteps
from kalends_sim.simulation import Unhandled, run


async def order_of_ten(loop: SimLoop) -> list[int]:
    order: list[int] = []

    async def note(number: int) -> None:
        order.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(10):
            group.create_task(note(number))
    return order


def test_the_seed_decides_the_order_of_ready_tasks() -> None:
    orders = {tuple(run(order_of_ten, seed).result) for seed in range(20)}
    again = {tuple(run(order_of_ten, seed).result) for seed in range(20)}

    assert orders == again
    assert len(orders) == 20
    assert all(sorted(order) == list(range(10)) for order in orders)


def test_callbacks_that_are_no_tasks_keep_their_order() -> None:
    async def main(loop: SimLoop) -> list[int]:
        order: list[int] = []
        for number in range(50):
            loop.call_soon(order.append, number)
        for number in range(50, 100):
            loop.call_at(5.0, order.append, number)
        await asyncio.sleep(6)
        return order

    for seed in range(5):
        assert run(main, seed).result == list(range(100))


def test_every_ready_task_runs_once_in_each_round() -> None:
    async def main(loop: SimLoop) -> int:
        counts = [0] * 5
        worst = 0

        async def spin(number: int) -> None:
            nonlocal worst
            for _ in range(200):
                counts[number] += 1
                worst = max(worst, max(counts) - min(counts))
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(spin(number))
        return worst

    assert run(main, 3).result == 1


def test_time_is_virtual_and_exact() -> None:
    async def main(loop: SimLoop) -> list[float]:
        seen = [loop.time()]
        for seconds in (0.25, 3600, 86400 * 365):
            await asyncio.sleep(seconds)
            seen.append(loop.time())
        return seen

    outcome = run(main, 1)

    assert outcome.result == [0, 0.25, 3600.25, 86400 * 365 + 3600.25]
    assert outcome.virtual_seconds == outcome.result[-1]


def test_a_timer_in_the_past_does_not_turn_time_back() -> None:
    async def main(loop: SimLoop) -> float:
        await asyncio.sleep(10)
        late = loop.create_future()
        loop.call_at(3, late.set_result, None)
        await late
        return loop.time()

    assert run(main, 1).result == 10


def test_asyncio_timeout_ends_at_its_moment() -> None:
    async def main(loop: SimLoop) -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        return loop.time()

    assert run(main, 1).result == 30


def test_a_task_group_cancels_the_others_when_one_fails() -> None:
    async def main(loop: SimLoop) -> tuple[list[int], float]:
        cancelled: list[int] = []

        async def wait(number: int) -> None:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                cancelled.append(number)
                raise

        async def fail() -> None:
            await asyncio.sleep(1)
            raise LookupError("lost")

        async def together() -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(5):
                    group.create_task(wait(number))
                group.create_task(fail())

        with pytest.raises(ExceptionGroup) as caught:
            await together()
        assert [type(error) for error in caught.value.exceptions] == [LookupError]
        return sorted(cancelled), loop.time()

    assert run(main, 4).result == ([0, 1, 2, 3, 4], 1)


def test_event_condition_and_queue_lose_no_wake_up_in_a_storm() -> None:
    async def main(loop: SimLoop) -> tuple[int, int, int]:
        event, condition, queue = asyncio.Event(), asyncio.Condition(), asyncio.Queue[int](maxsize=7)
        stock = woken = taken = total = 0

        async def on_event() -> None:
            nonlocal woken
            await event.wait()
            woken += 1

        async def produce() -> None:
            nonlocal stock
            async with condition:
                stock += 1
                condition.notify()

        async def consume() -> None:
            nonlocal stock, taken
            async with condition:
                await condition.wait_for(lambda: stock > 0)
                stock -= 1
                taken += 1

        async def put(number: int) -> None:
            await queue.put(number)

        async def get() -> None:
            nonlocal total
            number = await queue.get()
            total += number

        async with asyncio.TaskGroup() as group:
            for number in range(1000):
                for one in (on_event(), produce(), consume(), put(number), get()):
                    group.create_task(one)
            loop.call_later(1, event.set)
        return woken, taken, total

    for seed in range(3):
        assert run(main, seed).result == (1000, 1000, sum(range(1000)))


def test_an_unsafe_read_and_write_around_an_await_is_found_by_some_seed() -> None:
    async def main(loop: SimLoop) -> int:
        value = 0

        async def add(pauses: int) -> None:
            nonlocal value
            for _ in range(pauses):
                await asyncio.sleep(0)
            before = value
            await asyncio.sleep(0)
            value = before + 1

        async with asyncio.TaskGroup() as group:
            group.create_task(add(0))
            group.create_task(add(1))
        return value

    found = {run(main, seed).result for seed in range(20)}

    assert found == {1, 2}


def test_a_deadlock_names_the_waiting_tasks_and_where_they_wait() -> None:
    async def main(loop: SimLoop) -> None:
        first, second = asyncio.Lock(), asyncio.Lock()

        async def cross(one: asyncio.Lock, other: asyncio.Lock) -> None:
            async with one:
                await asyncio.sleep(1)
                async with other:
                    pass

        async with asyncio.TaskGroup() as group:
            group.create_task(cross(first, second), name="Ada")
            group.create_task(cross(second, first), name="Grace")

    with pytest.raises(Deadlock) as caught:
        run(main, 5)

    sentence = str(caught.value)
    assert "at 1.000 s" in sentence
    for name in ("Ada", "Grace"):
        line = next(line for line in sentence.splitlines() if line.strip().startswith(f"{name}:"))
        assert "cross (test_sim_loop.py:" in line
        assert "Lock.acquire (locks.py:" in line
    assert caught.value.__notes__[0].startswith("Simulation: seed 5, step ")


def test_tasks_still_run_their_finally_after_a_deadlock() -> None:
    tidied: list[str] = []

    async def main(loop: SimLoop) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)
            tidied.append("main")

    with pytest.raises(Deadlock):
        run(main, 1)

    assert tidied == ["main"]


def test_a_run_that_goes_round_without_waiting_is_stopped_by_its_steps() -> None:
    async def main(loop: SimLoop) -> None:
        for _ in range(10_000):
            await asyncio.sleep(0)

    with pytest.raises(TooManySteps, match="1,000 steps"):
        run(main, 1, limit_steps=1000)


def test_threads_are_refused_with_a_sentence() -> None:
    def work() -> None:
        raise AssertionError("must not run")

    async def main(loop: SimLoop) -> None:
        await asyncio.to_thread(work)

    with pytest.raises(RuntimeError, match="asked for a thread"):
        run(main, 1)


def test_a_call_from_another_thread_is_refused() -> None:
    refusals: list[str] = []

    async def main(loop: SimLoop) -> None:
        def intrude() -> None:
            try:
                loop.call_soon_threadsafe(print)
            except RuntimeError as error:
                refusals.append(str(error))

        intruder = threading.Thread(target=intrude)
        intruder.start()
        intruder.join()

    run(main, 1)

    assert len(refusals) == 1
    assert "another thread" in refusals[0]


def test_an_error_that_nobody_fetched_fails_the_run() -> None:
    async def main(loop: SimLoop) -> None:
        async def fail() -> None:
            raise LookupError("overlooked")

        task = loop.create_task(fail())
        await asyncio.sleep(1)
        del task

    with pytest.raises(Unhandled, match="overlooked"):
        run(main, 1)


def test_an_error_in_a_callback_fails_the_run() -> None:
    async def main(loop: SimLoop) -> None:
        loop.call_soon({}.__getitem__, "missing")
        await asyncio.sleep(1)

    with pytest.raises(Unhandled, match="missing"):
        run(main, 1)


def test_what_main_leaves_running_is_cancelled() -> None:
    ended: list[str] = []

    async def main(loop: SimLoop) -> str:
        async def linger(name: str) -> None:
            try:
                await asyncio.sleep(1e9)
            finally:
                ended.append(name)

        left = [loop.create_task(linger(name)) for name in "abc"]
        await asyncio.sleep(1)
        return f"left {len(left)}"

    outcome = run(main, 1)

    assert outcome.result == "left 3"
    assert outcome.virtual_seconds == 1
    assert sorted(ended) == ["a", "b", "c"]


def test_an_error_of_main_comes_out_as_it_is_with_the_seed_beside_it() -> None:
    async def main(loop: SimLoop) -> None:
        await asyncio.sleep(2)
        raise LookupError("no such room")

    with pytest.raises(LookupError, match="no such room") as caught:
        run(main, 77)

    assert "seed 77" in caught.value.__notes__[0]
    assert "virtual time 2.000 s" in caught.value.__notes__[0]


def test_cancelled_timers_do_not_pile_up() -> None:
    async def main(loop: SimLoop) -> int:
        largest = 0
        for _ in range(5000):
            async with asyncio.timeout(3600):
                await asyncio.sleep(0)
            largest = max(largest, len(loop._timers))
        return largest

    assert run(main, 1).result <= 202


def test_randomness_of_one_name_is_not_disturbed_by_another() -> None:
    async def main(loop: SimLoop) -> list[float]:
        world, network = loop.randomness("world"), loop.randomness("faults")
        if draws_beside:
            network.random()
        return [world.random() for _ in range(3)]

    draws_beside = False
    alone = run(main, 9).result
    draws_beside = True

    assert run(main, 9).result == alone
    assert run(main, 10).result != alone


def test_a_hundred_thousand_sleeps_take_seconds_not_days() -> None:
    async def main(loop: SimLoop) -> int:
        done = 0

        async def sleeper(rng: random.Random) -> None:
            nonlocal done
            for _ in range(100):
                await asyncio.sleep(rng.uniform(0, 3600))
                done += 1

        async with asyncio.TaskGroup() as group:
            for number in range(1000):
                group.create_task(sleeper(loop.randomness(f"sleeper {number}")))
        return done

    outcome = run(main, 1)

    assert outcome.result == 100_000
    assert outcome.steps < 2.1 * 100_000
    assert outcome.virtual_seconds > 40 * 3600
