"""The server on an in-memory loop: half an hour of streaming in virtual time, with the same events in every run."""

import asyncio
import random
from datetime import UTC, datetime

import httpx2

from kalends_sandbox import http
from kalends_sandbox.actions import Actions, Change
from kalends_sandbox.attendant import Attendant
from kalends_sandbox.clock import Clock
from kalends_sandbox.exchange import Exchange, Settings
from kalends_sandbox.faults import Faults
from kalends_sandbox.identity import Tokens
from kalends_sandbox.post import Post
from kalends_sandbox.world import Application, ServiceAccount, World
from kalends_sim.loop import SimLoop
from kalends_sim.simulation import run
from sandbox.exchange import wire
from sandbox.exchange.line import connected


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


async def signing_in(loop: SimLoop) -> list[object]:
    rng = random.Random(1)
    world = World(Clock(datetime(2026, 11, 20, 8, tzinfo=UTC), 1.0, loop.time), rng, "north.example")
    ann = world.add_mailbox("Ann", "ann@north.example")
    world.accounts.append(ServiceAccount("svc", "pw", ("*",)))
    world.applications.append(Application("app", "secret", impersonates=("*",)))
    tokens = Tokens(world, rng)
    actions = Actions(world, Post(world, rng))
    exchange = Exchange(world, actions.desk, Faults(rng), rng, Settings(sign_in=("ntlm", "oauth")), tokens=tokens)
    server = await http.serve(exchange.handle, "127.0.0.1", 8443)
    body = wire.envelope(wire.sync(), ann.primary)
    seen: list[object] = []
    async with connected(f"http://127.0.0.1:{server.port}/EWS/Exchange.asmx") as line:
        challenge = await line.challenge("svc", "pw")
        seen.append(challenge.all("WWW-Authenticate"))
        seen.append((await line.post(body, line.response(challenge))).status)
        await asyncio.sleep(200)
        seen.append((await line.post(body)).status)
    async with connected(f"http://127.0.0.1:{server.port}/EWS/Exchange.asmx") as line:
        bearer = "Bearer " + tokens.issue(world.applications[0], "https://mail.north.example", "here")
        seen.append((bearer, (await line.post(body, bearer)).status))
        for _ in range(20):
            await asyncio.sleep(200)
            seen.append((await line.post(body, bearer)).status)
    await server.close()
    exchange.close()
    return seen


def test_signing_in_needs_no_clock_and_no_randomness_but_the_worlds() -> None:
    one, two = (run(signing_in, seed=6).result for _ in range(2))

    assert one == two
    assert one[1:3] == [200, 200]
    assert one[3][1] == 200  # type: ignore[index]
    assert one[4:] == [200] * 19 + [401]  # an hour and five minutes of grace
