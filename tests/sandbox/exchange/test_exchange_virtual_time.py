"""The server on an in-memory loop: half an hour of streaming in virtual time, with the same events in every run."""

import asyncio
import random
from datetime import UTC, datetime

import httpx2

from kalends_sandbox import http
from kalends_sandbox.actions import Actions, Change
from kalends_sandbox.attendant import Attendant
from kalends_sandbox.clock import Clock
from kalends_sandbox.exchange import Exchange
from kalends_sandbox.faults import Faults
from kalends_sandbox.post import Post
from kalends_sandbox.world import ServiceAccount, World
from kalends_sim.loop import SimLoop
from kalends_sim.simulation import run
from sandbox.exchange import wire


async def half_an_hour(loop: SimLoop) -> tuple[list[str], float]:
    began = loop.time()
    rng = random.Random(1)
    world = World(Clock(datetime(2026, 11, 20, 8, tzinfo=UTC)), rng, "north.example")
    ann = world.add_mailbox("Ann", "ann@north.example")
    world.accounts.append(ServiceAccount("svc", "pw", ("*",)))
    post = Post(world, rng)
    Attendant(world, post)
    actions = Actions(world, post)
    exchange = Exchange(world, actions.desk, Faults(rng), rng)
    server = await http.serve(exchange.handle, "127.0.0.1", 8443)
    seen: list[str] = []

    async def act() -> None:
        for minute in range(1, 29):
            await asyncio.sleep(60)
            now = world.clock.now()
            if minute % 2:
                mine = actions.create(ann.primary, f"meeting {minute}", now, now)
            else:
                actions.edit(ann.primary, mine.uid, Change(subject="changed"))

    async with httpx2.AsyncClient(auth=("svc", "pw"), timeout=90) as client:
        url = f"http://127.0.0.1:{server.port}/EWS/Exchange.asmx"
        answer = await client.post(url, content=wire.envelope(wire.subscribe(), ann.primary))
        subscription = answer.text.partition("<m:SubscriptionId>")[2].partition("<")[0]
        acting = asyncio.create_task(act())
        body = wire.envelope(wire.stream(subscription, minutes=30), ann.primary)
        async with client.stream("POST", url, content=body) as stream:
            async for line in stream.aiter_text():
                seen.append(f"{loop.time() - began:.3f} {line}")
        await acting
    await server.close()
    exchange.close()
    return seen, loop.time() - began


def test_half_an_hour_of_streaming_takes_no_time_and_repeats_exactly() -> None:
    one, two = (run(half_an_hour, seed=5) for _ in range(2))

    seen, took_s = one.result
    assert seen == two.result[0]
    assert one.trace == two.trace
    assert 1800 <= took_s < 1801
    everything = "".join(seen)
    assert everything.count("CreatedEvent>") == 2 * 14
    assert everything.count("<m:ConnectionStatus>OK") > 14
    assert everything.endswith("</Envelope>")
    assert "<m:ConnectionStatus>Closed" in seen[-1]
