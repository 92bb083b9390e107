"""Something in between a client and a simulated server: it hears, cuts and, with certificates of its own, ends TLS."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

Change = Callable[["Wire", bytes], bytes | None]


@dataclass
class Wire:
    """One connection through the relay, with what went over it so far."""

    number: int
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    asked: bytearray = field(default_factory=bytearray)
    is_over: bool = False
    """The piece of an answer that is passed on now is the last one."""

    @property
    def requests(self) -> int:
        return self.asked.count(b"POST /")

    def close(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


@dataclass
class Relay:
    url: str
    wires: list[Wire] = field(default_factory=list)
    change: Change = field(default=lambda wire, answer: answer)
    """What is passed on in place of this piece of an answer; None breaks the connection."""

    @property
    def asked(self) -> bytes:
        return b"".join(bytes(wire.asked) for wire in self.wires)

    def hang_up(self) -> None:
        """Every connection that stands now is closed, as a restarted server would."""
        for wire in self.wires:
            wire.close()


@asynccontextmanager
async def relay(
    url: str, inside: ssl.SSLContext | None = None, outside: ssl.SSLContext | None = None
) -> AsyncIterator[Relay]:
    """Before the server at `url`: `outside` is what it shows to clients, `inside` how it trusts the server."""
    parts = urlsplit(url)
    tasks: list[asyncio.Task[None]] = []

    async def pump(wire: Wire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_answer: bool) -> None:
        while not wire.is_over and (piece := await reader.read(65_536)):
            passed = made.change(wire, piece) if is_answer else piece
            if passed is None:
                wire.close()
                return
            if not is_answer:
                wire.asked.extend(piece)
            writer.write(passed)
            await writer.drain()
        writer.close()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire(len(made.wires), [writer])
        made.wires.append(wire)
        with contextlib.suppress(OSError):
            beyond, towards = await asyncio.open_connection(parts.hostname, parts.port, ssl=inside)
            wire.writers.append(towards)
            await asyncio.gather(pump(wire, reader, towards, False), pump(wire, beyond, writer, True))
        wire.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.get_running_loop().create_task(carry(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=outside)
    port = server.sockets[0].getsockname()[1]
    made = Relay(f"{'https' if outside else 'http'}://127.0.0.1:{port}{parts.path}")
    try:
        yield made
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            assert not isinstance(ended, Exception), ended
