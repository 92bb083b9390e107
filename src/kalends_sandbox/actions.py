"""What a person does in Outlook: make, change, move, cancel, answer, delete.

Neighbours: post.py carries what that sends.

Whoever owns a copy changes it at once; the others hear of it by mail. Changing one's copy of somebody else's meeting
changes nothing for the others, as in life. `meeting` is an item id (an occurrence's too) or a UID; `occurrence` an
original start.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from kalends_sandbox import copies, series
from kalends_sandbox.folder import Folder
from kalends_sandbox.item import Attendee, Item, Override, Party, Response, Role, Sensitivity, ShowAs
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.post import Mail, MailKind, Post
from kalends_sandbox.recurrence import Recurrence
from kalends_sandbox.world import World
from kalends_sandbox.zones import Zone

MAX_ATTENDEES = 5_000


class ActionRefused(ValueError):
    """The action makes no sense as asked; the text says why."""


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


@dataclass(frozen=True, slots=True)
class _Found:
    """A copy in somebody's calendar, and which occurrence of it is meant."""

    mailbox: Mailbox
    calendar: Folder
    item: Item
    original: datetime | None

    @property
    def one(self) -> Item:
        return self.item if self.original is None else series.occurrence(self.item, self.original)


class Actions:
    """Every action returns the acting mailbox's copy as it is afterwards (a deleted one as it was)."""

    def __init__(self, world: World, post: Post) -> None:
        self._world, self._post = world, post

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
        _check_times(item)
        kept = calendar.add(_on_first_date(item))
        self._invite(owner, kept, None, attendees)
        return kept

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
        after = _changed(before, change, location, attendees)
        _check_times(after)
        item = self._keep(found, before, after)
        if before.is_organizer:
            self._spread(found.mailbox, item, found.original, before.attendees, attendees)
        return item

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
        moved = replace(
            found.item, recurrence=recurrence, exceptions={}, deleted=(), generation=found.item.generation + 1
        )
        item = found.calendar.save(replace(_on_first_date(moved), sequence=moved.sequence + 1))
        if item.is_organizer:
            self._spread(found.mailbox, item, None, item.attendees, item.attendees)
        return item

    def cancel(self, mailbox: str, meeting: str, occurrence: datetime | None = None) -> Item:
        """The organizer calls it off: gone here, cancellations to everybody invited."""
        found = self._find(mailbox, meeting, occurrence)
        if not found.item.is_organizer:
            raise ActionRefused("Only the organizer can cancel a meeting: an attendee declines or removes it.")
        if found.original is None:
            self._release_orphans(found)
        self._mail("cancellation", found.mailbox, found.item, found.original, found.one.attendees)
        return self._discard(found, hard=False)

    def respond(self, mailbox: str, meeting: str, answer: Response, occurrence: datetime | None = None) -> Item:
        """An attendee accepts, accepts tentatively or declines; a declined copy goes to Deleted Items."""
        kinds: dict[Response, MailKind] = {"Accept": "acceptance", "Tentative": "tentative", "Decline": "refusal"}
        found = self._find(mailbox, meeting, occurrence)
        if answer not in kinds:
            raise ActionRefused(f"An answer is Accept, Tentative or Decline, not {answer}.")
        if found.item.is_organizer or found.item.organizer is None:
            raise ActionRefused("The organizer has nothing to answer: only invited attendees accept or decline.")
        mail = Mail(kinds[answer], found.mailbox.primary, found.item.organizer.address, found.item, found.original)
        self._post.send(mail)
        if answer == "Decline":
            return self._discard(found, hard=False)
        after = copies.answered(found.one, answer)
        if found.original is None:
            return found.calendar.save(after)
        change = Override(my_response=after.my_response, show_as=after.show_as)
        return found.calendar.save(series.overridden(found.item, found.original, change))

    def remove(self, mailbox: str, meeting: str, occurrence: datetime | None = None, hard: bool = False) -> Item:
        """Out of this one calendar, and nobody is told; `hard` past Deleted Items."""
        return self._discard(self._find(mailbox, meeting, occurrence), hard)

    def refile(self, mailbox: str, meeting: str) -> Item:
        """Out of the calendar and back, as a restore or a repair does: the same meeting under a new item id."""
        found = self._find(mailbox, meeting, None)
        return found.mailbox.move(found.item.item_id, found.calendar)

    def _keep(self, found: _Found, before: Item, after: Item) -> Item:
        if found.original is not None:
            change = _override(before, after)
            item = series.overridden(replace(found.item, sequence=found.item.sequence + 1), found.original, change)
            return found.calendar.save(item)
        if after.recurrence is not None and not copies.same_times(before, after):
            self._release_orphans(found)
            day = after.start.astimezone(after.zone.tz).date()
            return found.calendar.save(_with_pattern(after, replace(after.recurrence, start=day)))
        exceptions = {start: _reinvited(one, before, after) for start, one in after.exceptions.items()}
        after = replace(after, exceptions=exceptions)
        return found.calendar.save(replace(after, sequence=before.sequence + 1))

    def _release_orphans(self, found: _Found) -> None:
        """Whoever was invited to single occurrences only hears that these are off."""
        series_wide = _addresses(found.item.attendees)
        if not found.item.is_organizer:
            return
        for original, override in sorted(found.item.exceptions.items()):
            alone = [one for one in override.attendees or () if one.address.lower() not in series_wide]
            self._mail("cancellation", found.mailbox, found.item, original, alone)

    def _discard(self, found: _Found, hard: bool) -> Item:
        one = found.one
        if found.original is not None:
            found.calendar.save(series.without(found.item, found.original))
        elif hard or "deleteditems" not in found.mailbox.folders:
            found.calendar.remove(found.item.item_id)
        else:
            found.mailbox.move(found.item.item_id, found.mailbox.folders["deleteditems"])
        return one

    def _spread(self, owner: Mailbox, item: Item, original: datetime | None, before: Sequence[Attendee],
                after: Sequence[Attendee]) -> None:  # fmt: skip
        """Updates to who stays, invitations to who is new, cancellations to who is out."""
        known, wanted = _addresses(before), _addresses(after)
        self._mail("update", owner, item, original, [one for one in after if one.address.lower() in known])
        self._invite(owner, item, original, [one for one in after if one.address.lower() not in known])
        self._mail("cancellation", owner, item, original, [one for one in before if one.address.lower() not in wanted])

    def _invite(self, owner: Mailbox, item: Item, original: datetime | None, whom: Iterable[Attendee]) -> None:
        self._mail("invitation", owner, item, original, whom)

    def _mail(self, kind: MailKind, owner: Mailbox, item: Item, original: datetime | None,
              whom: Iterable[Attendee]) -> None:  # fmt: skip
        for attendee in whom:
            self._post.send(Mail(kind, owner.primary, attendee.address, item, original))

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

    def _find(self, address: str, meeting: str, occurrence: datetime | None) -> _Found:
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
        return _Found(mailbox, calendar, item, occurrence)


