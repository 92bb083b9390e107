"""The API's own description (OpenAPI 3.1), made once, and its short form for people."""

from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from kalends.web.policy import Policy, policy_of
from kalends.web.problems import Problem

SUMMARY = "Reading rooms, their state and events, calendars with their freshness, accounts and the change feed."
PROBLEM = {
    "type": "object",
    "description": "RFC 9457. `code` is stable; `detail` says what to do; nothing of the request is repeated.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"parameter": {"type": "string"}, "detail": {"type": "string"}},
                "required": ["parameter", "detail"],
            },
        },
    },
}


@dataclass(frozen=True, slots=True)
class Line:
    """One address, as the reference page lists it."""

    method: str
    path: str
    summary: str
    parameters: str


def description(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = _made(app)
    return app.openapi_schema


def lines(app: FastAPI) -> list[Line]:
    found = []
    for path, methods in description(app)["paths"].items():
        for method, operation in methods.items():
            names = ", ".join(
                parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "query"
            )
            found.append(Line(method.upper(), path, operation.get("summary", ""), names))
    return found


def _made(app: FastAPI) -> dict[str, Any]:
    """FastAPI's, with our problem documents instead of its error bodies, and with who may use what."""
    made = get_openapi(title=app.title, version=app.version, summary=SUMMARY, routes=app.routes)
    components = made.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = PROBLEM
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    open_paths = {r.path for r in app.routes if policy_of(r) is Policy.PUBLIC and hasattr(r, "path")}
    problem = {Problem.media_type: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path, methods in made["paths"].items():
        for operation in methods.values():
            operation["security"] = [] if path in open_paths else [{"token": []}]
            for status, response in operation["responses"].items():
                if int(status) >= 400 and not (path == "/readyz" and status == "503"):
                    response["content"] = problem
    return made
