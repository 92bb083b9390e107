"""Signing in and out."""

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kalends.features.access import Refused, Who
from kalends.web.answers import page
from kalends.web.cookies import SESSION, drop_cookie, presented, set_cookie
from kalends.web.kit import kit_of, peer_of, read_form, read_marked_form
from kalends.web.policy import Policy, allow


@allow(Policy.PUBLIC)
async def sign_in_page(request: Request) -> Response:
    to = _safe(request.query_params.get("to", "/"))
    kit = kit_of(request)
    if (await kit.doorkeeper.who(presented(request, kit.is_secure))).who is Who.ADMIN:
        return RedirectResponse(to, 303)
    return page(request, "sign_in.html", _values(to, ""))


@allow(Policy.PUBLIC)
async def sign_in(request: Request) -> Response:
    kit, fields = kit_of(request), await read_form(request)
    to = _safe(fields.get("to", "/"))
    try:
        secret = await kit.doorkeeper.sign_in(fields.get("name", ""), fields.get("password", ""), peer_of(request))
    except Refused as refused:
        status = 429 if refused.wait_seconds else 401
        response = page(request, "sign_in.html", _values(to, str(refused)), status)
        if refused.wait_seconds:
            response.headers["retry-after"] = str(refused.wait_seconds)
        return response
    await kit.doorkeeper.sign_out(presented(request, kit.is_secure).session)
    response = RedirectResponse(to, 303, {"cache-control": "no-store"})
    set_cookie(response, SESSION, secret, kit.is_secure)
    return response


@allow(Policy.ADMIN)
async def sign_out(request: Request) -> Response:
    kit = kit_of(request)
    await read_marked_form(request)
    await kit.doorkeeper.sign_out(presented(request, kit.is_secure).session)
    response = RedirectResponse("/sign-in", 303, {"cache-control": "no-store", "clear-site-data": '"cache"'})
    drop_cookie(response, SESSION, kit.is_secure)
    return response


def _values(to: str, wrong: str) -> dict[str, object]:
    return {"who": None, "here": "", "to": to, "wrong": wrong}


def _safe(to: str) -> str:
    """A path of ours to go on to. Browsers read `//`, `/\\` and hidden control characters as other hosts: none of those."""
    parts = urlsplit(to) if to.isprintable() and "\\" not in to else None
    is_ours = (
        parts is not None and not parts.scheme and not parts.netloc and to.startswith("/") and not to.startswith("//")
    )
    return to if is_ours and len(to) <= 500 else "/"


ROUTES = [
    Route("/sign-in", sign_in_page, methods=["GET"]),
    Route("/sign-in", sign_in, methods=["POST"]),
    Route("/sign-out", sign_out, methods=["POST"]),
]
