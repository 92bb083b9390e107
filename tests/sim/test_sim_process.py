"""Processes of the simulation: what dies runs not one more line, what stalls goes on where it was."""

import asyncio

from kalends_sandbox.http import Request, Response, serve
from kalends_sim.loop import SimLoop
from kalends_sim.process import Process
from kalends_sim.simulation import run


def test_nothing_of_a_killed_process_runs_again_not_even_its_finally() -> None:
    async def story(loop: SimLoop) -> list[str]:
        lines: list[str] = []

        async def child() -> None:
            while True:
                await asyncio.sleep(1)
                lines.append("child")

        async def program() -> None:
            loop.call_later(5, lines.append, "timer")
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(child())
            finally:
                lines.append("finally")

        process = Process(loop, "program")
        process.start(program())
        await asyncio.sleep(2.5)
        process.kill()
        await asyncio.sleep(60)
        return list(lines)

    assert run(story, seed=1).result == ["child", "child"]


def test_a_process_can_be_killed_at_any_of_its_steps() -> None:
    async def story(loop: SimLoop) -> tuple[int, bool]:
        steps = 0

        async def program() -> None:
            nonlocal steps
            while True:
                steps += 1
                await asyncio.sleep(0.1)

        process = Process(loop, "program")
        process.start(program())
        process.kill_after(20)
        await process.died.wait()
        await asyncio.sleep(10)
        return steps, process.is_alive

    steps, is_alive = run(story, seed=1).result

    assert 5 <= steps < 20
    assert not is_alive


def test_a_stalled_process_goes_on_with_all_that_came_meanwhile() -> None:
    async def story(loop: SimLoop) -> list[float]:
        ticks: list[float] = []

        async def program() -> None:
            while True:
                await asyncio.sleep(1)
                ticks.append(loop.time())

        process = Process(loop, "program")
        process.start(program())
        await asyncio.sleep(1.5)
        process.stall()
        await asyncio.sleep(10)
        process.go_on()
        await asyncio.sleep(1.2)
        process.kill()
        return ticks

    assert run(story, seed=1).result == [1.0, 11.5, 12.5]


def test_the_connections_of_a_killed_client_end_and_the_server_lives_on() -> None:
    async def story(loop: SimLoop) -> tuple[int, int, bytes]:
        async def handle(request: Request) -> Response:
            return Response(200, [], b"here")

        server = await serve(handle, "127.0.0.1", 0)

        async def program() -> None:
            line = await asyncio.open_connection("127.0.0.1", server.port)
            await asyncio.sleep(1000)
            line[1].close()

        process = Process(loop, "client")
        process.start(program())
        await asyncio.sleep(1)
        before = loop.network.open_connections
        process.kill()
        await asyncio.sleep(1)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await asyncio.sleep(1)
        after = loop.network.open_connections
        await server.close()
        return before, after, answer

    before, after, answer = run(story, seed=1).result

    assert (before, after) == (1, 0)
    assert answer.endswith(b"here")
