"""What a transport shows as its socket: addresses, options, and a descriptor that can be polled but carries nothing.

Neighbours: `transport.py`, which owns one per end; `server.py`, which shows one per listener.
"""

import os
import socket
import struct
from collections.abc import Callable

Address = tuple[str, int]


class Beacons:
    """Two descriptors made of pipes: one is always readable, the other never.

    httpcore2 polls the descriptor of an idle connection to learn whether the server has closed it, and takes a missing
    one for a closed connection; without these no connection would ever be used twice. They are opened when first asked for.
    """

    def __init__(self) -> None:
        self._descriptors: tuple[int, int, int, int] | None = None

    def choose(self, is_readable: bool) -> int:
        if self._descriptors is None:
            self._descriptors = (*os.pipe(), *os.pipe())
            os.write(self._descriptors[1], b"!")
        return self._descriptors[0 if is_readable else 2]

    def close(self) -> None:
        for descriptor in self._descriptors or ():
            os.close(descriptor)
        self._descriptors = None


class Socket:
    """The part of `socket.socket` that asyncio, anyio and the sandbox look at."""

    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(self, name: Address, peer: Address | None = None, fileno: Callable[[], int] = lambda: -1) -> None:
        self.family = socket.AF_INET6 if ":" in name[0] else socket.AF_INET
        self._name, self._peer = name, peer
        self._options: dict[tuple[int, int], int | bytes] = {}
        self.fileno = fileno

    def getsockname(self) -> Address:
        return self._name

    def getpeername(self) -> Address:
        if self._peer is None:
            raise OSError(107, "This socket only listens: it has no peer.")
        return self._peer

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        self._options[level, option] = value

    def getsockopt(self, level: int, option: int, buflen: int = 0) -> int | bytes:
        return self._options.get((level, option), b"" if buflen else 0)

    @property
    def resets_on_close(self) -> bool:
        """SO_LINGER with zero seconds: closing discards what is unsent and tells the peer by a reset."""
        linger = self._options.get((socket.SOL_SOCKET, socket.SO_LINGER))
        return isinstance(linger, bytes) and struct.unpack("ii", linger[:8]) == (1, 0)
