"""Turns views into the bytes of live messages, once per change however many watch."""

from datetime import datetime

from markupsafe import Markup

from kalends.features.displays import face, milliseconds
from kalends.features.follower import Follower
from kalends.features.rooms import RoomView
from kalends.features.timeline import HOURS
from kalends.features.trouble import progress, troubles
from kalends.features.words import STATE_WORDS, moment
from kalends.model.availability import State
from kalends.web.answers import rendered
from kalends.web.assets import ASSETS
from kalends.web.pages.rows import row
from kalends.web.sse import frame

ROOMS_NAMED = 12
BUILD = "-".join(ASSETS[name].url.split(".")[1] for name in ("panel.css", "panel.js"))
"""Changes when the panel's own files do; a panel that sees another one loads itself anew."""


class Painter:
    def __init__(self, follower: Follower) -> None:
        self._follower = follower
        self._faces: dict[str, tuple[int, bytes]] = {}
        self._rows: dict[str, tuple[int, str]] = {}

    def face(self, room: RoomView, now: datetime) -> Markup:
        word = STATE_WORDS[State.UNKNOWN]
        html = rendered("face.html", face=face(room, now), hours=HOURS, build=BUILD, unknown_word=word)
        return Markup(html)  # noqa: S704  # autoescaped

    def face_frame(self, room: RoomView, now: datetime) -> bytes:
        revision = self._follower.revisions[room.space.id]
        known = self._faces.get(room.space.id)
        if known is None or known[0] != revision:
            known = (revision, frame(self.face(room, now)))
            self._faces[room.space.id] = known
        return known[1]

    def row(self, room: RoomView, now: datetime, is_hidden: bool = False) -> Markup:
        values = row(room, now)
        return Markup(rendered("row.html", row=values, hours=HOURS, is_hidden=is_hidden))  # noqa: S704  # autoescaped

    def row_text(self, room: RoomView, now: datetime) -> str:
        """The row as it was when it last changed; the page moves its times on."""
        revision = self._follower.revisions[room.space.id]
        known = self._rows.get(room.space.id)
        if known is None or known[0] != revision:
            known = (revision, self.row(room, now))
            self._rows[room.space.id] = known
        return known[1]

    def attention(self, now: datetime) -> Markup:
        return Markup(rendered("attention.html", **self.attention_values(now)))  # noqa: S704  # autoescaped

    def attention_values(self, now: datetime) -> dict[str, object]:
        rooms = list(self._follower.views.values())
        entries = [
            {
                "title": trouble.title,
                "reason": trouble.reason,
                "since": moment(trouble.since, now, trouble.rooms[0].zone) if trouble.since else "",
                "rooms": [{"id": r.space.id, "name": r.space.name} for r in trouble.rooms[:ROOMS_NAMED]],
                "more": max(0, len(trouble.rooms) - ROOMS_NAMED),
            }
            for trouble in troubles(rooms)
        ]
        return {"progress": progress(rooms), "troubles": entries, "own_trouble": self._follower.own_trouble}


def proof_frame(rooms: list[RoomView], now: datetime, named: bool) -> bytes:
    """The server's time, then when each room was last proved in step; with their ids where several are meant."""
    parts = [str(milliseconds(now))]
    for room in rooms:
        at = room.answer.proof.at
        if at is not None:
            parts.append(f"{room.space.id}={milliseconds(at)}" if named else str(milliseconds(at)))
    return frame(" ".join(parts), event="proof")
