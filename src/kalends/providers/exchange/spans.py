"""Reads a span of a calendar as CalendarView shows it, series expanded. Neighbours: pull.py asks for it, cursor.py lists spans.

CalendarView takes no restriction and returns at most 1,000 rows, so a span that holds more is halved. The rows are lean;
what is not known yet is fetched: single meetings and exceptions one by one, series once, since a plain instance is its
series at another time. A span with much to fetch is read up to a moment, and the rest stays on the list: one step must not
outlast the turn that it is part of.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kalends.model.event import CalendarId, Event, ItemId, Kind, Unreadable, Version
from kalends.model.time import Span
from kalends.providers.exchange import codec, cursor, faults, read, requests
from kalends.providers.exchange.client import Client
from kalends.providers.exchange.codec import Row, Series
from kalends.providers.exchange.cursor import Place
from kalends.providers.protocol import InWindow, Known, Page, Scope

FETCHED_AT_ONCE = 100
_SHORTEST = timedelta(minutes=15)
_TOO_MANY_ROWS = "ErrorExceededFindCountLimit"


@dataclass(slots=True)
class Draft:
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


@dataclass(slots=True)
class _Shown:
    """What a view shows, sorted by what it costs to read."""

    singles: dict[ItemId, Version] = field(default_factory=dict)
    """To be fetched."""
    groups: dict[str, list[Row]] = field(default_factory=dict)
    """Rows by series."""
    moved: set[str] = field(default_factory=set)
    """The series to be fetched."""


def is_news(item: ItemId, version: Version, known: Known) -> bool:
    held = known.get(item)
    return held is None or not version or held.version != version


async def step(client: Client, calendar: CalendarId, place: Place, known: Known) -> Page:
    """The page for the first span on the list, or for its beginning."""
    draft = Draft()
    while True:
        span = place.todo[0]
        rows, is_whole = await _view(client, calendar, span)
        if is_whole or span.end - span.start <= _SHORTEST:
            break
        middle = (span.start + (span.end - span.start) / 2).replace(microsecond=0)
        place = place.after([Span(span.start, middle), Span(middle, span.end)])
    readable = [row for row in rows if isinstance(row, Row)]
    draft.unreadable = {row.item: row for row in rows if isinstance(row, Unreadable)}
    until = _until(readable, span, place.fresh, known)
    await _fetch(client, calendar, draft, [row for row in readable if row.span.start < until], place.fresh, known)
    if is_whole:  # else more than 1,000 meetings in a quarter of an hour: nothing is called gone that was not shown
        draft.complete.append(InWindow(Span(span.start, until)))
    return draft.page(place.after([Span(until, span.end)] if until < span.end else []), more=True)


async def _view(client: Client, calendar: CalendarId, span: Span) -> tuple[list[Row | Unreadable], bool]:
    """The rows of a span and whether they are all."""
    response = await client.call(requests.view(calendar, span), calendar)
    message = next(faults.messages(response), None)
    if message is not None and message.code == _TOO_MANY_ROWS and span.end - span.start > _SHORTEST:
        return [], False
    content = faults.only(response, calendar)
    return list(codec.rows(content)), codec.is_whole(content)


def _until(rows: Iterable[Row], span: Span, fresh: tuple[str, ...] | None, known: Known) -> datetime:
    """How far the span is read in this step: at most its end, and at least one moment on."""
    left = FETCHED_AT_ONCE
    series: set[str] = set()
    for row in sorted(rows, key=lambda row: row.span.start):
        key = row.lasting_id or row.item
        is_instance = row.kind is Kind.INSTANCE
        if is_news(row.item, row.version, known) or (row.kind is not Kind.SINGLE and _is_fresh(key, fresh)):
            left -= 0 if is_instance and key in series else 1
            series.add(key)
        start = row.span.start.replace(microsecond=0)
        if left < 0 and start > span.start:
            return start
    return span.end


def _is_fresh(key: str, fresh: tuple[str, ...] | None) -> bool:
    return fresh is None or key in fresh


async def _fetch(
    client: Client,
    calendar: CalendarId,
    draft: Draft,
    rows: Iterable[Row],
    fresh: tuple[str, ...] | None,
    known: Known,
) -> None:
    """Puts every row on the page: as unchanged, or fetched."""
    shown = _sorted(rows, fresh, known)
    for key, group in shown.groups.items():
        if key not in shown.moved:
            draft.unchanged.update(row.item for row in group)
    draft.unchanged.update(
        row.item for row in rows if row.kind not in (Kind.INSTANCE, Kind.EXCEPTION) and row.item not in shown.singles
    )
    for item, found in (await read.meetings(client, calendar, shown.singles)).items():
        if isinstance(found, Unreadable):
            draft.unreadable[item] = found
        elif isinstance(found, Event):
            draft.events[item] = found
    await _fetch_series(
        client, calendar, draft, [shown.groups[key] for key in shown.groups if key in shown.moved], known
    )


def _sorted(rows: Iterable[Row], fresh: tuple[str, ...] | None, known: Known) -> _Shown:
    shown = _Shown()
    for row in rows:
        news = is_news(row.item, row.version, known)
        if row.kind in (Kind.INSTANCE, Kind.EXCEPTION):
            key = row.lasting_id or row.item
            shown.groups.setdefault(key, []).append(row)
            if news or _is_fresh(key, fresh):
                shown.moved.add(key)
        elif news:
            shown.singles[row.item] = row.version
    return shown


async def _fetch_series(
    client: Client, calendar: CalendarId, draft: Draft, groups: list[list[Row]], known: Known
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
    for item, one in (await read.meetings(client, calendar, wanted)).items():
        if isinstance(one, Unreadable):
            draft.unreadable[item] = one
        elif isinstance(one, Event):
            draft.events[item] = exceptions[item][1].exception(one)


def _keep(draft: Draft, group: list[Row], master: Unreadable, known: Known) -> None:
    """Meetings whose series can't be read stay as they are known, or are counted as unreadable."""
    for row in group:
        if row.item in known:
            draft.unchanged.add(row.item)
        else:
            draft.unreadable[row.item] = Unreadable(row.item, row.version, f"Its series can't be read. {master.reason}")
