"""One step of reading a calendar: a full read's beginning, a span of the calendar, or what changed since.

The contract is `protocol.Page`; the walk over its steps is `cursor.Place`. What a step declares complete is what one
CalendarView showed without gap, and the stretches in which a changed series says it has no meeting.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from kalends.model.event import CalendarId, Event, ItemId, Kind, Unreadable, Version
from kalends.model.time import Span
from kalends.providers.exchange import codec, cursor, faults, read, requests
from kalends.providers.exchange.client import Client
from kalends.providers.exchange.codec import Row, Series
from kalends.providers.exchange.cursor import Place
from kalends.providers.exchange.soap import M, text
from kalends.providers.protocol import Cursor, InWindow, Known, OfSeries, Page, Rejected, Scope

_LISTING_PAGES = 400
_SHORTEST = timedelta(minutes=15)
_TOO_MANY_ROWS = "ErrorExceededFindCountLimit"


@dataclass(slots=True)
class _Draft:
    """A page in the making."""

    events: dict[ItemId, Event] = field(default_factory=dict)
    removed: set[ItemId] = field(default_factory=set)
    unchanged: set[ItemId] = field(default_factory=set)
    unreadable: dict[ItemId, Unreadable] = field(default_factory=dict)
    complete: list[Scope] = field(default_factory=list)

    def page(self, place: Place, more: bool) -> Page:
        return Page(
            events=tuple(self.events.values()),
            removed=frozenset(self.removed),
            cursor=cursor.encode(place),
            more=more,
            complete=tuple(self.complete),
            unchanged=frozenset(self.unchanged),
            unreadable=tuple(self.unreadable.values()),
        )


async def step(client: Client, calendar: CalendarId, at: Cursor | None, window: Span, known: Known) -> Page:
    """The next page of the walk; see `protocol.Provider.pull`."""
    if at is None:
        return await _begin(client, calendar, window, known)
    place = cursor.decode(at).rolled(window)
    if place.todo:
        return await _span(client, calendar, place, known)
    return await _changes(client, calendar, place, window, known)


async def _begin(client: Client, calendar: CalendarId, window: Span, known: Known) -> Page:
    """Everything's id first, so that no later change is missed; then the days around now."""
    absent = {item for item, held in known.items() if held.master is None}
    state: str | None = None
    for _ in range(_LISTING_PAGES):
        listed = await _listing(client, calendar, state)
        absent.difference_update(change.item for change in listed.changes if not change.is_gone)
        state = listed.state
        if listed.is_last:
            page = await _span(client, calendar, cursor.beginning(state, window), known)
            return replace(page, removed=page.removed | frozenset(absent))
    raise Rejected(
        f"The calendar of {calendar} holds more than {_LISTING_PAGES * requests.CHANGES} items, which Kalends does not "
        "list. Archive old ones."
    )


@dataclass(frozen=True, slots=True)
class _Listing:
    changes: tuple[codec.Changed, ...]
    state: str
    is_last: bool


async def _listing(client: Client, calendar: CalendarId, state: str | None) -> _Listing:
    content = faults.only(await client.call(requests.sync_items(calendar, state), calendar), calendar)
    after = (text(content, f"{M}SyncState") or "").strip()
    if not after:
        raise faults.Broken("Exchange answered a sync without a state. If this repeats, look at its log.")
    is_last = (text(content, f"{M}IncludesLastItemInRange") or "true").strip().lower() in ("true", "1")
    # A server that repeats its state would be asked for ever.
    return _Listing(tuple(codec.changes(content)), after, is_last or after == state)


async def _changes(client: Client, calendar: CalendarId, place: Place, window: Span, known: Known) -> Page:
    """What SyncFolderItems names, read in full. Read flags and repeated news cost nothing further."""
    listed = await _listing(client, calendar, place.state)
    draft = _Draft(removed={change.item for change in listed.changes if change.is_gone})
    wanted = {change.item: change.version for change in listed.changes if not change.is_gone}
    wanted = {item: version for item, version in wanted.items() if _is_news(item, version, known)}
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


def _is_news(item: ItemId, version: Version, known: Known) -> bool:
    held = known.get(item)
    return held is None or not version or held.version != version


def _add_single(draft: _Draft, event: Event, seen: Span, known: Known) -> None:
    draft.removed.update(_instances(event.item, known))  # it may have been a series until now
    if event.item in known or event.span.overlaps(seen):
        draft.events[event.item] = event


def _instances(master: ItemId, known: Known) -> Iterable[ItemId]:
    return [item for item, held in known.items() if held.master == master]


