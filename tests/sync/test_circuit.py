"""When a server is silent, one probe asks for everybody."""

import random
from datetime import UTC, datetime, timedelta

from kalends.clock import ScaledClock
from kalends.sync.circuit import LONGEST, OPENS_AFTER, Circuit


class Hands:
    """A clock whose hands the test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def clock(self) -> ScaledClock:
        return ScaledClock(datetime(2026, 11, 23, 9, tzinfo=UTC), 1.0, 0.0, lambda: self.seconds)


def broken() -> tuple[Hands, Circuit]:
    hands = Hands()
    circuit = Circuit(hands.clock(), random.Random(1))
    for _ in range(OPENS_AFTER):
        circuit.failed()
    return hands, circuit


def test_a_few_failures_do_not_open_it() -> None:
    circuit = Circuit(Hands().clock(), random.Random(1))
    for _ in range(OPENS_AFTER - 1):
        circuit.failed()

    assert circuit.wait() is None


def test_it_opens_and_lets_one_probe_through_when_its_time_has_come() -> None:
    hands, circuit = broken()

    assert circuit.wait() is not None
    hands.seconds += LONGEST.total_seconds() * 2
    assert circuit.wait() is None, "the probe"
    assert circuit.wait() == timedelta(seconds=1), "everybody else waits for the probe"


def test_a_good_probe_closes_it_for_all() -> None:
    hands, circuit = broken()
    hands.seconds += LONGEST.total_seconds() * 2
    assert circuit.wait() is None

    circuit.succeeded()

    assert circuit.wait() is None
    assert not circuit.is_open


def test_a_probe_that_learns_nothing_leaves_room_for_the_next() -> None:
    hands, circuit = broken()
    hands.seconds += LONGEST.total_seconds() * 2
    assert circuit.wait() is None

    circuit.abandoned()

    assert circuit.wait() is None
