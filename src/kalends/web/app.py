"""Composes the web side: pages and API behind one gate, and the follower that keeps them live."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from kalends.features.access import Doorkeeper
from kalends.features.follower import Follower
from kalends.model.availability import Policy as RoomPolicy
from kalends.web.api import changes, health, reading
from kalends.web.api.description import description
from kalends.web.api.route import speak_in_problems
from kalends.web.assets import static
from kalends.web.gate import Gate
from kalends.web.gauges import Gauges
from kalends.web.kit import Kit
from kalends.web.pages import overview, pairing, panel, protocol, reference, room, sign_in
from kalends.web.painter import Painter
from kalends.web.policy import Policy, allow
from kalends.web.wiring import Wiring


class Web:
    """The ASGI application. Its lifespan runs the follower; `drain` ends every stream, so that a server can stop."""

    def __init__(self, kit: Kit, app: FastAPI, gate: Gate) -> None:
        self.kit, self.app, self._gate = kit, app, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._gate(scope, receive, send)

    def drain(self) -> None:
        self.kit.drain()


def make_web(hub: Wiring) -> Web:
    """Raises RouteWithoutPolicy if a route doesn't say who may use it."""
    policy = RoomPolicy(stale_after=hub.stale_after)
    follower = Follower(hub.store, hub.contents, hub.bus, hub.clock, hub.organization, policy, hub.ids.new("run"))
    doorkeeper = Doorkeeper(hub.store, hub.clock, hub.ids, hub.organization)
    kit = Kit(hub, follower, doorkeeper, Painter(follower), policy, Gauges(hub.registry))
    app = FastAPI(
        title="Kalends", version=hub.version, openapi_url=None, docs_url=None, redoc_url=None, lifespan=_lifespan
    )
    app.state.kit = kit
    speak_in_problems(app)
    routes = [*reading.router.routes, *changes.router.routes, *health.router.routes, Route("/openapi.json", openapi)]
    pages = [overview, room, protocol, sign_in, pairing, panel, reference]
    routes += [route for module in pages for route in module.ROUTES]
    routes.append(Route("/static/{name}", static))
    app.router.routes[:] = routes
    return Web(kit, app, Gate(app, routes, doorkeeper, hub.base_url))


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    kit: Kit = app.state.kit
    async with asyncio.TaskGroup() as group:
        group.create_task(kit.follower.run(), name="follower")
        try:
            yield
        finally:
            kit.drain()


@allow(Policy.API)
async def openapi(request: Request) -> Response:
    return JSONResponse(description(request.app))
