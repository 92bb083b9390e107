"""Who may use what: every route, method and kind of visitor. A route that is added without a word here fails."""

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from kalends.store import access
from kalends.web.app import make_web
from kalends.web.gate import Gate
from kalends.web.policy import Policy, RouteWithoutPolicy, policy_of
from web.seeding import OWN_PAGE, START, House, meeting, new_wires, paired, running, seeded, token

PUBLIC = {"/livez", "/readyz", "/version", "/sign-in", "/pair", "/static/{name}"}
PANEL = {"/panel/{space}", "/panel/{space}/face", "/panel/{space}/live"}
API = {
    "/v1/spaces",
    "/v1/spaces/{space}",
    "/v1/spaces/{space}/state",
    "/v1/spaces/{space}/events",
    "/v1/calendars",
    "/v1/calendars/{calendar}",
    "/v1/accounts",
    "/v1/changes",
    "/v1/changes/stream",
    "/metrics",
    "/openapi.json",
}
ADMIN = {
    "/",
    "/live",
    "/spaces/{space}",
    "/spaces/{space}/panels",
    "/spaces/{space}/panels/{device}/revoke",
    "/accounts/{account}/protocol",
    "/accounts/{account}/protocol/live",
    "/accounts/{account}/protocol/download",
    "/sign-out",
    "/reference",
}
EXPECTED = {path: policy for policy, paths in zip(Policy, (PUBLIC, ADMIN, PANEL, API), strict=True) for path in paths}
STREAMS = {
    "/live",
    "/panel/{space}/live",
    "/v1/changes/stream",
    "/accounts/{account}/protocol/live",
}  # they don't end: test_web_live.py opens them
VISITORS = (
    "anybody",
    "admin",
    "own panel",
    "other panel",
    "revoked panel",
    "program",
    "revoked program",
    "ended session",
)
MAY = {
    Policy.PUBLIC: set(VISITORS),
    Policy.ADMIN: {"admin"},
    Policy.PANEL: {"admin", "own panel"},
    Policy.API: {"admin", "program"},
}


async def headers_of(house: House, visitor: str) -> dict[str, str]:
    """What such a visitor sends along."""
    match visitor:
        case "admin" | "ended session":
            await house.sign_in()
            secret = house.client.cookies["kalends_session"]
            if visitor == "ended session":
                await house.wires.store.run(access.end_session, secret)
            house.client.cookies.clear()
            return {"cookie": f"kalends_session={secret}"}
        case "own panel" | "other panel" | "revoked panel":
            secret = await paired(house, "birch" if visitor == "other panel" else "aspen")
            if visitor == "revoked panel":
                [device] = await house.web.kit.doorkeeper.panels("spc_aspen")
                await house.web.kit.doorkeeper.revoke("spc_aspen", device.id, "admin")
            return {"cookie": f"kalends_panel={secret}"}
        case "program" | "revoked program":
            secret = await token(house)
            if visitor == "revoked program":
                [known] = await house.wires.store.read(access.list_tokens, house.wires.organization)
                await house.wires.store.run(access.revoke_token, known.id, START, actor="cli:test")
            return {"authorization": f"Bearer {secret}"}
    return {}


def test_every_route_is_known_here_with_its_policy() -> None:
    routes = make_web(new_wires()).app.routes

    assert {route.path: policy_of(route) for route in routes} == EXPECTED  # type: ignore[attr-defined]


@pytest.mark.asyncio
@pytest.mark.parametrize("visitor", VISITORS)
async def test_what_each_visitor_may_open(visitor: str) -> None:
    wires = await seeded(("aspen", [meeting("1", START)]), ("birch", []))
    async with running(wires) as house:
        sent = await headers_of(house, visitor)
        for route in house.web.app.routes:
            path, policy = route.path, policy_of(route)  # type: ignore[attr-defined]
            for method in sorted(route.methods - {"HEAD"}):  # type: ignore[attr-defined]
                if path in STREAMS or path == "/sign-out":
                    continue
                url = path.format(
                    space="spc_aspen", calendar="cal_aspen", device="dev_x", account="acc_1", name="nothing.css"
                )
                url += "?from=2026-11-23T00:00:00Z&to=2026-11-24T00:00:00Z" if path.endswith("/events") else ""
                answer = await house.client.request(method, url, headers={**sent, **OWN_PAGE})

                is_refused = answer.status_code in (401, 403) or answer.headers.get("location", "").startswith(
                    "/sign-in"
                )
                if method == "POST" and policy is Policy.PUBLIC:
                    continue  # wrong password, wrong code: their own refusals, tested elsewhere
                if method == "POST" and visitor == "admin":
                    assert answer.status_code == 403, "an admin's form without its mark"
                    continue
                assert is_refused != (visitor in MAY[policy]), f"{visitor}: {method} {path} → {answer.status_code}"


