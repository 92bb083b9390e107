"""The one way in: every request passes here before any page or API sees it.

    who asks ─▶ which route ─▶ may they? ─▶ from our own page? ─▶ endpoint ─▶ strict headers on whatever comes out

Refusals are problem documents for programs and pages for people. Nothing here reads a body.
"""

from collections.abc import Sequence
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kalends.features.access import NOBODY, Doorkeeper, Identity, Who
from kalends.store.door import StoreError
from kalends.web.answers import answer, error_page
from kalends.web.cookies import presented
from kalends.web.policy import Policy, check_all, is_allowed, policy_of
from kalends.web.problems import (
    Problem,
    busy,
    cross_site,
    forbidden,
    is_for_programs,
    not_allowed_method,
    not_found,
    sign_in_first,
)

SAFE = frozenset({"GET", "HEAD"})
STRICT = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
HSTS = "max-age=31536000; includeSubDomains"


class Gate:
    def __init__(self, app: ASGIApp, routes: Sequence[BaseRoute], doorkeeper: Doorkeeper, base_url: str) -> None:
        check_all(routes)
        self.app, self.routes, self.doorkeeper = app, routes, doorkeeper
        self.origin = "{0.scheme}://{0.netloc}".format(urlsplit(base_url))
        self.is_secure = base_url.startswith("https://")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            assert scope["type"] == "lifespan", "there are no web sockets here"
            await self.app(scope, receive, send)
            return
        send = self._strictly(send)
        request = Request(scope, receive)
        try:
            refusal = await self._refusal(request)
        except StoreError as error:
            refusal = answer(request, busy(str(error), 5))
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self.app(scope, receive, send)

    async def _refusal(self, request: Request) -> Response | None:
        policy, path = self._match(request)
        if isinstance(policy, Problem):
            return answer(request, policy)
        # What is public needs nobody's name, and must answer while the database doesn't.
        is_public = policy is Policy.PUBLIC
        identity = NOBODY if is_public else await self.doorkeeper.who(presented(request, self.is_secure))
        request.state.identity, request.state.policy = identity, policy
        if not is_allowed(policy, identity, path.get("space")):
            return self._turn_away(request, policy, identity)
        if request.method not in SAFE and not self._is_from_our_page(request.headers):
            return answer(request, cross_site())
        return None

    def _match(self, request: Request) -> tuple[Policy | Problem, dict[str, str]]:
        allowed: set[str] = set()
        for route in self.routes:
            match, child = route.matches(request.scope)
            if match is Match.FULL:
                return policy_of(route), child.get("path_params", {})
            if match is Match.PARTIAL:
                allowed |= getattr(route, "methods", None) or set()
        return (not_allowed_method(", ".join(sorted(allowed))) if allowed else not_found()), {}

    def _is_from_our_page(self, headers: Headers) -> bool:
        """Browsers say where a request comes from; one that says nothing is not a browser showing our page."""
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is not None:
            return site == "same-origin"
        # Over plain http browsers send only the origin. A foreign page can't know our cookies under another host name.
        return origin is not None and (origin == self.origin or urlsplit(origin).netloc == headers.get("host"))

    def _turn_away(self, request: Request, policy: Policy, identity: Identity) -> Response:
        path = request.url.path
        if is_for_programs(path):
            return sign_in_first().document() if identity.who is Who.ANYBODY else forbidden().document()
        if policy is Policy.ADMIN and request.method == "GET":
            query = f"?{request.url.query}" if request.url.query else ""
            return RedirectResponse(f"/sign-in?to={quote(path + query, safe='')}", 303, {"cache-control": "no-store"})
        return error_page(_unpaired() if policy is Policy.PANEL else forbidden(), retry=policy is Policy.PANEL)

    def _strictly(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in STRICT.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
                if self.is_secure:
                    headers["strict-transport-security"] = HSTS
            await send(message)

        return sending


def _unpaired() -> Problem:
    detail = "This panel is not paired with this room, or was revoked. Pair it from the room's page: “Pair a panel”."
    return Problem(403, "not_paired", "Not paired", detail)
