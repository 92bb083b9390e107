"""Who opens the mail: the calendar attendant of every mailbox, and the booking attendant of every room.

Requests become copies (tentative at first); rooms decide after a moment, keep what they accept cleaned up, and drop
what they decline; answers are written into the organizer's copy. Neighbours: post.py brings the mail, copies.py and
booking.py say what becomes of it.
"""

from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from kalends_sandbox import copies, series
from kalends_sandbox.booking import Decision, decide
from kalends_sandbox.folder import Folder
from kalends_sandbox.ids import instance_uid
from kalends_sandbox.item import Item, Override
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.place import BookingRules
from kalends_sandbox.post import Mail, MailKind, Post
from kalends_sandbox.world import World

T = TypeVar("T")
_Key = tuple[str, str, datetime | None]  # room, meeting, original start: what a room is asked


class Attendant:
    """Opens what `post` delivers. A mailbox without a calendar loses its mail, as in life."""

    def __init__(self, world: World, post: Post) -> None:
        self._world, self._post = world, post
        self._pending: dict[_Key, Mail] = {}
        post.reader = self.open

    def open(self, mail: Mail) -> None:
        mailbox = self._world.mailbox(mail.to)
        calendar = mailbox.calendar if mailbox else None
        if mailbox is None or calendar is None:
            return
        if mail.answer is not None:
            self._note_answer(calendar, mail)
        elif mail.kind == "cancellation":
            self._forget_pending(mailbox, mail)
            _take_back(mailbox, calendar, mail)
        elif _is_room(mailbox):
            self._request_at_room(mailbox, calendar, mail)
        else:
            _write_copy(calendar, mail)

    def _note_answer(self, calendar: Folder, mail: Mail) -> None:
        answer, now = mail.answer, self._world.clock.now()
        assert answer is not None
        for meeting in calendar.by_uid(mail.meeting.clean_uid):
            if mail.original_start is None:
                calendar.save(copies.with_answer(meeting, mail.sender, answer, now))
            elif series.falls_on(meeting, mail.original_start) and mail.original_start not in meeting.deleted:
                start = mail.original_start
                calendar.save(copies.with_occurrence_answer(meeting, start, mail.sender, answer, now))

    def _request_at_room(self, room: Mailbox, calendar: Folder, mail: Mail) -> None:
        rules = _rules(room)
        if rules.automate_processing == "None":
            return
        known = _copy_of(calendar, mail) is not None
        if known or rules.automate_processing == "AutoUpdate" or rules.add_new_requests_tentatively:
            _write_copy(calendar, mail)
        if rules.automate_processing == "AutoUpdate":
            return
        if _is_accepted(calendar, mail):  # an update that changed no times needs no second answer
            _accept(calendar, mail, rules, Decision(True))
            return
        self._pending[_key(room, mail)] = mail
        self._post.think(lambda: self._decide(room, calendar, mail))

    def _decide(self, room: Mailbox, calendar: Folder, mail: Mail) -> None:
        if self._pending.get(_key(room, mail)) is not mail:
            return  # overtaken by a newer request, or taken back
        del self._pending[_key(room, mail)]
        internal = self._world.mailbox(mail.sender) is not None
        decision = decide(room, calendar, _request(mail), self._world.clock.now(), internal)
        if not decision.accepted:
            _drop_copy(calendar, mail)
            self._answer(room, "refusal", mail, mail.original_start)
            return
        _accept(calendar, mail, _rules(room), decision)
        self._answer(room, "acceptance", mail, mail.original_start)
        for start in decision.conflicting:
            self._answer(room, "refusal", mail, start)

    def _forget_pending(self, room: Mailbox, mail: Mail) -> None:
        """A cancelled meeting is not decided any more; a cancelled series takes its single requests along."""
        for key in [key for key in self._pending if key[:2] == _key(room, mail)[:2]]:
            if mail.original_start in (None, key[2]):
                del self._pending[key]

    def _answer(self, room: Mailbox, kind: MailKind, mail: Mail, original_start: datetime | None) -> None:
        self._post.send(Mail(kind, room.primary, mail.sender, mail.meeting, original_start))


def _key(room: Mailbox, mail: Mail) -> _Key:
    return room.primary, mail.meeting.clean_uid, mail.original_start


def _is_accepted(calendar: Folder, mail: Mail) -> bool:
    found = _copy_of(calendar, mail)
    if found is None:
        return False
    item, original = found
    return (item if original is None else series.occurrence(item, original)).my_response == "Accept"


