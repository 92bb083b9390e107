"""Exchange's XML → the normal form, and nothing else: no I/O, no clock, no state.

One unreadable item is an Unreadable, never an exception: it must not cost its calendar. What may be absent (a subject,
an organizer, a zone) is read as absent.
"""

import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import TypeVar

from lxml import etree

from kalends.model.event import (
    Attendee,
    Event,
    ItemId,
    Kind,
    Party,
    Response,
    Role,
    Sensitivity,
    ShowAs,
    Unreadable,
    Version,
)
from kalends.model.time import Span
from kalends.model.zones import zone_of
from kalends.providers.exchange.alldays import dates_of
from kalends.providers.exchange.recurrence import rrule
from kalends.providers.exchange.soap import Element, M, T, when

DESCRIPTION_CHARACTERS = 100_000
_TEXT_CHARACTERS = 4_000
_ATTENDEES = 10_000
_PARTIES = 4_096
"""The same people meet again and again: so many are made once."""
_CANCELLED_BIT = 4
"""asfCanceled in AppointmentState: set on copies whose IsCancelled an old client forgot."""

_KINDS = {
    "Single": Kind.SINGLE,
    "Occurrence": Kind.INSTANCE,
    "Exception": Kind.EXCEPTION,
    "RecurringMaster": Kind.SERIES,
}
_SHOW_AS = {
    "Free": ShowAs.FREE,
    "Tentative": ShowAs.TENTATIVE,
    "Busy": ShowAs.BUSY,
    "OOF": ShowAs.OUT_OF_OFFICE,
    "WorkingElsewhere": ShowAs.ELSEWHERE,
    "NoData": ShowAs.UNKNOWN,
}
_SENSITIVITY = {
    "Normal": Sensitivity.NORMAL,
    "Personal": Sensitivity.PERSONAL,
    "Private": Sensitivity.PRIVATE,
    "Confidential": Sensitivity.CONFIDENTIAL,
}
_RESPONSES = {
    "Organizer": Response.ORGANIZER,
    "Tentative": Response.TENTATIVE,
    "Accept": Response.ACCEPTED,
    "Decline": Response.DECLINED,
}
_NAME_AT = len(T)
_NAME, _ADDRESS, _ROUTING, _RESPONSE = f"{T}Name", f"{T}EmailAddress", f"{T}RoutingType", f"{T}ResponseType"
_CALENDAR_ITEM = f"{T}CalendarItem"
_ATTENDEE = f"{T}Attendee"
_OF_ATTENDEES = _ATTENDEE, _NAME, _ADDRESS, _ROUTING, _RESPONSE
"""A list of attendees is walked once, from each Attendee to the next: thousands of people stand in a large meeting."""
_ROLES = (
    ("RequiredAttendees", Role.REQUIRED),
    ("OptionalAttendees", Role.OPTIONAL),
    ("Resources", Role.RESOURCE),
)
_Word = TypeVar("_Word", bound=StrEnum)
_Fields = Mapping[str, Element]
"""An element's children by name. One pass over an item's children costs a tenth of looking each of them up."""


@dataclass(frozen=True, slots=True)
class Row:
    """A lean row of a calendar view."""

    item: ItemId
    version: Version
    kind: Kind
    span: Span
    lasting_id: str | None
    """The same for all rows of one series."""


@dataclass(frozen=True, slots=True)
class Series:
    """A master with what places its meetings: `event` is the master itself."""

    event: Event
    reach: Span | None
    """From its first to its last meeting, exceptions included; None when it has no end or doesn't say."""
    starts: dict[ItemId, datetime]
    """Where the pattern put each exception."""

    def instance(self, row: Row) -> Event:
        """The meeting that the pattern makes at this row: everything but its time is the master's."""
        dates = dates_of(row.span, self.event.zone) if self.event.is_all_day else None
        return replace(
            self.event,
            item=row.item,
            version=row.version,
            kind=Kind.INSTANCE,
            span=row.span,
            dates=dates,
            original_start=row.span.start,
            master=self.event.item,
            recurrence=None,
        )

    def exception(self, read: Event) -> Event:
        """The exception with what it shares with its series."""
        original = read.original_start or self.starts.get(read.item) or read.span.start
        lasting_id = self.event.lasting_id or read.lasting_id
        return replace(read, uid=self.event.uid, original_start=original, master=self.event.item, lasting_id=lasting_id)


@dataclass(frozen=True, slots=True)
class Changed:
    """One entry of a SyncFolderItems answer."""

    item: ItemId
    version: Version
    is_gone: bool


