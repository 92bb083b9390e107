"""The one HTTP door: every provider's requests leave through here, and every way in which they fail becomes a sentence.

Nothing is retried, no redirect is followed, no cookie is kept, no proxy or other setting is taken from the environment.
A whole call has one timeout, a stream one for each silence; bodies are bounded. Answers are asked for uncompressed, so
that the bound holds for what is unpacked too. httpx2 is not seen outside this module.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

import httpx2

from kalends.providers import tls
from kalends.providers.protocol import Unavailable
from kalends.providers.tap import Talk, Tap
from kalends.providers.tls import Trust

BODY_BYTES = 16 * 1024 * 1024
CALL_SECONDS = 60.0

Transport = httpx2.AsyncBaseTransport
_Error = TypeVar("_Error", bound=BaseException)


class TooLarge(Unavailable):
    """The server's answer exceeds the bound on bodies."""


class Disconnected(Unavailable):
    """The connection that the request was to use is closed. Nothing was sent."""


class Headers:
    """Answer headers, by case-insensitive name."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = [(name.lower(), value) for name, value in pairs]

    def get(self, name: str) -> str | None:
        return next((value for key, value in self._pairs if key == name.lower()), None)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key == name.lower()]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Headers
    body: bytes


class Stream:
    """An answer whose body is read as it comes."""

    def __init__(self, response: httpx2.Response, host: str, idle_seconds: float | None, talk: Talk) -> None:
        self.status = response.status_code
        self.headers = Headers(response.headers.multi_items())
        self._response = response
        self._host = host
        self._idle_seconds = idle_seconds
        self._talk = talk

    @property
    def certificate(self) -> bytes | None:
        """What the server showed on this very connection (DER); None without TLS."""
        network = self._response.extensions.get("network_stream")
        shown = None if network is None else network.get_extra_info("ssl_object")
        return None if shown is None else shown.getpeercert(binary_form=True)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Ends with the body; raises Unavailable when nothing comes for the idle time or the connection breaks."""
        parts = aiter(self._response.aiter_raw())
        while True:
            with self._talk.failures(), _sentences(self._host):
                try:
                    async with asyncio.timeout(self._idle_seconds) as limit:
                        part = await anext(parts, None)
                except TimeoutError as error:
                    if not limit.expired():
                        raise
                    raise Unavailable(
                        f"{self._host} sent nothing for {self._idle_seconds or 0:g} seconds on an open stream. "
                        "The connection is half dead; Kalends opens a new one."
                    ) from error
            if part is None:
                self._talk.ended()
                return
            self._talk.part(part)
            yield part

    async def body(self) -> bytes:
        """The whole body, bounded; for answers that turn out to be no stream."""
        return await _bounded(self.chunks(), self._host)


class Http:
    """Requests on behalf of one account.

    `allow_plain` lets http addresses through: for the simulation, and where nothing of ours is carried. `tells_redirects`
    makes a redirect an answer like others, for those who ask before they go there. `transport` replaces the network, for
    tests.
    """

    def __init__(
        self,
        trust: Trust,
        *,
        connections: int,
        allow_plain: bool = False,
        tells_redirects: bool = False,
        transport: Transport | None = None,
        tap: Tap | None = None,
    ) -> None:
        self._allow_plain = allow_plain
        self._tells_redirects = tells_redirects
        self._tap = tap or Tap()
        self._trusted: ssl.SSLContext | None = None
        # Not through httpx2's client: its cookies, redirects and defaults are unwanted here, and cost half of each call.
        # Exchange's back-end cookies must not leak from one mailbox to another; who needs a cookie sends it itself.
        if transport is None:
            self._trusted = trust.context()
            transport = _network(self._trusted, connections)
        self._transport = transport

    def single(self) -> "Http":
        """The same door with one connection of its own, for what belongs to a connection and not to a request."""
        if self._trusted is None:  # there is no network
            return self
        alone = copy(self)
        alone._transport = _network(self._trusted, 1)
        return alone

    async def post(self, url: str, headers: dict[str, str], body: bytes, seconds: float = CALL_SECONDS) -> Answer:
        """Any complete answer that is no redirect. Raises Unavailable for everything else, TooLarge beyond the bound."""
        return await whole(self.stream(url, headers, body, None), _host(url), seconds)

    async def get(self, url: str, seconds: float = CALL_SECONDS) -> Answer:
        """As `post`, by a bare GET."""
        return await whole(self.stream(url, {}, b"", None, method="GET"), _host(url), seconds)

    @asynccontextmanager
    async def stream(
        self,
        url: str,
        headers: dict[str, str],
        body: bytes,
        idle_seconds: float | None,
        *,
        method: str = "POST",
        reconnect: bool = True,
    ) -> AsyncIterator[Stream]:
        """Yields once the answer's head is there, at the latest after CALL_SECONDS.

        Without `reconnect` it goes over a connection that is open already, or raises Disconnected.
        """
        self._refuse_plain(url)
        sent = {"Accept-Encoding": "identity", **headers}
        with _sentences(_host(url)):
            watched = {} if reconnect else {"trace": _no_new_connection}
            request = httpx2.Request(method, url, headers=sent, content=body, extensions=watched)
        talk = self._tap.talk(method, url, sent, body)
        with talk.failures():
            response = await self._head(request)
        try:
            talk.answered(response.status_code, response.headers.multi_items())
            with talk.failures():
                _check(response, url, self._tells_redirects)
            yield Stream(response, _host(url), idle_seconds, talk)
        finally:
            talk.ended("The rest was not read.")
            with suppress(httpx2.HTTPError):
                await response.aclose()

    async def _head(self, request: httpx2.Request) -> httpx2.Response:
        host, port = request.url.raw_host.decode("ascii"), request.url.port or 443
        try:
            async with in_time(host, CALL_SECONDS):
                with _sentences(host):
                    return await self._transport.handle_async_request(request)
        except _BadHandshake as error:
            raise Unavailable(await tls.explain(error.cause, host, port)) from error.cause

    def _refuse_plain(self, url: str) -> None:
        scheme = urlsplit(url).scheme
        if scheme != "https" and not (scheme == "http" and self._allow_plain):
            raise Unavailable(
                f"The address of {_host(url)} starts with {scheme}://, which would send the password in the clear. "
                "Use its https:// address."
            )

    async def aclose(self) -> None:
        await self._transport.aclose()


