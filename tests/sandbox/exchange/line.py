"""One TCP connection in a test's own hand, because NTLM signs in a connection, not a request; with pyspnego's client."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ssl import SSLContext
from urllib.parse import urlsplit

import spnego
from spnego.channel_bindings import GssChannelBindings


@dataclass
class Said:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name.lower()]


@dataclass
class Line:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    path: str
    client: spnego.ContextProxy | None = None

    async def post(self, body: bytes, authorization: str | None = None) -> Said:
        head = f"POST {self.path} HTTP/1.1\r\nHost: mail.north.example\r\nContent-Length: {len(body)}\r\n"
        if authorization is not None:
            head += f"Authorization: {authorization}\r\n"
        self.writer.write(head.encode() + b"\r\n" + body)
        return await self.read()

    async def read(self) -> Said:
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        length = int(next(value for name, value in headers if name == "content-length"))
        return Said(int(first.split()[1]), headers, await self.reader.readexactly(length))

    async def challenge(
        self, user: str, password: str, binding: bytes | None = None, scheme: str = "NTLM", body: bytes = b""
    ) -> Said:
        """The first leg: what the server answers to a NEGOTIATE_MESSAGE."""
        channel = GssChannelBindings(application_data=binding) if binding is not None else None
        self.client = spnego.client(
            user, password, protocol="ntlm", channel_bindings=channel, options=spnego.NegotiateOptions.use_ntlm
        )
        return await self.post(body, f"{scheme} {base64.b64encode(self.client.step() or b'').decode()}")

    def response(self, challenge: Said, scheme: str = "NTLM") -> str:
        """The Authorization of the second leg."""
        assert self.client is not None
        (offered,) = challenge.all("WWW-Authenticate")
        token = self.client.step(base64.b64decode(offered.removeprefix(scheme + " ")))
        return f"{scheme} {base64.b64encode(token or b'').decode()}"

    async def sign_in(
        self, body: bytes, user: str, password: str, binding: bytes | None = None, scheme: str = "NTLM"
    ) -> Said:
        """All of it; the answer to `body`, or the refusal."""
        challenge = await self.challenge(user, password, binding, scheme)
        assert challenge.status == 401
        return await self.post(body, self.response(challenge, scheme))


@asynccontextmanager
async def connected(url: str, ssl: SSLContext | None = None) -> AsyncIterator[Line]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=ssl)
    try:
        yield Line(reader, writer, parts.path)
    finally:
        writer.close()
