"""Access tokens: JWTs that only this sandbox signs and reads. They live by the world's clock.

Entra ID signs with RSA; here it is Ed25519, whose key and signatures follow from the seed. Clients may not look into a token
anyway. Neighbours: server.py hands them out, exchange/door.py lets in whoever brings one.
"""

import base64
import binascii
import json
from datetime import timedelta
from random import Random
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kalends_sandbox.world import Application, World

ROLE: Final = "full_access_as_app"
_SKEW: Final = timedelta(minutes=5)  # how much servers forgive of a clock that differs


class TokenRefused(Exception):
    """The token lets nobody in; `diagnostics` is what Exchange writes into `x-ms-diagnostics`."""

    def __init__(self, number: int, reason: str, category: str) -> None:
        super().__init__(reason)
        self.diagnostics = f'{number};reason="{reason}";error_category="{category}"'


class Tokens:
    """The one key of this run, and what was made with it."""

    def __init__(self, world: World, rng: Random, lifetime: timedelta = timedelta(seconds=3599)) -> None:
        self._world, self._rng = world, rng
        self._key = Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))
        self.lifetime = lifetime
        self.issued = 0

    def issue(self, application: Application, audience: str, issuer: str) -> str:
        """A token for that audience (an origin, such as https://mail.north.example)."""
        self.issued += 1
        now = self._world.clock.now()
        claims = {
            "aud": audience,
            "iss": issuer,
            "iat": int(now.timestamp()),
            "nbf": int(now.timestamp()),
            "exp": int((now + self.lifetime).timestamp()),
            "appid": application.client_id,
            "app_displayname": application.name,
            "oid": application.client_id,
            "sub": application.client_id,
            "tid": self._world.tenant_id,
            "uti": self._rng.randbytes(12).hex(),
            "ver": "1.0",
            **({"roles": [ROLE]} if application.is_granted else {}),
        }
        head = {"typ": "JWT", "alg": "EdDSA", "kid": "kalends-sandbox"}
        signed = f"{_encoded(json.dumps(head).encode())}.{_encoded(json.dumps(claims).encode())}"
        return f"{signed}.{_encoded(self._key.sign(signed.encode()))}"

    def bearer(self, token: str, host: str) -> Application:
        """The application behind a token brought to the server of that name (its port does not count).

        TokenRefused gives Exchange's reasons.
        """
        claims = self._claims(token)
        now = self._world.clock.now().timestamp()
        if now >= claims["exp"] + _SKEW.total_seconds() or now < claims["nbf"] - _SKEW.total_seconds():
            raise TokenRefused(2000001, "The token has expired or is not yet valid.", "invalid_token")
        if urlsplit(str(claims["aud"])).hostname not in ("outlook.office365.com", urlsplit(f"//{host}").hostname):
            reason = f"The hostname component of the audience claim value is invalid. Expected '{host}'."
            raise TokenRefused(2000003, reason, "invalid_resource")
        if ROLE not in claims.get("roles", ()):
            reason = "The token contains no permissions, or permissions can not be understood."
            raise TokenRefused(2000008, reason, "invalid_grant")
        application = self._world.application(str(claims["appid"]))
        if application is None:
            raise TokenRefused(2000001, "The application of the token is not known any more.", "invalid_token")
        return application

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            signed, _, signature = token.rpartition(".")
            self._key.public_key().verify(_decoded(signature), signed.encode())
            claims = json.loads(_decoded(signed.partition(".")[2]))
        except (InvalidSignature, ValueError, binascii.Error):
            reason = "OAuth token submitted with the request can not be parsed."
            raise TokenRefused(2000001, reason, "invalid_token") from None
        assert isinstance(claims, dict)  # signed by this very object
        return claims


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
