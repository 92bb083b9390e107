"""One Exchange account's line to its server: signs in, sends, and returns the answer or the error that it is.

A wrong password is sent once: the first call goes alone, and once the server refused, the `SignIn` lets no further call
through until `try_again`, so that a changed password never locks the service account out.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any

from kalends.model.event import CalendarId
from kalends.providers.exchange import faults, soap, version
from kalends.providers.exchange.auth import SignIn
from kalends.providers.exchange.settings import ExchangeSettings
from kalends.providers.exchange.soap import Element
from kalends.providers.exchange.version import Build
from kalends.providers.http import Answer, Headers, Stream, whole
from kalends.providers.protocol import Unavailable

WAIT_SECONDS = 30.0
"""How long a request waits for its turn among the account's others."""
IDLE_SECONDS = 90.0
"""A stream this silent is dead: Exchange sends a heartbeat at least every 45 s."""
_COOKIE = "X-BackEndOverrideCookie"


@dataclass(slots=True)
class Affinity:
    """Keeps a group of subscriptions on one back-end server: one anchor for all, and the cookie of the first answer."""

    anchor: CalendarId
    cookie: str | None = None

    def headers(self) -> dict[str, str]:
        kept = {**_anchor(self.anchor), "X-PreferServerAffinity": "true"}
        return kept if self.cookie is None else {**kept, "Cookie": f"{_COOKIE}={self.cookie}"}

    def learn(self, headers: Headers) -> None:
        for line in headers.all("Set-Cookie"):
            try:
                morsel = SimpleCookie(line).get(_COOKIE)
            except CookieError:
                continue
            if morsel is not None:
                self.cookie = morsel.coded_value


def _anchor(calendar: CalendarId) -> dict[str, str]:
    """Leads the request to the mailbox's own server. An address outside ASCII fits no header, and is routed without."""
    return {"X-AnchorMailbox": calendar} if calendar.isascii() and calendar.isprintable() else {}


class Client:
    def __init__(self, settings: ExchangeSettings, sign_in: SignIn) -> None:
        self.host = sign_in.host
        self._settings = settings
        self._sign_in = sign_in
        self._looks_up_as = CalendarId(settings.looks_up_as) if settings.looks_up_as else None
        self._slots = asyncio.Semaphore(settings.calls_at_once)
        self._first = asyncio.Lock()
        self._is_signed_in = False
        self._schema = version.schema(settings.version)
        self.build: Build | None = None
        """What the server says it is; None until the first answer that is no fault."""

    @property
    def signed_in_by(self) -> str:
        """For a sentence, once a call went through."""
        return self._sign_in.described

    def try_again(self) -> None:
        """Lets calls through after the server refused the sign-in: the credentials were changed or confirmed."""
        self._sign_in.try_again()
        self._is_signed_in = False

    async def call(
        self, operation: Element, calendar: CalendarId | None = None, affinity: Affinity | None = None
    ) -> Element:
        """The response element. Raises the ProviderError that a fault, a status or a broken answer stands for."""
        calendar = calendar or self._looks_up_as
        body = soap.envelope(operation, calendar if self._settings.impersonate else None, self._schema)
        await self._in_time(self._slots.acquire())
        try:
            answer = await self._answer(body, calendar, affinity)
        finally:
            self._slots.release()
        if affinity is not None:
            affinity.learn(answer.headers)
        content = soap.parse(answer.body, self.host)
        fault = faults.fault(content)
        if fault is not None:
            raise faults.error_of(fault, calendar)
        if answer.status != 200:
            raise Unavailable(f"{self.host} failed with HTTP status {answer.status}. If this repeats, look at its log.")
        if self.build is None:
            self.build = version.told(content)
        return content

    async def stream(
        self, operation: Element, affinity: Affinity, idle_seconds: float = IDLE_SECONDS
    ) -> AsyncGenerator[Element, None]:
        """The response elements of one GetStreamingEvents as they arrive, until the server ends it."""
        body = soap.envelope(operation, affinity.anchor if self._settings.impersonate else None, self._schema)
        async with self._sign_in.open(_headers(affinity.headers()), body, idle_seconds) as stream:
            if stream.status != 200 or "xml" not in (stream.headers.get("Content-Type") or "xml"):
                await self._refuse_stream(stream, affinity.anchor)
            self._is_signed_in = True
            has_begun = False
            async with aclosing(self._documents(stream, idle_seconds)) as documents:
                async for document in documents:
                    content = soap.parse(document, self.host)
                    fault = faults.fault(content)
                    if fault is not None:
                        raise faults.error_of(fault, affinity.anchor)
                    has_begun = True
                    yield content
            if not has_begun:
                raise Unavailable(
                    f"{self.host} ended a stream before it began. If this repeats, look at proxies before it."
                )

    async def _documents(self, stream: Stream, idle_seconds: float) -> AsyncGenerator[bytes, None]:
        """The stream's documents. Bytes that never become one count as silence."""
        cut = soap.Documents(self.host)
        chunks = aiter(stream.chunks())
        waited_since = asyncio.get_running_loop().time()
        while (chunk := await anext(chunks, None)) is not None:
            now = asyncio.get_running_loop().time()
            for document in cut.feed(chunk):
                waited_since = now
                yield document
            if now - waited_since > idle_seconds:
                raise soap.Malformed(
                    f"{self.host} has streamed for {idle_seconds:g} seconds without finishing a message. "
                    "Kalends opens a new connection; if this repeats, look at proxies before the server."
                )

    async def _answer(self, body: bytes, calendar: CalendarId | None, affinity: Affinity | None) -> Answer:
        """As many calls at once as allowed, but the first one alone: it shows whether the password is right."""
        if not self._is_signed_in:
            await self._in_time(self._first.acquire())
            try:
                if not self._is_signed_in:
                    return await self._post(body, calendar, affinity)
            finally:
                self._first.release()
        return await self._post(body, calendar, affinity)

    async def _in_time(self, turn: Coroutine[Any, Any, object]) -> None:
        """Waits for a turn; a server that keeps everybody waiting must not keep the whole queue."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await turn
        except TimeoutError as error:
            raise Unavailable(
                f"{self.host} is so slow that a request could not even begin within {WAIT_SECONDS:g} seconds. "
                "Check the server's load and the network."
            ) from error

    async def _post(self, body: bytes, calendar: CalendarId | None, affinity: Affinity | None) -> Answer:
        routed = affinity.headers() if affinity else _anchor(calendar) if calendar else {}
        answer = await whole(self._sign_in.open(_headers(routed), body, None), self.host)
        self._judge(answer)
        self._is_signed_in = True
        return answer

    def _judge(self, answer: Answer) -> None:
        error = faults.status_error(answer, self.host)
        if error is not None:
            raise error

    async def _refuse_stream(self, stream: Stream, anchor: CalendarId) -> None:
        """Raises what a stream that did not begin stands for."""
        answer = Answer(stream.status, stream.headers, await stream.body())
        self._judge(answer)
        fault = faults.fault(soap.parse(answer.body, self.host))
        if fault is not None:
            raise faults.error_of(fault, anchor)
        raise Unavailable(f"{self.host} failed with HTTP status {answer.status} instead of a stream.")

    async def aclose(self) -> None:
        await self._sign_in.aclose()


def _headers(routed: dict[str, str]) -> dict[str, str]:
    return {"Content-Type": "text/xml; charset=utf-8", "Accept": "text/xml", "User-Agent": "Kalends", **routed}