def changes(content: Element) -> Iterator[Changed]:
    """What a SyncFolderItems message names. Changes of read flags are none of ours."""
    listed = content.find(f"{M}Changes")
    for change in listed if listed is not None else ():
        kind = str(change.tag).removeprefix(T)
        if kind not in ("Create", "Update", "Delete"):
            continue
        found = next(change.iter(f"{T}ItemId"), None)
        if found is not None and found.get("Id"):
            yield Changed(ItemId(found.get("Id", "")), Version(found.get("ChangeKey", "")), kind == "Delete")


def rows(content: Element) -> Iterator[Row | Unreadable]:
    """What a FindItem message holds."""
    listed = content.find(f"{M}RootFolder/{T}Items")
    for each in listed if listed is not None else ():
        if not isinstance(each.tag, str):
            continue
        fields = _fields(each)
        item, version = _identity(fields)
        if item:
            try:
                yield Row(item, version, _kind(fields), _span(fields), _lasting_id(fields))
            except _Unread as error:
                yield Unreadable(item, version, str(error))


def is_whole(content: Element) -> bool:
    """Whether a FindItem message holds everything that was asked for."""
    folder = content.find(f"{M}RootFolder")
    return folder is not None and folder.get("IncludesLastItemInRange", "").lower() in ("true", "1")


def meeting(content: Element) -> Event | Series | Unreadable | None:
    """The meeting in a GetItem message; None when it holds something else than a calendar item."""
    each = next(content.iter(_CALENDAR_ITEM), None)
    if each is None:
        return None
    fields = _fields(each)
    item, version = _identity(fields)
    if not item:
        return None
    try:
        event = _event(fields, item, version)
        return _series(fields, event) if event.kind is Kind.SERIES else event
    except _Unread as error:
        return Unreadable(item, version, str(error))


class _Unread(Exception):
    """One sentence: which field, and what is wrong with it. Holds nothing of the meeting's content."""


def _fields(each: Element) -> _Fields:
    """The first child of each name. All that is read here stands in the namespace of the types."""
    return {child.tag[_NAME_AT:]: child for child in each.iterchildren(tag=etree.Element, reversed=True)}


def _event(fields: _Fields, item: ItemId, version: Version) -> Event:
    kind, span = _kind(fields), _span(fields)
    zone = zone_of(_zone_name(fields))
    recurrence = fields.get("Recurrence")
    state = (_text(fields, "AppointmentState") or "").strip()
    organizer = fields.get("Organizer")
    return Event(
        uid=_short(_text(fields, "UID")) or _lasting_id(fields) or item,
        original_start=_original_start(fields) if kind in (Kind.INSTANCE, Kind.EXCEPTION) else None,
        item=item,
        version=version,
        kind=kind,
        span=span,
        dates=dates_of(span, zone) if _is_true(fields, "IsAllDayEvent") else None,
        zone=zone,
        lasting_id=_lasting_id(fields),
        subject=_short(_text(fields, "Subject")),
        location=_short(_text(fields, "Location")),
        description=_body(fields),
        organizer=None if organizer is None else _party(_fields(organizer).get("Mailbox")),
        attendees=_attendees(fields),
        show_as=_word(fields, "LegacyFreeBusyStatus", _SHOW_AS, ShowAs.BUSY, ShowAs.UNKNOWN),
        # A word that we don't know may mean secret: it is treated so.
        sensitivity=_word(fields, "Sensitivity", _SENSITIVITY, Sensitivity.NORMAL, Sensitivity.PRIVATE),
        is_cancelled=_is_true(fields, "IsCancelled") or (state.isdigit() and bool(int(state[:9]) & _CANCELLED_BIT)),
        response=_word(fields, "MyResponseType", _RESPONSES, Response.NONE, Response.NONE),
        recurrence=rrule(recurrence) if recurrence is not None and kind is Kind.SERIES else None,
        modified_at=_optional_instant(fields, "LastModifiedTime"),
    )


def _series(fields: _Fields, event: Event) -> Series:
    starts: dict[ItemId, datetime] = {}
    moments = [event.span.start, event.span.end]
    for each in fields.get("ModifiedOccurrences", ()):
        info = _fields(each)
        original = _optional_instant(info, "OriginalStart")
        if original is not None:
            starts[_identity(info)[0]] = original
        moments += [at for name in ("Start", "End") if (at := _optional_instant(info, name))]
    last, recurrence = fields.get("LastOccurrence"), fields.get("Recurrence")
    is_endless = recurrence is not None and recurrence.find(f"{T}NoEndRecurrence") is not None
    end = None if last is None or is_endless else _optional_instant(_fields(last), "End")
    if end is None:
        return Series(event, None, starts)
    first = fields.get("FirstOccurrence")
    moments += [end, *([at] if first is not None and (at := _optional_instant(_fields(first), "Start")) else [])]
    return Series(event, Span(min(moments), max(moments)), starts)


