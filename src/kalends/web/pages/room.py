"""One room for the administrator: why it is as it is, how fresh, what is booked, and its door panels."""

from datetime import datetime
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kalends.features import words
from kalends.features.access import PAIRING
from kalends.features.details import with_details
from kalends.features.displays import about, line
from kalends.features.rooms import RoomView
from kalends.features.words import ACCOUNT_WORDS, CALENDAR_WORDS, day_name, full_moment, moment, privacy
from kalends.model.privacy import Audience
from kalends.store.access import Device
from kalends.web.answers import page
from kalends.web.kit import Kit, identity_of, kit_of, page_values, read_marked_form, rooms_read
from kalends.web.pages.rows import row
from kalends.web.policy import Policy, allow
from kalends.web.problems import not_found


@allow(Policy.ADMIN)
async def room_page(request: Request) -> Response:
    kit = kit_of(request)
    room, now = await _room(request, kit), kit.hub.clock.now()
    panels = await kit.doorkeeper.panels(room.space.id)
    told = await with_details(room, (*room.day, *room.later), kit.hub.details)
    shown = [
        {
            "when": (said := line(told, meeting, now, Audience.ADMIN)).when,
            "title": said.title,
            "organizer": said.organizer,
            "is_now": now in meeting.span,
            "note": "tentative" if meeting.event.show_as == "tentative" else "",
        }
        for meeting in room.day
    ]
    values = page_values(request, "room") | {
        "row": row(room, now),
        "about": about(room),
        "mark": f"{kit.follower.run_id}.{kit.follower.version}",
        "today": day_name(now, room.zone),
        "agenda": shown,
        "missing": told.details.missing,
        "later": [line(told, m, now, Audience.ADMIN) for m in room.later if m not in room.day],
        "facts": _facts(room, now),
        "panels": [{"id": p.id, "name": p.name, "text": _panel_text(p, now, room.zone)} for p in panels],
    }
    return page(request, "room.html", values)


def _facts(room: RoomView, now: datetime) -> list[dict[str, str]]:
    """Names and values, with the exact time as a tooltip."""
    calendar, zone = room.calendar, room.zone
    if calendar is None:
        return [{"name": "Calendar", "text": "none linked", "title": "", "href": ""}]
    said = row(room, now)
    state = CALENDAR_WORDS.get(calendar.state, calendar.state)
    account = ACCOUNT_WORDS.get(calendar.account.state, calendar.account.state)
    facts = [
        ("Calendar", calendar.address, calendar.name),
        ("Its state", f"{state} since {moment(calendar.since, now, zone)}", full_moment(calendar.since, zone)),
        ("Account", f"{calendar.account.name}: {account}", full_moment(calendar.account.since, zone)),
        ("In step", said.proof.ago if said.proof else "not yet", said.proof.full if said.proof else ""),
        ("Last change", said.changed.ago if said.changed else "none seen", said.changed.full if said.changed else ""),
        (
            "Changes are found",
            words.found(calendar.polling, calendar.heard_at is not None),
            "How Kalends learns that something became different",
        ),
        ("Lag, p50 / p95", said.lag or "not measured yet", "From a change at the provider to its commit here"),
        ("Unreadable", str(calendar.unreadable), "Meetings that could not be read; the others are not affected"),
        ("Time zone", zone.key, ""),
        ("Privacy", privacy(calendar.account.privacy), calendar.account.privacy),
    ]
    if room.trouble:
        facts.insert(3, ("Trouble", room.trouble, ""))
    # What an admin looks at next when an account doesn't do what it should.
    links = {"Account": f"/accounts/{calendar.account.id}/protocol"}
    return [{"name": name, "text": text, "title": title, "href": links.get(name, "")} for name, text, title in facts]


def _panel_text(device: Device, now: datetime, zone: ZoneInfo) -> str:
    if not device.is_paired:
        return "waiting to be paired"
    return f"seen {moment(device.seen_at, now, zone)}" if device.seen_at else "never seen"


@allow(Policy.ADMIN)
async def pair(request: Request) -> Response:
    """A fresh one-time code, shown once."""
    kit = kit_of(request)
    await read_marked_form(request)
    room = await _room(request, kit)
    code = await kit.doorkeeper.offer_pairing(room.space.id, room.space.name, identity_of(request).name)
    here = _opened_at(request, kit)
    values = page_values(request, "room") | {
        "room": room.space.name,
        "id": room.space.id,
        "code": code,
        "short_url": f"{here}/pair",
        "link": f"{here}/pair?code={code}",
        "minutes": int(PAIRING.total_seconds() // 60),
    }
    return page(request, "paired.html", values)


def _opened_at(request: Request, kit: Kit) -> str:
    """The address in the admin's browser: it works, where the configured one may be a wildcard or this machine alone."""
    origin = request.headers.get("origin", "")
    return origin if origin.startswith(("http://", "https://")) else kit.hub.base_url


@allow(Policy.ADMIN)
async def revoke(request: Request) -> Response:
    kit = kit_of(request)
    await read_marked_form(request)
    room = await _room(request, kit)
    await kit.doorkeeper.revoke(room.space.id, request.path_params["device"], identity_of(request).name)
    return RedirectResponse(f"/spaces/{room.space.id}#panels", 303, {"cache-control": "no-store"})


async def _room(request: Request, kit: Kit) -> RoomView:
    await rooms_read(kit)
    room = kit.follower.views.get(request.path_params["space"])
    if room is None:
        raise not_found()
    return room


ROUTES = [
    Route("/spaces/{space}", room_page),
    Route("/spaces/{space}/panels", pair, methods=["POST"]),
    Route("/spaces/{space}/panels/{device}/revoke", revoke, methods=["POST"]),
]
