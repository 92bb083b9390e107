"""From an account's settings and credentials to its way to sign in, with the HTTP door that this way needs."""

import random
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from kalends.providers.exchange.auth import Basic, SignIn
from kalends.providers.exchange.ntlm import Ntlm
from kalends.providers.exchange.oauth import Now, OAuth
from kalends.providers.exchange.settings import BadSettings, ExchangeSettings
from kalends.providers.http import Http, Transport
from kalends.providers.tap import Tap

_STREAMS = 64
"""More connections than any server's HangingConnectionLimit lets one account hold open."""


def sign_in(
    settings: ExchangeSettings,
    credentials: Mapping[str, Any],
    rng: random.Random,
    now: Now,
    transport: Transport | None = None,
    *,
    tells_redirects: bool = False,
    tap: Tap | None = None,
) -> SignIn:
    """`credentials` holds `password`, for OAuth `client_secret`. Raises BadSettings when it doesn't."""
    plain = settings.allow_plain
    http = Http(
        settings.trust,
        connections=settings.calls_at_once + _STREAMS,
        allow_plain=plain,
        tells_redirects=tells_redirects,
        transport=transport,
        tap=tap,
    )
    if settings.sign_in == "oauth":
        is_same = urlsplit(settings.token_url).hostname == urlsplit(settings.address).hostname
        trust = settings.trust if is_same else settings.trust.elsewhere()
        tokens = Http(trust, connections=1, allow_plain=plain, transport=transport, tap=tap)
        return OAuth(settings, _secret(credentials, "client_secret", "client secret"), http, tokens, rng, now)
    password = _secret(credentials, "password", "password")
    return Ntlm(settings, password, http) if settings.sign_in == "ntlm" else Basic(settings, password, http)


def _secret(credentials: Mapping[str, Any], name: str, words: str) -> str:
    secret = credentials.get(name)
    if not isinstance(secret, str) or not secret:
        raise BadSettings(f"The Exchange account has no {words}: enter it.")
    return secret
