"""A world built from its description: mailboxes, rights, and the meetings that already stand. filling.py adds the
ordinary ones.

Described meetings are made the way people make them (actions.py, with the mail settled at once), so that every copy is
what it would have become. Neighbours: worldfile.py and description.py before, sandbox.py after.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from kalends_sandbox import series
from kalends_sandbox.actions import ActionRefused, Actions, Change
from kalends_sandbox.attendant import Attendant
from kalends_sandbox.clock import Clock
from kalends_sandbox.description import ChangeSpec, Description, MeetingSpec
from kalends_sandbox.filling import fill
from kalends_sandbox.item import Item, Response
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.place import Place
from kalends_sandbox.post import Post
from kalends_sandbox.recurrence import DAYS, Recurrence
from kalends_sandbox.room_actions import RoomActions
from kalends_sandbox.world import RoomList, World
from kalends_sandbox.worldfile import WorldFileBroken
from kalends_sandbox.written import Unreadable
from kalends_sandbox.zones import Zone

_ANSWERS: tuple[Response, ...] = ("Accept",) * 8 + ("Tentative", "NoResponseReceived")
_SEARCHED = timedelta(days=800)


@dataclass(frozen=True, slots=True)
class Founded:
    """A world that lives: with its post, its attendant and the hands that act in it."""

    world: World
    post: Post
    actions: Actions
    rooms: RoomActions
    attendant: Attendant


def found(description: Description, clock: Clock, rng: random.Random) -> Founded:
    """The described world, as it stands on the clock's day. WorldFileBroken when a meeting cannot be as described."""
    world = World(clock, rng, description.domain, description.name, description.zone)
    post = Post(world, _own(rng), description.timing)
    attendant = Attendant(world, post)
    actions = Actions(world, post)
    try:
        _settle_in(description, world)
        diary = _Diary(world, post, actions, _own(rng))
        for spec in description.meetings:
            diary.enter(spec)
    except Unreadable as fault:
        raise WorldFileBroken.at(description.file, fault) from fault
    if description.filling is not None:
        fill(description.filling, world, _own(rng))
    world.mails.clear()  # what stood before the sandbox began was not sent by anybody in it
    post.log.clear()
    attendant.watch()
    return Founded(world, post, actions, RoomActions(world, post), attendant)


def _own(rng: random.Random) -> random.Random:
    """A generator of its own for each part, so that one more draw in one changes nothing in another."""
    return random.Random(rng.getrandbits(64))  # noqa: S311  # repeatable on purpose


def _settle_in(description: Description, world: World) -> None:
    hours = description.working_hours
    for room in description.rooms:
        place = Place(room.building, room.floor, room.capacity, room.features, room.rules)
        world.add_mailbox(
            room.name, room.address, "room", aliases=room.aliases, zone=room.zone, working_hours=room.working_hours,
            place=place, with_calendar=room.has_calendar, default_rights=room.default_rights,
        )  # fmt: skip
    for person in description.people:
        world.add_mailbox(
            person.name, person.address, aliases=person.aliases, zone=person.zone, working_hours=hours,
            title=person.title, department=person.department, with_calendar=person.has_calendar,
            default_rights=person.default_rights,
        )  # fmt: skip
    for building in description.buildings:
        rooms = tuple(room.address for room in description.rooms if room.building == building.name)
        world.room_lists.append(RoomList(building.name, building.list_address, rooms))
    world.accounts.extend(description.accounts)
    world.applications.extend(description.applications)
    world.permissions.extend(description.permissions)
    world.signpost = description.signpost
    for index, account in enumerate(description.accounts, 1):
        if account.mailbox is not None and world.mailbox(account.mailbox) is None:
            raise Unreadable(
                f"accounts[{index}].mailbox", f"there is no mailbox {account.mailbox}; add a person for it."
            )


