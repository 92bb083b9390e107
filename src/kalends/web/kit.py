"""What every endpoint works with, found at `request.app.state.kit`."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from starlette.requests import Request

from kalends.features.access import Doorkeeper, Identity
from kalends.features.follower import Follower
from kalends.model.availability import Policy
from kalends.web.cookies import form_mark, is_mark_of, presented
from kalends.web.gauges import Gauges
from kalends.web.painter import Painter
from kalends.web.policy import is_allowed
from kalends.web.problems import Problem, busy, cross_site
from kalends.web.sse import PING_SECONDS
from kalends.web.wiring import Wiring

MOST_STREAMS = 4000
"""Open streams per process; a file descriptor and about 30 KB each."""
RECHECK_SECONDS = 15.0
MOST_FORM_FIELDS = 8
FIRST_READ_SECONDS = 10.0


@dataclass
class Kit:
    hub: Wiring
    follower: Follower
    doorkeeper: Doorkeeper
    painter: Painter
    policy: Policy
    gauges: Gauges
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    """Set: no new work, and every stream ends."""
    streams: int = 0

    def drain(self) -> None:
        """From now on not ready, and every open stream ends: call it before the server is told to stop."""
        self.draining.set()
        self.follower.stop()

    @property
    def is_secure(self) -> bool:
        return self.hub.base_url.startswith("https://")


def kit_of(request: Request) -> Kit:
    kit: Kit = request.app.state.kit
    return kit


def identity_of(request: Request) -> Identity:
    identity: Identity = request.state.identity
    return identity


class Standing:
    """Whether the one who opened a stream may still watch it: looked up again now and then, as streams last for days."""

    def __init__(self, request: Request) -> None:
        self._kit: Kit = kit_of(request)
        self._policy = request.state.policy
        self._shown = presented(request, self._kit.is_secure)
        self._space = request.path_params.get("space")
        self._ask_at = self._later()

    def _later(self) -> float:
        """Each stream at its own moments: hundreds that were opened together must not all ask the database together."""
        return self._kit.hub.clock.monotonic() + RECHECK_SECONDS * (0.5 + self._kit.hub.ids.rng.random())

    @property
    def patience(self) -> float:
        """How long, in seconds, the stream may be silent: until its ping or its next look, whichever is sooner.

        Looks then fall at moments of their own. Were they left for the next news, which hundreds of streams hear at
        once, their queue at the database would stand before the news itself.
        """
        return min(PING_SECONDS, max(0.0, self._ask_at - self._kit.hub.clock.monotonic()))

    async def holds(self) -> bool:
        if self._kit.hub.clock.monotonic() < self._ask_at:
            return True
        self._ask_at = self._later()
        return is_allowed(self._policy, await self._kit.doorkeeper.who(self._shown, touch=False), self._space)


async def seated(kit: Kit, messages: AsyncGenerator[bytes | None]) -> AsyncGenerator[bytes | None]:
    """Counts an open stream while it lasts."""
    kit.streams += 1
    try:
        async with aclosing(messages):
            async for message in messages:
                yield message
    finally:
        kit.streams -= 1


def room_for_a_stream(kit: Kit) -> None:
    """Raises Problem when too many are open or the process is about to end."""
    if kit.draining.is_set() or kit.streams >= MOST_STREAMS:
        raise busy("This server has no room for another live connection right now.", 5)


async def rooms_read(kit: Kit) -> None:
    """Returns once the rooms were read for the first time; raises Problem when that takes long."""
    try:
        async with asyncio.timeout(FIRST_READ_SECONDS):
            await kit.follower.ready.wait()
    except TimeoutError:
        raise busy(kit.follower.trouble or "The rooms are still being read.", 5) from None


def peer_of(request: Request) -> str:
    """Who is at the other end, as far as the server can tell; proxies are believed where `trusted_proxies` names them."""
    return request.client.host if request.client else ""


def page_values(request: Request, here: str = "") -> dict[str, object]:
    """What the frame of every signed-in page needs."""
    kit, who = kit_of(request), identity_of(request)
    return {"who": who, "here": here, "form_mark": form_mark(who.secret, kit.hub.ids)}


async def read_form(request: Request) -> dict[str, str]:
    """The form's text fields. Files and repeated or too many fields are refused."""
    async with request.form(max_files=0, max_fields=MOST_FORM_FIELDS) as form:
        fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
        if len(fields) != len(form.multi_items()):
            raise Problem(400, "bad_form", "This form can't be read", "Open the page again and fill it in there.")
        return fields


async def read_marked_form(request: Request) -> dict[str, str]:
    """The same, of a form that was shown in this session."""
    fields = await read_form(request)
    if not is_mark_of(fields.get("form", ""), identity_of(request).secret):
        raise cross_site()
    return fields
