"""The API in one page; the full description is `/openapi.json`."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kalends.web.answers import page
from kalends.web.api.description import lines
from kalends.web.kit import kit_of, page_values
from kalends.web.policy import Policy, allow


@allow(Policy.ADMIN)
async def reference(request: Request) -> Response:
    values = {"version": kit_of(request).hub.version, "paths": lines(request.app)}
    return page(request, "reference.html", page_values(request, "reference") | values)


ROUTES = [Route("/reference", reference)]
