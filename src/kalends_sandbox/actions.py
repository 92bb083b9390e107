"""What a person does in Outlook: make, change, move, cancel, answer, delete.

Neighbours: desk.py does it and sends what it sends.

`meeting` is an item id (an occurrence's too) or a UID; `occurrence` an original start.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from kalends_sandbox import series
from kalends_sandbox.desk import MAX_ATTENDEES, ActionRefused, Desk, Held
from kalends_sandbox.folder import Folder
from kalends_sandbox.item import Attendee, Item, Party, Response, Role, Sensitivity, ShowAs
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.post import Post
from kalends_sandbox.recurrence import Recurrence
from kalends_sandbox.world import World
from kalends_sandbox.zones import Zone

__all__ = ["ActionRefused", "Actions", "Change"]


@dataclass(frozen=True, slots=True)
class Change:
    """What to change; None leaves it. `rooms`, `required` and `optional` are addresses and replace the former ones."""

    subject: str | None = None
    body: str | None = None
    location: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    zone: Zone | None = None
    is_all_day: bool | None = None
    show_as: ShowAs | None = None
    sensitivity: Sensitivity | None = None
    rooms: Sequence[str] | None = None
    required: Sequence[str] | None = None
    optional: Sequence[str] | None = None


class Actions:
    """Every action returns the acting mailbox's copy as it is afterwards (a deleted one as it was)."""

    def __init__(self, world: World, post: Post) -> None:
        self.desk = Desk(world, post)
        self._world = world

    def create(
        self,
        mailbox: str,
        subject: str | None,
        start: datetime,
        end: datetime,
        *,
        rooms: Sequence[str] = (),
        required: Sequence[str] = (),
        optional: Sequence[str] = (),
        recurrence: Recurrence | None = None,
        **fields: Any,
    ) -> Item:
        """A new appointment; a meeting when somebody or some room is invited. `fields` are Item's (body, show_as …)."""
        owner, calendar = self._calendar(mailbox)
        attendees = self._attendees((), Change(rooms=rooms, required=required, optional=optional))
        fields.setdefault("zone", owner.zone)
        fields.setdefault("location", self._room_names(attendees))
        item = Item(
            uid=self._world.ids.uid(self._world.clock.now()),
            subject=subject,
            start=start,
            end=end,
            organizer=Party(owner.name, owner.primary),
            attendees=attendees,
            is_meeting=bool(attendees),
            recurrence=recurrence,
            **fields,
        )
        return self.desk.create(owner, calendar, item)

    def edit(self, mailbox: str, meeting: str, change: Change, occurrence: datetime | None = None) -> Item:
        """Change a meeting, a series, or one occurrence.

        New times for a series are a new pattern: exceptions are dropped.
        """
        found = self._find(mailbox, meeting, occurrence)
        before = found.one
        attendees = self._attendees(before.attendees, change)
        location = change.location
        if location is None and change.rooms is not None and before.location == self._room_names(before.attendees):
            location = self._room_names(attendees)
        return self.desk.change(found, _changed(before, change, location, attendees))

    def move(self, mailbox: str, meeting: str, start: datetime, end: datetime | None = None,
             occurrence: datetime | None = None) -> Item:  # fmt: skip
        """To another time; without an end it lasts as long as before."""
        before = self._find(mailbox, meeting, occurrence).one
        return self.edit(
            mailbox, meeting, Change(start=start, end=end or start + (before.end - before.start)), occurrence
        )

    def repattern(self, mailbox: str, meeting: str, recurrence: Recurrence) -> Item:
        """Another pattern or range for a series: exceptions and deletions are dropped, occurrences get new ids."""
        found = self._find(mailbox, meeting, None)
        if found.item.recurrence is None:
            raise ActionRefused("Only a series has a pattern: this is a single meeting.")
        return self.desk.change(found, replace(found.item, recurrence=recurrence))

    def cancel(self, mailbox: str, meeting: str, occurrence: datetime | None = None) -> Item:
        """The organizer calls it off: gone here, cancellations to everybody invited."""
        return self.desk.cancel(self._find(mailbox, meeting, occurrence)).item

    def respond(self, mailbox: str, meeting: str, answer: Response, occurrence: datetime | None = None) -> Item:
        """An attendee accepts, accepts tentatively or declines; a declined copy goes to Deleted Items."""
        return self.desk.respond(self._find(mailbox, meeting, occurrence), answer).item

    def remove(self, mailbox: str, meeting: str, occurrence: datetime | None = None, hard: bool = False) -> Item:
        """Out of this one calendar, and nobody is told; `hard` past Deleted Items."""
        return self.desk.discard(self._find(mailbox, meeting, occurrence), "gone" if hard else "deleteditems")

    def refile(self, mailbox: str, meeting: str) -> Item:
        """Out of the calendar and back, as a restore or a repair does: the same meeting under a new item id."""
        found = self._find(mailbox, meeting, None)
        return found.mailbox.move(found.item.item_id, found.folder)

    def _attendees(self, before: tuple[Attendee, ...], change: Change) -> tuple[Attendee, ...]:
        """Who is invited after the change, in Outlook's order. Who stays keeps the answer given."""
        roles: tuple[tuple[Role, Sequence[str] | None], ...] = (
            ("required", change.required), ("optional", change.optional), ("resource", change.rooms),
        )  # fmt: skip
        invited: dict[str, Attendee] = {}
        for role, addresses in roles:
            if addresses is None:
                kept = [attendee for attendee in before if attendee.role == role]
            else:
                kept = [self._attendee(address, role, before) for address in addresses]
            for attendee in kept:
                invited.setdefault(attendee.address.lower(), attendee)
        if len(invited) > MAX_ATTENDEES:
            raise ActionRefused(f"A meeting has at most {MAX_ATTENDEES} attendees here: invite fewer.")
        return tuple(invited.values())

    def _attendee(self, address: str, role: Role, before: tuple[Attendee, ...]) -> Attendee:
        mailbox = self._world.mailbox(address)
        wanted = mailbox.primary if mailbox else address
        known = next((one for one in before if one.address.lower() == wanted.lower()), None)
        if known is not None:
            return replace(known, role=role)
        return Attendee(mailbox.name if mailbox else address, wanted, role)

    def _room_names(self, attendees: Iterable[Attendee]) -> str | None:
        return "; ".join(one.name for one in attendees if one.role == "resource") or None

    def _calendar(self, address: str) -> tuple[Mailbox, Folder]:
        mailbox = self._world.mailbox(address)
        if mailbox is None:
            raise ActionRefused(f"There is no mailbox {address} in this world.")
        if mailbox.calendar is None:
            raise ActionRefused(f"The mailbox {address} has no calendar.")
        return mailbox, mailbox.calendar

    def _find(self, address: str, meeting: str, occurrence: datetime | None) -> Held:
        mailbox, calendar = self._calendar(address)
        by_occurrence = calendar.original_of(meeting)
        if by_occurrence is not None:
            item, occurrence = by_occurrence
        else:
            known = calendar.items.get(meeting)
            named = [known] if known else list(calendar.by_uid(meeting))
            if not named:
                raise ActionRefused(f"The calendar of {address} holds no meeting with that item id or UID.")
            item = named[0]
        if occurrence is not None and (occurrence in item.deleted or not series.falls_on(item, occurrence)):
            raise ActionRefused(f"The meeting has no occurrence that was to start at {occurrence.isoformat()}.")
        return Held(mailbox, calendar, item, occurrence)


def _changed(before: Item, change: Change, location: str | None, attendees: tuple[Attendee, ...]) -> Item:
    simple = ("subject", "body", "start", "end", "zone", "is_all_day", "show_as", "sensitivity")
    said = {name: value for name in simple if (value := getattr(change, name)) is not None}
    if location is not None:
        said["location"] = location
    invited = bool(attendees) or before.is_meeting
    return replace(before, attendees=attendees, is_meeting=invited, **said)
