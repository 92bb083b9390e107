"""How each mailbox's copy of a meeting differs from the organizer's.

Pure; attendant.py and founding.py store what comes out.

Neighbours: item.py, place.py (what a room does to subject, body and private flag).
"""

from dataclasses import replace
from datetime import datetime

from kalends_sandbox import series
from kalends_sandbox.ids import instance_uid
from kalends_sandbox.item import Attendee, Item, Override, Response, ShowAs
from kalends_sandbox.place import BookingRules

CANCELED = "Canceled: "


def received(sent: Item, known: Item | None = None) -> Item:
    """An attendee's copy on arrival: tentative and unanswered.

    An update that leaves the times alone keeps the answer, and the occurrences that this mailbox has deleted stay so.
    """
    kept = known if known is not None and same_times(known, sent) else None
    answer: Response = kept.my_response if kept is not None else "NoResponseReceived"
    deleted = {*sent.deleted, *(kept.deleted if kept else ())}
    exceptions = {start: override for start, override in sent.exceptions.items() if start not in deleted}
    return replace(
        sent,
        item_id=known.item_id if known else "",
        change_key="",
        created=known.created if known else None,
        extended=known.extended if known else (),
        categories=known.categories if known else (),
        has_reminder=known.has_reminder if known else sent.has_reminder,
        reminder_minutes=known.reminder_minutes if known else sent.reminder_minutes,
        further=known.further if known else (),
        generation=_generation(sent, known),
        my_response=answer,
        intended=sent.show_as,
        show_as=shown(sent.show_as, answer),
        exceptions={start: _own_answer(start, override, kept) for start, override in exceptions.items()},
        deleted=tuple(sorted(deleted)),
    )


def answered(copy: Item, answer: Response, wanted: ShowAs = "Busy") -> Item:
    """The copy after its owner (or the room) has answered."""
    return replace(copy, my_response=answer, show_as=shown(wanted, answer))


def shown(wanted: ShowAs, answer: Response) -> ShowAs:
    """How an answer shows: unanswered and tentative ones take no firm time, unless the organizer asked for less."""
    if wanted == "Busy" and answer in ("NoResponseReceived", "Tentative"):
        return "Tentative"
    return wanted


def as_room_keeps_it(copy: Item, rules: BookingRules) -> Item:
    """An answered copy, cleaned up: by default the organizer's name as subject, no body, no private flag, no attachments.

    A room whose delegates do all the answering keeps what it is sent, but for the private flag.
    """
    sensitivity = "Normal" if rules.remove_private_property else copy.sensitivity
    if rules.automate_processing != "AutoAccept":
        return replace(copy, sensitivity=sensitivity)
    kept = replace(
        copy,
        subject=_room_subject(copy, copy.subject, rules),
        body=None if rules.delete_comments else copy.body,
        attachments=() if rules.delete_attachments else copy.attachments,
        sensitivity=sensitivity,
    )
    cleaned = {start: _clean_override(kept, override, rules) for start, override in copy.exceptions.items()}
    return replace(kept, exceptions=cleaned) if cleaned else kept


def canceled(copy: Item) -> Item:
    """What stays in an attendee's calendar until it is removed: marked, and free again."""
    subject = copy.subject or ""
    marked = subject if subject.startswith(CANCELED) else CANCELED + subject
    return replace(copy, is_cancelled=True, show_as="Free", subject=marked)


def orphan(master: Item, original: datetime) -> Item:
    """One occurrence as it reaches somebody who is not invited to the series: a single item whose UID carries the date."""
    found = series.occurrence(master, original)
    day = original.astimezone(master.zone.tz).date()
    return replace(
        found,
        item_id="",
        change_key="",
        uid=instance_uid(master.uid, day),
        master_id=None,
        original_start=None,
        is_exception=False,
        generation=0,
        created=None,
    )


def with_answer(meeting: Item, address: str, answer: Response, at: datetime) -> Item:
    return replace(meeting, attendees=_answers(meeting.attendees, address, answer, at))


def with_occurrence_answer(master: Item, original: datetime, address: str, answer: Response, at: datetime) -> Item:
    """The organizer's series after somebody answered one occurrence only."""
    attendees = series.occurrence(master, original).attendees
    return series.overridden(master, original, Override(attendees=_answers(attendees, address, answer, at)))


def same_times(one: Item, other: Item) -> bool:
    return _times(one) == _times(other)


def _answers(attendees: tuple[Attendee, ...], address: str, answer: Response, at: datetime) -> tuple[Attendee, ...]:
    """Nobody stands twice in a list, so the search ends at the one who answers: lists of 5,000 are answered 5,000 times."""
    wanted = address.lower()
    for place, attendee in enumerate(attendees):
        if attendee.address.lower() == wanted:
            answered = replace(attendee, response=answer, answered=at)
            return (*attendees[:place], answered, *attendees[place + 1 :])
    return attendees


def _generation(sent: Item, known: Item | None) -> int:
    if known is None:
        return 0
    return known.generation if same_times(known, sent) else known.generation + 1


def _times(item: Item) -> tuple[object, ...]:
    """A series in another zone falls on other instants, although its first one stays."""
    return item.start, item.end, item.is_all_day, item.recurrence, item.recurrence and item.zone.iana


def _own_answer(start: datetime, override: Override, kept: Item | None) -> Override:
    """An exception as it travels with a series: what is the organizer's own stays at home, what is the attendee's own stays."""
    before = kept.exceptions.get(start) if kept else None
    own = before or Override()
    return replace(
        override,
        my_response=own.my_response,
        categories=own.categories,
        has_reminder=own.has_reminder,
        reminder_minutes=own.reminder_minutes,
        extended=own.extended,
        further=own.further,
    )


def _room_subject(copy: Item, subject: str | None, rules: BookingRules) -> str | None:
    organizer = copy.organizer.name if copy.organizer and rules.add_organizer_to_subject else ""
    kept = "" if rules.delete_subject else subject or ""
    return " ".join(part for part in (organizer, kept) if part)


def _clean_override(copy: Item, override: Override, rules: BookingRules) -> Override:
    return replace(
        override,
        subject=None if override.subject is None else _room_subject(copy, override.subject, rules),
        body=None if rules.delete_comments else override.body,
        sensitivity=None if rules.remove_private_property else override.sensitivity,
    )
