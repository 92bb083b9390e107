"""`/v1`: spaces and their state, events, calendars with their freshness, accounts. Read from the store at each request."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from pydantic import AwareDatetime
from starlette.requests import Request

from kalends.features.freshness import CalendarFacts
from kalends.features.picture import read_events, read_facts, read_span
from kalends.features.rooms import RoomView, horizon, room_view
from kalends.model.availability import meeting
from kalends.model.privacy import Mode
from kalends.model.time import Span
from kalends.store import accounts as store_accounts
from kalends.store.spaces import Space
from kalends.web.api.route import StrictRoute
from kalends.web.api.shapes import (
    AccountPage,
    AccountShape,
    CalendarPage,
    CalendarShape,
    EventPage,
    Id,
    SpacePage,
    SpaceShape,
    StateShape,
    calendar_shape,
    event_shape,
    state_shape,
)
from kalends.web.kit import Kit, kit_of
from kalends.web.policy import Policy, allow
from kalends.web.problems import Problem, not_found

router = APIRouter(prefix="/v1", route_class=StrictRoute)
T = TypeVar("T")
EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
LONGEST_SPAN = timedelta(days=31)
Limit = Annotated[int, Query(ge=1, le=500, description="How many at most.")]
CursorParam = Annotated[str | None, Query(max_length=100, description="`next` of the page before.")]
IdParam = Annotated[Id, InPath()]
REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "No valid token or session."},
    403: {"description": "Not allowed."},
    404: {"description": "There is no such thing."},
    422: {"description": "A parameter can't be used; problem document (RFC 9457)."},
    503: {"description": "The database doesn't answer; try again."},
}


async def _facts(kit: Kit) -> tuple[tuple[Space, ...], dict[str, CalendarFacts]]:
    return await kit.hub.store.read(read_facts, kit.hub.organization, kit.hub.clock.factor)


async def _space(kit: Kit, id_: str) -> tuple[Space, dict[str, CalendarFacts]]:
    spaces, calendars = await _facts(kit)
    for space in spaces:
        if space.id == id_:
            return space, {c: calendars[c] for c in space.calendars if c in calendars}
    raise not_found()


@router.get("/spaces", response_model=SpacePage, responses=REFUSALS, summary="Every space, in the order of their ids")
@allow(Policy.API)
async def spaces(request: Request, limit: Limit = 100, cursor: CursorParam = None) -> SpacePage:
    found, _ = await _facts(kit_of(request))
    page, next_ = _page({space.id: space for space in found}, cursor, limit)
    return SpacePage(items=[_space_shape(space) for space in page], next=next_)


@router.get("/spaces/{space}", response_model=SpaceShape, responses=REFUSALS, summary="One space")
@allow(Policy.API)
async def one_space(request: Request, space: IdParam) -> SpaceShape:
    found, _ = await _space(kit_of(request), space)
    return _space_shape(found)


@router.get("/spaces/{space}/state", response_model=StateShape, responses=REFUSALS, summary="Its state now, and why")
@allow(Policy.API)
async def state(request: Request, space: IdParam) -> StateShape:
    return state_shape(await _room(kit_of(request), space))


@router.get(
    "/spaces/{space}/events",
    response_model=EventPage,
    responses=REFUSALS,
    summary="What its calendar holds in a span of at most 31 days",
)
@allow(Policy.API)
async def events(
    request: Request,
    space: IdParam,
    start: Annotated[AwareDatetime, Query(alias="from", description="With its zone, as 2026-11-23T09:00:00Z.")],
    end: Annotated[AwareDatetime, Query(alias="to", description="Not included.")],
    limit: Limit = 200,
    cursor: CursorParam = None,
) -> EventPage:
    kit = kit_of(request)
    span = _span(start, end)
    room = await _room(kit, space)
    if room.calendar is None:
        return EventPage(items=[], next=None, source=None, proved_at=None, trouble="")
    found = await kit.hub.store.read(read_span, room.calendar.id, span)
    meetings = [meeting(event, room.zone) for event in found]
    inside = sorted((m for m in meetings if m.span.overlaps(span)), key=lambda m: (m.span, m.event.item))
    by_place = {f"{number:06}": m for number, m in enumerate(inside)}
    page, next_ = _page(by_place, cursor, limit)
    proof = room.answer.proof
    shaped = [event_shape(room, m) for m in page]
    return EventPage(items=shaped, next=next_, source=proof.source, proved_at=proof.at, trouble=room.trouble)


@router.get("/calendars", response_model=CalendarPage, responses=REFUSALS, summary="Every calendar and how fresh it is")
@allow(Policy.API)
async def calendars(request: Request, limit: Limit = 100, cursor: CursorParam = None) -> CalendarPage:
    _, found = await _facts(kit_of(request))
    page, next_ = _page(found, cursor, limit)
    return CalendarPage(items=[calendar_shape(calendar) for calendar in page], next=next_)


@router.get(
    "/calendars/{calendar}", response_model=CalendarShape, responses=REFUSALS, summary="One calendar's freshness"
)
@allow(Policy.API)
async def one_calendar(request: Request, calendar: IdParam) -> CalendarShape:
    _, found = await _facts(kit_of(request))
    if calendar not in found:
        raise not_found()
    return calendar_shape(found[calendar])


@router.get("/accounts", response_model=AccountPage, responses=REFUSALS, summary="Every account, without its secrets")
@allow(Policy.API)
async def accounts(request: Request, limit: Limit = 100, cursor: CursorParam = None) -> AccountPage:
    kit = kit_of(request)
    found = await kit.hub.store.read(store_accounts.list_all, kit.hub.organization)
    page, next_ = _page({account.id: account for account in found}, cursor, limit)
    shaped = [
        AccountShape(
            id=account.id,
            kind=account.kind,
            name=account.name,
            state=account.state,
            reason=account.reason,
            since=account.since,
            privacy="P3" if account.privacy == Mode.FULL else "P1",
        )
        for account in page
    ]
    return AccountPage(items=shaped, next=next_)


async def _room(kit: Kit, id_: str) -> RoomView:
    space, calendars = await _space(kit, id_)
    now = kit.hub.clock.now()
    known = sorted(calendars)
    events = await kit.hub.store.read(read_events, known, horizon(now)) if known else {}
    return room_view(space, calendars, events, kit.hub.clock.now(), kit.policy)


def _span(start: AwareDatetime, end: AwareDatetime) -> Span:
    if end < start:
        raise Problem(422, "bad_span", "Invalid span", "“to” lies before “from”. Exchange them.")
    if end - start > LONGEST_SPAN:
        raise Problem(422, "span_too_long", "Span too long", "Ask for at most 31 days at once.")
    if not EARLIEST <= start <= end <= LATEST:
        raise Problem(422, "span_too_far", "Span too far away", "Ask for a span between 1970 and 2200.")
    return Span(start, end)


def _page(found: Mapping[str, T], cursor: str | None, limit: int) -> tuple[list[T], str | None]:
    """By key, so that nothing is missed or doubled when something comes or goes between two pages."""
    keys = sorted(key for key in found if cursor is None or key > cursor)
    page = keys[:limit]
    return [found[key] for key in page], page[-1] if len(keys) > limit else None


def _space_shape(space: Space) -> SpaceShape:
    return SpaceShape(
        id=space.id,
        name=space.name,
        kind=space.kind,
        building=space.building,
        floor=space.floor,
        capacity=space.capacity,
        zone=space.zone,
        calendars=list(space.calendars),
    )
