"""How far a calendar has been read, as opaque text: Exchange's sync state and the spans still to be looked at. Pure.

A pull is a walk: as long as spans are left, read the first; then ask for changes, which may add spans (a changed series
must be looked at where it takes place); it ends when there was nothing left to ask. So every walk ends with a question
for changes, and a crash anywhere costs one step.

`seen` is the stretch that is in step once nothing is left. It reaches a day beyond the window, so that the rolling
window costs one read a day instead of one per pull.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from kalends.model.time import Span
from kalends.providers.protocol import Cursor, CursorExpired

PAST = timedelta(days=7)
"""How far the window reaches back: its start tells where now is."""
SLICE = timedelta(days=200)
"""Looked at in one view. Five meetings a day fill it; the views of busier calendars are halved."""
_AHEAD = timedelta(days=1)
_FIRST = (timedelta(days=1), timedelta(days=7))
_MOST_FRESH = 64
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Place:
    state: str
    seen: Span
    todo: tuple[Span, ...] = ()
    fresh: tuple[str, ...] | None = ()
    """Lasting ids of series to read again in `todo` although their meetings look unchanged; None: all of them."""

    def rolled(self, window: Span) -> "Place":
        """The place for a window that moved on: what came into sight is added, what is out of sight no longer asked for."""
        sight = outward(window)
        if common(sight, self.seen) is None:
            return replace(beginning(self.state, window), fresh=self.fresh)
        gaps = [Span(sight.start, self.seen.start)] if sight.start < self.seen.start else []
        end = self.seen.end
        if sight.end > end:
            end = sight.end + _AHEAD
            gaps.append(Span(self.seen.end, end))
        seen = Span(sight.start, end)
        left = [both for span in self.todo if (both := common(span, seen))]
        return replace(self, seen=seen, todo=(*left, *(piece for gap in gaps for piece in gap.pieces(SLICE))))

    def after(self, spans: Iterable[Span]) -> "Place":
        """The place with `spans` instead of the first one: its halves, or nothing."""
        todo = (*spans, *self.todo[1:])
        return replace(self, todo=todo, fresh=self.fresh if todo else ())

    def adding(self, spans: Iterable[Span], fresh: Iterable[str | None]) -> "Place":
        """The place with further spans to read, in which these series are looked at anew."""
        series = sorted({*(self.fresh or ()), *(one for one in fresh if one)})
        is_all = self.fresh is None or None in fresh or len(series) > _MOST_FRESH
        return replace(self, todo=(*self.todo, *spans), fresh=None if is_all else tuple(series))


def beginning(state: str, window: Span) -> Place:
    """The place before a full read: the days around now first."""
    sight = outward(window)
    seen = Span(sight.start, sight.end + _AHEAD)
    return Place(state, seen, tuple(slices(seen, window, SLICE)))


def slices(span: Span, window: Span, length: timedelta) -> Iterator[Span]:
    """`span` in pieces: what surrounds now, what comes after, what came before."""
    now = _floor(min(window.start + PAST, window.end))
    near = common(span, Span(now - _FIRST[0], now + _FIRST[1]))
    if near is None:
        yield from span.pieces(length)
        return
    yield near
    yield from Span(near.end, span.end).pieces(length)
    yield from Span(span.start, near.start).pieces(length)


def common(one: Span, other: Span) -> Span | None:
    """What lies in both; None when nothing does."""
    start, end = max(one.start, other.start), min(one.end, other.end)
    return Span(start, end) if start < end else None


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same stretches without overlaps, in order."""
    whole: list[Span] = []
    for span in sorted(spans):
        if whole and span.start <= whole[-1].end:
            whole[-1] = Span(whole[-1].start, max(whole[-1].end, span.end))
        else:
            whole.append(span)
    return whole


def outward(span: Span) -> Span:
    """The span widened to whole hours, since requests name whole seconds."""
    return Span(_floor(span.start), _floor(span.end) + timedelta(hours=1))


def _floor(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def encode(place: Place) -> Cursor:
    return Cursor(
        json.dumps(
            {
                "v": _VERSION,
                "state": place.state,
                "seen": _seconds(place.seen),
                "todo": [_seconds(span) for span in place.todo],
                "fresh": place.fresh,
            },
            separators=(",", ":"),
        )
    )


def decode(cursor: Cursor) -> Place:
    """Raises CursorExpired for text of another version or hand."""
    try:
        raw = json.loads(cursor)
        if raw["v"] != _VERSION:
            raise ValueError(raw["v"])
        fresh = raw["fresh"]
        return Place(
            state=str(raw["state"]),
            seen=_span(raw["seen"]),
            todo=tuple(_span(each) for each in raw["todo"]),
            fresh=None if fresh is None else tuple(str(each) for each in fresh),
        )
    except (ValueError, KeyError, TypeError, OverflowError, AssertionError) as error:
        raise CursorExpired(
            "The stored cursor is of another version of Kalends; the calendar is read again."
        ) from error


def _seconds(span: Span) -> list[int]:
    """Whole seconds since 1970: spans to be read start and end on them."""
    return [int(at.timestamp()) for at in (span.start, span.end)]


def _span(raw: list[int]) -> Span:
    start, end = (datetime.fromtimestamp(seconds, UTC) for seconds in raw)
    return Span(start, end)
