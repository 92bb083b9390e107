"""From a template or a problem to an answer. The templates' only door; everything in them is escaped."""

import gzip
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

from kalends.web.assets import asset_url
from kalends.web.problems import Problem, is_for_programs

_PACK_FROM = 1024

templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,  # else every face costs a look at the disk
)
templates.globals["asset"] = asset_url


def rendered(template: str, **values: object) -> str:
    return templates.get_template(template).render(values)


def page(request: Request, template: str, values: Mapping[str, object], status: int = 200) -> Response:
    """A page, packed where the browser takes it, never cached: it shows meetings."""
    body = templates.get_template(template).render(values).encode()
    headers = {"cache-control": "no-store", "vary": "accept-encoding"}
    if len(body) >= _PACK_FROM and "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["content-encoding"] = gzip.compress(body, 5, mtime=0), "gzip"
    return Response(body, status, headers, media_type="text/html; charset=utf-8")


def error_page(problem: Problem, retry: bool = False) -> Response:
    """`retry`: the page asks again by itself, for panels that nobody touches."""
    way_out = {"href": "/pair", "text": "Pair this panel"} if retry else {"href": "/", "text": "To the overview"}
    body = rendered("error.html", problem=problem, retry=retry, way_out=way_out, who=None, here="")
    return Response(body, problem.status, problem.headers, media_type="text/html; charset=utf-8")


def answer(request: Request, problem: Problem) -> Response:
    """The problem as the asker reads it: a document for programs, a page for people."""
    return problem.document() if is_for_programs(request.url.path) else error_page(problem)
