"""Where a panel becomes one room's panel: a code typed or carried by a link, used once. Opening the link changes nothing."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kalends.features.access import Refused
from kalends.web.answers import page
from kalends.web.cookies import DEVICE, DEVICE_SECONDS, set_cookie
from kalends.web.kit import kit_of, peer_of, read_form
from kalends.web.policy import Policy, allow

LONGEST_CODE = 80


@allow(Policy.PUBLIC)
async def pair_page(request: Request) -> Response:
    code = request.query_params.get("code", "")[:LONGEST_CODE]
    return page(request, "pair.html", {"who": None, "here": "", "wrong": "", "code": code})


@allow(Policy.PUBLIC)
async def pair(request: Request) -> Response:
    kit, fields = kit_of(request), await read_form(request)
    try:
        space, secret = await kit.doorkeeper.pair(fields.get("code", "")[:LONGEST_CODE], peer_of(request))
    except Refused as refused:
        status = 429 if refused.wait_seconds else 403
        response = page(request, "pair.html", {"who": None, "here": "", "wrong": str(refused), "code": ""}, status)
        if refused.wait_seconds:
            response.headers["retry-after"] = str(refused.wait_seconds)
        return response
    response = RedirectResponse(f"/panel/{space}", 303, {"cache-control": "no-store"})
    set_cookie(response, DEVICE, secret, kit.is_secure, DEVICE_SECONDS)
    return response


ROUTES = [
    Route("/pair", pair_page, methods=["GET"]),
    Route("/pair", pair, methods=["POST"]),
]
