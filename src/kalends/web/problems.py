"""Refusals and failures as sentences: RFC 9457 problem documents for programs, a page for people.

Neither ever repeats what was sent: an error page that echoes its input is a hole waiting for a careless template.
"""

import json
from dataclasses import dataclass, field
from typing import ClassVar

from starlette.responses import Response

PROGRAM_PATHS = ("/v1/", "/livez", "/readyz", "/metrics", "/version", "/openapi.json")


@dataclass(eq=False)
class Problem(Exception):
    """A request that can't be answered as asked. `detail` says what to do; `code` is stable."""

    media_type: ClassVar[str] = "application/problem+json"
    status: int
    code: str
    title: str
    detail: str
    pointers: tuple[tuple[str, str], ...] = ()
    """For invalid input: which parameter, and what is wrong with it."""
    headers: dict[str, str] = field(default_factory=dict)

    def document(self) -> Response:
        body: dict[str, object] = {
            "type": f"urn:kalends:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.pointers:
            body["errors"] = [{"parameter": name, "detail": text} for name, text in self.pointers]
        headers = {"cache-control": "no-store", **self.headers}
        return Response(json.dumps(body), self.status, headers, media_type=self.media_type)


def is_for_programs(path: str) -> bool:
    return path.startswith(PROGRAM_PATHS)


def not_found() -> Problem:
    return Problem(404, "not_found", "Not found", "There is nothing at this address. Check the id in it.")


def not_allowed_method(allowed: str) -> Problem:
    detail = f"This address answers {allowed} only."
    return Problem(405, "method_not_allowed", "Method not allowed", detail, headers={"allow": allowed})


def sign_in_first() -> Problem:
    detail = "Send a token as “Authorization: Bearer …”, or sign in with a browser first."
    return Problem(401, "unauthenticated", "Sign in first", detail, headers={"www-authenticate": "Bearer"})


def forbidden() -> Problem:
    detail = "Whoever you are signed in as may not use this address."
    return Problem(403, "forbidden", "Not allowed", detail)


def cross_site() -> Problem:
    detail = "The request did not come from a page of this server. Open the page again and repeat what you did there."
    return Problem(403, "cross_site", "Not from our page", detail)


def busy(detail: str, seconds: int) -> Problem:
    return Problem(503, "busy", "Try again shortly", detail, headers={"retry-after": str(seconds)})


def broken() -> Problem:
    detail = "Kalends failed while answering. The log has the details; trying again later may help."
    return Problem(500, "internal", "Something went wrong", detail)
