"""The network between hub and sandbox: names, listeners, connections, and what goes wrong on the way.

Nothing leaves the process. Two hooks shape it, both drawing from the network's own seeded randomness, so that they do
not disturb the order of tasks: `latency` says how long a delivery takes, `faults` what becomes of it. Deliveries in one
direction of one connection never overtake each other. Neighbours: `transport.py` is one end, `loop.py` the door.
"""

import asyncio
import contextvars
import errno
import ipaddress
import itertools
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from kalends_sim.process import Process, process_of
from kalends_sim.server import ProtocolFactory, Server
from kalends_sim.sockets import Address, Beacons
from kalends_sim.trace import Trace
from kalends_sim.transport import Endpoint, Item, Route, Signal

CONNECT_LIMIT_S = 127.0  # when Linux gives up on a peer that does not answer
_FIRST_EPHEMERAL, _LAST_PORT = 49152, 65535
_ANYWHERE = {"0.0.0.0", "::"}  # noqa: S104 addresses to compare with; nothing real is bound
_TLS_HANDSHAKE = b"\x16\x03"
_KERNEL = contextvars.Context()  # what arrives for a process, arrives whether it lives or not


@dataclass(frozen=True, slots=True)
class Delivery:
    """One thing on its way. `number` counts within its direction; 0 is the attempt to connect, and its answer."""

    route: Route
    number: int
    kind: Literal["connect", "data", "end", "reset"]
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Cut:
    """The first bytes of this delivery arrive, then both ends see a reset. For an attempt to connect: refused."""

    keep_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Silence:
    """From this delivery on nothing arrives in this direction and nobody is told, as behind a dead firewall."""


Latency = Callable[[Delivery, random.Random], float]
"""Seconds on the way."""
Faults = Callable[[Delivery, random.Random], Cut | Silence | None]


def at_once(delivery: Delivery, rng: random.Random) -> float:
    return 0.0


def between(low_s: float, high_s: float) -> Latency:
    """Evenly drawn for each delivery."""
    return lambda delivery, rng: rng.uniform(low_s, high_s)


def no_faults(delivery: Delivery, rng: random.Random) -> None:
    return None


