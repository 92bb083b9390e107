"""The door: who may come in, by which of the methods offered. A refusal is a 401 that lists them, as IIS writes it.

Basic and Bearer speak for one request; NTLM proves who the *connection* belongs to, once, and every other connection must
sign in anew. Neighbours: ntlm.py judges handshakes, access.py reads Basic credentials, identity/ reads tokens.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Final, Literal

from kalends_sandbox.exchange import access, ntlm
from kalends_sandbox.http import Connection, Request, Response
from kalends_sandbox.identity import Tokens
from kalends_sandbox.identity.tokens import TokenRefused
from kalends_sandbox.world import ServiceAccount, World

Method = Literal["basic", "ntlm", "negotiate", "oauth"]
METHODS: Final[tuple[Method, ...]] = ("basic", "ntlm", "negotiate", "oauth")

_MAX_TOKEN_BYTES: Final = 16_384
_OFFERS: Final[Mapping[Method, str]] = MappingProxyType(
    {
        # Exchange's own application id, and the token service that it trusts.
        "oauth": 'Bearer client_id="00000002-0000-0ff1-ce00-000000000000", '
        'trusted_issuers="00000001-0000-0000-c000-000000000000@{tenant}", '
        'token_types="app_asserted_user_v1 service_asserted_app_v1"',
        "negotiate": "Negotiate",
        "ntlm": "NTLM",
        "basic": 'Basic realm="{host}"',
    }
)


@dataclass(slots=True)
class _SignIn:
    """What a connection has shown so far: half a handshake, or whose it is."""

    handshake: ntlm.Handshake | None = None
    account: ServiceAccount | None = None


class Door:
    """`channel` is the binding of the TLS connections that arrive here: what their certificate makes of it."""

    def __init__(
        self, world: World, rng: Random, methods: tuple[Method, ...], channel: bytes | None, tokens: Tokens | None
    ) -> None:
        self._world, self._rng, self._methods, self._channel, self._tokens = world, rng, methods, channel, tokens
        self._server = ntlm.Server(world.netbios_domain, world.domain)
        self.refused = 0

    def admit(self, request: Request, protection: ntlm.Protection) -> ServiceAccount | Response:
        """Who calls, or the answer that asks to sign in. A challenge is no refusal and is not counted as one."""
        said = request.headers.get("Authorization")
        if said is None:
            known = request.connection.state(_SignIn).account
            return known if known is not None else self.refusal(request)
        scheme, _, credentials = said.partition(" ")
        if scheme.lower() == "basic" and "basic" in self._methods:
            account = access.basic(self._world, credentials.strip())
            return account if account is not None else self.refusal(request)
        if scheme.lower() in ("ntlm", "negotiate") and scheme.lower() in self._methods:
            return self._ntlm(request, scheme, credentials.strip(), protection)
        if scheme.lower() == "bearer" and self._tokens is not None and "oauth" in self._methods:
            return self._bearer(request, credentials.strip(), self._tokens)
        return self.refusal(request)

    def refusal(self, request: Request, diagnostics: str | None = None) -> Response:
        """401 with everything on offer; whatever the connection had shown is forgotten.

        `diagnostics`: a token was brought and is not good enough.
        """
        self.refused += 1
        _forget(request.connection)
        values = {"host": request.host, "tenant": self._world.tenant_id}
        offers = [offer.format(**values) for method, offer in _OFFERS.items() if method in self._methods]
        if diagnostics is None:
            return _asking(offers)
        response = _asking([f'{offer}, error="invalid_token"' if "Bearer" in offer else offer for offer in offers])
        response.headers.append(("x-ms-diagnostics", diagnostics))
        return response

    def _bearer(self, request: Request, token: str, tokens: Tokens) -> ServiceAccount | Response:
        try:
            return tokens.bearer(token, request.host).caller
        except TokenRefused as refused:
            return self.refusal(request, refused.diagnostics)

    def _ntlm(
        self, request: Request, scheme: str, encoded: str, protection: ntlm.Protection
    ) -> ServiceAccount | Response:
        sign_in = request.connection.state(_SignIn)
        try:
            token = _decoded(encoded)
            if sign_in.handshake is None or ntlm.opens(token):
                _forget(request.connection)
                now = self._world.clock.now()
                sign_in.handshake = ntlm.begun(token, self._server, self._rng.randbytes(8), now)
                return _asking([f"{scheme} {base64.b64encode(sign_in.handshake.challenge).decode()}"])
            handshake, sign_in.handshake = sign_in.handshake, None
            channel = self._channel if request.connection.is_secure else None
            sign_in.account = ntlm.proved(token, handshake, self._world.account, channel, protection)
        except ntlm.Refused:
            return self.refusal(request)
        return sign_in.account


def _forget(connection: Connection) -> None:
    sign_in = connection.state(_SignIn)
    sign_in.handshake = sign_in.account = None


def _decoded(encoded: str) -> bytes:
    try:
        token = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ntlm.Refused("The token is not Base64.") from None
    if len(token) > _MAX_TOKEN_BYTES:
        raise ntlm.Refused("The token is larger than any message of NTLM.")
    return token


def _asking(offers: list[str]) -> Response:
    headers = [("WWW-Authenticate", offer) for offer in offers]
    return Response(401, [*headers, ("Content-Type", "text/plain")], b"Sign in by one of the methods offered.\n")
