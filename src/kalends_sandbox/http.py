"""A small HTTP/1.1 server on asyncio streams that can also misbehave on purpose.

h11 keeps the protocol; this module moves the bytes. It can stream, trickle, fall silent, cut an answer after any byte
and reset the connection, which no ready-made server does, and it needs nothing but `asyncio.start_server`, so it runs
on in-memory sockets under virtual time as well. `exchange/` and `control.py` are its handlers; `faults.py` decides
when trouble is due.
"""

import asyncio
import itertools
import logging
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Literal, TypeVar

import h11

log = logging.getLogger(__name__)

_READ_BYTES = 64 * 1024
_READ_AHEAD_BYTES = 256 * 1024
_State = TypeVar("_State")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may cost; everything above is refused or dropped."""

    header_bytes: int = 64 * 1024
    body_bytes: int = 8 * 1024 * 1024
    connections: int = 2000
    idle_s: float = 300.0
    write_s: float = 60.0
    silence_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong with one answer.

    `then` happens after `after_bytes` of the whole answer (status line and headers count; 0 = not one byte goes out),
    or `after_s` seconds from its beginning, or, with neither, after the complete answer. In `silence` the connection
    stays open and whatever follows vanishes, as behind a dead firewall.
    """

    then: Literal["close", "reset", "silence"] | None = None
    after_bytes: int | None = None
    after_s: float | None = None
    bytes_per_s: int | None = None


class Headers:
    """Header fields in the order received; names in any case."""

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields = [(name.lower(), value) for name, value in fields]

    def get(self, name: str, default: str | None = None) -> str | None:
        return next((value for key, value in self._fields if key == name.lower()), default)

    def get_all(self, name: str) -> list[str]:
        return [value for key, value in self._fields if key == name.lower()]

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._fields)


@dataclass(slots=True)
class Connection:
    """One client connection; `state` lives as long as it does, for sign-ins that belong to a connection."""

    number: int
    peer: str
    is_secure: bool
    _state: dict[type, object] = field(default_factory=dict)

    def state(self, kind: type[_State]) -> _State:
        """The connection's one object of this kind, made at the first call."""
        if kind not in self._state:
            self._state[kind] = kind()
        found = self._state[kind]
        assert isinstance(found, kind)
        return found


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: str
    headers: Headers
    body: bytes
    connection: Connection

    @property
    def host(self) -> str:
        """The name it was asked by, with the port if one was said."""
        return self.headers.get("Host") or "localhost"


Body = bytes | AsyncGenerator[bytes, None]


@dataclass(slots=True)
class Response:
    """An answer; a generator as body is streamed in chunks and ends when the client leaves.

    `closed` is called once, when the answer is over, however it ended.
    """

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: Body = b""
    trouble: Trouble | None = None
    closed: Callable[[], None] | None = None

    def over(self) -> None:
        if self.closed is not None:
            closed, self.closed = self.closed, None
            closed()


Handler = Callable[[Request], Awaitable[Response]]


class _Gone(Exception):
    """The peer has left, or the trouble planned for the answer has come: the connection is over."""


class Server:
    """A listening server; `close` ends every connection and waits for it."""

    def __init__(self, handler: Handler, limits: Limits, is_secure: bool) -> None:
        self._handler = handler
        self._limits = limits
        self._is_secure = is_secure
        self._numbers = itertools.count(1)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._listener: asyncio.Server | None = None
        self.port = 0

    async def listen(self, host: str, port: int, ssl: SSLContext | None) -> None:
        self._listener = await asyncio.start_server(self._accept, host, port, ssl=ssl, limit=_READ_BYTES)
        bound = self._listener.sockets
        self.port = bound[0].getsockname()[1] if bound else port

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= self._limits.connections:
            writer.transport.abort()
            return
        peer = writer.get_extra_info("peername")
        number = next(self._numbers)
        connection = Connection(number, str(peer[0]) if peer else "", self._is_secure)
        talk = _Talk(reader, writer, connection, self._handler, self._limits)
        task = asyncio.get_running_loop().create_task(talk.run(), name=f"http connection {number}")
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._tasks.pop(number, None))

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listener is not None:
            await self._listener.wait_closed()


async def serve(
    handler: Handler, host: str, port: int, ssl: SSLContext | None = None, limits: Limits | None = None
) -> Server:
    """Listens at once; `Server.port` is the port really bound (0 asks for a free one)."""
    server = Server(handler, limits or Limits(), ssl is not None)
    await server.listen(host, port, ssl)
    return server


