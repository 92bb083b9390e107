"""The details that mode P0 leaves at their calendar, put beside a room for as long as one page or answer is made.

What reads them is passed in (`DetailsReader`; `app.py` has the one that asks the calendar systems). Panels, the overview and
the feed never come here: they show what mode P1 shows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from kalends.features.rooms import RoomView
from kalends.model.availability import Meeting
from kalends.model.event import Event
from kalends.model.privacy import Details, Mode

MOST = 200
"""Meetings of which one page or answer reads the details."""
TOO_MANY = f"Details are read for {MOST} meetings at once. Ask for a shorter span to have those of the others."


class DetailsReader(Protocol):
    async def read(self, calendar: str, events: Sequence[Event]) -> Details:
        """Raises nothing for a source that is away: what is missing is left out, and the answer says why."""
        ...


async def with_details(room: RoomView, meetings: Iterable[Meeting], reader: DetailsReader) -> RoomView:
    """The room with what its calendar tells of these meetings now; unchanged unless its account passes through.

    Nobody may see what is private, so it is not even asked for.
    """
    if room.calendar is None or room.mode != Mode.PASS_THROUGH:
        return room
    wanted = [meeting.event for meeting in meetings if not meeting.event.is_private]
    if not wanted:
        return room
    details = await reader.read(room.calendar.id, wanted[:MOST])
    if len(wanted) > MOST and not details.missing:
        details = replace(details, missing=TOO_MANY)
    return replace(room, details=details)
