"""One step of reading a calendar: a full read's beginning, a span of the calendar, or what changed since.

The contract is `protocol.Page`; the walk over its steps is `cursor.Place`. What a step declares complete is what one
CalendarView showed without gap, and the stretches in which a changed series says it has no meeting.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from kalends.model.event import CalendarId, Event, ItemId, Kind, Unreadable
from kalends.model.time import Span
from kalends.providers.exchange import codec, cursor, faults, read, requests, spans
from kalends.providers.exchange.client import Client
from kalends.providers.exchange.codec import Series
from kalends.providers.exchange.cursor import Place
from kalends.providers.exchange.soap import M, text
from kalends.providers.exchange.spans import Draft, is_news
from kalends.providers.protocol import Cursor, Known, OfSeries, Page, Rejected

_LISTING_PAGES = 400


async def step(client: Client, calendar: CalendarId, at: Cursor | None, window: Span, known: Known) -> Page:
    """The next page of the walk; see `protocol.Provider.pull`."""
    if at is None:
        return await _begin(client, calendar, window, known)
    place = cursor.decode(at).rolled(window)
    if place.todo:
        return await spans.step(client, calendar, place, known)
    return await _changes(client, calendar, place, window, known)


async def _begin(client: Client, calendar: CalendarId, window: Span, known: Known) -> Page:
    """Everything's id first, so that no later change is missed; then the days around now."""
    absent = {item for item, held in known.items() if held.master is None}
    state: str | None = None
    for _ in range(_LISTING_PAGES):
        listed = await _listing(client, calendar, state, requests.LISTED)
        absent.difference_update(change.item for change in listed.changes if not change.is_gone)
        state = listed.state
        if listed.is_last:
            page = await spans.step(client, calendar, cursor.beginning(state, window), known)
            return replace(page, removed=page.removed | frozenset(absent))
    raise Rejected(
        f"The calendar of {calendar} holds more than {_LISTING_PAGES * requests.LISTED} items, which Kalends does not "
        "list. Archive old ones."
    )


@dataclass(frozen=True, slots=True)
class _Listing:
    changes: tuple[codec.Changed, ...]
    state: str
    is_last: bool


async def _listing(client: Client, calendar: CalendarId, state: str | None, most: int) -> _Listing:
    content = faults.only(await client.call(requests.sync_items(calendar, state, most), calendar), calendar)
    after = (text(content, f"{M}SyncState") or "").strip()
    if not after:
        raise faults.Broken("Exchange answered a sync without a state. If this repeats, look at its log.")
    is_last = (text(content, f"{M}IncludesLastItemInRange") or "true").strip().lower() in ("true", "1")
    # A server that repeats its state would be asked for ever.
    return _Listing(tuple(codec.changes(content)), after, is_last or after == state)


async def _changes(client: Client, calendar: CalendarId, place: Place, window: Span, known: Known) -> Page:
    """What SyncFolderItems names, read in full. Read flags and repeated news cost nothing further."""
    listed = await _listing(client, calendar, place.state, requests.CHANGES)
    draft = Draft(removed={change.item for change in listed.changes if change.is_gone})
    wanted = {change.item: change.version for change in listed.changes if not change.is_gone}
    # A series that changed while its spans were read may be known in its new version, and its meetings in part as they were.
    series_known = {held.master for held in known.values()}
    wanted = {
        item: version for item, version in wanted.items() if item in series_known or is_news(item, version, known)
    }
    draft.removed.difference_update(wanted)  # deleted and back again within one answer
    series: list[Series] = []
    astray: list[Span] = []
    for item, found in (await read.meetings(client, calendar, wanted)).items():
        if found is None:
            draft.removed.add(item)
        elif isinstance(found, Unreadable):
            draft.unreadable[item] = found
        elif isinstance(found, Series):
            series.append(found)
        elif found.kind is Kind.SINGLE:
            _add_single(draft, found, place.seen, known)
        else:
            astray.append(cursor.outward(found.span))  # no server should list an instance: look where it takes place
    next_place = replace(place, state=listed.state)
    next_place = _look_at_series(draft, series, astray, next_place, window, known)
    return draft.page(next_place, more=not listed.is_last or bool(next_place.todo))


def _add_single(draft: Draft, event: Event, seen: Span, known: Known) -> None:
    draft.removed.update(_instances(event.item, known))  # it may have been a series until now
    if event.item in known or event.span.overlaps(seen):
        draft.events[event.item] = event


def _instances(master: ItemId, known: Known) -> Iterable[ItemId]:
    return [item for item, held in known.items() if held.master == master]


def _look_at_series(
    draft: Draft, series: Iterable[Series], astray: Iterable[Span], place: Place, window: Span, known: Known
) -> Place:
    """Puts changed series on the page and the spans in which they take place on the list."""
    stretches = list(astray)
    fresh: list[str | None] = [
        None for _ in stretches
    ]  # whose instances they are is not known: look at all series there
    for one in series:
        reach = place.seen if one.reach is None else cursor.common(cursor.outward(one.reach), place.seen)
        if reach is None:
            draft.removed.update({one.event.item} & known.keys())
            continue
        draft.events[one.event.item] = one.event
        draft.complete += [OfSeries(one.event.item, part) for part in _outside(reach, place.seen)]
        stretches.append(reach)
        fresh.append(one.event.lasting_id)
    in_sight = [both for span in stretches if (both := cursor.common(span, place.seen))]
    pieces = [piece for span in cursor.merged(in_sight) for piece in cursor.slices(span, window, cursor.SLICE)]
    return place.adding(pieces, fresh) if pieces else place


def _outside(part: Span, whole: Span) -> list[Span]:
    rest = [Span(whole.start, part.start), Span(part.end, whole.end)]
    return [span for span in rest if span.start < span.end]
