"""A series unfolded into its occurrences.

Neighbours: recurrence.py gives the dates, item.py the master, mailbox.py the view.

Occurrences keep the master's local wall time. Where the clock skips that time (spring) it is read with the offset
before the change, so 02:30 becomes 03:30; where it comes twice (autumn) the first counts. Outlook and RFC 5545 3.3.5 do
the same. Ends are wall times too; if an end would thereby not lie after its start, the master's duration is kept
instead.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

from kalends_sandbox.ids import occurrence_id
from kalends_sandbox.item import Item, Override

MAX_SPAN = timedelta(days=5 * 366)
_DAY = timedelta(days=1)


def occurrences(master: Item, since: datetime, until: datetime, touching: bool = False) -> Iterator[Item]:
    """The occurrences that overlap [since, until), exceptions applied, deletions left out; not sorted by start when
    exceptions moved.

    `touching` also gives what only ends at `since` or starts at `until`. ValueError beyond MAX_SPAN (five years).
    """
    if until - since > MAX_SPAN:
        raise ValueError("A series is unfolded for at most five years at a time: ask for a shorter span.")
    for original in original_starts(master, since, until):
        if original in master.exceptions or original in master.deleted:
            continue
        found = occurrence(master, original)
        if overlaps(found, since, until, touching):
            yield found
    for original in sorted(master.exceptions):
        found = occurrence(master, original)
        if overlaps(found, since, until, touching):
            yield found


def overlaps(item: Item, since: datetime, until: datetime, touching: bool = False) -> bool:
    """Half-open, except that something without duration lies where it starts."""
    if touching:
        return item.start <= until and item.end >= since
    return item.start < until and (item.end > since or item.start == item.end == since)


def original_starts(master: Item, since: datetime, until: datetime) -> Iterator[datetime]:
    """Starts by the pattern alone, of all that could overlap the span (a day more on either side)."""
    assert master.recurrence is not None
    reach = master.end - master.start + _DAY
    for day in master.recurrence.dates(_date(master, since, -reach), _date(master, until, _DAY)):
        yield start_on(master, day)


def start_on(master: Item, day: date) -> datetime:
    """The instant at which the occurrence of that local date starts."""
    return _instant(master, day, master.start.astimezone(master.zone.tz).time())


def occurrence(master: Item, original: datetime) -> Item:
    """One occurrence or exception as an item of its own, with its synthetic id."""
    override = master.exceptions.get(original)
    start, end = original, _end_of(master, original)
    found = replace(
        master,
        item_id=occurrence_id(master.item_id, master.generation, original),
        start=start,
        end=end,
        recurrence=None,
        exceptions={},
        deleted=(),
        master_id=master.item_id,
        original_start=original,
        is_exception=override is not None,
    )
    return replace(found, **override.changed()) if override is not None else found


def falls_on(master: Item, original: datetime) -> bool:
    """Whether the pattern has an occurrence that starts at this instant, deleted or not."""
    if master.recurrence is None:
        return False
    day = original.astimezone(master.zone.tz).date()
    # A start that the clock skipped may lie on the next local date; the neighbours are looked at too.
    around = master.recurrence.dates(_shifted(day, -1), _shifted(day, 1))
    return any(start_on(master, found) == original for found in around)


def nth_start(master: Item, index: int) -> datetime | None:
    """The original start of occurrence `index` (from 1, deleted ones counted); None outside the series."""
    assert master.recurrence is not None
    day = master.recurrence.nth(index)
    return None if day is None else start_on(master, day)


def first_occurrence(master: Item) -> Item | None:
    """The earliest occurrence that is not deleted."""
    assert master.recurrence is not None
    # Each deletion hides one date, so the first that is left comes within one more than there are deletions.
    for index in range(1, len(master.deleted) + 2):
        start = nth_start(master, index)
        if start is not None and start not in master.deleted:
            return occurrence(master, start)
    return None


def last_occurrence(master: Item) -> Item | None:
    """The latest occurrence that is not deleted; None for a series without end."""
    assert master.recurrence is not None
    last = master.recurrence.last
    if last is None:
        return None
    hidden = [start.astimezone(master.zone.tz).date() for start in master.deleted]
    before = min([last, *hidden]) - _DAY  # from here back nothing is deleted
    ends = [*master.recurrence.dates(before, last)][::-1] + [*master.recurrence.dates(master.recurrence.start, before)][
        -1:
    ]
    left = (start for day in ends if (start := start_on(master, day)) not in master.deleted)
    return next((occurrence(master, start) for start in left), None)


def neighbours(master: Item, original: datetime) -> list[Item]:
    """The occurrences before and after that one, as they are now; deleted ones are passed over."""
    assert master.recurrence is not None
    day = original.astimezone(master.zone.tz).date()
    earlier = master.recurrence.dates(master.recurrence.start, _shifted(day, -1))
    later = master.recurrence.dates(_shifted(day, 1), date.max)
    before = [start for found in earlier if (start := start_on(master, found)) not in master.deleted][-1:]
    after = next((start for found in later if (start := start_on(master, found)) not in master.deleted), None)
    return [occurrence(master, start) for start in (*before, after) if start is not None]


def overridden(master: Item, original: datetime, override: Override) -> Item:
    """The series with one occurrence changed; what an earlier change of it said stays unless said anew."""
    before = master.exceptions.get(original, Override())
    merged = replace(before, **override.changed())
    return replace(master, exceptions={**master.exceptions, original: merged})


def without(master: Item, original: datetime) -> Item:
    """The series with one occurrence deleted; its exception, if it was one, goes too."""
    left = {start: override for start, override in master.exceptions.items() if start != original}
    return replace(master, exceptions=left, deleted=tuple(sorted({*master.deleted, original})))


def _end_of(master: Item, original: datetime) -> datetime:
    first, last = (at.astimezone(master.zone.tz).replace(tzinfo=None) for at in (master.start, master.end))
    wall = original.astimezone(master.zone.tz).replace(tzinfo=None) + (last - first)
    end = _instant(master, wall.date(), wall.time())
    return end if end > original or last == first else original + (master.end - master.start)


def _instant(master: Item, day: date, wall: time) -> datetime:
    return datetime.combine(day, wall, master.zone.tz).astimezone(UTC)


def _date(master: Item, at: datetime, shift: timedelta) -> date:
    try:
        return (at + shift).astimezone(master.zone.tz).date()
    except OverflowError:
        return date.min if shift < timedelta(0) else date.max


def _shifted(day: date, days: int) -> date:
    return day if day in (date.min, date.max) else day + timedelta(days=days)
