"""Who may use a route. Deny by default: a route that doesn't say stops the start."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, TypeVar

from starlette.routing import BaseRoute, Route

from kalends.features.access import Identity, Who

F = TypeVar("F", bound=Callable[..., Any])


class Policy(StrEnum):
    PUBLIC = "public"
    """Anybody: health, static files, sign-in and pairing."""
    ADMIN = "admin"
    """A signed-in administrator."""
    PANEL = "panel"
    """The panel paired with the space in the path, or a signed-in administrator."""
    API = "api"
    """A program with a token, or a signed-in administrator."""


class RouteWithoutPolicy(Exception):
    """A route does not say who may use it, so the web side refuses to start."""


def allow(policy: Policy) -> Callable[[F], F]:
    """Declares who may use the endpoint."""

    def declare(endpoint: F) -> F:
        endpoint.policy = policy  # type: ignore[attr-defined]
        return endpoint

    return declare


def policy_of(route: BaseRoute) -> Policy:
    declared = getattr(getattr(route, "endpoint", None), "policy", None)
    if not isinstance(declared, Policy) or not isinstance(route, Route):
        name = getattr(route, "path", type(route).__name__)
        raise RouteWithoutPolicy(f"{name}: say who may use this route with @allow(Policy.…).")
    return declared


def check_all(routes: Iterable[BaseRoute]) -> None:
    """Raises RouteWithoutPolicy."""
    for route in routes:
        policy_of(route)


def is_allowed(policy: Policy, identity: Identity, path_space: str | None) -> bool:
    match policy:
        case Policy.PUBLIC:
            return True
        case Policy.ADMIN:
            return identity.who is Who.ADMIN
        case Policy.API:
            return identity.who in (Who.ADMIN, Who.PROGRAM)
        case Policy.PANEL:
            is_own = identity.who is Who.DEVICE and path_space is not None and identity.space == path_space
            return is_own or identity.who is Who.ADMIN
