"""What every address of the API shares: strict parameters, problem documents instead of tracebacks, ETags."""

import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from kalends.store.door import StoreError
from kalends.web.answers import answer
from kalends.web.problems import Problem, broken, busy

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class StrictRoute(APIRoute):
    """Refuses parameters it doesn't know or that come twice, and answers 304 to those who have it already."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        known = _query_names(self)

        async def handler(request: Request) -> Response:
            _refuse_strangers(request, known)
            return _tagged(request, await handle(request))

        return handler


def _query_names(route: APIRoute) -> frozenset[str]:
    return frozenset(field.alias for field in route.dependant.query_params)


def _refuse_strangers(request: Request, known: frozenset[str]) -> None:
    """Never repeats a stranger's name: what a client made up is not ours to print."""
    names = [name for name, _ in request.query_params.multi_items()]
    if not known.issuperset(names):
        allowed = ", ".join(sorted(known)) or "none"
        detail = f"The address carries a parameter that isn't known here. Known: {allowed}."
        raise Problem(422, "unknown_parameter", "Unknown parameter", detail)
    if len(names) != len(set(names)):
        raise Problem(422, "repeated_parameter", "Repeated parameter", "Give each parameter once.")


def _tagged(request: Request, response: Response) -> Response:
    body = getattr(response, "body", b"")
    if not request.url.path.startswith("/v1/") or response.status_code != 200 or not body:
        return response
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    wanted = [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]
    if tag in wanted or "*" in wanted:
        return Response(status_code=304, headers={"etag": tag, "cache-control": "private, no-cache"})
    response.headers["etag"] = tag
    response.headers["cache-control"] = "private, no-cache"
    return response


def speak_in_problems(app: FastAPI) -> None:
    """Everything that goes wrong inside becomes a sentence."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(StoreError, _store)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _broken)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem), "registered for problems"
    return answer(request, error)


async def _store(request: Request, error: Exception) -> Response:
    return answer(request, busy(str(error), 5))


async def _invalid(request: Request, error: Exception) -> Response:
    """Which parameter and what is wrong with it; pydantic's own words for the second, its echo of the input left out."""
    assert isinstance(error, RequestValidationError), "registered for these"
    pointers = tuple((str(item["loc"][-1]), str(item["type"]).replace("_", " ")) for item in error.errors()[:20])
    detail = "One or more parameters can't be used; “errors” names them. The API's description says what fits."
    return answer(request, Problem(422, "invalid_parameter", "Invalid parameter", detail, pointers))


async def _broken(request: Request, error: Exception) -> Response:
    return answer(request, broken())
