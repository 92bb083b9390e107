"""The door panel: the page, its face alone (for the fallback poll), and its live stream."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kalends.features.access import Who
from kalends.features.displays import face
from kalends.features.rooms import RoomView
from kalends.store.door import StoreError
from kalends.web.answers import page
from kalends.web.cookies import DEVICE, DEVICE_SECONDS, set_cookie
from kalends.web.kit import Kit, Standing, identity_of, kit_of, room_for_a_stream, rooms_read, seated
from kalends.web.painter import BUILD, proof_frame
from kalends.web.policy import Policy, allow
from kalends.web.problems import not_found
from kalends.web.sse import EventStream


@allow(Policy.PANEL)
async def panel(request: Request) -> Response:
    kit = kit_of(request)
    room, now = await _room(request, kit), kit.hub.clock.now()
    values = {
        "face": face(room, now),
        "html": kit.painter.face(room, now),
        "build": BUILD,
        "factor": kit.hub.clock.factor,
        "stale_ms": int(kit.policy.stale_after.total_seconds() * 1000),
    }
    response = page(request, "panel.html", values)
    who = identity_of(request)
    if who.who is Who.DEVICE:
        set_cookie(response, DEVICE, who.secret, kit.is_secure, DEVICE_SECONDS)
    return response


@allow(Policy.PANEL)
async def face_alone(request: Request) -> Response:
    kit = kit_of(request)
    room = await _room(request, kit)
    html = kit.painter.face(room, kit.hub.clock.now())
    return Response(html, headers={"cache-control": "no-store"}, media_type="text/html; charset=utf-8")


@allow(Policy.PANEL)
async def live(request: Request) -> Response:
    kit = kit_of(request)
    room = await _room(request, kit)
    room_for_a_stream(kit)
    return EventStream(seated(kit, _messages(kit, request, room.space.id)))


async def _messages(kit: Kit, request: Request, space: str) -> AsyncGenerator[bytes | None]:
    """The present face first, so that no panel needs to know what it missed."""
    follower, standing = kit.follower, Standing(request)
    seat = follower.sit(space)
    seat.tell([space], ())
    try:
        while not seat.is_closed:
            changed, _ = seat.take()
            room = follower.views.get(space)
            if room is None or not await standing.holds():
                return
            now = kit.hub.clock.now()
            if changed:
                yield kit.painter.face_frame(room, now)
            yield proof_frame([room], now, named=False)
            with suppress(TimeoutError):
                async with asyncio.timeout(standing.patience):
                    await seat.rang.wait()
    except StoreError:
        return  # the panel comes back by itself, and shows the age of what it knows until then
    finally:
        follower.leave(seat)


async def _room(request: Request, kit: Kit) -> RoomView:
    await rooms_read(kit)
    room = kit.follower.views.get(request.path_params["space"])
    if room is None:
        raise not_found()
    return room


ROUTES = [
    Route("/panel/{space}", panel),
    Route("/panel/{space}/face", face_alone),
    Route("/panel/{space}/live", live),
]