class _Talk:
    """One connection from accept to close: requests in, answers out, one after the other."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connection: Connection,
        handler: Handler,
        limits: Limits,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._connection, self._handler, self._limits = connection, handler, limits
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.header_bytes)
        self._ahead = bytearray()

    async def run(self) -> None:
        try:
            while await self._turn():
                self._h11.start_next_cycle()
        except (_Gone, ConnectionError, TimeoutError):
            pass  # nobody is left to tell
        except Exception:  # a bug in a streamed body: the answer has begun, so it can only be cut
            log.exception("A streamed answer failed.")
        finally:
            await self._close()

    async def _close(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(1):  # TLS says goodbye, the rest is flushed; a silent peer must not hold us
                await self._writer.wait_closed()
        except (ConnectionError, TimeoutError):
            self._writer.transport.abort()

    async def _turn(self) -> bool:
        """One request and its answer; False when the connection should end."""
        try:
            request = await self._request()
        except h11.RemoteProtocolError as error:
            await self._refuse(error.error_status_hint, "This is not a readable HTTP request.")
            return False
        if request is None:
            return False
        if isinstance(request, Response):
            await self._answer(request, "GET")
            return False
        response = await self._handled(request)
        try:
            await self._answer(response, request.method)
        finally:
            response.over()
        return self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE

    async def _handled(self, request: Request) -> Response:
        try:
            return await self._handler(request)
        except Exception:  # a bug of ours is an answer, never a hung client
            log.exception("The handler failed for %s %s.", request.method, request.path)
            return Response(500, [("Content-Type", "text/plain")], b"The sandbox failed here; its log says where.\n")

    async def _request(self) -> Request | Response | None:
        """The next request; None when the client has left or stays idle too long; a refusal when it is too large."""
        try:
            async with asyncio.timeout(self._limits.idle_s):
                head = await self._event()
                if not isinstance(head, h11.Request):
                    return None
                body = bytearray()
                while isinstance(event := await self._event(), h11.Data):
                    body += event.data
                    if len(body) > self._limits.body_bytes:
                        return Response(413, [("Connection", "close")], b"The request body is too large.\n")
        except TimeoutError:
            return None
        path, _, query = head.target.decode("latin-1").partition("?")
        headers = Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers)
        return Request(head.method.decode("latin-1"), path, query, headers, bytes(body), self._connection)

    async def _event(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            event = self._h11.next_event()
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]
            if self._h11.they_are_waiting_for_100_continue:
                await self._write(self._h11.send(h11.InformationalResponse(status_code=100, headers=[])))
            data, self._ahead = bytes(self._ahead), bytearray()
            self._h11.receive_data(data or await self._reader.read(_READ_BYTES))

    async def _refuse(self, status: int, sentence: str) -> None:
        if self._h11.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await self._answer(Response(status, [("Connection", "close")], f"{sentence}\n".encode()), "GET")

    async def _answer(self, response: Response, method: str) -> None:
        trouble = response.trouble or Trouble()
        outlet = _Outlet(self._write, trouble)
        try:
            async with asyncio.timeout(None if trouble.then == "silence" else trouble.after_s) as limit:
                await self._send(response, method, outlet)
        except _Cut:
            pass
        except TimeoutError:
            if not limit.expired():
                raise
        if trouble.then is not None and (outlet.is_cut or trouble.after_bytes is None):
            await self._end(trouble.then)

    async def _send(self, response: Response, method: str, outlet: "_Outlet") -> None:
        body = response.body
        headers = list(response.headers)
        if isinstance(body, bytes):
            headers.append(("Content-Length", str(len(body))))
        await outlet.send(self._h11.send(h11.Response(status_code=response.status, headers=headers)))
        if isinstance(body, bytes):
            if body and method != "HEAD":
                await outlet.send(self._h11.send(h11.Data(data=body)))
        else:
            await self._stream(body, outlet)
        await outlet.send(self._h11.send(h11.EndOfMessage()))

    async def _stream(self, body: AsyncGenerator[bytes, None], outlet: "_Outlet") -> None:
        """Passes chunks on while watching the client: a stream must not outlive its reader."""
        watch = asyncio.get_running_loop().create_task(self._until_gone(), name="watch for the client leaving")
        pump = asyncio.get_running_loop().create_task(self._pump(body, outlet), name="stream the answer")
        try:
            await asyncio.wait((watch, pump), return_when=asyncio.FIRST_COMPLETED)
            if not pump.done():
                raise _Gone
        finally:
            watch.cancel()
            pump.cancel()
            await asyncio.gather(watch, pump, return_exceptions=True)
        pump.result()

    async def _pump(self, body: AsyncGenerator[bytes, None], outlet: "_Outlet") -> None:
        async with aclosing(body) as chunks:
            async for chunk in chunks:
                await outlet.send(self._h11.send(h11.Data(data=chunk)))

    async def _until_gone(self) -> None:
        with suppress(ConnectionError):
            while data := await self._reader.read(_READ_BYTES):
                self._ahead += data
                if len(self._ahead) > _READ_AHEAD_BYTES:
                    return

    async def _write(self, data: bytes | None) -> None:
        if data:
            self._writer.write(data)
            async with asyncio.timeout(self._limits.write_s):
                await self._writer.drain()

    async def _end(self, how: Literal["close", "reset", "silence"]) -> None:
        if how == "silence":
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.silence_s):
                    await self._until_gone()
        if how == "reset":
            _reset(self._writer.transport)
        raise _Gone


class _Cut(Exception):
    """The bytes that the trouble allows are used up."""


class _Outlet:
    """Lets out what the trouble allows, at the pace it allows."""

    def __init__(self, write: Callable[[bytes], Awaitable[None]], trouble: Trouble) -> None:
        self._write = write
        self._trouble = trouble
        self._left = trouble.after_bytes
        self._began = asyncio.get_running_loop().time()
        self.is_cut = False

    async def send(self, data: bytes | None) -> None:
        if not data or self._is_silent():
            return
        passed = data if self._left is None else data[: self._left]
        await self._paced(passed)
        if self._left is None:
            return
        self._left -= len(passed)
        if self._left == 0:
            self.is_cut = True
            if self._trouble.then != "silence":
                raise _Cut

    def _is_silent(self) -> bool:
        if self._trouble.then != "silence":
            return False
        after_s = self._trouble.after_s
        return self.is_cut or (after_s is not None and asyncio.get_running_loop().time() - self._began >= after_s)

    async def _paced(self, data: bytes) -> None:
        rate = self._trouble.bytes_per_s
        if rate is None:
            await self._write(data)
            return
        step = max(1, rate // 10)
        for start in range(0, len(data), step):
            await self._write(data[start : start + step])
            await asyncio.sleep(step / rate)


def _reset(transport: asyncio.WriteTransport) -> None:
    """Ends the connection with RST instead of FIN, so that the client sees an error and not an orderly end."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
