"""The post office: what one mailbox sends reaches another a moment later.

Neighbours: attendant.py opens the mail, desk.py sends it, letters.py files it.

It keeps everything that is to happen at some sandbox time, in order. Either `run` does it as the clock gets there, or
`settle` does all of it at once.
"""

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kalends_sandbox.item import Item, LetterKind, Response
from kalends_sandbox.world import World

MailKind = LetterKind

MAX_WAITING = 100_000
MAX_LOGGED = 10_000
_NEVER = (datetime.max.replace(tzinfo=UTC), 0)
_Turn = tuple[datetime, int, Callable[[], None]]
_LONGEST_NAP_S = 60.0
_TURNS_PER_BREATH = 200


class PostFull(RuntimeError):
    """More than 100,000 mails wait for their time: let the clock run, or send less."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Sandbox seconds, as (least, most): how long mail travels and how long a room thinks."""

    delivery: tuple[float, float] = (0.3, 2.0)
    attendant: tuple[float, float] = (1.0, 6.0)


@dataclass(frozen=True, slots=True)
class Mail:
    """A meeting message. Requests carry the organizer's copy as it was when sent; answers carry what was answered.

    `original_start` is set when it concerns one occurrence only; `note` is what the sender wrote beside it.
    """

    kind: MailKind
    sender: str
    to: str
    meeting: Item
    original_start: datetime | None = None
    note: str = ""

    @property
    def answer(self) -> Response | None:
        """What an answer says; None for a request."""
        said: dict[MailKind, Response] = {"acceptance": "Accept", "tentative": "Tentative", "refusal": "Decline"}
        return said.get(self.kind)


class Post:
    """Mail to one mailbox arrives in the order in which it was sent. `reader` is whoever opens it, `keeper` whoever files
    it afterwards.

    `log` keeps the last 10,000 mails with the time at which each was sent, also those that left the organisation.
    """

    def __init__(self, world: World, rng: random.Random, timing: Timing | None = None) -> None:
        self.timing = timing or Timing()
        self.reader: Callable[[Mail], None] | None = None
        self.keeper: Callable[[Mail], None] | None = None
        self._world, self._rng = world, rng
        self.log: deque[tuple[datetime, Mail]] = deque(maxlen=MAX_LOGGED)
        self._waiting: list[_Turn] = []
        self._appointed: list[_Turn] = []
        self._sent = 0
        self._arrivals: dict[str, datetime] = {}
        self._latest = world.clock.now()
        self._news = asyncio.Event()
        world.clock.listeners.append(self._clock_changed)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def send(self, mail: Mail) -> None:
        """Counted at once, delivered later; an address without a mailbox here is outside, and its mail just leaves."""
        self._world.mails[mail.kind] += 1
        self.log.append((self._world.clock.now(), mail))
        recipient = self._world.mailbox(mail.to)
        if recipient is None:
            return
        earliest = self._arrivals.get(recipient.primary, self._world.clock.now())
        at = max(earliest, self._world.clock.now() + self._moment(self.timing.delivery))
        self._arrivals[recipient.primary] = at
        self._keep(at, lambda: self._open(mail))

    def think(self, do: Callable[[], None]) -> None:
        """Do something after as long as a room's attendant takes."""
        self._keep(self._world.clock.now() + self._moment(self.timing.attendant), do)

    def at(self, when: datetime, do: Callable[[], None]) -> None:
        """Do something when the clock shows `when`, and not before: `settle` leaves it alone."""
        if len(self._appointed) >= MAX_WAITING:
            raise PostFull
        self._sent += 1
        heapq.heappush(self._appointed, (when, self._sent, do))
        self._news.set()

    async def run(self) -> None:
        """Does what is due as long as it is not cancelled; wakes for new mail and when the clock is set."""
        while True:
            self._news.clear()
            done = self.do_due(_TURNS_PER_BREATH)
            if done == _TURNS_PER_BREATH:
                await asyncio.sleep(0)
                continue
            nap_s = self._next_due_s()
            try:
                async with asyncio.timeout(nap_s):
                    await self._news.wait()
            except TimeoutError:
                pass  # the nap is over: something is due, or it is time to look again

    def do_due(self, limit: int = MAX_WAITING) -> int:
        """Does at most `limit` things whose time has come; how many it did."""
        now, done = self._world.clock.now(), 0
        self._latest = now
        while (line := self._next_line()) and line[0][0] <= now and done < limit:
            heapq.heappop(line)[2]()
            done += 1
        return done

    def settle(self) -> None:
        """Does everything that waits, and what comes of it, without waiting for its time."""
        for _ in range(MAX_WAITING):
            if not self._waiting:
                return
            heapq.heappop(self._waiting)[2]()
        raise PostFull

    def _clock_changed(self) -> None:
        """After a jump back, what was to come in a moment still comes in a moment, not a year from now."""
        now = self._world.clock.now()
        if now < self._latest:
            back = self._latest - now
            self._waiting = [(at - back, number, do) for at, number, do in self._waiting]
            self._arrivals.clear()
        self._latest = now
        self._news.set()

    def _next_due_s(self) -> float:
        line = self._next_line()
        return min(_LONGEST_NAP_S, self._world.clock.seconds_until(line[0][0])) if line else _LONGEST_NAP_S

    def _next_line(self) -> list[_Turn]:
        """Mail or appointments, whichever is due first; empty when there is neither."""
        return min(self._waiting, self._appointed, key=lambda line: line[0][:2] if line else _NEVER)

    def _open(self, mail: Mail) -> None:
        assert self.reader is not None, "mail needs a reader: make an Attendant for this post"
        self.reader(mail)
        if self.keeper is not None:
            self.keeper(mail)

    def _moment(self, between: tuple[float, float]) -> timedelta:
        return timedelta(seconds=self._rng.uniform(*between))

    def _keep(self, at: datetime, do: Callable[[], None]) -> None:
        if len(self._waiting) >= MAX_WAITING:
            raise PostFull
        self._sent += 1
        self._latest = self._world.clock.now()
        heapq.heappush(self._waiting, (at, self._sent, do))
        self._news.set()
