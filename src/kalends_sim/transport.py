"""One end of an in-memory connection: an asyncio transport that behaves like the one over a TCP socket.

    write → buffer → (window) → Network.carry … arrive → inbox → protocol

The buffer is this process's, with asyncio's high and low water marks. The window bounds what is on its way or unread at
the peer, as the kernels' socket buffers do: a peer that does not read makes its writer wait. What the Linux kernel does
at the end of a connection is kept, because clients and servers depend on it: unread bytes at a close, and bytes for a
closed end, are answered by a reset; bytes that came before a reset are still read; an end that has paused
reading learns of a reset only when it reads or writes again.

One deviation, on the harsh side: `abort` always resets the peer; a kernel does so only with unread bytes or SO_LINGER.
Neighbours: `network.py` carries between two ends and decides about delay and loss.
"""

import asyncio
import enum
import errno
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from kalends_sim.sockets import Address, Socket

if TYPE_CHECKING:
    from kalends_sim.network import Network

WINDOW_BYTES = 64 * 1024
READ_BYTES = 256 * 1024


class Signal(enum.Enum):
    END = "end"
    RESET = "reset"


Item = bytes | Signal
Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Route:
    """Which end of which connection: what it is that arrives there is going `towards` it."""

    connection: int
    port: int
    towards: Literal["client", "server"]


