"""A listener on the simulated network, as `asyncio.start_server` expects it. `network.py` finds it, `loop.py` makes it."""

import asyncio
import contextvars
from collections.abc import Callable
from typing import TYPE_CHECKING

from kalends_sim.sockets import Address, Socket

if TYPE_CHECKING:
    from kalends_sim.network import Network

ProtocolFactory = Callable[[], asyncio.BaseProtocol]


class Server(asyncio.AbstractServer):
    """`wait_closed` waits for the last connection on every Python version, as asyncio itself does from 3.12 on."""

    def __init__(self, network: "Network", address: Address, factory: ProtocolFactory) -> None:
        self.address = address
        self.factory = factory
        self.context = contextvars.copy_context()
        self._network = network
        self._connections = 0
        self._is_serving = False
        self._closed = network.loop.create_future()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def sockets(self) -> tuple[Socket, ...]:
        return () if self._closed.done() else (Socket(self.address),)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._network.loop

    def is_serving(self) -> bool:
        return self._is_serving

    async def start_serving(self) -> None:
        if self._closed.done():
            raise RuntimeError(f"The server on {self.address} is closed: make a new one.")
        self._is_serving = True
        await asyncio.sleep(0)

    async def serve_forever(self) -> None:
        await self.start_serving()
        try:
            await asyncio.shield(self._closed)
        finally:
            self.close()
            await self.wait_closed()

    def close(self) -> None:
        """Accepts nothing more; connections that are open stay open."""
        if self._closed.done():
            return
        self._is_serving = False
        self._network.release(self)
        self._closed.set_result(None)

    async def wait_closed(self) -> None:
        await asyncio.shield(self._closed)
        await self._idle.wait()

    def attach(self) -> None:
        self._connections += 1
        self._idle.clear()

    def detach(self) -> None:
        self._connections -= 1
        if not self._connections:
            self._idle.set()
