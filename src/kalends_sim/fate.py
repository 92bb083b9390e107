"""What happens to worker processes: killed at any step and started again, or stalled for longer than their leases last.

Neighbours: `process.py` carries it out, `hub.py` is what it happens to.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from kalends_sim.hub import Worker

REACHES_STEPS = (60, 600, 6000, 30_000)
"""A worker dies within one of these numbers of its own steps: in its first breath, in a pull, or some time later."""
DOWN_S = (0.0, 0.5, 5.0, 45.0, 150.0)
STALLS_S = (5.0, 60.0, 200.0, 300.0)
"""Leases last 120 and 240 s."""
_STALL_CHANCE = 0.25
_RESTS_S = (1.0, 60.0)


@dataclass
class Fate:
    workers: Sequence[Worker]
    rng: random.Random
    done: Counter[str] = field(default_factory=Counter)

    async def strike(self) -> None:
        """Until it is cancelled; afterwards every worker runs."""
        async with asyncio.TaskGroup() as group:
            for worker in self.workers:
                group.create_task(self._haunt(worker))

    async def _haunt(self, worker: Worker) -> None:
        while True:
            await asyncio.sleep(self.rng.uniform(*_RESTS_S))
            if self.rng.random() < _STALL_CHANCE:
                await self._stall(worker)
            else:
                await self._kill(worker)

    async def _stall(self, worker: Worker) -> None:
        worker.stall()
        self.done["stall"] += 1
        try:
            await asyncio.sleep(self.rng.choice(STALLS_S))
        finally:
            worker.go_on()

    async def _kill(self, worker: Worker) -> None:
        await worker.death(self.rng.randint(1, self.rng.choice(REACHES_STEPS)))
        self.done["kill"] += 1
        try:
            await asyncio.sleep(self.rng.choice(DOWN_S))
        finally:
            is_alone = len(self.workers) == 1
            worker.start(takes_over=is_alone and self.rng.random() < 0.5)
