"""World files:

TOML that describes an organisation and what stands in its calendars. docs/sandbox.md explains every key.

This module reads and checks; founding.py builds what it describes. Times in a world file are relative to the day on
which the sandbox's clock starts, so that a world always looks lived in today.
"""

import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import cast, get_args

from kalends_sandbox.booking_settings import rules, working_hours
from kalends_sandbox.crowd import crowd, local_part
from kalends_sandbox.description import (
    BuildingSpec,
    ChangeSpec,
    Description,
    FillingSpec,
    MeetingSpec,
    PersonSpec,
    RoomSpec,
    SeriesSpec,
)
from kalends_sandbox.item import Response, Sensitivity, ShowAs
from kalends_sandbox.mailbox import Rights
from kalends_sandbox.place import BookingRules, WorkingHours
from kalends_sandbox.post import Timing
from kalends_sandbox.recurrence import DAYS, Day
from kalends_sandbox.rights import Level, Permission
from kalends_sandbox.signpost import read_signpost
from kalends_sandbox.world import Application, ServiceAccount
from kalends_sandbox.written import Table, Unreadable, pattern
from kalends_sandbox.zones import Zone

SHIPPED = ("demo", "one-mailbox", "large")
MAX_FILE_BYTES = 4_000_000
_ANSWERS = ("Accept", "Tentative", "Decline", "NoResponseReceived")


class WorldFileBroken(Exception):
    """The world file cannot be used; the text names the file, the line or key, and what to do."""

    @classmethod
    def at(cls, file: str, fault: Unreadable) -> "WorldFileBroken":
        return cls(f"{file}, {fault.where}: {fault.why}")


