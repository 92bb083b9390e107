"""How rooms answer, as people write it: in world files, and for a running sandbox through the control API.

Settings bear the names of Set-CalendarProcessing in small letters; what is wrong with one is said in a sentence. Neighbours:
place.py (the settings), worldfile.py and control.py (read with this), attendant.py (obeys).
"""

from dataclasses import asdict, fields
from datetime import time
from fnmatch import fnmatchcase
from typing import Any, cast, get_args

from kalends_sandbox.attendant import Attendant
from kalends_sandbox.booking import DEPARTMENT
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.place import BookingRules, BookingType, Processing, WorkingHours
from kalends_sandbox.recurrence import DAYS, Day
from kalends_sandbox.truth import Json
from kalends_sandbox.world import World
from kalends_sandbox.written import Table

_CHOICES = {"automate_processing": get_args(Processing), "booking_type": get_args(BookingType)}
_INT32 = 2_147_483_647
_MOST = {
    "conflict_percentage_allowed": 100, "maximum_conflict_instances": _INT32, "booking_window_in_days": 1080,
    "maximum_duration_in_minutes": _INT32, "minimum_duration_in_minutes": _INT32,
    "post_reservation_max_claim_time_in_minutes": 1440,
}  # fmt: skip
_LONGEST_TEXT = 1024
_MOST_ENTRIES = 1000


def rules(table: Table, standard: BookingRules) -> BookingRules:
    """The settings that a table gives; `standard` for what it leaves out."""
    said: dict[str, Any] = {
        one.name: _setting(table, one.name, getattr(standard, one.name)) for one in fields(standard)
    }
    table.done()
    found = BookingRules(**said)
    longest, shortest = found.maximum_duration_in_minutes, found.minimum_duration_in_minutes
    if longest and shortest > longest:
        raise table.refuse(
            "minimum_duration_in_minutes", f"{shortest} is more than the longest meeting of {longest} minutes."
        )
    return found


def working_hours(table: Table, standard: WorkingHours) -> WorkingHours:
    """Local to the room: `days`, `from` and `to`."""
    days = table.choices("days", DAYS) or standard.days
    start, end = (
        table.clock_time("from", _clock(standard.start_minute)),
        table.clock_time("to", _clock(standard.end_minute)),
    )
    table.done()
    if end <= start:
        raise table.refuse("to", "must be later than `from`.")
    return WorkingHours(cast(tuple[Day, ...], days), start.hour * 60 + start.minute, end.hour * 60 + end.minute)


def booking_facts(world: World, pattern: str) -> Json:
    """The settings of all rooms that match."""
    return {"rooms": [_facts(room) for room in _matching(world, pattern)]}


def change(world: World, attendant: Attendant, table: Table) -> Json:
    """`settings` (those that change) and `working_hours` for all rooms that match `room`; their settings afterwards."""
    pattern = table.text("room")
    rooms = _matching(world, pattern)
    if not rooms:
        raise table.refuse("room", f"no room matches {pattern}; give an address, * and ? stand for anything.")
    wanted = []
    for room in rooms:  # all are read before any is changed
        assert room.place is not None
        hours = working_hours(table.table("working_hours"), room.working_hours)
        wanted.append((room, rules(table.table("settings"), room.place.rules), hours))
    table.done()
    check_delegates(world, table.table("settings"))
    for room, settings, hours in wanted:
        attendant.govern(room, settings, hours)
    return {"rooms": [_facts(room) for room in rooms]}


def check_delegates(world: World, table: Table) -> None:
    """Delegates decide, so each must be somebody."""
    for address in table.texts("resource_delegates"):
        found = world.mailbox(address)
        if found is None or found.kind != "user":
            raise table.refuse("resource_delegates", f"{address} is nobody's address in this world.")


def _setting(table: Table, name: str, value: object) -> object:
    if name in _CHOICES:
        return table.choice(name, _CHOICES[name], str(value))
    if isinstance(value, bool):
        return table.flag(name, value)
    if isinstance(value, int):
        return table.number(name, value, 0, _MOST[name])
    if isinstance(value, tuple):
        return _entries(table, name) if name in table else _known(table, name, value)
    text = table.text(name, str(value))
    if len(text) > _LONGEST_TEXT:
        raise table.refuse(name, f"may have at most {_LONGEST_TEXT} characters.")
    return text


def _known(table: Table, name: str, value: object) -> object:
    table.know(name)
    return value


def _entries(table: Table, name: str) -> tuple[str, ...]:
    """Addresses, and for the lists of who may book also patterns and departments."""
    found = table.texts(name)
    if len(found) > _MOST_ENTRIES:
        raise table.refuse(name, f"may have at most {_MOST_ENTRIES} entries.")
    for one in found:
        is_department = name != "resource_delegates" and one.startswith(DEPARTMENT) and one != DEPARTMENT
        if one.count("@") != 1 and not is_department:
            raise table.refuse(
                name, f'{one!r} is no address; write name@domain, or "{DEPARTMENT}NAME" for a department.'
            )
    return tuple(one if one.startswith(DEPARTMENT) else one.lower() for one in found)


def _matching(world: World, pattern: str) -> list[Mailbox]:
    wanted = pattern.lower()
    rooms = [room for room in world.mailboxes if room.place is not None]
    return [room for room in rooms if any(fnmatchcase(address, wanted) for address in room.addresses)]


def _facts(room: Mailbox) -> Json:
    assert room.place is not None
    hours = room.working_hours
    opening = {
        "days": hours.days,
        "from": f"{_clock(hours.start_minute):%H:%M}",
        "to": f"{_clock(hours.end_minute):%H:%M}",
    }
    return {"room": room.primary, "zone": room.zone.id, "settings": asdict(room.place.rules), "working_hours": opening}


def _clock(minute: int) -> time:
    return time(minute // 60, minute % 60)