class _Diary:
    """Enters described meetings, one after the other."""

    def __init__(self, world: World, post: Post, actions: Actions, rng: random.Random) -> None:
        self._world, self._post, self._actions, self._rng = world, post, actions, rng
        self._today = world.clock.now().astimezone(world.zone.tz).date()
        self._by_name = {mailbox.name.casefold(): mailbox for mailbox in reversed(world.mailboxes)}

    def enter(self, spec: MeetingSpec) -> None:
        organizer = self._who(spec, spec.organizer)
        try:
            item = self._create(spec, organizer)
            self._post.settle()
            self._answer(spec, item)
            for start, change in self._changes(spec, item):
                self._actions.edit(organizer.primary, item.uid, change, start)
                self._post.settle()
            for start in [self._occurrence(spec, item, index) for index in spec.deleted]:
                self._actions.cancel(organizer.primary, item.uid, start)
            if spec.is_cancelled:
                self._actions.cancel(organizer.primary, item.uid)
            self._post.settle()
        except (ActionRefused, ValueError) as refused:
            if isinstance(refused, Unreadable):
                raise
            raise Unreadable(spec.where, str(refused)) from refused

    def _create(self, spec: MeetingSpec, organizer: Mailbox) -> Item:
        zone = self._zone(spec, organizer)
        day = self._day(spec)
        recurrence = None
        if spec.series is not None:
            first = day + timedelta(days=spec.series.since)
            end = None if spec.series.until is None else day + timedelta(days=spec.series.until)
            recurrence = Recurrence(spec.series.pattern, first, end, spec.series.count)
            day = first
        start, end_at = _times(spec, day, zone)
        fields: dict[str, Any] = {"location": spec.location} if spec.location is not None else {}
        return self._actions.create(
            organizer.primary, spec.subject, start, end_at,
            rooms=self._addresses(spec, spec.rooms), required=self._addresses(spec, spec.required),
            optional=self._addresses(spec, spec.optional), recurrence=recurrence, zone=zone, body=spec.body,
            is_all_day=spec.at is None, show_as=spec.show_as, sensitivity=spec.sensitivity, **fields,
        )  # fmt: skip

    def _answer(self, spec: MeetingSpec, item: Item) -> None:
        for attendee in item.attendees:
            mailbox = self._world.mailbox(attendee.address)
            if attendee.role == "resource" or mailbox is None or mailbox.calendar is None:
                continue
            answer = self._rng.choice(_ANSWERS) if spec.answers is None else spec.answers
            if answer != "NoResponseReceived":
                self._actions.respond(mailbox.primary, item.uid, answer)
        self._post.settle()

    def _changes(self, spec: MeetingSpec, item: Item) -> list[tuple[datetime, Change]]:
        return [self._change(spec, item, change) for change in spec.changes]

    def _change(self, spec: MeetingSpec, item: Item, change: ChangeSpec) -> tuple[datetime, Change]:
        original = self._occurrence(spec, item, change.occurrence)
        local = original.astimezone(item.zone.tz) + timedelta(days=change.shift_days)
        if change.at is not None:
            local = local.replace(hour=change.at.hour, minute=change.at.minute)
        start = local.astimezone(UTC)
        length = item.end - item.start if change.minutes is None else timedelta(minutes=change.minutes)
        rooms = None if change.room is None else self._addresses(spec, [change.room])
        return original, Change(
            subject=change.subject, start=start, end=start + length, show_as=change.show_as,
            sensitivity=change.sensitivity, rooms=rooms,
        )  # fmt: skip

    def _occurrence(self, spec: MeetingSpec, item: Item, index: int) -> datetime:
        """Original start of the occurrence so many after the first on or after the start day."""
        today = datetime.combine(self._today, time(), item.zone.tz)
        around = list(series.original_starts(item, today - _SEARCHED, today + _SEARCHED))
        at = sum(start < today for start in around) + index
        if not 0 <= at < len(around):
            raise Unreadable(spec.where, f"occurrence {index} lies outside the series; choose one nearer to 0.")
        return around[at]

    def _day(self, spec: MeetingSpec) -> date:
        if isinstance(spec.day, int):
            return self._today + timedelta(days=spec.day)
        return self._today + timedelta(days=DAYS.index(spec.day) - self._today.weekday())

    def _zone(self, spec: MeetingSpec, organizer: Mailbox) -> Zone:
        """The organizer's zone, under the id that the file wants to see on the wire."""
        return organizer.zone if spec.zone_id is None else replace(organizer.zone, id=spec.zone_id)

    def _addresses(self, spec: MeetingSpec, names: Sequence[str]) -> list[str]:
        return [address for name in names for address in self._named(spec, name)]

    def _named(self, spec: MeetingSpec, name: str) -> Iterator[str]:
        """An address stays as it is, even that of a stranger; `*` is everybody but the organizer."""
        if name == "*":
            organizer = self._who(spec, spec.organizer)
            yield from (one.primary for one in self._world.people if one is not organizer and one.calendar is not None)
        else:
            yield name if "@" in name else self._who(spec, name).primary

    def _who(self, spec: MeetingSpec, name: str) -> Mailbox:
        known = self._by_name.get(name.casefold()) or self._world.mailbox(name)
        known = known or self._world.mailbox(f"{name}@{self._world.domain}")
        if known is None:
            raise Unreadable(
                spec.where, f"there is no person or room {name!r}; give a name or address that the file defines."
            )
        return known


def _times(spec: MeetingSpec, day: date, zone: Zone) -> tuple[datetime, datetime]:
    if spec.at is None:
        start, end = (datetime.combine(at, time(), zone.tz) for at in (day, day + timedelta(days=spec.days)))
        return start.astimezone(UTC), end.astimezone(UTC)
    begin = datetime.combine(day, spec.at, zone.tz).astimezone(UTC)
    return begin, begin + timedelta(minutes=spec.minutes)
