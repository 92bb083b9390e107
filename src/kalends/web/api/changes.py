"""`/v1/changes`: the feed by cursor, and the same as a live stream whose message ids are those cursors."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from kalends.bus import POLL_SECONDS, Topic
from kalends.store import feed
from kalends.store.door import StoreError
from kalends.store.feed import BadCursor, Change, CursorTooOld
from kalends.web.api.reading import REFUSALS
from kalends.web.api.route import StrictRoute
from kalends.web.api.shapes import ChangePage, ChangeShape
from kalends.web.kit import Kit, Standing, kit_of, room_for_a_stream, seated
from kalends.web.policy import Policy, allow
from kalends.web.problems import Problem
from kalends.web.sse import PING_SECONDS, EventStream, frame

router = APIRouter(prefix="/v1", route_class=StrictRoute)
BATCH = 200
After = Annotated[str | None, Query(max_length=60, description="A cursor that the feed gave out.")]


@router.get(
    "/changes",
    response_model=ChangePage,
    responses={**REFUSALS, 410: {"description": "The cursor is older than the feed: read the state, then start anew."}},
    summary="What became different, oldest first; without a cursor from the beginning",
)
@allow(Policy.API)
async def changes(
    request: Request,
    after: After = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="How many at most.")] = 200,
) -> ChangePage:
    batch = await _batch(kit_of(request), after, limit)
    return ChangePage(items=[_shape(change) for change in batch.changes], cursor=batch.cursor)


@router.get(
    "/changes/stream",
    responses={**REFUSALS, 200: {"content": {"text/event-stream": {}}, "description": "Server-sent events."}},
    summary="The same as it happens; ids are cursors, and Last-Event-ID goes before `after`",
)
@allow(Policy.API)
async def stream(request: Request, after: After = None) -> Response:
    kit = kit_of(request)
    room_for_a_stream(kit)
    given = request.headers.get("last-event-id") or after
    if given is not None:
        await _batch(kit, given, 1)  # a bad cursor is refused while it can still be said
    start: str = given if given is not None else await kit.hub.store.read(feed.latest)
    return EventStream(seated(kit, _messages(kit, Standing(request), start)))


async def _messages(kit: Kit, standing: Standing, cursor: str) -> AsyncGenerator[bytes | None]:
    silent = 0.0
    while not kit.draining.is_set():
        mark = kit.hub.bus.mark(Topic.FEED)
        try:
            batch = await kit.hub.store.read(feed.after, kit.hub.organization, cursor, BATCH)
            if not await standing.holds():
                return
        except StoreError:
            return  # the client comes back with its last id
        for change in batch.changes:
            yield frame(_shape(change).model_dump_json(), event=change.kind, id_=change.cursor)
        cursor = batch.cursor
        if batch.changes:
            silent = 0.0
            continue
        if silent >= PING_SECONDS:
            silent = 0.0
            yield None
        await kit.hub.bus.wait(Topic.FEED, mark)
        await asyncio.sleep(0)
        silent += POLL_SECONDS


async def _batch(kit: Kit, after: str | None, limit: int) -> feed.Batch:
    try:
        return await kit.hub.store.read(feed.after, kit.hub.organization, after, limit)
    except CursorTooOld as error:
        raise Problem(410, "cursor_expired", "Cursor too old", str(error)) from None
    except BadCursor as error:
        raise Problem(422, "bad_cursor", "Unknown cursor", str(error)) from None


def _shape(change: Change) -> ChangeShape:
    return ChangeShape(
        cursor=change.cursor,
        at=change.at,
        kind=change.kind,
        calendar=change.calendar,
        key=change.key,
        version=change.version,
        start=change.start,
        end=change.end,
    )
