"""A scenario: an unpatched httpx2 client reads a stream for 30 virtual minutes while other requests meet trouble.

Run as a program it prints its trace, so that a test can compare processes: `python tests/sim/streaming.py SEED`.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import asdict

import httpx2

from kalends_sandbox.http import Request, Response, Server, Trouble, serve
from kalends_sim.loop import SimLoop
from kalends_sim.network import Cut, Delivery, between
from kalends_sim.simulation import run

MINUTES = 30
TROUBLES = {
    "/reset": Trouble(then="reset", after_bytes=20_000),
    "/half": Trouble(then="close", after_bytes=20_000),
    "/never": Trouble(then="reset", after_bytes=0),
    "/slow": Trouble(bytes_per_s=8000),
}


async def beats() -> AsyncGenerator[bytes, None]:
    for minute in range(MINUTES):
        await asyncio.sleep(60)
        yield f"beat {minute}\n".encode()


async def handle(request: Request) -> Response:
    if request.path == "/stream":
        return Response(200, [], beats())
    return Response(200, [], request.body + b"." * 40_000, TROUBLES.get(request.path))


async def listen(client: httpx2.AsyncClient, lines: list[str]) -> None:
    async with client.stream("GET", "/stream", timeout=90) as answer:
        lines.extend([line async for line in answer.aiter_lines()])


async def ask(client: httpx2.AsyncClient, path: str, seen: Counter[str], loop: SimLoop) -> None:
    rng = loop.randomness(f"asks {path}")
    for number in range(20):
        await asyncio.sleep(rng.uniform(0, 150))
        body = f"{path} {number}".encode()
        try:
            answer = await client.post(path, content=body, timeout=300)
        except httpx2.TransportError as error:
            seen[f"{path} {type(error).__name__}"] += 1
            continue
        assert answer.content == body + b"." * 40_000
        seen[f"{path} {answer.status_code}"] += 1


def sometimes_cut(delivery: Delivery, rng: random.Random) -> Cut | None:
    """The network itself loses the second half of some large pieces; the stream's beats are small."""
    is_large = delivery.route.towards == "client" and delivery.size_bytes > 1000
    return Cut(delivery.size_bytes // 2) if is_large and rng.random() < 0.1 else None


async def scenario(loop: SimLoop) -> tuple[list[str], dict[str, int], int]:
    loop.network.latency = between(0.001, 0.2)
    server: Server = await serve(handle, "127.0.0.1", 0)
    lines: list[str] = []
    seen: Counter[str] = Counter()
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client, asyncio.TaskGroup() as group:
        group.create_task(listen(client, lines))
        await asyncio.sleep(1)
        loop.network.faults = sometimes_cut
        for path in (*TROUBLES, "/plain"):
            group.create_task(ask(client, path, seen, loop))
    await server.close()
    await asyncio.sleep(10)
    return lines, dict(sorted(seen.items())), loop.network.open_connections


if __name__ == "__main__":
    print(json.dumps(asdict(run(scenario, int(sys.argv[1])))))
