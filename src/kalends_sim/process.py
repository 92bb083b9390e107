"""A process of the simulation: everything that one program started, so that it can die as by SIGKILL or stall as by SIGSTOP.

A simulated kill is not `task.cancel()`: that would run every `finally`, and what runs is what a dead process can't do. Here the
loop itself drops whatever a dead process still had planned, so that not one more line of it runs; its connections are closed
the way a kernel closes them. A stalled process runs on where it stopped, with its timers all due at once.

Which process something belongs to travels in its context, which asyncio hands from task to task and callback to callback.
Neighbours: `loop.py` asks `is_halted` before each step, `network.py` closes connections.
"""

import asyncio
import contextvars
import gc
import sys
import warnings
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kalends_sim.loop import SimLoop, SimTask

_current: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("process", default=None)
_MOST_FINALLYS = 100


def process_of(context: contextvars.Context | None) -> "Process | None":
    """The process whose context this is (the present one for None)."""
    return _current.get() if context is None else context.get(_current)


class Process:
    def __init__(self, loop: "SimLoop", name: str) -> None:
        self.name = name
        self.is_alive = True
        self.is_stalled = False
        self.died = asyncio.Event()
        self._steps_left: int | None = None
        self._loop = loop
        self._held: list[asyncio.Handle] = []
        self._context = contextvars.copy_context()
        self._context.run(_current.set, self)

    def start(self, program: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A task of this process; all that it starts belongs to the process too."""
        assert self.is_alive, f"{self.name} is dead: a new process is needed"
        return self._loop.create_task(program, name=self.name, context=self._context)

    def kill(self) -> None:
        """Nothing of it ever runs again; its peers see their connections end."""
        self._loop.trace.note(f"{self._loop.time():.6f} kill {self.name}")
        self.is_alive = False
        self.died.set()
        self._held.clear()
        self._loop.halted = True
        self._loop.keep_dead(self)
        self._loop.network.abandon(self)

    def kill_after(self, steps: int) -> None:
        """It dies before its so-many-th step from now, wherever that may be."""
        self._steps_left = steps
        self._loop.halted = True

    def spare(self) -> None:
        """It does not die after all."""
        self._steps_left = None

    def stall(self) -> None:
        """It stops where it is; what arrives for it waits."""
        self._loop.trace.note(f"{self._loop.time():.6f} stall {self.name}")
        self.is_stalled = True
        self._loop.halted = True

    def go_on(self) -> None:
        self._loop.trace.note(f"{self._loop.time():.6f} go on {self.name}")
        self.is_stalled = False
        held, self._held = self._held, []
        self._loop.make_ready(held)

    def is_halted(self, handle: asyncio.Handle) -> bool:
        """Whether this may not run now. What a stalled process would have done is kept for later."""
        if self.is_alive and self.is_stalled:
            self._held.append(handle)
            return True
        if self.is_alive and self._steps_left is not None:
            self._steps_left -= 1
            if self._steps_left <= 0:
                self.kill()
        return not self.is_alive


def bury(tasks: list["SimTask"]) -> None:
    """Lets go of dead tasks once the loop is closed, when what their `finally`s do can reach nothing any more."""
    told, sys.unraisablehook = sys.unraisablehook, lambda cry: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            for task in tasks:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                _unwind(task.get_coro())
            tasks.clear()
            gc.collect()
    finally:
        sys.unraisablehook = told


def _unwind(coroutine: Any) -> None:
    """Ends a suspended coroutine. Each `finally` that wants to wait makes `close` fail once."""
    for _ in range(_MOST_FINALLYS):
        try:
            coroutine.close()
        except BaseException:  # noqa: BLE001, S112  # whatever the dead cry out, nobody is there to hear it
            continue
        return
