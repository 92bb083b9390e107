"""One sandbox, put together: the world, its clock, post and story, and the servers that show it. cli.py runs it.

Everything random in it comes from one seed, everything timed from one clock; both may be given from outside, so that a
simulation can run it under virtual time.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from ssl import SSLContext

from kalends_sandbox import worldfile
from kalends_sandbox.clock import Clock, epoch_seconds, loop_seconds
from kalends_sandbox.control import Control, Reins
from kalends_sandbox.exchange import Exchange
from kalends_sandbox.exchange import Settings as ExchangeSettings
from kalends_sandbox.exchange.autodiscover import redirector
from kalends_sandbox.faults import Faults
from kalends_sandbox.founding import Founded, found
from kalends_sandbox.http import Handler, Server, serve
from kalends_sandbox.identity import Identity, Tokens
from kalends_sandbox.story import Story
from kalends_sandbox.tls import Certificate, self_signed
from kalends_sandbox.truth import Json, instant

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to open.

    Port 0 takes a free one, None opens none; `tls_folder` (where the certificate goes) switches to https.
    """

    world: str = "demo"
    exchange_port: int = 0
    control_port: int | None = 0
    tls_folder: Path | None = None
    seed: int = 1
    clock_start: datetime | None = None
    clock_factor: float = 1.0
    clock_origin: float | None = None
    tells_story: bool = False
    story_pace_s: tuple[float, float] = (2.0, 6.0)
    exchange: ExchangeSettings | None = None
    identity_port: int | None = 0  # opened only where Exchange takes tokens
    only_tls_1_0: bool = False  # what old servers offer; clients of today refuse it
    redirect_port: int | None = None  # plain http that only sends on to https; opened only beside TLS


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What is open. `background` never ends by itself: whichever task does has failed."""

    founded: Founded
    faults: Faults
    exchange: Exchange
    exchange_url: str
    token_url: str | None
    redirect_url: str | None
    control_url: str | None
    certificate: Certificate | None
    background: tuple[asyncio.Task[None], ...]

    def ready(self) -> Json:
        """What a client must know, for the line printed when all is open."""
        world = self.founded.world
        return {
            "exchange": self.exchange_url,
            "token_url": self.token_url,
            "redirect": self.redirect_url,
            "control": self.control_url,
            "certificate": self.certificate and {"path": str(self.certificate.path), "sha256": self.certificate.sha256},
            "now": instant(world.clock.now()),
            "factor": world.clock.factor,
            "name": world.name,
            "domain": world.domain,
            "rooms": len(world.rooms),
            "people": len(world.people),
            # Invented accounts of an invented organisation: their passwords stand in the world file.
            "accounts": [{"user": one.user, "password": one.password} for one in world.accounts],
            "applications": [{"client_id": one.client_id, "secret": one.secret} for one in world.applications],
        }


@asynccontextmanager
async def opened(
    plan: Plan, clock: Clock | None = None, tell: Callable[[str], None] = lambda line: None
) -> AsyncIterator[Sandbox]:
    """The planned sandbox, open as long as the block lasts. WorldFileBroken, or OSError when a port is taken."""
    rng = random.Random(plan.seed)  # noqa: S311  # repeatable on purpose
    founded = found(worldfile.load(plan.world), clock or _clock(plan), _own(rng))
    faults = Faults(_own(rng))
    exchange_rng = _own(rng)
    certificate = self_signed(plan.tls_folder, _own(rng), is_antique=plan.only_tls_1_0) if plan.tls_folder else None
    channel = certificate.channel if certificate else None
    apart = random.Random(f"{plan.seed}: identity")  # noqa: S311  # a new part must not change what the seed made before
    tokens = Tokens(founded.world, _own(apart))
    exchange = Exchange(founded.world, founded.actions.desk, faults, exchange_rng, plan.exchange, channel, tokens)
    identity = Identity(founded.world, faults, tokens, _own(apart))
    context = certificate.context if certificate else None
    control = Control(Reins(founded, faults, exchange))
    servers: list[Server] = []
    background: tuple[asyncio.Task[None], ...] = ()

    async def open_at(handler: Handler, port: int | None, tls: SSLContext | None = None) -> str | None:
        if port is None:
            return None
        servers.append(await serve(handler, HOST, port, tls))
        return f"{'https' if tls else 'http'}://{HOST}:{servers[-1].port}"

    try:
        exchange_root = await open_at(exchange.handle, plan.exchange_port, context)
        control_root = await open_at(control.handle, plan.control_port)
        token_root = await open_at(identity.handle, _identity_port(plan), context)
        plain = redirector(founded.world, servers[0].port)
        redirect_root = await open_at(plain, plan.redirect_port if certificate else None)
        background = _start(plan, founded, exchange, _own(rng), tell)
        token_url = token_root and f"{token_root}/{founded.world.tenant_id}/oauth2/v2.0/token"
        yield Sandbox(
            founded, faults, exchange, f"{exchange_root}/EWS/Exchange.asmx", token_url, redirect_root, control_root,
            certificate, background,
        )  # fmt: skip
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        exchange.close()
        for server in servers:
            await server.close()


def _start(
    plan: Plan, founded: Founded, exchange: Exchange, rng: random.Random, tell: Callable[[str], None]
) -> tuple[asyncio.Task[None], ...]:
    loop = asyncio.get_running_loop()
    post = loop.create_task(founded.post.run(), name="the post")
    push = loop.create_task(exchange.push(), name="the pushing of notifications")
    if not plan.tells_story:
        return post, push
    story = Story(founded.world, founded.actions, rng, tell, plan.story_pace_s)
    return post, push, loop.create_task(story.run(), name="the story")


def _identity_port(plan: Plan) -> int | None:
    takes_tokens = plan.exchange is not None and "oauth" in plan.exchange.sign_in
    return plan.identity_port if takes_tokens else None


def _clock(plan: Plan) -> Clock:
    """Without a start the clock begins at the machine's time; with an origin it can be shared between processes."""
    start = plan.clock_start or datetime.fromtimestamp(
        epoch_seconds() if plan.clock_origin is None else plan.clock_origin, UTC
    )
    if plan.clock_origin is None:
        return Clock(start, plan.clock_factor, loop_seconds)
    return Clock(start, plan.clock_factor, epoch_seconds, plan.clock_origin)


def _own(rng: random.Random) -> random.Random:
    return random.Random(rng.getrandbits(64))  # noqa: S311  # repeatable on purpose
