"""Signing in by OAuth: an application's own token (client credentials, RFC 6749 §4.4), fetched by one request for all.

The client secret goes to the token address alone, a token to the account's EWS address alone. A token is renewed well
before it ends, at a moment drawn at random, so that many accounts don't ask at once; when that fails it is used to its end.
What the token address answers is read by `token_answers`.
"""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode, urlsplit

from kalends.providers.exchange import token_answers
from kalends.providers.exchange.auth import Refused, SignIn, offered
from kalends.providers.exchange.settings import ExchangeSettings
from kalends.providers.http import Headers, Http, Stream
from kalends.providers.protocol import AuthLost, Throttled, Unavailable

Now = Callable[[], datetime]
_AGAIN = timedelta(seconds=30)
"""After a renewal that failed, while the old token still holds."""


@dataclass(frozen=True, slots=True)
class _Held:
    """The token of the moment."""

    text: str
    renew_at: datetime
    ends_at: datetime


class OAuth(SignIn):
    way = "OAuth"

    def __init__(
        self, settings: ExchangeSettings, secret: str, http: Http, token_http: Http, rng: random.Random, now: Now
    ) -> None:
        super().__init__(settings)
        self._settings, self._secret = settings, secret
        self._http, self._token_http = http, token_http
        self._rng, self._now = rng, now
        self._one = asyncio.Lock()
        self._held: _Held | None = None

    @asynccontextmanager
    async def open(self, headers: dict[str, str], body: bytes, idle_seconds: float | None) -> AsyncIterator[Stream]:
        token = await self._token()
        async with self._sent(token, headers, body, idle_seconds) as stream:
            if stream.status != 401:
                yield stream
                return
            self._check_offer(stream.headers)
        token = await self._token(refused=token)  # it may have been revoked, or the clocks differ
        async with self._sent(token, headers, body, idle_seconds) as stream:
            if stream.status == 401:
                raise self._not_taken(stream.headers)
            yield stream

    def _sent(
        self, token: str, headers: dict[str, str], body: bytes, idle_seconds: float | None
    ) -> AbstractAsyncContextManager[Stream]:
        return self._http.stream(self.url, headers | {"Authorization": f"Bearer {token}"}, body, idle_seconds)

    async def _token(self, refused: str | None = None) -> str:
        """A token that holds, other than the one that the server refused."""
        if self._is_good(refused):
            assert self._held is not None
            return self._held.text
        async with self._one:
            self.check()
            if not self._is_good(refused):  # else somebody fetched one while we waited
                self._held = await self._renewed(refused)
            assert self._held is not None
            return self._held.text

    def _is_good(self, refused: str | None) -> bool:
        return self._held is not None and self._held.text != refused and self._now() < self._held.renew_at

    async def _renewed(self, refused: str | None) -> _Held:
        held = self._held
        try:
            return await self._fetched()
        except (Throttled, Unavailable):
            if held is None or held.text == refused or self._now() >= held.ends_at:
                raise
            return _Held(held.text, min(self._now() + _AGAIN, held.ends_at), held.ends_at)
        except Refused as error:
            raise self.refused(str(error)) from error

    async def _fetched(self) -> _Held:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._settings.client_id,
            "client_secret": self._secret,
            "scope": self._settings.token_scope,
        }
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
            "User-Agent": "Kalends",
        }
        url, asked_at = self._settings.token_url, self._now()
        answer = await self._token_http.post(url, headers, urlencode(form).encode("ascii"))
        token = token_answers.read(answer, urlsplit(url).hostname or "")
        early = 0.75 + 0.15 * self._rng.random()
        return _Held(token.text, asked_at + token.holds * early, asked_at + token.holds)

    def _check_offer(self, headers: Headers) -> None:
        offers = offered(headers)
        if offers and all(offer.scheme != "bearer" for offer in offers):
            raise self.not_offered(offers)

    def _not_taken(self, headers: Headers) -> AuthLost:
        """Not remembered: a token is no password, and rights that were just given take a while to count."""
        category = re.search(r'error_category="([a-z_]{1,40})"', headers.get("x-ms-diagnostics") or "")
        reason = f" ({category[1]})" if category else ""
        return AuthLost(
            f"{self.host} does not take the application's token{reason}. Check that the scope names this server, that "
            "the application may use EWS, and that Exchange trusts the token server (Get-AuthServer). A right that was "
            "just given can take an hour to count."
        )

    async def aclose(self) -> None:
        await self._http.aclose()
        await self._token_http.aclose()

    def __repr__(self) -> str:
        return "OAuth(…)"
