"""Many people and rooms made of few words: what a world file's [crowd] and [[sites]] stand for.

Nothing here is drawn by chance: the same file always means the same people, at the same addresses, in the same rooms.
Neighbours: worldfile.py reads the rest of the file, founding.py builds all of it.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kalends_sandbox.booking_settings import rules, working_hours
from kalends_sandbox.description import BuildingSpec, PersonSpec, RoomSpec
from kalends_sandbox.place import BookingRules, WorkingHours
from kalends_sandbox.written import Table
from kalends_sandbox.zones import Zone

MOST_ROOMS, MOST_PEOPLE = 2_000, 20_000
_ROOMS_PER_FLOOR = 12
_CAPACITIES = (4, 6, 8, 2, 4, 10, 6, 12, 4, 8, 16, 24)
# Letters that Unicode does not take apart into a plain one and a mark.
_PLAIN_LETTERS = {ord(letter): plain for letter, plain in zip("øØłŁßæÆđðþıœ", "oOlLsaAddtio", strict=True)}


@dataclass(frozen=True, slots=True)
class Site:
    """Buildings in one place, and who works there."""

    zone: Zone
    buildings: tuple[str, ...]
    rooms: int
    people: int
    booking: BookingRules
    working_hours: WorkingHours


@dataclass(frozen=True, slots=True)
class Words:
    """What people, their work and the fittings of rooms are called."""

    given_names: tuple[str, ...] = ()
    surnames: tuple[str, ...] = ()
    departments: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Crowd:
    buildings: tuple[BuildingSpec, ...]
    rooms: tuple[RoomSpec, ...]
    people: tuple[PersonSpec, ...]


def crowd(top: Table, domain: str, zone: Zone, booking: BookingRules, hours: WorkingHours) -> Crowd:
    """Everybody and every room that the file asks for in numbers."""
    words = _words(top.table("crowd"))
    sites = [_site(table, zone, booking, hours) for table in top.tables("sites")]
    for key, asked, most in (
        ("rooms", sum(one.rooms for one in sites), MOST_ROOMS),
        ("people", sum(one.people for one in sites), MOST_PEOPLE),
    ):
        if asked > most:
            raise top.refuse("sites", f"{asked} {key} are more than a world has room for; ask for at most {most}.")
    asked = sum(one.people for one in sites)
    if asked > len(words.given_names) * len(words.surnames):
        raise top.refuse("crowd", f"{asked} people need as many pairs of `given_names` and `surnames`; add some.")
    names = _names(words)
    return Crowd(
        tuple(
            BuildingSpec(name, f"rooms.{local_part(name)}@{domain}") for site in sites for name in site.buildings
        ),
        tuple(room for site in sites for room in _rooms(site, words, domain)),
        tuple(_person(next(names), words, site, number, domain) for site in sites for number in range(site.people)),
    )  # fmt: skip


def local_part(name: str) -> str:
    """A name as the front of an address: "Zoë Ångström" becomes zoe.angstrom."""
    folded = name.translate(_PLAIN_LETTERS)
    plain = unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode().lower()
    words = ("".join(letter for letter in word if letter.isalnum() or letter == "-") for word in plain.split())
    return ".".join(word for word in words if word)


def _words(table: Table) -> Words:
    found = Words(
        table.texts("given_names"), table.texts("surnames"), table.texts("departments"), table.texts("titles"),
        table.texts("features"),
    )  # fmt: skip
    table.done()
    return found


def _site(table: Table, zone: Zone, booking: BookingRules, hours: WorkingHours) -> Site:
    found = Site(
        zone=table.windows_zone("zone", zone),
        buildings=table.texts("buildings"),
        rooms=table.number("rooms", 0, 0, MOST_ROOMS),
        people=table.number("people", 0, 0, MOST_PEOPLE),
        booking=rules(table.table("booking"), booking),
        working_hours=working_hours(table.table("working_hours"), hours),
    )
    table.done()
    if found.rooms and not found.buildings:
        raise table.refuse("buildings", "rooms stand in buildings; name at least one.")
    return found


def _names(words: Words) -> Iterator[str]:
    """Every pair once, in an order that mixes both."""
    given, surnames = words.given_names, words.surnames
    for number in range(len(given) * len(surnames)):
        first, turn = number % len(given), number // len(given)
        yield f"{given[first]} {surnames[(turn + first * 7) % len(surnames)]}"


def _person(name: str, words: Words, site: Site, number: int, domain: str) -> PersonSpec:
    return PersonSpec(
        name=name,
        address=f"{local_part(name)}@{domain}",
        aliases=(),
        department=_nth(words.departments, number),
        title=_nth(words.titles, number // 3),
        zone=site.zone,
        has_calendar=True,
        default_rights="AvailabilityOnly",
    )


def _rooms(site: Site, words: Words, domain: str) -> Iterator[RoomSpec]:
    """Evenly over the buildings, floor by floor; a room is called after its building, floor and number."""
    for number in range(site.rooms):
        building, index = site.buildings[number % len(site.buildings)], number // len(site.buildings)
        floor, door = 1 + index // _ROOMS_PER_FLOOR, 1 + index % _ROOMS_PER_FLOOR
        name, capacity = f"{building} {floor}.{door:02}", _CAPACITIES[number % len(_CAPACITIES)]
        fitted = words.features[: min(len(words.features), capacity // 5)]
        yield RoomSpec(
            name=name, address=f"{local_part(name)}@{domain}", building=building, floor=f"Floor {floor}",
            capacity=capacity, features=fitted, aliases=(), rules=site.booking, zone=site.zone,
            working_hours=site.working_hours, has_calendar=True, default_rights="AvailabilityOnly",
        )  # fmt: skip


def _nth(words: Sequence[str], number: int) -> str:
    return words[number % len(words)] if words else ""
