"""What people do about a room beside booking it: its delegates decide, whoever enters checks in, strangers ask for it.

Neighbours: actions.py (booking and all the rest), reception.py and no_shows.py (what comes of it).
"""

from datetime import datetime
from typing import Any

from kalends_sandbox import series
from kalends_sandbox.actions import ActionRefused
from kalends_sandbox.folder import Folder
from kalends_sandbox.item import Attendee, Item, Party, Role
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.no_shows import check_in_key
from kalends_sandbox.post import Mail, MailKind, Post
from kalends_sandbox.reception import delegates_of, waits_for_approval
from kalends_sandbox.recurrence import Recurrence
from kalends_sandbox.world import World


class RoomActions:
    """Like Actions: `meeting` is a UID or an item id of the room, `occurrence` an original start."""

    def __init__(self, world: World, post: Post) -> None:
        self._world, self._post = world, post

    def decide(
        self,
        delegate: str,
        room: str,
        meeting: str,
        is_granted: bool,
        note: str = "",
        occurrence: datetime | None = None,
    ) -> Item:
        """One of the room's delegates approves or declines a request that waits; the room's copy as it was."""
        holder, calendar = self._calendar(room)
        who = self._world.mailbox(delegate)
        if who is None or who not in delegates_of(self._world, holder):
            raise ActionRefused(f"{delegate} is no delegate of {holder.name}: add it to the room's resource_delegates.")
        item, one = _find(calendar, meeting, occurrence)
        if not waits_for_approval(one):
            raise ActionRefused("Nothing waits for approval there: the request is already answered.")
        kind: MailKind = "approval" if is_granted else "disapproval"
        self._post.send(Mail(kind, who.primary, holder.primary, item, one.original_start, note))
        return one

    def check_in(self, room: str, meeting: str, occurrence: datetime | None = None) -> Item:
        """Somebody is there: the meeting keeps its room."""
        holder, calendar = self._calendar(room)
        one = _find(calendar, meeting, occurrence)[1]
        if one.end <= self._world.clock.now():
            raise ActionRefused("That meeting is over: check in while it runs, or before.")
        holder.checked_in[check_in_key(one)] = one.end
        return one

    def receive(
        self,
        mailbox: str,
        sender: Party,
        subject: str | None,
        start: datetime,
        end: datetime,
        recurrence: Recurrence | None = None,
        **fields: Any,
    ) -> Item:
        """An invitation from outside the organisation is on its way; the meeting as its sender has it."""
        recipient = self._world.mailbox(mailbox)
        if recipient is None or self._world.mailbox(sender.address) is not None:
            raise ActionRefused("Such an invitation comes from an address outside, to a mailbox in this world.")
        role: Role = "required" if recipient.kind == "user" else "resource"
        fields.setdefault("zone", recipient.zone)
        item = Item(
            uid=self._world.ids.uid(self._world.clock.now()),
            subject=subject,
            start=start,
            end=end,
            organizer=sender,
            attendees=(Attendee(recipient.name, recipient.primary, role),),
            is_meeting=True,
            recurrence=recurrence,
            **fields,
        )
        self._post.send(Mail("invitation", sender.address, recipient.primary, item))
        return item

    def room(self, address: str) -> Mailbox:
        return self._calendar(address)[0]

    def _calendar(self, address: str) -> tuple[Mailbox, Folder]:
        room = self._world.mailbox(address)
        if room is None or room.kind == "user" or room.calendar is None:
            raise ActionRefused(f"{address} is no room with a calendar in this world.")
        return room, room.calendar


def _find(calendar: Folder, meeting: str, occurrence: datetime | None) -> tuple[Item, Item]:
    """What holds the meeting, and the meeting itself or its one occurrence."""
    found = calendar.items.get(meeting) or next(iter(calendar.by_uid(meeting)), None)
    if found is None:
        raise ActionRefused("The room's calendar holds no meeting with that item id or UID.")
    if occurrence is None:
        return found, found
    if not series.falls_on(found, occurrence) or occurrence in found.deleted:
        raise ActionRefused(f"The meeting has no occurrence that was to start at {occurrence.isoformat()}.")
    return found, series.occurrence(found, occurrence)
