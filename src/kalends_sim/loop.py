"""An asyncio event loop whose time is virtual and whose order of tasks is drawn from a seed.

asyncio promises that callbacks run in the order they were registered; code relies on that, so it holds here. It promises
nothing about which of several ready *tasks* goes first, and that is where bugs hide. So in each round (all that is
ready now, as in asyncio itself) every task gets its one step, in shuffled order, while other callbacks keep their place.
When nothing is ready, time jumps to the next timer; when there is no timer either, the run is stuck and says where.

Two sources of chance that asyncio does not control are closed. Sets of tasks (TaskGroup, asyncio.wait, anyio) would
iterate by memory address, so a task's hash is its number. The garbage collector would run finalizers whenever it
pleases, so `simulation.run` switches it off and the loop collects at fixed steps.

Built on `BaseEventLoop`, whose `_run_once`, `_write_to_self` and `_timer_handle_cancelled` are the seams that asyncio's own
loops use. Neighbours: `network.py` for everything about connections, `simulation.py` to run something.
"""

import asyncio
import asyncio.base_events
import asyncio.sslproto
import gc
import heapq
import itertools
import random
import socket
import ssl as tls
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextvars import Context
from typing import Any, NoReturn

from kalends_sim.network import Network
from kalends_sim.process import Process, bury, process_of
from kalends_sim.server import ProtocolFactory, Server
from kalends_sim.sockets import Address
from kalends_sim.trace import Trace

COLLECT_EVERY_STEPS = 100_000
UNHANDLED_KEPT = 20
_PURGE_FROM_TIMERS = 100
_FRAMES_SHOWN = 4
_TASKS_SHOWN = 20


class Deadlock(RuntimeError):
    """Nothing is ready and nothing is scheduled: every task waits for another."""


class TooManySteps(RuntimeError):
    """The run used up its steps: it loops, or needs a larger limit."""


class SimTask(asyncio.Task[Any]):
    """A task that knows its number, which is also its hash, and its process."""

    def __init__(self, number: int, coro: Coroutine[Any, Any, Any], **options: Any) -> None:
        self.number = number  # first: asyncio puts the task into a set while it is being made
        self.process = process_of(options.get("context"))
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self.number


