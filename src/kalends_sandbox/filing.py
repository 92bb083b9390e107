"""What a meeting message does to a calendar: the copy it concerns is found, written, answered, dropped or marked.

Rooms and people alike; who does what when is the attendant's business (attendant.py, reception.py). Neighbours: copies.py
says how a copy looks, series.py unfolds it.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TypeVar

from kalends_sandbox import copies, series
from kalends_sandbox.folder import Folder
from kalends_sandbox.ids import instance_uid
from kalends_sandbox.item import Item, Override, Response, ShowAs
from kalends_sandbox.place import BookingRules
from kalends_sandbox.post import Mail

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a room keeps what it was asked for: `missed` occurrences are not kept, a series ends `until`."""

    answer: Response
    show_as: ShowAs
    rules: BookingRules
    missed: tuple[datetime, ...] = ()
    until: date | None = None

    def of(self, copy: Item) -> Item:
        answered = replace(copy, my_response=self.answer, show_as=self.show_as)
        return copies.as_room_keeps_it(answered, self.rules)


def request_in(mail: Mail) -> Item:
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


def copy_of(calendar: Folder, mail: Mail) -> tuple[Item, datetime | None] | None:
    """The item that stands for the mail's meeting here, and the original start when it is one occurrence of it."""
    whole = calendar.by_uid(mail.meeting.uid)
    if mail.original_start is None:
        return (whole[0], None) if whole else None
    for master in whole:
        if series.falls_on(master, mail.original_start) and mail.original_start not in master.deleted:
            return master, mail.original_start
    alone = calendar.by_uid(_instance(mail.meeting, mail.original_start))
    return (alone[0], None) if alone else None


def one_of(found: tuple[Item, datetime | None]) -> Item:
    """The item itself, or the one occurrence that is meant."""
    item, original = found
    return item if original is None else series.occurrence(item, original)


def write(calendar: Folder, mail: Mail) -> Item:
    """The copy after a request arrived: new, brought up to date, or one occurrence of a known series changed."""
    found, request = copy_of(calendar, mail), request_in(mail)
    if found is None:
        return calendar.add(copies.received(request))
    known, original = found
    if original is None:
        return calendar.save(copies.received(request, known))
    before = series.occurrence(known, original)
    after = copies.received(request, before)
    return calendar.save(series.overridden(known, original, _difference(known, after)))


def stand(calendar: Folder, mail: Mail, standing: Standing) -> None:
    """The room's copy as it is after the room has answered: added, if it was not shown before."""
    found = copy_of(calendar, mail)
    item, original = found if found is not None else (write(calendar, mail), None)
    if original is not None:
        calendar.save(
            series.overridden(item, original, _difference(item, standing.of(series.occurrence(item, original))))
        )
        return
    kept = standing.of(item)
    for start in standing.missed:
        kept = series.without(kept, start)
    if kept.recurrence is not None and standing.until is not None:
        kept = replace(kept, recurrence=replace(kept.recurrence, end=standing.until, count=None))
    calendar.save(kept)


def drop(calendar: Folder, mail: Mail) -> None:
    found = copy_of(calendar, mail)
    if found is None:
        return
    item, original = found
    if original is None:
        calendar.remove(item.item_id)
    else:
        calendar.save(series.without(item, original))


def mark_canceled(calendar: Folder, mail: Mail) -> None:
    """A called-off meeting stays, marked and free, until somebody removes it."""
    found = copy_of(calendar, mail)
    if found is None:
        return
    item, original = found
    if original is None:
        calendar.save(copies.canceled(item))
        return
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