def _look_at_series(
    draft: _Draft, series: Iterable[Series], astray: Iterable[Span], place: Place, window: Span, known: Known
) -> Place:
    """Puts changed series on the page and the spans in which they take place on the list."""
    spans = list(astray)
    fresh: list[str | None] = [None for _ in spans]  # whose instances they are is not known: look at all series there
    for one in series:
        reach = place.seen if one.reach is None else cursor.common(cursor.outward(one.reach), place.seen)
        if reach is None:
            draft.removed.update({one.event.item} & known.keys())
            continue
        draft.events[one.event.item] = one.event
        draft.complete += [OfSeries(one.event.item, part) for part in _outside(reach, place.seen)]
        spans.append(reach)
        fresh.append(one.event.lasting_id)
    in_sight = [both for span in spans if (both := cursor.common(span, place.seen))]
    pieces = [piece for span in cursor.merged(in_sight) for piece in cursor.slices(span, window, cursor.WIDE_SLICE)]
    return place.adding(pieces, fresh) if pieces else place


def _outside(part: Span, whole: Span) -> list[Span]:
    rest = [Span(whole.start, part.start), Span(part.end, whole.end)]
    return [span for span in rest if span.start < span.end]


async def _span(client: Client, calendar: CalendarId, place: Place, known: Known) -> Page:
    """The first span of the list as CalendarView shows it; halved while it holds too much for one answer."""
    draft = _Draft()
    while True:
        span = place.todo[0]
        rows, is_whole = await _view(client, calendar, span)
        if is_whole:
            draft.complete.append(InWindow(span))
            break
        if span.end - span.start <= _SHORTEST:
            break  # more than 1,000 meetings in a quarter of an hour: what is there is taken, nothing is called gone
        middle = span.start + (span.end - span.start) // 2
        middle = middle.replace(microsecond=0)
        place = place.after([Span(span.start, middle), Span(middle, span.end)])
    await _add_rows(client, calendar, draft, rows, place.fresh, known)
    return draft.page(place.after([]), more=True)


async def _view(client: Client, calendar: CalendarId, span: Span) -> tuple[list[Row | Unreadable], bool]:
    """The rows of a span and whether they are all."""
    response = await client.call(requests.view(calendar, span), calendar)
    message = next(faults.messages(response), None)
    if message is not None and message.code == _TOO_MANY_ROWS and span.end - span.start > _SHORTEST:
        return [], False
    content = faults.only(response, calendar)
    return list(codec.rows(content)), codec.is_whole(content)


async def _add_rows(
    client: Client,
    calendar: CalendarId,
    draft: _Draft,
    rows: Iterable[Row | Unreadable],
    fresh: tuple[str, ...] | None,
    known: Known,
) -> None:
    singles: dict[ItemId, Version] = {}
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if isinstance(row, Unreadable):
            draft.unreadable[row.item] = row
        elif row.kind in (Kind.INSTANCE, Kind.EXCEPTION):
            groups.setdefault(row.lasting_id or row.item, []).append(row)
        elif _is_news(row.item, row.version, known):
            singles[row.item] = row.version
        else:
            draft.unchanged.add(row.item)
    moved: list[list[Row]] = []
    for lasting_id, group in groups.items():
        is_fresh = fresh is None or lasting_id in fresh
        if is_fresh or any(_is_news(row.item, row.version, known) for row in group):
            moved.append(group)
        else:
            draft.unchanged.update(row.item for row in group)
    for item, found in (await read.meetings(client, calendar, singles)).items():
        if isinstance(found, Unreadable):
            draft.unreadable[item] = found
        elif isinstance(found, Event):
            draft.events[item] = found
    await _add_series(client, calendar, draft, moved, known)


async def _add_series(
    client: Client, calendar: CalendarId, draft: _Draft, groups: list[list[Row]], known: Known
) -> None:
    """Every row of these series: plain instances made from their master, exceptions read."""
    found = await read.masters(client, calendar, {group[0].item: group[0].version for group in groups})
    exceptions: dict[ItemId, tuple[Row, Series]] = {}
    for group in groups:
        master = found[group[0].item]
        if isinstance(master, Series):
            draft.events[master.event.item] = master.event
            for row in group:
                if row.kind is Kind.INSTANCE:
                    draft.events[row.item] = master.instance(row)
                else:
                    exceptions[row.item] = (row, master)
        elif isinstance(master, Unreadable):
            _keep(draft, group, master, known)
    wanted = {item: row.version for item, (row, _) in exceptions.items()}
    for item, read_ in (await read.meetings(client, calendar, wanted)).items():
        if isinstance(read_, Unreadable):
            draft.unreadable[item] = read_
        elif isinstance(read_, Event):
            draft.events[item] = exceptions[item][1].exception(read_)


def _keep(draft: _Draft, group: list[Row], master: Unreadable, known: Known) -> None:
    """Meetings whose series can't be read stay as they are known, or are counted as unreadable."""
    for row in group:
        if row.item in known:
            draft.unchanged.add(row.item)
        else:
            draft.unreadable[row.item] = Unreadable(row.item, row.version, f"Its series can't be read. {master.reason}")
