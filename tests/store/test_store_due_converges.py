"""The four rules together: calendars change, hints wake them, workers die or oversleep, and all end in step.

Time is a number that stands still or leaps, drawn from a seed, so that every order of events is reached sooner or later.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from sqlalchemy import Connection

from kalends.store import due
from kalends.store.door import inline_store
from kalends.store.due import ROUTINE, Lease, LeaseLost, since_after

CALENDARS = 400
LEASE = timedelta(seconds=30)
POLL = timedelta(hours=24)
"""So long that only wakes can keep a calendar in step."""
TRAILING = timedelta(milliseconds=200)


@dataclass
class World:
    """What the provider holds, what the store holds, and the turns that are under way."""

    rng: Random
    now: datetime = datetime(2026, 11, 23, 9, tzinfo=UTC)
    truth: dict[str, int] = field(default_factory=lambda: {f"c{n:03}": 0 for n in range(CALENDARS)})
    stored: dict[str, int] = field(default_factory=lambda: {f"c{n:03}": -1 for n in range(CALENDARS)})
    turns: list[tuple[Lease, int]] = field(default_factory=list)
    """A lease and the version that its turn read before it was put aside."""
    since: dict[tuple[str, int], datetime] = field(default_factory=dict)
    refused: int = 0
    died: int = 0

    def change(self, conn: Connection) -> None:
        """Somebody changes a calendar; the hint may come twice, but it comes."""
        id = self.rng.choice(sorted(self.truth))
        self.truth[id] += 1
        for _ in range(self.rng.choice((1, 1, 2))):
            due.wake(conn, "pull", [id], self.now)

    def begin(self, conn: Connection, sweep: bool = False) -> None:
        """A worker claims and reads; what it read may be old by the time it writes."""
        leases = due.claim(conn, ["pull"], self.now, LEASE, self.rng.randint(1, 20), None if sweep else self.since)
        self.since = since_after(self.since, leases)
        self.turns += [(lease, self.truth[lease.id]) for lease in leases]

    def end(self, conn: Connection) -> None:
        """A turn writes what it read; some workers die first, others come back long after their lease."""
        if not self.turns:
            return
        lease, read = self.turns.pop(self.rng.randrange(len(self.turns)))
        if self.rng.random() < 0.05:
            self.died += 1
            return
        try:
            if self.rng.random() < 0.2:
                lease, _ = due.extend(conn, lease, self.now, LEASE)
            due.hold(conn, lease)
            self.stored[lease.id] = read
            due.finish(conn, lease, self.now, POLL, TRAILING)
        except LeaseLost:
            self.refused += 1

    def passes(self) -> None:
        """Mostly time stands still; sometimes it leaps past lease ends."""
        self.now += self.rng.choice((0, 0, 0, 0.001, 0.05, 0.3, 40)) * timedelta(seconds=1)

    def settle(self, conn: Connection) -> None:
        """Nobody changes anything any more, nobody dies, and time goes on."""
        for _ in range(200):
            self.now += timedelta(seconds=1)
            self.begin(conn, sweep=True)
            for lease, _ in self.turns:
                self.stored[lease.id] = self.truth[lease.id]
                due.finish(conn, lease, self.now, POLL, TRAILING)
            self.turns = []


@pytest.mark.parametrize("seed", range(3))
def test_workers_that_die_leave_no_calendar_behind(seed: int) -> None:
    store = inline_store()
    world = World(Random(seed))
    with store.engine.connect() as conn:
        with conn.begin():
            due.ensure(conn, "pull", sorted(world.truth), world.now, lane=ROUTINE)
        steps = [world.change, world.begin, world.end, world.end, world.end]
        for _ in range(3000):
            with conn.begin():
                world.rng.choice(steps)(conn)
            world.passes()
        world.turns = []  # everybody who was still at work dies
        world.now += LEASE
        with conn.begin():
            world.settle(conn)

    behind = [id for id in world.truth if world.stored[id] != world.truth[id]]
    assert behind == []
    assert world.died > 20, "the test reached dying workers"
    assert world.refused > 0, "the test reached zombies"