async def whole(opening: AbstractAsyncContextManager[Stream], host: str, seconds: float = CALL_SECONDS) -> Answer:
    """The complete answer of a stream that is yet to open, within one time limit for all of it."""
    async with in_time(host, seconds), opening as stream:
        return Answer(stream.status, stream.headers, await stream.body())


@asynccontextmanager
async def in_time(host: str, seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise Unavailable(
            f"{host} did not answer within {seconds:g} seconds. Check the server's load and the network."
        ) from error


def _network(trusted: ssl.SSLContext, connections: int) -> Transport:
    limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=55)
    return httpx2.AsyncHTTPTransport(verify=trusted, trust_env=False, limits=limits)


async def _no_new_connection(event: str, _: object) -> None:
    """httpx2's trace of a request, which may end it: before a new connection is made, nothing has been sent."""
    if event == "connection.connect_tcp.started":
        raise Disconnected("The connection was closed in the meantime.")


class _BadHandshake(Exception):
    def __init__(self, cause: ssl.SSLError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _host(url: str) -> str:
    return urlsplit(url).hostname or "the server"


def _check(response: httpx2.Response, url: str, tells_redirects: bool) -> None:
    host = _host(url)
    if 300 <= response.status_code < 400 and not tells_redirects:
        target = urlsplit(response.headers.get("location", "")).hostname or "somewhere else"
        raise Unavailable(
            f"{host} redirects to {target[:253]}. Kalends follows no redirect, so that the password goes nowhere else: "
            "enter the final address."
        )
    encoding = response.headers.get("content-encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise Unavailable(
            f"{host} compressed its answer although it was asked not to. Switch that off for this address "
            "on the server or the proxy in front of it."
        )


async def _bounded(parts: AsyncIterator[bytes], host: str) -> bytes:
    body = bytearray()
    async for part in parts:
        body += part
        if len(body) > BODY_BYTES:
            raise TooLarge(
                f"{host} answered with more than 16 MiB, which Kalends refuses to read. "
                "Look for an unusually large item in the calendar."
            )
    return bytes(body)


@contextmanager
def _sentences(host: str) -> Iterator[None]:
    """Turns whatever httpx2 raises into Unavailable, a failed TLS handshake into _BadHandshake."""
    try:
        yield
    except httpx2.InvalidURL as error:
        raise Unavailable(f"The address of {host} is not a readable URL. Check it for typing errors.") from error
    except httpx2.TransportError as error:
        handshake = _cause(error, ssl.SSLError)
        if handshake is not None and isinstance(error, httpx2.ConnectError):
            raise _BadHandshake(handshake) from error
        raise Unavailable(_broken(error, host)) from error


def _broken(error: httpx2.TransportError, host: str) -> str:
    if _cause(error, socket.gaierror) is not None:
        return f"The name {host} can't be resolved. Check the address for typing errors, and the DNS of this machine."
    if _cause(error, ConnectionRefusedError) is not None:
        return f"{host} refuses connections on this port. Check the address, and that the server is running."
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return f"No connection to {host}. Check the network and firewalls between this machine and the server."
    if isinstance(error, httpx2.ProtocolError):
        return (
            f"{host} broke off in the middle of its answer. If this repeats, look at the server and proxies before it."
        )
    return f"The connection to {host} broke. If this repeats, look at the network and proxies between."


def _cause(error: BaseException, kind: type[_Error]) -> _Error | None:
    """The first of a kind among an error, its causes and contexts, and the members of groups."""
    waiting: list[BaseException] = [error]
    for _ in range(32):
        if not waiting:
            return None
        one = waiting.pop(0)
        if isinstance(one, kind):
            return one
        if isinstance(one, BaseExceptionGroup):
            waiting.extend(one.exceptions)
        waiting.extend(inner for inner in (one.__cause__, one.__context__) if inner is not None)
    return None
