"""The token endpoint, client credentials only: `/{tenant}/oauth2/v2.0/token`, its older form `/{tenant}/oauth2/token`, and
AD FS's `/adfs/oauth2/token`. Neighbours: tokens.py makes the tokens, refusals.py finds the words.
"""

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Final, Literal
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from kalends_sandbox.faults import Faults, played
from kalends_sandbox.http import Request, Response
from kalends_sandbox.identity.refusals import Refusal, Voice
from kalends_sandbox.identity.tokens import Tokens
from kalends_sandbox.world import Application, World

OPERATION: Final = "Token"  # what faults call a request for a token
_DEFAULT: Final = "/.default"
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_MAX_FIELDS: Final = 50
_JSON: Final = [
    ("Content-Type", "application/json; charset=utf-8"),
    ("Cache-Control", "no-store, no-cache"),
    ("Pragma", "no-cache"),
]


@dataclass(frozen=True, slots=True)
class _Endpoint:
    voice: Voice
    dialect: Literal["v2", "v1", "adfs"]
    issuer: str


class Identity:
    """Give `handle` to `http.serve`."""

    def __init__(self, world: World, faults: Faults, tokens: Tokens, rng: Random) -> None:
        self._world, self._faults, self._tokens, self._rng = world, faults, tokens, rng

    async def handle(self, request: Request) -> Response:
        endpoint = self._endpoint(request.path)
        if endpoint is None:
            return Response(
                404, [("Content-Type", "text/plain")], b"Tokens are asked for at /TENANT/oauth2/v2.0/token.\n"
            )
        return await played(self._faults, OPERATION, "", lambda: self._answered(endpoint, request))

    def _endpoint(self, path: str) -> _Endpoint | None:
        parts = path.strip("/").lower().split("/")
        if parts == ["adfs", "oauth2", "token"]:
            return _Endpoint(
                Voice("adfs", self._world.domain), "adfs", f"http://adfs.{self._world.domain}/adfs/services/trust"
            )
        issuer = f"https://sts.windows.net/{self._world.tenant_id}/"
        if parts[1:] == ["oauth2", "v2.0", "token"]:
            return _Endpoint(Voice("entra", parts[0]), "v2", issuer)
        if parts[1:] == ["oauth2", "token"]:
            return _Endpoint(Voice("entra", parts[0]), "v1", issuer)
        return None

    def _answered(self, endpoint: _Endpoint, request: Request) -> Response:
        try:
            facts = self._token(endpoint, request)
        except Refusal as refusal:
            said = endpoint.voice.facts(refusal, self._world.clock.now(), self._rng)
            return Response(refusal.status, list(_JSON), json.dumps(said).encode())
        return Response(200, list(_JSON), json.dumps(facts).encode())

    def _token(self, endpoint: _Endpoint, request: Request) -> dict[str, object]:
        voice = endpoint.voice
        if request.method != "POST":
            sentence = f"The endpoint only accepts POST requests. Received a {request.method} request."
            raise Refusal("invalid_request", 900561, sentence)
        if voice.flavour == "entra" and voice.tenant not in (self._world.tenant_id, self._world.domain, "common"):
            raise voice.unknown_tenant()
        form = _form(request)
        grant = form.get("grant_type")
        if not grant:
            raise voice.missing("grant_type")
        if grant != "client_credentials":
            raise voice.other_grant(grant)
        application = self._application(voice, request, form)
        audience = self._audience(endpoint, form)
        token = self._tokens.issue(application, audience, endpoint.issuer)
        return self._facts(endpoint, token, audience)

    def _application(self, voice: Voice, request: Request, form: Mapping[str, str]) -> Application:
        """By the form's fields or, as RFC 6749 prefers, by Basic credentials."""
        client_id, secret = _basic(request) or (form.get("client_id", ""), form.get("client_secret", ""))
        if not client_id:
            raise voice.missing("client_id")
        application = self._world.application(client_id)
        if application is None:
            raise voice.unknown_application(client_id)
        if not secret:
            raise voice.missing("client_secret")
        if not hmac.compare_digest(secret.encode(), application.secret.encode()):
            raise voice.wrong_secret(client_id)
        return application

    def _audience(self, endpoint: _Endpoint, form: Mapping[str, str]) -> str:
        """What the token is for, as an origin."""
        voice = endpoint.voice
        if endpoint.dialect == "v2" or (endpoint.dialect == "adfs" and "resource" not in form):
            scope = form.get("scope", "")
            if not scope:
                raise voice.missing("scope")
            if not scope.endswith(_DEFAULT):
                raise voice.bad_scope(scope)
            resource = scope.removesuffix(_DEFAULT)
        else:
            resource = form.get("resource", "")
            if not resource:
                raise voice.missing("resource")
        host = urlsplit(resource).hostname or ""
        own = host == self._world.domain or host.endswith("." + self._world.domain)
        if not (own or host == "outlook.office365.com" or host in _LOOPBACK):
            raise voice.unknown_resource(resource)
        return resource.rstrip("/")

    def _facts(self, endpoint: _Endpoint, token: str, audience: str) -> dict[str, object]:
        seconds = int(self._tokens.lifetime.total_seconds())
        if endpoint.dialect == "adfs":
            return {"access_token": token, "token_type": "bearer", "expires_in": seconds}
        if endpoint.dialect == "v2":
            return {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token}
        now = int(self._world.clock.now().timestamp())
        return {  # the older endpoint writes its numbers as text
            "token_type": "Bearer",
            "expires_in": str(seconds),
            "ext_expires_in": str(seconds),
            "expires_on": str(now + seconds),
            "not_before": str(now),
            "resource": audience,
            "access_token": token,
        }


def _form(request: Request) -> dict[str, str]:
    kind = (request.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        return {}
    try:
        return dict(parse_qsl(request.body.decode(), max_num_fields=_MAX_FIELDS))
    except ValueError:
        return {}


def _basic(request: Request) -> tuple[str, str] | None:
    scheme, _, encoded = (request.headers.get("Authorization") or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (unquote_plus(client_id), unquote_plus(secret)) if colon else None
