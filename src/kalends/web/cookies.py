"""The two cookies, and the mark that ties a form to the session that was shown it.

Both hold a random secret and nothing else; the store knows only its hash. Over https their names carry `__Host-`, which
makes browsers refuse them from anywhere but this host over TLS.
"""

import base64
import hashlib
import hmac

from starlette.requests import Request
from starlette.responses import Response

from kalends.features.access import Presented
from kalends.ids import Ids

SESSION, DEVICE = "kalends_session", "kalends_panel"
DEVICE_SECONDS = 400 * 86400
"""As long as browsers keep any cookie; renewed at every start of the panel."""
_MARK_BYTES = 16


def presented(request: Request, is_secure: bool) -> Presented:
    """What the request shows to say who it is."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return Presented(
        session=request.cookies.get(_name(SESSION, is_secure), ""),
        device=request.cookies.get(_name(DEVICE, is_secure), ""),
        token=token.strip() if scheme.lower() == "bearer" else "",
    )


def set_cookie(response: Response, name: str, secret: str, is_secure: bool, seconds: int | None = None) -> None:
    response.set_cookie(
        _name(name, is_secure), secret, max_age=seconds, path="/", secure=is_secure, httponly=True, samesite="lax"
    )


def drop_cookie(response: Response, name: str, is_secure: bool) -> None:
    response.delete_cookie(_name(name, is_secure), path="/", secure=is_secure, httponly=True, samesite="lax")


def form_mark(secret: str, ids: Ids) -> str:
    """A mark for forms shown in the session with this secret. Different each time, so that compression tells nothing."""
    pad = ids.noise(_MARK_BYTES)
    masked = bytes(a ^ b for a, b in zip(pad, _mark(secret), strict=True))
    return base64.urlsafe_b64encode(pad + masked).decode()


def is_mark_of(text: str, secret: str) -> bool:
    try:
        raw = base64.urlsafe_b64decode(text.encode("ascii"))
    except ValueError:
        return False
    if len(raw) != 2 * _MARK_BYTES:
        return False
    mark = bytes(a ^ b for a, b in zip(raw[:_MARK_BYTES], raw[_MARK_BYTES:], strict=True))
    return hmac.compare_digest(mark, _mark(secret))


def _mark(secret: str) -> bytes:
    return hashlib.sha256(b"kalends form\0" + secret.encode()).digest()[:_MARK_BYTES]


def _name(name: str, is_secure: bool) -> str:
    return f"__Host-{name}" if is_secure else name