def _changed(before: Item, change: Change, location: str | None, attendees: tuple[Attendee, ...]) -> Item:
    simple = ("subject", "body", "start", "end", "zone", "is_all_day", "show_as", "sensitivity")
    said = {name: value for name in simple if (value := getattr(change, name)) is not None}
    if location is not None:
        said["location"] = location
    invited = bool(attendees) or before.is_meeting
    after = replace(before, attendees=attendees, is_meeting=invited, **said)
    if copies.same_times(before, after):
        return after
    # New times need new answers.
    return replace(after, attendees=tuple(replace(one, response="Unknown", answered=None) for one in attendees))


def _override(before: Item, after: Item) -> Override:
    """What this change says of one occurrence. Times are always said: they are what makes it an exception."""
    names = ("subject", "body", "location", "zone", "is_all_day", "show_as", "sensitivity", "attendees")
    said = {name: getattr(after, name) for name in names if getattr(after, name) != getattr(before, name)}
    return Override(start=after.start, end=after.end, **said)


def _reinvited(override: Override, before: Item, after: Item) -> Override:
    """An exception with its own list of attendees after somebody came to, or left, the series."""
    if override.attendees is None or before.attendees == after.attendees:
        return override
    known, wanted = _addresses(before.attendees), _addresses(after.attendees)
    own = _addresses(override.attendees)
    stay = [one for one in override.attendees if one.address.lower() in wanted or one.address.lower() not in known]
    come = [one for one in after.attendees if one.address.lower() not in known | own]
    return replace(override, attendees=(*stay, *come))


def _on_first_date(item: Item) -> Item:
    """A series starts with its first occurrence, even when somebody wrote another date."""
    if item.recurrence is None:
        return item
    first = item.recurrence.first
    if first is None:
        raise ActionRefused("No date fits this pattern within its range: choose a later end or other days.")
    start = series.start_on(item, first)
    return replace(item, start=start, end=start + (item.end - item.start))


def _with_pattern(item: Item, recurrence: Recurrence) -> Item:
    """A series on new dates: exceptions and deletions are dropped (MS-OXOCAL 3.1.4.7.3.5), occurrences get other ids."""
    renewed = replace(item, recurrence=recurrence, exceptions={}, deleted=(), generation=item.generation + 1)
    return replace(_on_first_date(renewed), sequence=item.sequence + 1)


def _check_times(item: Item) -> None:
    if item.end < item.start:
        raise ActionRefused("The meeting would end before it starts: give an end that is not earlier than the start.")


def _addresses(attendees: Iterable[Attendee]) -> frozenset[str]:
    return frozenset(attendee.address.lower() for attendee in attendees)