def _identity(fields: _Fields) -> tuple[ItemId, Version]:
    found = fields.get("ItemId")
    if found is None:
        return ItemId(""), Version("")
    return ItemId(found.get("Id", "")), Version(found.get("ChangeKey", ""))


def _kind(fields: _Fields) -> Kind:
    word = (_text(fields, "CalendarItemType") or "Single").strip()
    if word not in _KINDS:
        raise _Unread("CalendarItemType holds a word that Kalends does not know.")
    return _KINDS[word]


def _span(fields: _Fields) -> Span:
    start, end = _instant(fields, "Start"), _instant(fields, "End")
    if end < start:
        raise _Unread("End lies before Start.")
    return Span(start, end)


def _instant(fields: _Fields, name: str) -> datetime:
    value = _text(fields, name)
    if value is None:
        raise _Unread(f"{name} is missing.")
    try:
        return when(value)
    except (ValueError, OverflowError):
        raise _Unread(f"{name} is not a readable time.") from None


def _optional_instant(fields: _Fields, name: str) -> datetime | None:
    value = _text(fields, name)
    try:
        return None if value is None else when(value)
    except (ValueError, OverflowError):
        return None


def _original_start(fields: _Fields) -> datetime | None:
    return _optional_instant(fields, "OriginalStart") or _optional_instant(fields, "RecurrenceId")


def _zone_name(fields: _Fields) -> str:
    found = fields.get("StartTimeZone")
    return "" if found is None else (found.get("Id") or found.get("Name") or "")[:200]


def _lasting_id(fields: _Fields) -> str | None:
    """PidLidCleanGlobalObjectId in hex, the only extended property asked for."""
    held = fields.get("ExtendedProperty")
    value = None if held is None else held.findtext(f"{T}Value")
    try:
        return binascii.a2b_base64(value, strict_mode=True).hex().upper() if value else None
    except ValueError:
        return None


def _text(fields: _Fields, name: str) -> str | None:
    """None where there is no such field."""
    found = fields.get(name)
    return None if found is None else (found.text or "")


def _is_true(fields: _Fields, name: str) -> bool:
    return (_text(fields, name) or "").strip().lower() in ("true", "1")


def _short(value: str | None) -> str | None:
    trimmed = (value or "").strip()[:_TEXT_CHARACTERS]
    return trimmed or None


def _body(fields: _Fields) -> str | None:
    trimmed = (_text(fields, "Body") or "").strip()[:DESCRIPTION_CHARACTERS]
    return trimmed or None


def _party(mailbox: Element | None) -> Party | None:
    held = {child.tag: child.text for child in mailbox} if mailbox is not None else {}
    return _party_of(held.get(_NAME), held.get(_ADDRESS), held.get(_ROUTING, "SMTP"))


@lru_cache(maxsize=_PARTIES)
def _party_of(name: str | None, address: str | None, routing: str | None) -> Party | None:
    name, address = _short(name), _short(address)
    # An internal address such as /O=EXAMPLE/OU=… is nobody's mail address.
    smtp = address.lower() if address and "@" in address and routing == "SMTP" else ""
    return Party(name or "", smtp) if name or smtp else None


def _attendees(fields: _Fields) -> tuple[Attendee, ...]:
    found: list[Attendee] = []
    for name, role in _ROLES:
        listed = fields.get(name)
        held: dict[str, str | None] = {}
        for part in listed.iter(*_OF_ATTENDEES) if listed is not None else ():
            if len(found) == _ATTENDEES:
                return tuple(found)
            if (tag := part.tag) != _ATTENDEE:
                held[tag] = part.text
            elif held:
                found += _attendee(held, role)
                held = {}
        found += _attendee(held, role)
    return tuple(found)


def _attendee(held: Mapping[str, str | None], role: Role) -> tuple[Attendee, ...]:
    party = _party_of(held.get(_NAME), held.get(_ADDRESS), held.get(_ROUTING, "SMTP"))
    response = _RESPONSES.get((held.get(_RESPONSE) or "").strip(), Response.NONE)
    return (Attendee(party, role, response),) if party is not None else ()


def _word(fields: _Fields, name: str, words: dict[str, _Word], absent: _Word, unknown: _Word) -> _Word:
    value = _text(fields, name)
    return absent if value is None else words.get(value.strip(), unknown)