def test_a_route_without_a_policy_stops_the_start() -> None:
    async def forgotten(request: Request) -> Response:
        return PlainTextResponse("secrets")

    with pytest.raises(RouteWithoutPolicy, match="/forgotten"):
        Gate(FastAPI(), [Route("/forgotten", forgotten)], None, "http://127.0.0.1")  # type: ignore[arg-type]


def test_a_mount_cannot_hide_routes_from_the_gate() -> None:
    with pytest.raises(RouteWithoutPolicy):
        Gate(FastAPI(), [Mount("/hidden", FastAPI())], None, "http://127.0.0.1")  # type: ignore[arg-type]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
        {"sec-fetch-site": "same-site", "origin": "http://127.0.0.1"},
        {"sec-fetch-site": "none"},
        {"origin": "null"},
        {"origin": "https://evil.example"},
    ],
)
async def test_forms_from_elsewhere_are_refused_before_anything_is_read(sent: dict[str, str]) -> None:
    wires = await seeded(("aspen", []))
    async with running(wires) as house:
        await house.sign_in()
        for path in ("/sign-in", "/sign-out", "/pair", "/spaces/spc_aspen/panels"):
            answer = await house.client.post(path, data={"name": "admin"}, headers=sent)

            assert answer.status_code == 403, path
            assert "did not come from a page" in answer.text


@pytest.mark.asyncio
async def test_a_signed_in_form_needs_the_mark_of_its_own_session() -> None:
    wires = await seeded(("aspen", []))
    async with running(wires) as house:
        await house.sign_in()
        page = await house.client.get("/spaces/spc_aspen")
        mark = page.text.split('name="form" value="')[1].split('"')[0]
        house.client.cookies.clear()
        await house.sign_in()

        foreign = await house.client.post("/spaces/spc_aspen/panels", data={"form": mark}, headers=OWN_PAGE)

        assert foreign.status_code == 403
        assert await house.web.kit.doorkeeper.panels("spc_aspen") == []


@pytest.mark.asyncio
async def test_reading_never_changes_anything() -> None:
    """Every address that changes something refuses GET."""
    wires = await seeded(("aspen", []))
    async with running(wires) as house:
        await house.sign_in()
        for path in ("/sign-out", "/spaces/spc_aspen/panels", "/spaces/spc_aspen/panels/dev_x/revoke"):
            answer = await house.client.get(path)

            assert answer.status_code == 405, path
            assert answer.headers["allow"] == "POST"


@pytest.mark.asyncio
async def test_strict_headers_are_on_every_answer() -> None:
    wires = await seeded(("aspen", []))
    async with running(wires) as house:
        for path in ("/", "/sign-in", "/livez", "/nowhere", "/v1/spaces", "/static/nothing.css"):
            headers = (await house.client.get(path)).headers

            assert headers["content-security-policy"].startswith("default-src 'none'"), path
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["cache-control"] == "no-store"


@pytest.mark.asyncio
async def test_over_https_cookies_are_bound_to_host_and_tls() -> None:
    wires = await seeded(("aspen", []))
    wires.base_url = "https://rooms.example.org"
    async with running(wires) as house:
        form = {"name": "admin", "password": "a long enough pass phrase"}
        answer = await house.client.post("/sign-in", data=form, headers={"sec-fetch-site": "same-origin"})

        cookie = answer.headers["set-cookie"].lower()
        assert cookie.startswith("__host-kalends_session=")
        assert all(part in cookie for part in ("secure", "httponly", "samesite=lax", "path=/"))
        assert "domain" not in cookie
        assert "max-age=31536000" in answer.headers["strict-transport-security"]