class SimLoop(asyncio.base_events.BaseEventLoop):
    _asyncgens: "weakref.WeakSet[Any]"
    _ready: deque[asyncio.Handle]
    _stopping: bool

    def __init__(self, seed: int, limit_steps: int, listener: Callable[[str], None] | None = None) -> None:
        super().__init__()
        self.seed = seed
        self.steps = 0
        self.limit_steps = limit_steps
        self.trace = Trace(listener)
        self.network = Network(self, self.randomness("network"), self.trace)
        self.unhandled: list[str] = []
        self.halted = False
        """Whether some process was ever killed or stalled, so that each step must be looked at."""
        self._dead: list[SimTask] = []
        self._born_in: weakref.WeakKeyDictionary[Any, Process] = weakref.WeakKeyDictionary()
        self._now = 0.0
        self._order = self.randomness("order of tasks")
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._cancelled_timers = 0
        self._timer_numbers, self._task_numbers = itertools.count(), itertools.count(1)
        self.set_task_factory(_make_task)  # type: ignore[arg-type]  # the stub wants a generic function
        self.set_exception_handler(_keep_unhandled)

    def randomness(self, name: str) -> random.Random:
        """A generator of its own for each name: drawing from one does not disturb the others."""
        return random.Random(f"{self.seed} {name}")  # noqa: S311 seeded on purpose

    def next_task_number(self) -> int:
        return next(self._task_numbers)

    # --- time ----------------------------------------------------------------------------------------------------

    def time(self) -> float:
        """Virtual seconds since the run began."""
        return self._now

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._timer_numbers), timer))
        timer._scheduled = True  # type: ignore[attr-defined]  # so that its cancelling is reported below
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self._cancelled_timers += 1
        if self._cancelled_timers > max(_PURGE_FROM_TIMERS, len(self._timers) // 2):
            self._timers = [entry for entry in self._timers if not entry[2].cancelled()]
            heapq.heapify(self._timers)
            self._cancelled_timers = 0

    def _pass_time(self) -> None:
        """Jumps to the next timer if nothing else is to be done, and makes ready what is due."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
            self._cancelled_timers -= 1
        if not self._ready and not self._stopping:
            if not timers:
                raise Deadlock(_stuck(self))
            self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            handle = heapq.heappop(timers)[2]
            handle._scheduled = False  # type: ignore[attr-defined]
            if handle.cancelled():
                self._cancelled_timers -= 1
            else:
                self._ready.append(handle)

    # --- order ---------------------------------------------------------------------------------------------------

    def _run_once(self) -> None:
        """One round."""
        self._pass_time()
        ready = self._ready
        if len(ready) > 1:
            self._shuffle_tasks()
        for _ in range(len(ready)):
            if self.steps >= self.limit_steps:
                raise TooManySteps(_endless(self))
            handle = ready.popleft()
            if handle._cancelled or (self.halted and self._is_halted(handle)):
                continue
            self.steps += 1
            if not self.steps % COLLECT_EVERY_STEPS:
                gc.collect()
            owner = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]
            self.trace.step(self._now, owner.get_name() if type(owner) is SimTask else _name_of(handle))
            handle._run()

    def _shuffle_tasks(self) -> None:
        """Sorted first: the order in which tasks were woken may come from a set."""
        everything = list(self._ready)
        tasks = [
            (task.number, place) for place, handle in enumerate(everything) if (task := _task_of(handle)) is not None
        ]
        if len(tasks) < 2:
            return
        places = [place for _, place in tasks]
        tasks.sort()
        handles = [everything[place] for _, place in tasks]
        self._order.shuffle(handles)
        for place, handle in zip(places, handles, strict=True):
            everything[place] = handle
        self._ready.clear()
        self._ready.extend(everything)

    def _write_to_self(self) -> None:
        """Nothing to wake: the loop never sleeps."""

    def close(self) -> None:
        super().close()
        self._timers.clear()
        self.network.beacons.close()
        if self._dead:
            bury(self._dead)

    # --- processes -----------------------------------------------------------------------------------------------

    def living_tasks(self) -> list[SimTask]:
        """In the order of their beginning."""
        found = [task for task in asyncio.all_tasks(self) if isinstance(task, SimTask)]
        return sorted((task for task in found if task.process is None or task.process.is_alive), key=hash)

    def keep_dead(self, process: Process) -> None:
        """Its tasks stay as they are until the end of the run: collecting them would run their `finally`s."""
        found = [task for task in asyncio.all_tasks(self) if isinstance(task, SimTask) and task.process is process]
        self._dead += sorted(found, key=hash)
        for generator, owner in list(self._born_in.items()):
            if owner is process:
                self._asyncgens.discard(generator)

    def make_ready(self, handles: Iterable[asyncio.Handle]) -> None:
        self._ready.extend(handles)

    def _is_halted(self, handle: asyncio.Handle) -> bool:
        process = process_of(handle._context)  # type: ignore[attr-defined]
        return process is not None and process.is_halted(handle)

    def _asyncgen_firstiter_hook(self, agen: Any) -> None:
        super()._asyncgen_firstiter_hook(agen)  # type: ignore[misc]
        process = process_of(None)
        if process is not None:
            self._born_in[agen] = process

    # --- what leaves the process ---------------------------------------------------------------------------------

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> NoReturn:
        raise RuntimeError(
            f"{_qualified(func)} asked for a thread. Threads run in an order that no seed decides, so the simulation "
            "has none: call it directly, or use the inline driver."
        )

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        if self.is_running() and threading.get_ident() != self._thread_id:  # type: ignore[attr-defined]
            raise RuntimeError(f"{_qualified(callback)} came from another thread: the simulation has only one.")
        return self.call_soon(callback, *args, context=context)

    async def getaddrinfo(  # type: ignore[override]
        self,
        host: str | None,
        port: str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[tuple[socket.AddressFamily, socket.SocketKind, int, str, Address]]:
        address = self.network.resolve(host)
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [(kind, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, int(port or 0)))]

    async def create_datagram_endpoint(self, *args: Any, **options: Any) -> NoReturn:
        raise RuntimeError("The simulated network carries streams, not datagrams.")

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: ProtocolFactory,
        host: str | None = None,
        port: int | None = None,
        *,
        sock: socket.socket | None = None,
        ssl: tls.SSLContext | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        start_serving: bool = True,
        **_hints: Any,
    ) -> Server:
        """`_hints` are those of real sockets: family, flags, backlog, reuse_address, reuse_port."""
        _refuse_real(sock)

        def encrypted() -> asyncio.BaseProtocol:
            limits = (ssl_handshake_timeout, ssl_shutdown_timeout)
            protocol: asyncio.BaseProtocol = _encryption(self, protocol_factory(), ssl, None, limits, server_side=True)
            return protocol

        server = self.network.bind(host, port or 0, protocol_factory if ssl is None else encrypted)
        if start_serving:
            await server.start_serving()
        return server

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: ProtocolFactory,
        host: str | None = None,
        port: int | None = None,
        *,
        sock: socket.socket | None = None,
        local_addr: Address | None = None,
        ssl: tls.SSLContext | bool | None = None,
        server_hostname: str | None = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
        **_hints: Any,
    ) -> tuple[asyncio.BaseTransport, asyncio.BaseProtocol]:
        """`_hints` are those of real sockets: family, proto, flags, happy_eyeballs_delay, interleave."""
        _refuse_real(sock)
        endpoint = await self.network.connect(host, port or 0, local_addr)
        protocol = protocol_factory()
        if not ssl:
            endpoint.begin(protocol)
            await asyncio.sleep(0)
            return endpoint, protocol
        handshake: asyncio.Future[None] = self.create_future()
        context = None if isinstance(ssl, bool) else ssl  # asyncio makes the default one
        limits = (ssl_handshake_timeout, ssl_shutdown_timeout)
        name = host if server_hostname is None else server_hostname
        encryption = _encryption(self, protocol, context, handshake, limits, server_hostname=name)
        endpoint.begin(encryption)
        try:
            await handshake
        except BaseException:
            endpoint.close()
            raise
        return encryption._get_app_transport(), protocol


def _encryption(
    loop: SimLoop,
    protocol: asyncio.BaseProtocol,
    context: tls.SSLContext | None,
    handshake: "asyncio.Future[None] | None",
    limits: tuple[float | None, float | None],
    **side: Any,
) -> Any:
    """asyncio's own TLS, between our transport and the protocol."""
    make: Any = asyncio.sslproto.SSLProtocol  # the stub is narrower than what asyncio itself passes
    return make(
        loop, protocol, context, handshake, ssl_handshake_timeout=limits[0], ssl_shutdown_timeout=limits[1], **side
    )


def _make_task(loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any) -> SimTask:
    """asyncio would name tasks by a counter of the whole process, which differs in the second run of one process."""
    assert isinstance(loop, SimLoop)
    number = loop.next_task_number()
    options["name"] = options.get("name") or f"task {number}"
    return SimTask(number, coro, loop=loop, **options)


def _keep_unhandled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An error that nobody fetched fails the run at its end (`simulation.run`)."""
    assert isinstance(loop, SimLoop)
    if len(loop.unhandled) < UNHANDLED_KEPT:
        loop.unhandled.append(f"{context.get('message')} {context.get('exception')!r}")
    loop.default_exception_handler(context)


def _task_of(handle: asyncio.Handle) -> SimTask | None:
    owner = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]
    return owner if type(owner) is SimTask else None


def _name_of(handle: asyncio.Handle) -> str:
    return _qualified(handle._callback)  # type: ignore[attr-defined]


def _qualified(function: object) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def _refuse_real(sock: socket.socket | None) -> None:
    if sock is not None:
        raise RuntimeError("The simulated network has no real sockets: give a host and a port instead.")


def _endless(loop: SimLoop) -> str:
    return (
        f"The run did not end within {loop.limit_steps:,} steps; virtual time is {loop.time():.3f} s. "
        "Something repeats without waiting, or the limit must be larger."
    )


def _stuck(loop: SimLoop) -> str:
    waiting = loop.living_tasks()
    lines = [f"  {task.get_name()}: {_where(task)}" for task in waiting[:_TASKS_SHOWN]]
    if len(waiting) > _TASKS_SHOWN:
        lines.append(f"  and {len(waiting) - _TASKS_SHOWN} more")
    return f"Nothing is ready and nothing is scheduled at {loop.time():.3f} s of virtual time. Waiting:\n" + "\n".join(
        lines
    )


def _where(task: SimTask) -> str:
    """The coroutines a task is inside, outermost first, each with its file and line."""
    frames: list[str] = []
    awaited: Any = task.get_coro()
    while awaited is not None and len(frames) < 100:
        frame = (
            getattr(awaited, "cr_frame", None)
            or getattr(awaited, "ag_frame", None)
            or getattr(awaited, "gi_frame", None)
        )
        if frame is not None:
            file = frame.f_code.co_filename.rpartition("/")[2]
            frames.append(f"{frame.f_code.co_qualname} ({file}:{frame.f_lineno})")
        awaited = (
            getattr(awaited, "cr_await", None)
            or getattr(awaited, "ag_await", None)
            or getattr(awaited, "gi_yieldfrom", None)
        )
    return " > ".join(frames[-_FRAMES_SHOWN:]) or "not begun"
