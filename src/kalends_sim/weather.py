"""What goes wrong during the virtual hour: every kind of trouble that the sandbox and the network know, on and off by a seed.

Troubles are dealt like cards from a shuffled deck, so that each kind comes round before any comes twice often. The deck is
all of `kalends_sandbox.faults.KINDS` (a test holds it to that) but a refused sign-in and EWS switched off, which stop an
account for good by design, and events that cannot be pulled, since Kalends never pulls any. Neighbours: the sandbox's
`faults.py`, `network.py`.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kalends_sandbox.exchange import Exchange
from kalends_sandbox.faults import Faults, Value
from kalends_sim.network import Cut, Delivery, Network, Silence, between, no_faults

GAP_S = (2.0, 35.0)
LASTS_S = (5.0, 90.0)
_FAIR = between(0.001, 0.04)
_STREAMING, _MOST_AT_ONCE = "GetStreamingEvents", 3


@dataclass(frozen=True, slots=True)
class Trouble:
    """One card: a fault of the sandbox. `rate` is the chance per call; the room may be one or all."""

    kind: str
    rates: tuple[float, float] = (0.2, 1.0)
    operation: str = "*"
    parameters: tuple[tuple[str, Value], ...] = ()


TROUBLES: Sequence[Trouble] = (
    Trouble("server_busy", parameters=(("back_off_ms", 4000),)),
    Trouble("server_busy", parameters=(("back_off_ms", 0), ("form", "message"))),
    Trouble("server_busy", parameters=(("back_off_ms", 30_000), ("form", "message"))),
    Trouble("http_503", parameters=(("retry_after", "7"),)),
    Trouble("http_503", parameters=(("retry_after", ""),)),
    Trouble("http_503", parameters=(("retry_after", "Mon, 02 Mar 1998 08:00:00 GMT"),)),
    Trouble("http_429", parameters=(("retry_after", "45"),)),
    Trouble("http_429", parameters=(("retry_after", "-1"),)),
    Trouble("reset_before"),
    Trouble("html_login_page"),
    Trouble("huge_answer", (0.01, 0.03), parameters=(("size_bytes", 17_000_000),)),
    Trouble("drop_subscriptions"),
    Trouble("reset_after_processing"),
    Trouble("reset_after_answer"),
    Trouble("cut_answer", parameters=(("after_bytes", 600),)),
    Trouble("cut_answer", parameters=(("after_bytes", 2000), ("how", "reset"))),
    Trouble("cut_answer", operation=_STREAMING, parameters=(("after_s", 8.0),)),
    Trouble("half_open", (0.1, 0.5)),
    Trouble("half_open", operation=_STREAMING, parameters=(("after_s", 5.0),)),
    Trouble("slow", (0.2, 1.0), parameters=(("delay_s", 3.0),)),
    Trouble("slow", (0.1, 0.5), parameters=(("delay_s", 70.0),)),
    Trouble("slow", (0.2, 0.6), parameters=(("delay_s", 0.5), ("bytes_per_s", 3000))),
    Trouble("malformed_xml"),
    Trouble("invalid_sync_state", (0.3, 1.0)),
    Trouble("lose_notification", (0.5, 1.0)),
    Trouble("double_notification", parameters=(("times", 5),)),
    Trouble("late_notification", parameters=(("delay_s", 25.0),)),
)


@dataclass
class Weather:
    """`struck` counts how often each kind really hit a call, a notification or a delivery."""

    faults: Faults
    exchange: Exchange
    network: Network
    rooms: Sequence[str]
    rng: random.Random
    struck: Counter[str] = field(default_factory=Counter)

    def calm(self) -> None:
        """An ordinary network, and nothing wrong."""
        self.network.latency, self.network.faults = _FAIR, no_faults

    async def rage(self, tell: Callable[[str], None] = lambda kind: None) -> None:
        """Deals troubles until it is cancelled; then all of them end."""
        places = asyncio.Semaphore(_MOST_AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    for card in self._deck():
                        await asyncio.sleep(self.rng.uniform(*GAP_S))
                        await places.acquire()
                        tell(card.kind if isinstance(card, Trouble) else card.__name__.removeprefix("_"))
                        group.create_task(self._play(card, places))
        finally:
            self.calm()

    def _deck(self) -> list["Trouble | Callable[[], None]"]:
        deck: list[Trouble | Callable[[], None]] = [*TROUBLES, *self._network_troubles()]
        self.rng.shuffle(deck)
        return deck

    def _network_troubles(self) -> Sequence[Callable[[], None]]:
        return (
            self._slow_network,
            self._lossy_network,
            self._dead_network,
            self._silent_network,
            self._cut_lines,
            self._lost_servers,
        )

    async def _play(self, card: "Trouble | Callable[[], None]", places: asyncio.Semaphore) -> None:
        lasts_s = self.rng.uniform(*LASTS_S)
        try:
            if isinstance(card, Trouble):
                await self._strike(card, lasts_s)
            else:
                card()
                await asyncio.sleep(lasts_s)
        finally:
            if not isinstance(card, Trouble):
                self.calm()
            places.release()

    async def _strike(self, card: Trouble, lasts_s: float) -> None:
        mailbox = self.rng.choice(("*", "*", self.rng.choice(self.rooms)))
        rule = self.faults.add(
            card.kind,
            mailbox=mailbox,
            operation=card.operation,
            rate=self.rng.uniform(*card.rates),
            parameters=dict(card.parameters),
        )
        try:
            await asyncio.sleep(lasts_s)
        finally:
            self.faults.remove(rule.number)
            self.struck[card.kind] += rule.struck

    # --- the network ---------------------------------------------------------------------------------------------

    def _slow_network(self) -> None:
        self.network.latency = self._counted("latency", between(0.2, 3.0))

    def _lossy_network(self) -> None:
        def sometimes(delivery: Delivery, rng: random.Random) -> Cut | None:
            if rng.random() >= 0.03:
                return None
            self.struck["cut"] += 1
            return Cut(rng.randrange(delivery.size_bytes + 1))

        self.network.faults = sometimes

    def _dead_network(self) -> None:
        def refused(delivery: Delivery, rng: random.Random) -> Cut | None:
            if delivery.kind != "connect":
                return None
            self.struck["refused"] += 1
            return Cut()

        self.network.faults = refused
        self._cut_lines()

    def _silent_network(self) -> None:
        """As behind a firewall that forgot us: nothing arrives, and nobody is told."""

        def sometimes(delivery: Delivery, rng: random.Random) -> Silence | None:
            if rng.random() >= 0.02:
                return None
            self.struck["silence"] += 1
            return Silence()

        self.network.faults = sometimes

    def _cut_lines(self) -> None:
        self.struck["lines cut"] += self.network.cut()

    def _lost_servers(self) -> None:
        """Every subscription is forgotten, as when a server restarts."""
        self.struck["subscriptions lost"] += self.exchange.drop_subscriptions()

    def _counted(
        self, name: str, latency: Callable[[Delivery, random.Random], float]
    ) -> Callable[[Delivery, random.Random], float]:
        def late(delivery: Delivery, rng: random.Random) -> float:
            self.struck[name] += 1
            return latency(delivery, rng)

        return late
