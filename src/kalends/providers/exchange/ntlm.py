"""Signing in by NTLM: a handshake that proves the password without sending it, and counts for one connection alone.

    request without a body, NEGOTIATE  ─▶  401 with a CHALLENGE       the certificate of this connection is looked at
    the request itself, AUTHENTICATE   ─▶  the answer                 bound to that certificate; then nothing more is needed

A connection is therefore never shared: each request takes one for itself, signed in or not, and gives it back. What binds
the proof to the TLS connection (channel binding) makes it worthless to somebody in between; Exchange's Extended Protection
insists on it. Handshakes go one after another, so that a password which stopped working is refused once and not by each
connection. The messages are pyspnego's, which takes its nonces from the operating system.
"""

import asyncio
import base64
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import spnego
from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import SpnegoError

from kalends.providers import tls
from kalends.providers.exchange import faults
from kalends.providers.exchange.auth import SignIn, offered
from kalends.providers.exchange.challenges import Challenge
from kalends.providers.exchange.settings import ExchangeSettings
from kalends.providers.http import CALL_SECONDS, Answer, Disconnected, Http, Stream, in_time
from kalends.providers.protocol import AuthLost, Unavailable

_SCHEMES = ("NTLM", "Negotiate")
"""Windows takes the bare NTLM messages under either name; not every server offers both."""
_UNREADABLE = (SpnegoError, ValueError, struct.error, IndexError, KeyError, OverflowError)
"""What pyspnego raises for a challenge that is none."""


@dataclass(slots=True)
class _Connection:
    """One TCP connection at a time. In the hands of one request, or idle."""

    http: Http
    is_signed_in: bool = False


class Ntlm(SignIn):
    way = "NTLM"

    def __init__(self, settings: ExchangeSettings, password: str, http: Http) -> None:
        super().__init__(settings)
        self._user, self._password = settings.username, password
        self._http = http
        self._most_idle = settings.calls_at_once
        self._idle: list[_Connection] = []
        self._handshakes = asyncio.Lock()
        self._is_bound = False

    @property
    def described(self) -> str:
        return "NTLM with channel binding" if self._is_bound else "NTLM without channel binding, for want of TLS"

    @asynccontextmanager
    async def open(self, headers: dict[str, str], body: bytes, idle_seconds: float | None) -> AsyncIterator[Stream]:
        self.check()
        async with self._connection() as connection:
            if connection.is_signed_in:
                async with self._asked_again(connection, headers, body, idle_seconds) as known:
                    if known is not None:
                        yield known
                        return
            async with self._signed_in(connection, headers, body, idle_seconds) as stream:
                yield stream

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[_Connection]:
        """One for the caller alone; kept afterwards if it is worth something."""
        connection = self._idle.pop() if self._idle else _Connection(self._http.single())
        try:
            yield connection
        finally:
            if connection.is_signed_in and len(self._idle) < self._most_idle:
                self._idle.append(connection)
            else:
                await connection.http.aclose()

    @asynccontextmanager
    async def _asked_again(
        self, connection: _Connection, headers: dict[str, str], body: bytes, idle_seconds: float | None
    ) -> AsyncIterator[Stream | None]:
        """Over a connection that was signed in before; None when it is closed by now, or the server forgot it."""
        try:
            async with connection.http.stream(self.url, headers, body, idle_seconds, reconnect=False) as stream:
                if stream.status != 401:
                    yield stream
                    return
                await stream.body()  # to the end, or the connection could not be used on
        except Disconnected:
            pass
        connection.is_signed_in = False
        yield None

    @asynccontextmanager
    async def _signed_in(
        self, connection: _Connection, headers: dict[str, str], body: bytes, idle_seconds: float | None
    ) -> AsyncIterator[Stream]:
        """The request with a handshake before it, on this connection."""
        async with AsyncExitStack() as stack:
            # Until the server's verdict is there, which the next in line waits for.
            async with in_time(self.host, CALL_SECONDS), self._handshakes:
                self.check()
                signed = headers | {"Authorization": await self._proof(connection)}
                opening = connection.http.stream(self.url, signed, body, idle_seconds, reconnect=False)
                try:
                    stream = await stack.enter_async_context(opening)
                except Disconnected as error:
                    raise Unavailable(
                        f"{self.host} closed the connection in the middle of the sign-in, and NTLM holds for one "
                        "connection only. If this repeats, let the proxies before it keep connections open."
                    ) from error
                if stream.status == 401:
                    raise self.wrong_password(self._hint())
            connection.is_signed_in = True
            yield stream

    async def _proof(self, connection: _Connection) -> str:
        """The header that answers the server's challenge. Nothing made from the password has been sent before it."""
        context = spnego.client(
            self._user, self._password, self.host, "http", protocol="ntlm", options=spnego.NegotiateOptions.use_ntlm
        )
        greeting = context.step() or b""
        for scheme in _SCHEMES:
            answer, certificate = await self._challenge(connection, f"{scheme} {_encoded(greeting)}")
            offers = offered(answer.headers)
            token = next((each.token for each in offers if each.scheme == scheme.lower() and each.token), None)
            if token is not None:
                break
            if not any(each.scheme == "negotiate" for each in offers):
                break
        if token is None:
            raise self._without_challenge(offers)
        bindings = None
        self._is_bound = certificate is not None
        if certificate is not None:
            bindings = GssChannelBindings(application_data=tls.end_point(certificate))
        try:
            proof = context.step(base64.b64decode(token, validate=True), channel_bindings=bindings)
        except _UNREADABLE as error:
            raise Unavailable(
                f"{self.host} sent an NTLM challenge that can't be read. If this repeats, look at proxies before it."
            ) from error
        return f"{scheme} {_encoded(proof or b'')}"

    async def _challenge(self, connection: _Connection, greeting: str) -> tuple[Answer, bytes | None]:
        """The 401 to a request without a body, and the certificate of the connection that it came over."""
        headers = {"Authorization": greeting, "User-Agent": "Kalends"}
        async with connection.http.stream(self.url, headers, b"", CALL_SECONDS) as stream:
            certificate = stream.certificate
            answer = Answer(stream.status, stream.headers, await stream.body())
        if answer.status == 401:
            return answer, certificate
        raise faults.status_error(answer, self.host) or Unavailable(
            f"{self.host} answered HTTP status {answer.status} where NTLM expects a challenge. Check that the address "
            "is that of EWS, and what a proxy before it does."
        )

    def _without_challenge(self, offers: list[Challenge]) -> AuthLost | Unavailable:
        if any(each.scheme in ("ntlm", "negotiate") for each in offers):
            return Unavailable(
                f"{self.host} offers NTLM but sent no challenge. If this repeats, look at proxies before it: "
                "they must pass on each connection whole."
            )
        return self.not_offered(offers)

    def _hint(self) -> str:
        if not self._is_bound:
            return "If they are right, check that Windows authentication is on for EWS."
        return (
            "If they are right: under Extended Protection nothing between Kalends and Exchange may end TLS with "
            "another certificate than Exchange's own."
        )

    async def aclose(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.http.aclose()
        await self._http.aclose()

    def __repr__(self) -> str:
        return "Ntlm(…)"


def _encoded(message: bytes) -> str:
    return base64.b64encode(message).decode("ascii")
