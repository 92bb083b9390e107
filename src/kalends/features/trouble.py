"""What needs a person, worst first: one entry per cause, however many rooms it touches. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from kalends.features.freshness import CATCHING_UP, IN_SYNC
from kalends.features.rooms import RoomView
from kalends.model.availability import Rule, State


class Weight(IntEnum):
    ACCOUNT = 0
    CALENDAR = 1
    SILENT = 2
    UNLINKED = 3
    UNREADABLE = 4
    UNVERIFIED = 5


@dataclass(frozen=True, slots=True)
class Trouble:
    weight: Weight
    title: str
    reason: str
    """What happened and what to do, in sentences."""
    since: datetime | None
    rooms: tuple[RoomView, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How many calendars were read at least once."""

    read: int
    total: int

    @property
    def is_done(self) -> bool:
        return self.read >= self.total


def progress(rooms: Iterable[RoomView]) -> Progress:
    linked = [room for room in rooms if room.calendar is not None]
    return Progress(sum(1 for room in linked if room.answer.rule is not Rule.NEVER_READ), len(linked))


def troubles(rooms: Iterable[RoomView]) -> tuple[Trouble, ...]:
    """At most one entry per account, per reason and per kind of gap."""
    groups: dict[tuple[Weight, str, str], list[RoomView]] = {}
    for room in rooms:
        key = _cause(room)
        if key is not None:
            groups.setdefault(key, []).append(room)
        if room.calendar is not None and room.calendar.unreadable:
            groups.setdefault((Weight.UNREADABLE, "", ""), []).append(room)
        if room.calendar is not None and room.calendar.account.unverified:
            account = room.calendar.account
            groups.setdefault((Weight.UNVERIFIED, account.name, account.unverified), []).append(room)
    found = [_trouble(weight, title, reason, members) for (weight, title, reason), members in groups.items()]
    return tuple(sorted(found, key=lambda t: (t.weight, t.title, t.reason)))


def _cause(room: RoomView) -> tuple[Weight, str, str] | None:
    calendar = room.calendar
    if calendar is None:
        return Weight.UNLINKED, "", ""
    if calendar.account.trouble:
        return Weight.ACCOUNT, calendar.account.name, calendar.account.reason
    if calendar.state not in (IN_SYNC, CATCHING_UP):
        return Weight.CALENDAR, calendar.state, calendar.reason
    if room.state is State.UNKNOWN and room.answer.rule is Rule.STALE:
        return Weight.SILENT, "", ""
    return None


def _trouble(weight: Weight, title: str, reason: str, rooms: list[RoomView]) -> Trouble:
    count = len(rooms)
    these = "1 room" if count == 1 else f"{count} rooms"
    calendars = [room.calendar for room in rooms if room.calendar is not None]
    match weight:
        case Weight.ACCOUNT:
            account = calendars[0].account
            return Trouble(weight, f"{title}: {these} cannot be kept in step", reason, account.since, tuple(rooms))
        case Weight.CALENDAR:
            since = min(calendar.since for calendar in calendars)
            return Trouble(weight, _calendar_title(title, these), reason, since, tuple(rooms))
        case Weight.SILENT:
            since = min(room.answer.proof.at for room in rooms if room.answer.proof.at is not None)
            text = (
                "Nothing proved these calendars in step lately, so the rooms are shown as unknown. Is a worker running?"
            )
            return Trouble(weight, f"{these} not heard from", text, since, tuple(rooms))
        case Weight.UNVERIFIED:
            since = calendars[0].account.since
            return Trouble(weight, f"{title}: its server's certificate is not verified", reason, since, tuple(rooms))
        case Weight.UNLINKED:
            text = "Link a calendar to each, or remove the room."
            return Trouble(weight, f"{these} without a calendar", text, None, tuple(rooms))
    items = sum(calendar.unreadable for calendar in calendars)
    title = "1 meeting" if items == 1 else f"{items} meetings"
    text = "The rest of each calendar is in step. Each room's page says how many are missing."
    return Trouble(weight, f"{title} could not be read", text, None, tuple(rooms))


def _calendar_title(state: str, these: str) -> str:
    match state:
        case "held":
            return f"{these} held back: many meetings would disappear"
        case "gone":
            return f"{these}: the calendar was not found"
    return f"{these} cannot be kept in step"
