"""Instants, dates and spans. Instants are aware UTC datetimes; spans are half-open."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """From `start` up to, not including, `end`. Empty spans (start == end) exist: zero-length meetings."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        assert self.start.tzinfo is not None, "instants are aware"
        assert self.end.tzinfo is not None, "instants are aware"
        assert self.start <= self.end, "a span does not run backwards"

    def __contains__(self, at: datetime) -> bool:
        return self.start <= at < self.end

    def overlaps(self, other: "Span") -> bool:
        """An empty span overlaps what contains its instant; touching ends do not overlap."""
        if self.start == self.end:
            return self.start in other or self == other
        if other.start == other.end:
            return other.start in self
        return self.start < other.end and other.start < self.end

    def pieces(self, length: timedelta) -> Iterator["Span"]:
        """Cuts the span into consecutive pieces of at most `length`."""
        assert length > timedelta(0)
        start = self.start
        while start < self.end:
            end = min(start + length, self.end)
            yield Span(start, end)
            start = end


@dataclass(frozen=True, slots=True, order=True)
class Dates:
    """An all-day stretch: from `first` up to, not including, `until`. A date has no zone."""

    first: date
    until: date


def micros(at: datetime) -> int:
    """Microseconds since 1970-01-01T00:00Z: the form in which the store keeps instants."""
    assert at.tzinfo is not None, "instants are aware"
    return (at - _EPOCH) // _MICROSECOND


def instant(value: int) -> datetime:
    """The instant that `micros` wrote."""
    return _EPOCH + timedelta(microseconds=value)
