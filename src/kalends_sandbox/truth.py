"""What really is, as JSON: for the control API, its tests and whoever wants to compare.

Neighbours: control.py, verbs.py.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

from kalends_sandbox import series
from kalends_sandbox.item import Attendee, Item, Override
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.post import Mail
from kalends_sandbox.recurrence import MONTHS, Recurrence
from kalends_sandbox.zones import Zone

Json = dict[str, object]


def mailbox_facts(mailbox: Mailbox) -> Json:
    """Who it is; no items."""
    place = mailbox.place
    where: Json = {}
    if place is not None:
        where = {
            "building": place.building,
            "floor": place.floor,
            "capacity": place.capacity,
            "features": place.features,
        }
        where["booking"] = asdict(place.rules)
    return {
        "address": mailbox.primary,
        "name": mailbox.name,
        "kind": mailbox.kind,
        "addresses": mailbox.addresses,
        "upn": mailbox.upn,
        "sid": mailbox.sid,
        "zone": mailbox.zone.id,
        "title": mailbox.title,
        "department": mailbox.department,
        "items_total": None if mailbox.calendar is None else mailbox.calendar.count,
        **where,
    }


def item_facts(item: Item) -> Json:
    """One copy, with everything that it knows; a series with its exceptions and deletions, not unfolded."""
    facts: Json = {
        "item_id": item.item_id,
        "change_key": item.change_key,
        "uid": item.uid,
        "kind": item.kind,
        **_said(item),
        "start": instant(item.start),
        "end": instant(item.end),
        "zone": {"id": item.zone.id, "iana": item.zone.iana},
        "is_meeting": item.is_meeting,
        "organizer": None if item.organizer is None else asdict(item.organizer),
        "attendees": [_attendee(attendee) for attendee in item.attendees],
        "my_response": item.my_response,
        "attachments": item.attachments,
        "sequence": item.sequence,
        "created": None if item.created is None else instant(item.created),
        "modified": None if item.modified is None else instant(item.modified),
    }
    if item.master_id is not None and item.original_start is not None:
        facts |= {"master_id": item.master_id, "original_start": instant(item.original_start)}
    if item.recurrence is not None:
        facts["series"] = _series(item.recurrence)
        facts["exceptions"] = [
            {"original_start": instant(start), **_override(override)}
            for start, override in sorted(item.exceptions.items())
        ]
        facts["deleted"] = [instant(start) for start in item.deleted]
        last = series.last_occurrence(item)
        facts["last_start"] = None if last is None else instant(last.start)
    return facts


def mail_facts(at: datetime, mail: Mail) -> Json:
    """A mail as it was sent: who to whom about what, and the words beside it."""
    start = None if mail.original_start is None else instant(mail.original_start)
    return {
        "sent": instant(at),
        "kind": mail.kind,
        "from": mail.sender,
        "to": mail.to,
        "uid": mail.meeting.uid,
        "subject": mail.meeting.subject,
        "original_start": start,
        "note": mail.note,
    }


def instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _said(item: Item) -> Json:
    return {
        "subject": item.subject,
        "body": item.body,
        "location": item.location,
        "is_all_day": item.is_all_day,
        "show_as": item.show_as,
        "sensitivity": item.sensitivity,
        "importance": item.importance,
        "categories": item.categories,
        "reminder_minutes": item.reminder_minutes if item.has_reminder else None,
        "extended": [asdict(one) for one in item.extended],
        "is_cancelled": item.is_cancelled,
    }


def _attendee(attendee: Attendee) -> Json:
    answered = None if attendee.answered is None else instant(attendee.answered)
    return {**asdict(attendee), "answered": answered}


def _override(override: Override) -> Json:
    said: Mapping[str, object] = override.changed()
    facts: Json = {}
    for name, value in said.items():
        if name == "attendees":
            facts[name] = [_attendee(attendee) for attendee in override.attendees or ()]
        elif name == "extended":
            facts[name] = [asdict(one) for one in override.extended or ()]
        elif isinstance(value, Zone):
            facts[name] = value.id
        else:
            facts[name] = instant(value) if isinstance(value, datetime) else value
    return facts


def _series(recurrence: Recurrence) -> Json:
    pattern = asdict(recurrence.pattern)
    if "month" in pattern:
        pattern["month"] = MONTHS[pattern["month"] - 1]
    return {
        "pattern": type(recurrence.pattern).__name__,
        **pattern,
        "start": recurrence.start.isoformat(),
        "end": None if recurrence.end is None else recurrence.end.isoformat(),
        "count": recurrence.count,
    }
