"""The driver's own HTTP: as little of it as can be, so that what is measured is not the driver.

One keep-alive connection per `Line`; streams are read without parsing more than the frames.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

LINE_LIMIT = 1 << 22


class Failed(Exception):
    """The other side did not answer as it should. The message holds what it said."""


@dataclass
class Line:
    """A connection to one server. Requests wait for each other."""

    url: str
    context: ssl.SSLContext | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    _open: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def json(self, method: str, path: str, body: object = None) -> dict[str, object]:
        data = b"" if body is None else json.dumps(body).encode()
        answer = json.loads(await self.ask(method, path, data, {"Content-Type": "application/json"}))
        assert isinstance(answer, dict)
        return answer

    async def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
        """The body of the answer. Raises Failed unless it is a 200."""
        async with self._turn:
            reader = await self.send(method, path, body, headers)
            status, fields = await head(reader)
            data = await reader.readexactly(int(fields.get("content-length", "0")))
        if status != 200:
            raise Failed(f"{method} {path} was answered with {status}: {data[:300]!r}")
        return data

    async def send(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> asyncio.StreamReader:
        """Sends a request and returns where its answer will come."""
        reader, writer = await self._connected()
        host = urlsplit(self.url).netloc
        fields = {"Host": host, "Content-Length": str(len(body)), **self.headers, **(headers or {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
        await writer.drain()
        return reader

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._open is None:
            parts = urlsplit(self.url)
            self._open = await asyncio.open_connection(parts.hostname, parts.port, ssl=self.context, limit=LINE_LIMIT)
        return self._open

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None


async def head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Status and headers of an answer, names in lower case; of repeated ones the last."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines[1:] if line)
    return int(lines[0].split()[1]), {name.lower(): value.strip() for name, _, value in pairs}


async def chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The pieces of a chunked body, as they come."""
    while size := int(await reader.readline(), 16):
        data = await reader.readexactly(size)
        await reader.readexactly(2)
        yield data


def trusting_anyone() -> ssl.SSLContext:
    """For loopback: encrypts like the real thing and checks nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
