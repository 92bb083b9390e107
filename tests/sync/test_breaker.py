"""When much vanishes at once, a person is asked."""

import pytest

from kalends.sync.breaker import Removals, sentence, trips


@pytest.mark.parametrize(
    ("removed", "total", "stops", "reason"),
    [
        (0, 0, False, "nothing vanished"),
        (9, 9, False, "nine are few, even when they are all"),
        (10, 10, True, "ten and all of them"),
        (10, 50, False, "ten are a fifth, not more than a fifth"),
        (10, 49, True, "ten are just over a fifth"),
        (50, 10_000, False, "fifty are not more than fifty"),
        (51, 10_000, True, "fifty-one are always asked about"),
    ],
)
def test_where_the_line_is(removed: int, total: int, stops: bool, reason: str) -> None:
    assert trips(Removals(removed, total)) is stops, reason


def test_the_question_names_the_numbers_and_the_command() -> None:
    asked = sentence(Removals(60, 80), "aspen@example.org")

    assert "60 of 80" in asked
    assert "kalends calendars release aspen@example.org" in asked
