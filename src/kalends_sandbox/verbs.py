"""What can be done through the control API and `act`: each verb with its keys, read strictly.

Neighbours: control.py, actions.py.

The patterns of a `series` are those of world files (written.py); its bounds are `until` (a date) or `count`.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, cast, get_args

from kalends_sandbox import series
from kalends_sandbox.actions import Actions, Change
from kalends_sandbox.item import Item, Party, Response, Sensitivity, ShowAs
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.recurrence import MAX_COUNT, Recurrence
from kalends_sandbox.room_actions import RoomActions
from kalends_sandbox.world import World
from kalends_sandbox.written import Table, Unreadable, pattern
from kalends_sandbox.zones import Zone

_ANSWERS = ("Accept", "Tentative", "Decline")


def act(world: World, actions: Actions, rooms: RoomActions, said: object) -> Item:
    """Does what a JSON object asks for; the acting mailbox's copy afterwards (the room's, where the verb is about a room).

    Unreadable or ActionRefused say what is wrong.
    """
    table = Table(said, "")
    verb = table.choice("verb", VERBS)
    address = table.text("mailbox")
    mailbox = world.mailbox(address)
    if mailbox is None:
        raise table.refuse("mailbox", f"there is no mailbox {address} in this world.")
    if verb in _IN_ROOMS:
        return _IN_ROOMS[verb](rooms, mailbox, table)
    return _VERBS[verb](actions, mailbox, table)


def _create(actions: Actions, mailbox: Mailbox, table: Table) -> Item:
    zone = table.windows_zone("zone", mailbox.zone)
    is_all_day = table.flag("all_day", False)
    start, end = _all_day(table, zone) if is_all_day else _times(table, zone)
    fields: dict[str, Any] = {"location": table.text("location")} if "location" in table else {}
    subject, body = table.optional_text("subject", may_be_empty=True), table.optional_text("body", may_be_empty=True)
    show_as = cast(ShowAs, table.choice("show_as", get_args(ShowAs), "Busy"))
    sensitivity = cast(Sensitivity, table.choice("sensitivity", get_args(Sensitivity), "Normal"))
    rooms, required, optional = (table.texts(key) for key in ("rooms", "required", "optional"))
    fields["attachments"] = table.texts("attachments")
    recurrence = _recurrence(table.table("series"), start, zone) if "series" in table else None
    table.know("location", "series", "end", "minutes", "start", "day", "days")
    table.done()
    return actions.create(
        mailbox.primary, subject, start, end, rooms=rooms, required=required, optional=optional, recurrence=recurrence,
        zone=zone, is_all_day=is_all_day, body=body, show_as=show_as, sensitivity=sensitivity, **fields,
    )  # fmt: skip


def _edit(actions: Actions, mailbox: Mailbox, table: Table) -> Item:
    meeting, occurrence = _meeting(table, mailbox)
    show_as = table.choice("show_as", get_args(ShowAs)) if "show_as" in table else None
    sensitivity = table.choice("sensitivity", get_args(Sensitivity)) if "sensitivity" in table else None
    change = Change(
        subject=table.optional_text("subject", may_be_empty=True),
        body=table.optional_text("body", may_be_empty=True),
        location=table.optional_text("location", may_be_empty=True),
        start=table.instant("start", mailbox.zone) if "start" in table else None,
        end=table.instant("end", mailbox.zone) if "end" in table else None,
        show_as=cast(ShowAs | None, show_as),
        sensitivity=cast(Sensitivity | None, sensitivity),
        rooms=table.optional_texts("rooms"),
        required=table.optional_texts("required"),
        optional=table.optional_texts("optional"),
    )
    table.know("start", "end", "show_as", "sensitivity")
    table.done()
    return actions.edit(mailbox.primary, meeting, change, occurrence)


def _move(actions: Actions, mailbox: Mailbox, table: Table) -> Item:
    meeting, occurrence = _meeting(table, mailbox)
    start = table.instant("start", mailbox.zone)
    end = table.instant("end", mailbox.zone) if "end" in table else None
    table.know("end")
    table.done()
    return actions.move(mailbox.primary, meeting, start, end, occurrence)


def _sensitivity(value: Sensitivity) -> Callable[[Actions, Mailbox, Table], Item]:
    def change(actions: Actions, mailbox: Mailbox, table: Table) -> Item:
        meeting, occurrence = _meeting(table, mailbox)
        table.done()
        return actions.edit(mailbox.primary, meeting, Change(sensitivity=value), occurrence)

    return change


def _cancel(actions: Actions, mailbox: Mailbox, table: Table) -> Item:
    meeting, occurrence = _meeting(table, mailbox)
    table.done()
    return actions.cancel(mailbox.primary, meeting, occurrence)


def _respond(actions: Actions, mailbox: Mailbox, table: Table) -> Item:
    meeting, occurrence = _meeting(table, mailbox)
    answer = cast(Response, table.choice("answer", _ANSWERS))
    table.done()
    return actions.respond(mailbox.primary, meeting, answer, occurrence)


def _remove(actions: Actions, mailbox: Mailbox, table: Table) -> Item:
    meeting, occurrence = _meeting(table, mailbox)
    hard = table.flag("hard", False)
    table.done()
    return actions.remove(mailbox.primary, meeting, occurrence, hard)


def _refile(actions: Actions, mailbox: Mailbox, table: Table) -> Item:
    meeting = table.text("meeting")
    table.done()
    return actions.refile(mailbox.primary, meeting)


def _repattern(actions: Actions, mailbox: Mailbox, table: Table) -> Item:
    meeting = table.text("meeting")
    known = _known(mailbox, meeting)
    if known is None:
        raise table.refuse("meeting", "this calendar holds no meeting with that item id or UID.")
    recurrence = _recurrence(table.table("series"), known.start, known.zone)
    table.done()
    return actions.repattern(mailbox.primary, meeting, recurrence)


def _decide(is_granted: bool) -> Callable[[RoomActions, Mailbox, Table], Item]:
    def decide(rooms: RoomActions, delegate: Mailbox, table: Table) -> Item:
        room, note = table.text("room"), table.text("note", "")
        meeting, occurrence = _meeting(table, rooms.room(room))
        table.done()
        return rooms.decide(delegate.primary, room, meeting, is_granted, note, occurrence)

    return decide


def _check_in(rooms: RoomActions, room: Mailbox, table: Table) -> Item:
    meeting, occurrence = _meeting(table, room)
    table.done()
    return rooms.check_in(room.primary, meeting, occurrence)


def _receive(rooms: RoomActions, mailbox: Mailbox, table: Table) -> Item:
    """An invitation from outside; `sender` is an address, `sender_name` what it calls itself."""
    address = table.text("sender")
    sender = Party(table.text("sender_name", address), address)
    start, end = _times(table, mailbox.zone)
    subject, body = table.optional_text("subject", may_be_empty=True), table.optional_text("body", may_be_empty=True)
    recurrence = _recurrence(table.table("series"), start, mailbox.zone) if "series" in table else None
    table.know("series", "end", "minutes")
    table.done()
    return rooms.receive(mailbox.primary, sender, subject, start, end, recurrence, body=body)


_VERBS: Mapping[str, Callable[[Actions, Mailbox, Table], Item]] = {
    "create": _create,
    "edit": _edit,
    "move": _move,
    "make_private": _sensitivity("Private"),
    "make_public": _sensitivity("Normal"),
    "cancel": _cancel,
    "respond": _respond,
    "remove": _remove,
    "refile": _refile,
    "repattern": _repattern,
}
_IN_ROOMS: Mapping[str, Callable[[RoomActions, Mailbox, Table], Item]] = {
    "approve": _decide(True),
    "refuse": _decide(False),
    "check_in": _check_in,
    "receive": _receive,
}
VERBS = (*_VERBS, *_IN_ROOMS)


def _times(table: Table, zone: Zone) -> tuple[datetime, datetime]:
    start = table.instant("start", zone).astimezone(UTC)
    if "end" in table:
        return start, table.instant("end", zone).astimezone(UTC)
    return start, start + timedelta(minutes=table.number("minutes", 60, 0, 60 * 24 * 30))


def _all_day(table: Table, zone: Zone) -> tuple[datetime, datetime]:
    first = table.day("day")
    after = first + timedelta(days=table.number("days", 1, 1, 366))
    start, end = (datetime.combine(day, time(), zone.tz).astimezone(UTC) for day in (first, after))
    return start, end


def _recurrence(table: Table, start: datetime, zone: Zone) -> Recurrence:
    found = pattern(table)
    begins = table.day("start", start.astimezone(zone.tz).date())
    until = table.day("until") if "until" in table else None
    count = table.optional_number("count", 1, MAX_COUNT)
    table.know("until")
    table.done()
    try:
        return Recurrence(found, begins, until, count)
    except ValueError as error:
        raise Unreadable(table.where, str(error)) from error


def _meeting(table: Table, mailbox: Mailbox) -> tuple[str, datetime | None]:
    """The meeting and, if one is meant, the original start of its occurrence: an instant, or just its date."""
    meeting = table.text("meeting")
    said = table.optional_text("occurrence")
    if said is None:
        return meeting, None
    try:
        day = date.fromisoformat(said)
    except ValueError:
        return meeting, table.instant("occurrence", mailbox.zone).astimezone(UTC)
    known = _known(mailbox, meeting)
    if known is None or known.recurrence is None:
        raise table.refuse("meeting", "this calendar holds no series with that item id or UID.")
    return meeting, series.start_on(known, day)


def _known(mailbox: Mailbox, meeting: str) -> Item | None:
    if mailbox.calendar is None:
        return None
    return mailbox.calendar.items.get(meeting) or next(iter(mailbox.calendar.by_uid(meeting)), None)
