"""Who opens the mail: the calendar attendant of every mailbox.

Requests become copies, cancellations take them back, answers are written into the organizer's copy. Rooms have more to
do, which reception.py and no_shows.py do for them. Neighbours: post.py brings the mail, filing.py writes the calendar.
"""

from dataclasses import replace
from datetime import datetime

from kalends_sandbox import copies, filing, series
from kalends_sandbox.folder import Folder
from kalends_sandbox.ids import instance_day
from kalends_sandbox.item import Item
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.no_shows import NoShows
from kalends_sandbox.place import BookingRules, WorkingHours
from kalends_sandbox.post import Mail, Post
from kalends_sandbox.reception import Reception, rules_of
from kalends_sandbox.world import World


class Attendant:
    """Opens what `post` delivers. A mailbox without a calendar loses its mail, as in life."""

    def __init__(self, world: World, post: Post) -> None:
        self._world = world
        self._no_shows = NoShows(world, post)
        self._reception = Reception(world, post, self._no_shows.watch)
        post.reader = self.open

    def open(self, mail: Mail) -> None:
        mailbox = self._world.mailbox(mail.to)
        calendar = mailbox.calendar if mailbox else None
        if mailbox is None or calendar is None:
            return
        if mail.answer is not None:
            self._note_answer(calendar, mail)
        elif _is_room(mailbox):
            self._open_at_room(mailbox, calendar, mail)
        elif mail.kind == "cancellation":
            filing.mark_canceled(calendar, mail)
        elif mail.kind in ("invitation", "update"):
            filing.write(calendar, mail)

    def govern(self, room: Mailbox, rules: BookingRules, hours: WorkingHours | None = None) -> None:
        """From now on the room answers by these rules (and is open in these hours)."""
        assert room.place is not None, "only a room is booked by rules"
        room.place = replace(room.place, rules=rules)
        room.working_hours = hours or room.working_hours
        self._no_shows.begin(room)

    def watch(self) -> None:
        """Begin to look for no-shows in all rooms that release them."""
        for room in self._world.rooms:
            self._no_shows.begin(room)

    def _open_at_room(self, room: Mailbox, calendar: Folder, mail: Mail) -> None:
        rules = rules_of(room)
        if rules.automate_processing == "None":
            return
        if mail.kind in ("approval", "disapproval"):
            self._reception.delegate_said(room, calendar, mail)
        elif mail.kind == "cancellation":
            self._reception.cancelled(room, mail)
            is_booked_by_attendant = rules.automate_processing == "AutoAccept"
            if is_booked_by_attendant and rules.remove_canceled_meetings:
                filing.drop(calendar, mail)
            else:
                filing.mark_canceled(calendar, mail)
        else:
            self._reception.request(room, calendar, mail)

    def _note_answer(self, calendar: Folder, mail: Mail) -> None:
        answer, now = mail.answer, self._world.clock.now()
        assert answer is not None
        for meeting in calendar.by_uid(mail.meeting.clean_uid):
            start = mail.original_start or _start_of_orphan(meeting, mail.meeting)
            if start is None:
                calendar.save(copies.with_answer(meeting, mail.sender, answer, now))
            elif series.falls_on(meeting, start) and start not in meeting.deleted:
                calendar.save(copies.with_occurrence_answer(meeting, start, mail.sender, answer, now))


def _is_room(mailbox: Mailbox) -> bool:
    return mailbox.kind in ("room", "equipment")


def _start_of_orphan(meeting: Item, copy: Item) -> datetime | None:
    """Which occurrence somebody means who was invited to that one only: its UID carries the date."""
    day = instance_day(copy.uid)
    return None if day is None or meeting.recurrence is None else series.start_on(meeting, day)
