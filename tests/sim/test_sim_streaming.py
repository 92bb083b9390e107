"""The whole of it: a client that nobody here wrote, the sandbox's HTTP server, trouble, and the same run every time."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path

import httpx2
import pytest

from kalends_sandbox.http import Request, Response, serve
from kalends_sim.loop import SimLoop
from kalends_sim.simulation import run
from sim.streaming import MINUTES, scenario

SOURCE = Path(__file__).parents[2] / "src"


def test_httpx2_streams_for_half_an_hour_beside_resets_and_half_bodies() -> None:
    outcome = run(scenario, 1)

    lines, seen, left_open = outcome.result
    assert lines == [f"beat {minute}" for minute in range(MINUTES)]
    assert outcome.virtual_seconds >= MINUTES * 60
    assert seen["/never ReadError"] == 20
    assert seen["/reset ReadError"] >= 15
    assert seen["/half RemoteProtocolError"] >= 15
    assert seen["/slow 200"] == 20
    assert seen["/plain 200"] >= 10
    assert seen["/plain ReadError"] >= 1
    assert sum(seen.values()) == 100
    assert left_open == 0


def test_one_seed_is_one_trace_and_other_seeds_are_other_runs() -> None:
    lines: list[str] = []
    first = run(scenario, 1, listener=lines.append)
    second = run(scenario, 1)
    others = [run(scenario, seed) for seed in (2, 3)]

    assert first == second
    assert len(lines) > first.steps
    assert len({first.trace, *(other.trace for other in others)}) == 3


def test_the_trace_is_the_same_in_every_process_whatever_its_hash_seed() -> None:
    here = json.loads(json.dumps(run(scenario, 7).result))
    outcomes = []

    for hash_seed in ("0", "1", "random", "random"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(SOURCE)}
        command = [sys.executable, str(Path(__file__).with_name("streaming.py")), "7"]
        told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=120)
        outcomes.append(json.loads(told.stdout))

    assert [outcome["result"] for outcome in outcomes] == [here] * 4
    assert {outcome["trace"] for outcome in outcomes} == {run(scenario, 7).trace}


def test_the_trace_does_not_depend_on_the_order_of_a_set_of_tasks() -> None:
    async def main(loop: SimLoop) -> list[str]:
        ended: list[str] = []

        async def work(name: str) -> None:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                ended.append(name)
                raise

        ballast.append(bytearray(len(ballast) * 4096 + 17))  # other addresses in each run
        tasks = [loop.create_task(work(f"work {number}")) for number in range(50)]
        await asyncio.sleep(1)
        _, pending = await asyncio.wait(tasks, timeout=1)
        for task in pending:
            task.cancel()
        await asyncio.wait(tasks)
        return ended

    ballast: list[bytearray] = []
    runs = [run(main, 3) for _ in range(5)]

    assert len({one.trace for one in runs}) == 1
    assert len({tuple(one.result) for one in runs}) == 1


def test_a_set_of_tasks_is_walked_in_the_same_order_in_every_run() -> None:
    async def main(loop: SimLoop) -> list[str]:
        ballast.append(bytearray(len(ballast) * 4096 + 17))
        tasks = [loop.create_task(asyncio.sleep(1), name=f"work {number}") for number in range(50)]
        done, _ = await asyncio.wait(tasks)
        return [task.get_name() for task in done]

    ballast: list[bytearray] = []
    runs = [run(main, 3) for _ in range(5)]

    assert len({tuple(one.result) for one in runs}) == 1


def test_tasks_woken_in_any_order_run_in_the_order_of_the_seed() -> None:
    def main(wake: list[int]) -> Callable[[SimLoop], Coroutine[None, None, list[int]]]:
        async def scenario(loop: SimLoop) -> list[int]:
            doors = [loop.create_future() for _ in wake]
            order: list[int] = []

            async def enter(number: int) -> None:
                await doors[number]
                order.append(number)

            async with asyncio.TaskGroup() as group:
                for number in range(len(doors)):
                    group.create_task(enter(number))
                await asyncio.sleep(1)
                for number in wake:
                    doors[number].set_result(None)
            return order

        return scenario

    forwards, backwards = run(main(list(range(20))), 1), run(main(list(reversed(range(20)))), 1)

    assert forwards == backwards


def test_what_was_sent_counts_in_the_trace() -> None:
    async def echo(request: Request) -> Response:
        return Response(200)

    async def send(loop: SimLoop, word: bytes) -> None:
        server = await serve(echo, "127.0.0.1", 0)
        async with httpx2.AsyncClient() as client:
            await client.post(f"http://127.0.0.1:{server.port}/", content=word)
        await server.close()

    traces = [run(partial(send, word=word), 1).trace for word in (b"room 1", b"room 2", b"room 1")]

    assert traces[0] == traces[2] != traces[1]


@pytest.mark.parametrize(("pause_s", "connections"), [(1, 1), (60, 3)])
def test_an_idle_connection_is_used_again_until_its_virtual_time_is_over(pause_s: float, connections: int) -> None:
    async def main(loop: SimLoop) -> int:
        used: set[int] = set()

        async def handler(request: Request) -> Response:
            used.add(request.connection.number)
            return Response(200)

        server = await serve(handler, "127.0.0.1", 0)
        limits = httpx2.Limits(keepalive_expiry=30)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", limits=limits) as client:
            for _ in range(3):
                await client.get("/")
                await asyncio.sleep(pause_s)
        await server.close()
        return len(used)

    assert run(main, 1).result == connections


def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again() -> None:
    async def main(loop: SimLoop) -> list[int]:
        async def handler(request: Request) -> Response:
            return Response(200)

        statuses = []
        async with httpx2.AsyncClient() as client:
            for _ in range(3):
                server = await serve(handler, "127.0.0.1", 8443)
                statuses.append((await client.get("http://127.0.0.1:8443/")).status_code)
                await server.close()
        return statuses

    assert run(main, 1).result == [200, 200, 200]
