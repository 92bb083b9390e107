"""World files:

TOML that describes an organisation and what stands in its calendars. docs/sandbox.md explains every key.

This module reads and checks; founding.py builds what it describes. Times in a world file are relative to the day on
which the sandbox's clock starts, so that a world always looks lived in today.
"""

import tomllib
import unicodedata
from collections.abc import Iterator
from dataclasses import fields
from datetime import time
from importlib import resources
from pathlib import Path
from typing import Any, cast, get_args

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
from kalends_sandbox.world import ServiceAccount
from kalends_sandbox.written import Table, Unreadable, pattern
from kalends_sandbox.zones import Zone

SHIPPED = ("demo", "one-mailbox")
MAX_FILE_BYTES = 4_000_000
# Letters that Unicode does not take apart into a plain one and a mark.
_PLAIN_LETTERS = {ord(letter): plain for letter, plain in zip("øØłŁßæÆđðþıœ", "oOlLsaAddtio", strict=True)}
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


def local_part(name: str) -> str:
    """A name as the front of an address: "Zoë Ångström" becomes zoe.angstrom."""
    folded = name.translate(_PLAIN_LETTERS)
    plain = unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode().lower()
    words = ("".join(letter for letter in word if letter.isalnum() or letter == "-") for word in plain.split())
    return ".".join(word for word in words if word)


def _description(top: Table, file: str) -> Description:
    organization = top.table("organization")
    domain = organization.text("domain").lower()
    zone = organization.windows_zone("zone")
    booking = _rules(top.table("booking"), BookingRules())
    described = Description(
        file=file,
        name=organization.text("name"),
        domain=domain,
        zone=zone,
        working_hours=_working_hours(organization.table("working_hours")),
        timing=_timing(top.table("timing")),
        accounts=tuple(_account(table) for table in top.tables("accounts")),
        buildings=tuple(_building(table, domain) for table in top.tables("buildings")),
        rooms=tuple(_room(table, domain, zone, booking) for table in top.tables("rooms")),
        people=tuple(_person(table, domain, zone) for table in top.tables("people")),
        meetings=tuple(_meeting(table) for table in top.tables("meetings")),
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


def _working_hours(table: Table) -> WorkingHours:
    standard = WorkingHours()
    days = table.choices("days", DAYS) or standard.days
    start, end = table.clock_time("from", time(8)), table.clock_time("to", time(18))
    table.done()
    if end <= start:
        raise table.refuse("to", "must be later than `from`.")
    return WorkingHours(cast(tuple[Day, ...], days), start.hour * 60 + start.minute, end.hour * 60 + end.minute)


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


def _building(table: Table, domain: str) -> BuildingSpec:
    name = table.text("name")
    found = BuildingSpec(name, table.text("list_address", f"rooms.{local_part(name)}@{domain}").lower())
    table.done()
    return found


def _room(table: Table, domain: str, zone: Zone, booking: BookingRules) -> RoomSpec:
    name = table.text("name")
    found = RoomSpec(
        name=name,
        address=table.text("address", f"{local_part(name)}@{domain}").lower(),
        building=table.text("building"),
        floor=table.text("floor", "Ground floor"),
        capacity=table.number("capacity", 4, 1, 10_000),
        features=table.texts("features"),
        aliases=_addresses(table, "aliases"),
        rules=_rules(table.table("booking"), booking),
        zone=table.windows_zone("zone", zone),
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


def _rules(table: Table, standard: BookingRules) -> BookingRules:
    said: dict[str, Any] = {}
    for rule in fields(BookingRules):
        value = getattr(standard, rule.name)
        if rule.name == "automate_processing":
            said[rule.name] = table.choice(rule.name, ("None", "AutoUpdate", "AutoAccept"), value)
        elif isinstance(value, bool):
            said[rule.name] = table.flag(rule.name, value)
        else:
            said[rule.name] = table.number(rule.name, value, 0, 100_000)
    table.done()
    return BookingRules(**said)


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
    )
    table.done()
    if not found.subjects:
        raise table.refuse("subjects", "give at least one subject to fill calendars with.")
    return found