def load(name_or_path: str) -> Description:
    """A shipped world by name, or a file by path. WorldFileBroken says what is wrong and what to do."""
    if name_or_path in SHIPPED:
        shipped = resources.files("kalends_sandbox") / "worlds" / f"{name_or_path}.toml"
        return read(shipped.read_text("utf-8"), f"{name_or_path}.toml")
    path = Path(name_or_path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise WorldFileBroken(f"{path}: larger than {MAX_FILE_BYTES} bytes, so it is hardly a world file.")
        text = path.read_text("utf-8")
    except OSError as error:
        raise WorldFileBroken(
            f"{path}: cannot be read ({error.strerror}). Give the path of a TOML file, or one of: {', '.join(SHIPPED)}."
        ) from error
    except UnicodeDecodeError as error:
        raise WorldFileBroken(f"{path}: is not UTF-8 text. Save it as UTF-8.") from error
    return read(text, str(path))


def read(text: str, file: str) -> Description:
    """The description in a world file's text; `file` is its name in messages."""
    try:
        return _description(Table(tomllib.loads(text), ""), file)
    except tomllib.TOMLDecodeError as error:
        raise WorldFileBroken(f"{file}: is not valid TOML: {error}. Correct that line.") from error
    except Unreadable as error:
        raise WorldFileBroken.at(file, error) from error


def _description(top: Table, file: str) -> Description:
    organization = top.table("organization")
    domain = organization.text("domain").lower()
    zone = organization.windows_zone("zone")
    hours = working_hours(organization.table("working_hours"), WorkingHours(end_minute=18 * 60))
    booking = rules(top.table("booking"), BookingRules())
    many = crowd(top, domain, zone, booking, hours)
    described = Description(
        file=file,
        name=organization.text("name"),
        domain=domain,
        zone=zone,
        working_hours=hours,
        timing=_timing(top.table("timing")),
        accounts=tuple(_account(table) for table in top.tables("accounts")),
        applications=tuple(_application(table) for table in top.tables("applications")),
        buildings=(*(_building(table, domain) for table in top.tables("buildings")), *many.buildings),
        rooms=(*(_room(table, domain, zone, booking, hours) for table in top.tables("rooms")), *many.rooms),
        people=(*(_person(table, domain, zone) for table in top.tables("people")), *many.people),
        meetings=tuple(_meeting(table) for table in top.tables("meetings")),
        permissions=tuple(_permission(table) for table in top.tables("permissions")),
        signpost=read_signpost(top.table("autodiscover")),
        filling=_filling(top.table("filling")) if "filling" in top else None,
    )
    organization.done()
    top.know("filling")
    top.done()
    _check_references(described)
    return described


def _check_references(described: Description) -> None:
    buildings = {building.name for building in described.buildings}
    for index, room in enumerate(described.rooms, 1):
        if room.building not in buildings:
            raise Unreadable(
                f"rooms[{index}].building", f"{room.building!r} is no building; add it under [[buildings]]."
            )
    taken: set[str] = set()
    for kind, specs in (("rooms", described.rooms), ("people", described.people)):
        for index, spec in enumerate(cast(tuple[RoomSpec | PersonSpec, ...], specs), 1):
            for address in dict.fromkeys((spec.address, *spec.aliases)):
                if address in taken:
                    raise Unreadable(
                        f"{kind}[{index}]", f"the address {address} is given twice; set `address` to another one."
                    )
                taken.add(address)
    _check_delegates(described)


def _check_delegates(described: Description) -> None:
    people = {address for person in described.people for address in (person.address, *person.aliases)}
    for index, room in enumerate(described.rooms, 1):
        strangers = [one for one in room.rules.resource_delegates if one not in people]
        if strangers:
            raise Unreadable(
                f"rooms[{index}].booking.resource_delegates", f"{strangers[0]} is nobody's address; add the person."
            )


def _timing(table: Table) -> Timing:
    standard = Timing()
    found = Timing(
        table.seconds("delivery_seconds", standard.delivery), table.seconds("attendant_seconds", standard.attendant)
    )
    table.done()
    return found


def _account(table: Table) -> ServiceAccount:
    mailbox = table.optional_text("mailbox")
    found = ServiceAccount(table.text("user"), table.text("password"), table.texts("impersonates"), mailbox)
    table.done()
    return found


def _application(table: Table) -> Application:
    client_id = table.text("client_id")
    found = Application(
        client_id,
        table.text("secret"),
        table.text("name", client_id),
        table.texts("impersonates"),
        table.flag("granted", True),
    )
    table.done()
    return found


def _permission(table: Table) -> Permission:
    level = cast(Level, table.choice("level", get_args(Level)))
    found = Permission(table.text("user"), table.texts("mailboxes"), level, table.flag("hides_private", False))
    table.done()
    if not found.mailboxes:
        raise table.refuse("mailboxes", 'says whose calendars are meant: patterns, or "list:ADDRESS" for a room list.')
    return found


def _building(table: Table, domain: str) -> BuildingSpec:
    name = table.text("name")
    found = BuildingSpec(name, table.text("list_address", f"rooms.{local_part(name)}@{domain}").lower())
    table.done()
    return found


def _room(table: Table, domain: str, zone: Zone, booking: BookingRules, hours: WorkingHours) -> RoomSpec:
    name = table.text("name")
    found = RoomSpec(
        name=name,
        address=table.text("address", f"{local_part(name)}@{domain}").lower(),
        building=table.text("building"),
        floor=table.text("floor", "Ground floor"),
        capacity=table.number("capacity", 4, 1, 10_000),
        features=table.texts("features"),
        aliases=_addresses(table, "aliases"),
        rules=rules(table.table("booking"), booking),
        zone=table.windows_zone("zone", zone),
        working_hours=working_hours(table.table("working_hours"), hours),
        has_calendar=table.flag("calendar", True),
        default_rights=_rights(table),
    )
    table.done()
    return found


def _person(table: Table, domain: str, zone: Zone) -> PersonSpec:
    name = table.text("name")
    found = PersonSpec(
        name=name,
        address=table.text("address", f"{local_part(name)}@{domain}").lower(),
        aliases=_addresses(table, "aliases"),
        department=table.text("department", ""),
        title=table.text("title", ""),
        zone=table.windows_zone("zone", zone),
        has_calendar=table.flag("calendar", True),
        default_rights=_rights(table),
    )
    table.done()
    return found


def _rights(table: Table) -> Rights:
    return cast(Rights, table.choice("default_rights", get_args(Rights), "AvailabilityOnly"))


def _addresses(table: Table, key: str) -> tuple[str, ...]:
    found = table.texts(key)
    for address in found:
        if address.count("@") != 1:
            raise table.refuse(key, f"{address!r} is no address; write it like name@domain.")
    return tuple(address.lower() for address in found)


def _meeting(table: Table) -> MeetingSpec:
    at = None if table.flag("all_day", False) else table.clock_time("at")
    found = MeetingSpec(
        where=table.where,
        subject=table.text("subject", "") or None,
        organizer=table.text("organizer"),
        day=_day(table),
        at=at,
        minutes=table.number("minutes", 60, 0, 60 * 24 * 14),
        days=table.number("days", 1, 1, 60),
        rooms=table.texts("rooms"),
        required=table.texts("required"),
        optional=table.texts("optional"),
        location=table.optional_text("location"),
        body=table.optional_text("body"),
        show_as=cast(ShowAs, table.choice("show_as", get_args(ShowAs), "Busy")),
        sensitivity=cast(Sensitivity, table.choice("sensitivity", get_args(Sensitivity), "Normal")),
        zone_id=table.optional_text("zone_id", may_be_empty=True),
        answers=cast(Response, table.choice("answers", _ANSWERS)) if "answers" in table else None,
        is_cancelled=table.flag("cancelled", False),
        series=_series(table.table("series")) if "series" in table else None,
        changes=tuple(_changes(table)),
        deleted=table.numbers("deleted", (), -400, 400),
    )
    if found.series is None:
        for key in ("changes", "deleted"):
            if key in table:
                raise table.refuse(key, "only a series has occurrences; add a `series` table.")
    table.know("at", "series", "answers")
    table.done()
    return found


def _day(table: Table) -> int | Day:
    """A number of days from the start day, or a weekday of its week."""
    if "day" in table and table.is_text("day"):
        return cast(Day, table.choice("day", DAYS))
    return table.number("day", 0, -3660, 3660)


def _series(table: Table) -> SeriesSpec:
    found = SeriesSpec(
        pattern(table),
        table.number("since", 0, -40_000, 3660),
        table.optional_number("until", -3660, 40_000),
        table.optional_number("count", 1, 9_999),
    )
    table.done()
    if found.until is not None and found.count is not None:
        raise table.refuse("count", "a series ends with `until` or after `count`, not both; remove one.")
    return found


def _changes(table: Table) -> Iterator[ChangeSpec]:
    for change in table.tables("changes"):
        show_as = change.choice("show_as", get_args(ShowAs)) if "show_as" in change else None
        sensitivity = change.choice("sensitivity", get_args(Sensitivity)) if "sensitivity" in change else None
        yield ChangeSpec(
            occurrence=change.number("occurrence", None, -400, 400),
            at=change.clock_time("at") if "at" in change else None,
            minutes=change.optional_number("minutes", 1, 60 * 24),
            shift_days=change.number("shift_days", 0, -30, 30),
            subject=change.optional_text("subject"),
            room=change.optional_text("room"),
            show_as=cast(ShowAs | None, show_as),
            sensitivity=cast(Sensitivity | None, sensitivity),
        )
        change.know("at", "show_as", "sensitivity")
        change.done()


def _filling(table: Table) -> FillingSpec:
    first, last = table.numbers("days", (-5, 9), -60, 60)[:2]
    found = FillingSpec(
        first_day=first,
        last_day=last,
        busy_percent=table.number("busy_percent", 60, 0, 95),
        minutes=table.numbers("minutes", (30, 30, 45, 60, 60, 90), 5, 480),
        subjects=table.texts("subjects"),
        bodies=table.texts("bodies"),
        private_percent=table.number("private_percent", 0, 0, 100),
        tentative_percent=table.number("tentative_percent", 0, 0, 100),
        series_percent=table.number("series_percent", 0, 0, 100),
        most_invited=table.number("most_invited", 6, 1, 100),
        is_local=table.flag("local", False),
    )
    table.done()
    if not found.subjects:
        raise table.refuse("subjects", "give at least one subject to fill calendars with.")
    return found