class Network:
    def __init__(self, loop: asyncio.AbstractEventLoop, rng: random.Random, trace: Trace) -> None:
        self.loop = loop
        self.beacons = Beacons()
        self.latency: Latency = at_once
        self.faults: Faults = no_faults
        self.names: dict[str, str] = {"localhost": "127.0.0.1"}
        """Host name → address; any other name is unknown."""
        self._rng, self._trace = rng, trace
        self._servers: dict[Address, Server] = {}
        self._open: dict[int, Endpoint] = {}  # the client's ends
        self._encrypted: set[int] = set()
        self._numbers = itertools.count(1)
        self._ports = itertools.cycle(range(_FIRST_EPHEMERAL, _LAST_PORT + 1))

    # --- names and listeners -------------------------------------------------------------------------------------

    def resolve(self, host: str | None) -> str:
        """The address of a name; a numeric address is its own. Unknown names fail as they do in life."""
        if not host:
            return "127.0.0.1"
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            pass
        if (known := self.names.get(host.lower())) is not None:
            return known
        raise socket.gaierror(
            socket.EAI_NONAME, f"The simulated network has no host {host!r}: add it to its names or use 127.0.0.1."
        )

    def bind(self, host: str | None, port: int, factory: ProtocolFactory) -> Server:
        """Port 0 takes a free one. Nothing is accepted before `start_serving`."""
        address = (self.resolve(host) if host else "0.0.0.0", port or self._free_port())  # noqa: S104 simulated
        if address in self._servers:
            raise OSError(
                errno.EADDRINUSE, f"Something listens on {address} in the simulated network already: use another port."
            )
        server = self._servers[address] = Server(self, address, factory)
        return server

    def release(self, server: Server) -> None:
        self._servers.pop(server.address, None)

    def _free_port(self) -> int:
        taken = {port for _, port in self._servers}
        return next(port for port in itertools.islice(self._ports, _LAST_PORT) if port not in taken)

    def _listening(self, address: Address) -> Server:
        found = [self._servers.get((host, address[1])) for host in (address[0], *sorted(_ANYWHERE))]
        for server in found:
            if server is not None and server.is_serving():
                return server
        raise _refused(address)

    # --- connecting ----------------------------------------------------------------------------------------------

    async def connect(self, host: str | None, port: int, local: Address | None = None) -> Endpoint:
        """The client's end of a new connection; its protocol is still to `begin`. Takes one round trip."""
        number, address = next(self._numbers), (self.resolve(host), port)
        await self._handshake(Delivery(Route(number, port, "server"), 0, "connect"), address)
        server = self._listening(address)
        client = self._join(number, server, address, local or ("127.0.0.1", next(self._ports)))
        try:
            await self._handshake(Delivery(Route(number, port, "client"), 0, "connect"), address)
        except BaseException:
            client.abort()
            raise
        return client

    async def _handshake(self, delivery: Delivery, address: Address) -> None:
        match self.faults(delivery, self._rng):
            case Cut():
                raise _refused(address)
            case Silence():
                await asyncio.sleep(CONNECT_LIMIT_S)
                raise TimeoutError(errno.ETIMEDOUT, f"{address} did not answer for {CONNECT_LIMIT_S:g} seconds.")
        await asyncio.sleep(self.latency(delivery, self._rng))

    def _join(self, number: int, server: Server, address: Address, caller: Address) -> Endpoint:
        port = address[1]

        def end(_: Endpoint) -> None:
            if client.is_lost and accepted.is_lost:
                self._open.pop(number, None)
                self._encrypted.discard(number)

        def leave(endpoint: Endpoint) -> None:
            server.detach()
            end(endpoint)

        here = contextvars.copy_context()
        client = Endpoint(self, Route(number, port, "client"), caller, address, end, here)
        accepted = Endpoint(self, Route(number, port, "server"), address, caller, leave, server.context)
        client.peer, accepted.peer = accepted, client
        self._open[number] = client
        server.attach()
        self.loop.call_soon(lambda: accepted.begin(server.factory()), context=server.context)
        return client

    # --- carrying ------------------------------------------------------------------------------------------------

    def carry(self, receiver: Endpoint, item: Item) -> None:
        """Sends one item on its way, after the hooks have had their say."""
        receiver.carried += 1
        delivery = _delivery(receiver, item)
        verdict = self.faults(delivery, self._rng)
        if isinstance(verdict, Silence):
            receiver.is_silenced = True
        if receiver.is_silenced:
            return
        if isinstance(verdict, Cut):
            if not isinstance(item, Signal) and verdict.keep_bytes:
                self._send(receiver, item[: verdict.keep_bytes], delivery)
            self._send(receiver, Signal.RESET, delivery)
            self._send(receiver.peer, Signal.RESET, delivery)
            return
        self._send(receiver, item, delivery)

    def cut(self, port: int | None = None) -> int:
        """Resets every open connection, or those to one port. Returns how many."""
        chosen = [client for client in self._open.values() if port is None or client.route.port == port]
        for client in chosen:
            for receiver in (client, client.peer):
                self._send(receiver, Signal.RESET, _delivery(receiver, Signal.RESET))
        return len(chosen)

    def abandon(self, process: Process) -> None:
        """The process is dead: its ends of connections are closed for it, and nobody listens where it did."""
        for server in [server for server in self._servers.values() if process_of(server.context) is process]:
            server.close()
        for client in list(self._open.values()):
            for end in (client, client.peer):
                if process_of(end.context) is process:
                    end.abandon()

    @property
    def open_connections(self) -> int:
        return len(self._open)

    def note_arrival(self, route: Route, item: Item) -> None:
        """What is encrypted differs in each run, even in length, so of that only the fact counts."""
        where = f"{self.loop.time():.6f} connection {route.connection} to {route.towards}"
        if isinstance(item, Signal):
            self._trace.note(f"{where} {item.value}")
            return
        if item.startswith(_TLS_HANDSHAKE):
            self._encrypted.add(route.connection)
        if route.connection in self._encrypted:
            self._trace.note(f"{where} encrypted")
        else:
            self._trace.note(f"{where} {len(item)} bytes", item)

    def _send(self, receiver: Endpoint, item: Item, delivery: Delivery) -> None:
        now = self.loop.time()
        due = max(now + self.latency(delivery, self._rng), receiver.last_due)
        receiver.last_due = due
        receiver.arrivals.append(item)
        if due <= now:
            self.loop.call_soon(receiver.arrive, context=_KERNEL)
        else:
            self.loop.call_at(due, receiver.arrive, context=_KERNEL)


def _delivery(receiver: Endpoint, item: Item) -> Delivery:
    match item:
        case Signal.END:
            return Delivery(receiver.route, receiver.carried, "end")
        case Signal.RESET:
            return Delivery(receiver.route, receiver.carried, "reset")
    return Delivery(receiver.route, receiver.carried, "data", len(item))


def _refused(address: Address) -> ConnectionRefusedError:
    return ConnectionRefusedError(errno.ECONNREFUSED, f"Nothing accepts connections on {address[0]}:{address[1]}.")
