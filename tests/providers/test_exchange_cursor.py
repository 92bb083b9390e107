"""The walk of a pull: what is left to read survives a restart, a rolling window and a foreign cursor."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalends.model.time import Span
from kalends.providers.exchange import cursor
from kalends.providers.exchange.cursor import Place
from kalends.providers.protocol import Cursor, CursorExpired
from providers.contract import NOON, window_at

WINDOW = window_at(NOON)
HOURS = st.integers(-24 * 30, 24 * 500).map(lambda hours: NOON + timedelta(hours=hours))
SPANS = st.tuples(HOURS, HOURS).filter(lambda ends: ends[0] < ends[1]).map(lambda ends: Span(*ends))


def covered(spans: list[Span], whole: Span) -> bool:
    """Whether the spans leave no gap in the whole."""
    return any(one.start <= whole.start and whole.end <= one.end for one in cursor.merged(spans))


@given(
    st.text(),
    SPANS,
    st.lists(SPANS, max_size=5).map(tuple),
    st.one_of(st.none(), st.lists(st.text(), max_size=3).map(tuple)),
)
def test_a_place_survives_as_text(
    state: str, seen: Span, todo: tuple[Span, ...], fresh: tuple[str, ...] | None
) -> None:
    place = Place(state, seen, todo, fresh)

    assert cursor.decode(cursor.encode(place)) == place


@pytest.mark.parametrize(
    "text",
    ["", "hello", "{}", "[]", "null", '{"v":0}', '{"v":1,"state":"x","seen":[1],"todo":[],"fresh":[]}',
     '{"v":1,"state":"x","seen":[9e99,1],"todo":[],"fresh":[]}', '{"v":1,"state":"x","seen":[5,1],"todo":[],"fresh":[]}'],
)  # fmt: skip
def test_a_foreign_cursor_is_a_lost_one(text: str) -> None:
    with pytest.raises(CursorExpired):
        cursor.decode(Cursor(text))


def test_a_full_read_covers_the_window_and_begins_around_now() -> None:
    place = cursor.beginning("state", WINDOW)

    assert NOON in place.todo[0]
    assert place.todo[0].end - place.todo[0].start <= timedelta(days=8)
    assert covered(list(place.todo), WINDOW)


@given(SPANS)
def test_slices_cover_a_span_without_overlap(span: Span) -> None:
    pieces = list(cursor.slices(span, WINDOW, cursor.SLICE))

    assert sum((piece.end - piece.start for piece in pieces), timedelta(0)) == span.end - span.start
    assert cursor.merged(pieces) == [span]


def test_a_window_that_moves_a_little_costs_nothing() -> None:
    place = cursor.beginning("state", WINDOW).after([])
    quiet = Place("state", place.seen)

    rolled = quiet.rolled(window_at(NOON + timedelta(hours=20)))

    assert rolled.todo == ()


@given(st.lists(st.integers(-500, 500), min_size=1, max_size=8))
def test_wherever_the_window_goes_it_is_read(days: list[int]) -> None:
    place = Place("state", cursor.beginning("state", WINDOW).seen)
    read = [place.seen]
    for day in days:
        window = window_at(NOON + timedelta(days=day))
        place = place.rolled(window)
        # what left the sight is forgotten; what is in it was read, or is about to be
        read = [both for one in [*read, *place.todo] if (both := cursor.common(one, place.seen))]
        place = Place(place.state, place.seen)

        assert covered(read, window)


def test_unread_spans_out_of_sight_are_dropped() -> None:
    place = Place("state", WINDOW, (Span(WINDOW.start, WINDOW.start + timedelta(hours=1)),))

    rolled = place.rolled(window_at(NOON + timedelta(days=1)))

    assert all(span.start >= rolled.seen.start for span in rolled.todo)


def test_series_are_fresh_until_the_last_span_is_read() -> None:
    spans = [Span(NOON, NOON + timedelta(days=1)), Span(NOON + timedelta(days=5), NOON + timedelta(days=6))]
    place = Place("state", WINDOW).adding(spans, ["0400AB"])

    assert place.after([]).fresh == ("0400AB",)
    assert place.after([]).after([]).fresh == ()


def test_a_series_without_lasting_id_makes_all_series_fresh() -> None:
    assert Place("state", WINDOW).adding([WINDOW], [None]).fresh is None


def test_very_many_fresh_series_are_said_as_all() -> None:
    many = [f"{number:04}" for number in range(65)]

    assert Place("state", WINDOW).adding([WINDOW], many).fresh is None


def test_outward_spans_have_whole_hours() -> None:
    at = datetime(2026, 11, 18, 12, 34, 56, 789, tzinfo=NOON.tzinfo)

    span = cursor.outward(Span(at, at))

    assert (span.start.minute, span.end.minute, span.end - span.start) == (0, 0, timedelta(hours=1))