def _is_room(mailbox: Mailbox) -> bool:
    return mailbox.kind in ("room", "equipment")


def _rules(room: Mailbox) -> BookingRules:
    return room.place.rules if room.place else BookingRules()


def _request(mail: Mail) -> Item:
    """What is asked of the recipient: the meeting, one occurrence as a single item, or a series less what is for
    others.
    """
    meeting = mail.meeting
    if meeting.recurrence is None:
        return meeting
    if mail.original_start is not None:
        return copies.orphan(meeting, mail.original_start)
    for start, override in meeting.exceptions.items():
        invited = override.attendees
        if invited is not None and mail.to.lower() not in (one.address.lower() for one in invited):
            meeting = series.without(meeting, start)
    return meeting


def _copy_of(calendar: Folder, mail: Mail) -> tuple[Item, datetime | None] | None:
    """The item that stands for the mail's meeting here, and the original start when it is one occurrence of it."""
    whole = calendar.by_uid(mail.meeting.uid)
    if mail.original_start is None:
        return (whole[0], None) if whole else None
    for master in whole:
        if series.falls_on(master, mail.original_start) and mail.original_start not in master.deleted:
            return master, mail.original_start
    alone = calendar.by_uid(_instance(mail.meeting, mail.original_start))
    return (alone[0], None) if alone else None


def _write_copy(calendar: Folder, mail: Mail) -> Item:
    """The copy after a request arrived: new, brought up to date, or one occurrence of a known series changed."""
    found, request = _copy_of(calendar, mail), _request(mail)
    if found is None:
        return calendar.add(copies.received(request))
    known, original = found
    if original is None:
        return calendar.save(copies.received(request, known))
    before = series.occurrence(known, original)
    after = copies.received(request, before)
    return calendar.save(series.overridden(known, original, _difference(known, after)))


def _accept(calendar: Folder, mail: Mail, rules: BookingRules, decision: Decision) -> None:
    known = _copy_of(calendar, mail)
    item, original = known if known is not None else (_write_copy(calendar, mail), None)
    wanted = _request(mail).show_as
    if original is None:
        kept = copies.as_room_keeps_it(copies.answered(item, "Accept", wanted), rules)
        for start in decision.conflicting:
            kept = series.without(kept, start)
        if kept.recurrence is not None and decision.until is not None:
            kept = replace(kept, recurrence=replace(kept.recurrence, end=decision.until, count=None))
        calendar.save(kept)
        return
    one = copies.as_room_keeps_it(copies.answered(series.occurrence(item, original), "Accept", wanted), rules)
    calendar.save(series.overridden(item, original, _difference(item, one)))


def _drop_copy(calendar: Folder, mail: Mail) -> None:
    found = _copy_of(calendar, mail)
    if found is None:
        return
    item, original = found
    if original is None:
        calendar.remove(item.item_id)
    else:
        calendar.save(series.without(item, original))


def _take_back(mailbox: Mailbox, calendar: Folder, mail: Mail) -> None:
    """A cancellation: a room forgets the meeting (unless told to keep it), a person sees it marked until it is removed."""
    if _is_room(mailbox) and _rules(mailbox).remove_canceled_meetings:
        _drop_copy(calendar, mail)
        return
    found = _copy_of(calendar, mail)
    if found is None:
        return
    item, original = found
    if original is None:
        calendar.save(copies.canceled(item))
    else:
        gone = copies.canceled(series.occurrence(item, original))
        change = Override(subject=gone.subject, show_as="Free", is_cancelled=True)
        calendar.save(series.overridden(item, original, change))


def _difference(master: Item, one: Item) -> Override:
    """What an occurrence says otherwise than its series."""
    return Override(
        subject=_unless_same(one.subject or "", master.subject or ""),
        body=_unless_same(one.body or "", master.body or ""),
        location=_unless_same(one.location or "", master.location or ""),
        start=one.start,
        end=one.end,
        zone=_unless_same(one.zone, master.zone),
        is_all_day=_unless_same(one.is_all_day, master.is_all_day),
        show_as=one.show_as,
        sensitivity=_unless_same(one.sensitivity, master.sensitivity),
        is_cancelled=one.is_cancelled,
        attendees=one.attendees,
        my_response=one.my_response,
    )


def _unless_same(said: T, before: T) -> T | None:
    return None if said == before else said


def _instance(meeting: Item, original: datetime) -> str:
    return instance_uid(meeting.uid, original.astimezone(meeting.zone.tz).date())