class Endpoint(asyncio.Transport):
    _start_tls_compatible = True  # asked by the event loop's start_tls
    peer: "Endpoint"

    def __init__(
        self,
        network: "Network",
        route: Route,
        name: Address,
        peer_name: Address,
        when_lost: Callable[["Endpoint"], None],
        context: Context,
    ) -> None:
        """`context` is that of the process at this end: its protocol is called in it."""
        self._socket = Socket(name, peer_name, self._fileno)
        super().__init__({"socket": self._socket, "sockname": name, "peername": peer_name})
        self._network, self._loop, self.route = network, network.loop, route
        self.context = context
        self._when_lost = when_lost
        self._protocol: asyncio.BaseProtocol | None = None
        # Outwards
        self._buffer = bytearray()
        self._unread_bytes = 0  # on the way to the peer or waiting there
        self._high, self._low = WINDOW_BYTES, WINDOW_BYTES // 4
        self._is_writing_paused = False
        self._ends = self._end_is_sent = False
        # Inwards
        self.arrivals: deque[Item] = deque()
        self.last_due = 0.0
        self.carried = 0
        self.is_silenced = False
        self._inbox = bytearray()
        self._has_ended = self._end_is_told = self._is_reset = False
        self._is_reading_paused = self._read_is_planned = False
        # Both
        self._is_made = self._is_closing = False
        self.is_lost = False

    def begin(self, protocol: asyncio.BaseProtocol) -> None:
        """The connection is made: the protocol is told, and reading starts."""
        self._protocol = protocol
        if self._is_closing:
            return
        self._is_made = True
        protocol.connection_made(self)
        self._plan_read()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    # --- writing -------------------------------------------------------------------------------------------------

    def write(self, data: Bytes) -> None:
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"A transport writes bytes, not {type(data).__name__}.")
        if self._ends:
            raise RuntimeError("Nothing can be written after write_eof().")
        if self._is_closing or not data:
            return
        if self._is_reset:
            self._force_close(_reset_error())
            return
        self._buffer += data
        self._pump()
        if len(self._buffer) > self._high and not self._is_writing_paused:
            self._is_writing_paused = True
            self.get_protocol().pause_writing()

    def writelines(self, list_of_data: Iterable[Bytes]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if self._is_closing or self._ends:
            return
        self._ends = True
        self._pump()

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = WINDOW_BYTES if low is None else 4 * low
        if low is None:
            low = high // 4
        if not 0 <= low <= high:
            raise ValueError(f"The low water mark {low} must lie between 0 and the high one, {high}.")
        self._high, self._low = high, low

    def _pump(self) -> None:
        """Sends what the window allows, then the end if one is due."""
        if self.is_lost:
            return
        while self._buffer and (room := WINDOW_BYTES - self._unread_bytes) > 0:
            chunk = bytes(self._buffer[:room])
            del self._buffer[:room]
            self._unread_bytes += len(chunk)
            self._network.carry(self.peer, chunk)
        if self._is_writing_paused and len(self._buffer) <= self._low:
            self._is_writing_paused = False
            self.get_protocol().resume_writing()
        if self._buffer:
            return
        if self._is_closing and self._inbox:
            self._force_close(None)
            return
        if (self._is_closing or self._ends) and not self._end_is_sent:
            self._end_is_sent = True
            self._network.carry(self.peer, Signal.END)
        if self._is_closing:
            self._lose(None)

    def _was_read(self, size_bytes: int) -> None:
        self._unread_bytes -= size_bytes
        if self._buffer:
            self._loop.call_soon(self._pump, context=self.context)

    # --- reading -------------------------------------------------------------------------------------------------

    def is_reading(self) -> bool:
        return not (self._is_reading_paused or self._is_closing)

    def pause_reading(self) -> None:
        self._is_reading_paused = True

    def resume_reading(self) -> None:
        self._is_reading_paused = False
        self._plan_read()

    def arrive(self) -> None:
        """The earliest of `arrivals` is here."""
        item = self.arrivals.popleft()
        self._network.note_arrival(self.route, item)
        if self.is_lost:
            if not isinstance(item, Signal):
                self._network.carry(self.peer, Signal.RESET)
            return
        if item is Signal.RESET:
            self._is_reset = True
        elif item is Signal.END:
            self._has_ended = True
        else:
            self._inbox += item
        if self._is_reset and (self._buffer or self._is_closing):
            self._force_close(_reset_error())
        self._plan_read()

    def _plan_read(self) -> None:
        has_news = self._inbox or self._is_reset or (self._has_ended and not self._end_is_told)
        if has_news and self._is_made and self.is_reading() and not self._read_is_planned:
            self._read_is_planned = True
            self._loop.call_soon(self._read, context=self.context)

    def _read(self) -> None:
        self._read_is_planned = False
        if not self.is_reading():
            return
        try:
            self._feed()
        except Exception as error:  # noqa: BLE001 the protocol's mistake ends its connection, not the loop: asyncio does the same
            message = "The protocol failed while it was fed."
            self._loop.call_exception_handler({"message": message, "exception": error, "transport": self})
            self._force_close(error)
        self._plan_read()

    def _feed(self) -> None:
        protocol = self.get_protocol()
        assert isinstance(protocol, asyncio.Protocol | asyncio.BufferedProtocol)
        if self._inbox:
            self._feed_bytes(protocol)
        elif self._is_reset:
            self._force_close(_reset_error())
        else:
            self._end_is_told = True
            if not protocol.eof_received():
                self.close()

    def _feed_bytes(self, protocol: asyncio.Protocol | asyncio.BufferedProtocol) -> None:
        into = None
        size = min(READ_BYTES, len(self._inbox))
        if isinstance(protocol, asyncio.BufferedProtocol):
            into = memoryview(protocol.get_buffer(-1))
            size = min(size, len(into))
            if not size:
                raise RuntimeError("get_buffer() returned an empty buffer.")
        data = bytes(self._inbox[:size])
        del self._inbox[:size]
        self.peer._was_read(size)
        if isinstance(protocol, asyncio.BufferedProtocol):
            assert into is not None
            into[:size] = data
            protocol.buffer_updated(size)
        else:
            protocol.data_received(data)

    def _fileno(self) -> int:
        if self.is_lost:
            return -1
        return self._network.beacons.choose(bool(self._inbox or self._has_ended or self._is_reset))

    # --- ending --------------------------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        """What is buffered is still sent; the peer then reads the end."""
        if self._is_closing:
            return
        if self._socket.resets_on_close:
            self.abort()
            return
        self._is_closing = True
        self._pump()

    def abort(self) -> None:
        self._force_close(None)

    def _force_close(self, error: BaseException | None) -> None:
        """Ends at once, unsent bytes are lost. Under this name because asyncio's TLS calls it."""
        if self.is_lost:
            return
        self._buffer.clear()
        if not self._is_reset:
            self._network.carry(self.peer, Signal.RESET)
        self._lose(error)

    def _lose(self, error: BaseException | None) -> None:
        self.is_lost = self._is_closing = True
        self._inbox.clear()
        self._loop.call_soon(self._tell_lost, error, context=self.context)

    def abandon(self) -> None:
        """The process at this end is dead and its kernel closes the connection. What it had not yet handed over is lost."""
        if not self.is_lost:
            if not (self._is_reset or self._end_is_sent):
                self._network.carry(self.peer, Signal.RESET if self._inbox else Signal.END)
            self.is_lost = self._is_closing = True
            self._buffer.clear()
            self._inbox.clear()
        self._when_lost(self)

    def _tell_lost(self, error: Any) -> None:
        if self._is_made:
            self.get_protocol().connection_lost(error)
        self._when_lost(self)


def _reset_error() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, "The peer reset the connection.")
