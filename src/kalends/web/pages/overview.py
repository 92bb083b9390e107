"""The overview: every room, grouped by building, with trouble on top; and its live stream."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kalends.features.displays import milliseconds
from kalends.features.rooms import RoomView
from kalends.features.timeline import HOURS
from kalends.features.words import STATE_WORDS, clock_time, day_name, moment
from kalends.model.availability import State
from kalends.store import debugging
from kalends.store.door import StoreError
from kalends.web.answers import page
from kalends.web.kit import Kit, Standing, kit_of, page_values, room_for_a_stream, rooms_read, seated
from kalends.web.pages.rows import search_text
from kalends.web.painter import proof_frame
from kalends.web.policy import Policy, allow
from kalends.web.problems import Problem
from kalends.web.sse import EventStream, frame

LONGEST_QUERY = 80


@dataclass(frozen=True, slots=True)
class Query:
    """What the address narrows the rooms to; empty fields narrow nothing."""

    state: str = ""
    building: str = ""
    q: str = ""

    def fits(self, room: RoomView) -> bool:
        return (
            (not self.state or room.state == self.state)
            and (not self.building or room.space.building == self.building)
            and (not self.q or self.q.strip().lower() in search_text(room))
        )

    def href(self, **changed: str) -> str:
        values = {"state": self.state, "building": self.building, "q": self.q, **changed}
        kept = {name: value for name, value in values.items() if value}
        return f"/?{urlencode(kept)}" if kept else "/"


@allow(Policy.ADMIN)
async def overview(request: Request) -> Response:
    kit = kit_of(request)
    await rooms_read(kit)
    now, query = kit.hub.clock.now(), _query(request)
    rooms = list(kit.follower.views.values())
    zone = rooms[0].zone if rooms else None
    values = page_values(request, "rooms") | kit.painter.attention_values(now)
    values |= {
        "now_ms": milliseconds(now),
        "factor": kit.hub.clock.factor,
        "stale_ms": int(kit.policy.stale_after.total_seconds() * 1000),
        "mark": f"{kit.follower.run_id}.{kit.follower.version}",
        "today": day_name(now, zone) if zone else "",
        "clock": clock_time(now, zone) if zone else "",
        "zone": zone.key if zone else "UTC",
        "rooms": len(rooms),
        "shown": sum(1 for room in rooms if query.fits(room)),
        "query": query,
        "chips": _state_chips(rooms, query),
        "building_chips": _building_chips(rooms, query),
        "buildings": _buildings(kit, rooms, query, now),
        "hours": HOURS,
        "recorded": await _recorded(kit, now, zone),
    }
    return page(request, "overview.html", values)


async def _recorded(kit: Kit, now: datetime, zone: ZoneInfo | None) -> list[dict[str, str]]:
    """The accounts under protocol debugging: worth knowing, nothing to be alarmed about."""
    found = await kit.hub.store.read(debugging.names_on, kit.hub.organization, now)
    return [{"id": id_, "name": name, "until": moment(end, now, zone or ZoneInfo("UTC"))} for id_, name, end in found]


def _query(request: Request) -> Query:
    given = request.query_params
    values = {name: given.get(name, "") for name in ("state", "building", "q")}
    if any(len(value) > LONGEST_QUERY for value in values.values()) or values["state"] not in ("", *State):
        raise Problem(400, "bad_filter", "This filter can't be used", "Open the overview without it and filter there.")
    return Query(**values)


def _state_chips(rooms: list[RoomView], query: Query) -> list[dict[str, object]]:
    counts = {state: sum(1 for room in rooms if room.state is state) for state in State}
    first = {"state": "", "word": "All", "count": len(rooms), "href": query.href(state=""), "is_on": not query.state}
    return [first] + [
        {"state": s, "word": STATE_WORDS[s], "count": counts[s], "href": query.href(state=s), "is_on": query.state == s}
        for s in State
    ]


def _building_chips(rooms: list[RoomView], query: Query) -> list[dict[str, object]]:
    names = list(dict.fromkeys(room.space.building for room in rooms if room.space.building))
    if len(names) < 2:
        return []
    return [
        {
            "word": name,
            "is_on": name == query.building,
            "href": query.href(building="" if name == query.building else name),
        }
        for name in names
    ]


def _buildings(kit: Kit, rooms: list[RoomView], query: Query, now: datetime) -> list[dict[str, object]]:
    groups: dict[str, list[RoomView]] = {}
    for room in rooms:
        groups.setdefault(room.space.building, []).append(room)
    common = rooms[0].zone if rooms else None
    return [
        {
            "name": name,
            "rows": [kit.painter.row(room, now, not query.fits(room)) for room in members],
            "free": sum(1 for room in members if room.state is State.AVAILABLE),
            "is_hidden": not any(query.fits(room) for room in members),
            "zone_note": "" if members[0].zone == common else f"{clock_time(now, members[0].zone)} there",
        }
        for name, members in groups.items()
    ]


@allow(Policy.ADMIN)
async def live(request: Request) -> Response:
    kit = kit_of(request)
    await rooms_read(kit)
    room_for_a_stream(kit)
    return EventStream(seated(kit, _messages(kit, request)))


async def _messages(kit: Kit, request: Request) -> AsyncGenerator[bytes | None]:
    """First what changed since the page was made, then what changes."""
    follower, attention, standing = kit.follower, Markup(), Standing(request)
    after = _version_of(request.query_params.get("after", ""), follower.run_id)
    seat = follower.sit(None)
    seat.tell([id_ for id_, at in follower.revisions.items() if at > after and id_ in follower.views], follower.views)
    shown: tuple[str, ...] = ()
    try:
        while not seat.is_closed:
            changed, proved = seat.take()
            now = kit.hub.clock.now()
            if (rooms := tuple(follower.views)) != shown:
                yield frame(" ".join(rooms) or " ", event="rooms")  # a page drops what is not among them
                shown = rooms
            html = [kit.painter.row_text(follower.views[id_], now) for id_ in changed if id_ in follower.views]
            fresh = kit.painter.attention(now)
            if fresh != attention:
                html.append(fresh)
                attention = fresh
            if html:
                yield frame("\n".join(html), id_=f"{follower.run_id}.{follower.version}")
            heard = [follower.views[id_] for id_ in (*changed, *proved) if id_ in follower.views]
            yield proof_frame(heard, now, named=True)
            if not await standing.holds():
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(standing.patience):
                    await seat.rang.wait()
    except StoreError:
        return  # the browser comes back, and finds a sentence if the store still doesn't answer
    finally:
        follower.leave(seat)


def _version_of(mark: str, run_id: str) -> int:
    """The version a page was made at; 0, so that everything is sent, when that was another process or is unreadable."""
    run, _, version = mark.rpartition(".")
    return int(version) if run == run_id and version.isascii() and version.isdigit() and len(version) < 19 else 0


ROUTES = [Route("/", overview), Route("/live", live)]
