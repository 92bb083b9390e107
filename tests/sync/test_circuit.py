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
    for number in range(OPENS_AFTER):
        circuit.failed(f"room {number}")
    return hands, circuit


def test_a_few_failures_do_not_open_it() -> None:
    circuit = Circuit(Hands().clock(), random.Random(1))
    for number in range(OPENS_AFTER - 1):
        circuit.failed(f"room {number}")

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


def test_one_calendar_alone_never_opens_it() -> None:
    circuit = Circuit(Hands().clock(), random.Random(1))

    for _ in range(100):
        circuit.failed("the one with the huge item")

    assert circuit.wait() is None


def test_what_was_under_way_when_it_opened_does_not_open_it_for_longer() -> None:
    _, circuit = broken()
    until = circuit.open_until

    for number in range(30):
        circuit.failed(f"late {number}")

    assert circuit.open_until == until


def test_each_failed_probe_opens_it_for_longer_up_to_a_bound() -> None:
    hands, circuit = broken()
    waits = []
    for _ in range(8):
        assert circuit.open_until is not None
        waits.append(circuit.open_until - circuit.clock.now())
        hands.seconds += waits[-1].total_seconds()
        assert circuit.wait() is None, "the probe"
        circuit.failed("room 1")

    assert waits[0] < timedelta(seconds=20)
    assert max(waits) <= LONGEST * 1.25
    assert waits[-1] > timedelta(seconds=80)
