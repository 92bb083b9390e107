"""Whether this process lives and can serve, what it is, and its numbers. Trouble at a provider never makes it unready."""

from fastapi import APIRouter
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from kalends.store import feed
from kalends.store.door import StoreError
from kalends.web.api.route import StrictRoute
from kalends.web.api.shapes import Check, Liveness, Readiness, Version
from kalends.web.kit import Kit, kit_of
from kalends.web.policy import Policy, allow

router = APIRouter(route_class=StrictRoute)


@router.get("/livez", response_model=Liveness, summary="The process turns")
@allow(Policy.PUBLIC)
async def livez(request: Request) -> Liveness:
    return Liveness(alive=True)


@router.get(
    "/readyz",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "Not ready; the checks say why."}},
    summary="It can serve; each check by name",
)
@allow(Policy.PUBLIC)
async def readyz(request: Request) -> Response:
    kit = kit_of(request)
    checks = [await _database(kit), _rooms(kit), _draining(kit)]
    ready = Readiness(ready=all(check.ok for check in checks), checks=checks)
    return JSONResponse(ready.model_dump(), 200 if ready.ready else 503)


@router.get("/version", response_model=Version, summary="What runs here")
@allow(Policy.PUBLIC)
async def version(request: Request) -> Version:
    return Version(name="kalends", version=kit_of(request).hub.version)


@router.get(
    "/metrics",
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus text."}},
    summary="Numbers for Prometheus",
)
@allow(Policy.API)
async def metrics(request: Request) -> Response:
    kit = kit_of(request)
    await kit.gauges.fill(kit.hub, kit.follower.views.values(), kit.policy, kit.streams)
    return Response(generate_latest(kit.hub.registry), media_type=CONTENT_TYPE_LATEST)


async def _database(kit: Kit) -> Check:
    """The reason stays in the log and on the overview: whoever asks here may be anybody."""
    try:
        await kit.hub.store.read(feed.latest)
    except StoreError:
        return Check(name="database", ok=False, detail="It does not answer.")
    if kit.hub.store.trouble:
        return Check(name="database", ok=False, detail="It can be read, but not written.")
    return Check(name="database", ok=True, detail="It answers.")


def _rooms(kit: Kit) -> Check:
    if not kit.follower.ready.is_set():
        return Check(name="rooms", ok=False, detail="They are still being read.")
    return Check(name="rooms", ok=True, detail="They are read.")


def _draining(kit: Kit) -> Check:
    if kit.draining.is_set():
        return Check(name="serving", ok=False, detail="The process is about to end.")
    return Check(name="serving", ok=True, detail="Requests are welcome.")
