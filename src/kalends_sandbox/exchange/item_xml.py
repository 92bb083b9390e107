"""Calendar items as EWS writes them, with the properties asked for and no others, in the schema's order.

Left out altogether: MimeContent, attachments, response objects, conflicting and adjacent meetings, MeetingTimeZone (only
servers before 2010 want it).

Neighbours: shapes.py says what is asked, series_xml.py and timezones.py write the larger parts, message_xml.py what is
sent about meetings.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from html import unescape
from typing import Final

from kalends_sandbox.exchange import mapi, series_xml, timezones
from kalends_sandbox.exchange.shapes import ExtendedUri, ItemShape
from kalends_sandbox.exchange.soap import attribute, flag, leaf, text
from kalends_sandbox.folder import Folder
from kalends_sandbox.item import Attendee, Html, Item
from kalends_sandbox.zones import Zone


@dataclass(frozen=True, slots=True)
class Page:
    """What the items of one answer share. `zone` is the one that times are written in, None for UTC."""

    shape: ItemShape
    folder: Folder
    is_list: bool  # FindItem and SyncFolderItems: short properties only
    zone: Zone | None = None

    def instant(self, name: str, at: datetime | None) -> str:
        return "" if at is None else f"<t:{name}>{self.moment(at)}</t:{name}>"

    def moment(self, at: datetime) -> str:
        if self.zone is None:
            return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return at.astimezone(self.zone.tz).isoformat(timespec="seconds")


Writer = Callable[[Item, Page], str]


@dataclass(frozen=True, slots=True)
class Field:
    """One property. `is_long` ones come from GetItem only: the lists do not have them, asked for or not."""

    uri: str
    write: Writer
    is_long: bool = False


def item_id(id_: str, change_key: str, name: str = "ItemId") -> str:
    return f"<t:{name} Id={attribute(id_)} ChangeKey={attribute(change_key)}/>"


def _yes(name: str, value: bool) -> Writer:
    written = flag(name, value)
    return lambda item, page: written


def _body(item: Item, page: Page) -> str:
    """As it is asked for; `Best` is as it was written."""
    wants_html = page.shape.body == "HTML" or (page.shape.body == "Best" and isinstance(item.body, Html))
    if item.body is None or not wants_html:
        return _text_body(item, "Body")
    html = item.body if isinstance(item.body, Html) else f"<html><body>{text(item.body)}</body></html>"
    if not isinstance(item.body, Html):
        html = html.replace("\n", "<br>")
    return f'<t:Body BodyType="HTML">{text(html)}</t:Body>'


def _text_body(item: Item, name: str) -> str:
    if item.body is None:
        return ""
    plain = _plain(item.body) if isinstance(item.body, Html) else item.body
    return f'<t:{name} BodyType="Text">{text(plain)}</t:{name}>'


def _plain(html: str) -> str:
    """The words of a page: tags away, lines where it breaks them."""
    broken = re.sub(r"(?i)<(br|/p|/div)[^>]*>", "\n", re.sub(r"\s+", " ", html))
    return unescape(re.sub(r"<[^>]*>", "", broken)).strip()


def _optional(name: str, value: str | None) -> str:
    return "" if value is None else leaf(name, value)


def _further(name: str, otherwise: str | None = None) -> Writer:
    """What a client wrote and nothing here acts on."""
    return lambda item, page: _optional(name, dict(item.further).get(name, otherwise))


def _reminder_minutes(item: Item, page: Page) -> str:
    return leaf("ReminderMinutesBeforeStart", str(item.reminder_minutes))


def _categories(item: Item, page: Page) -> str:
    inside = "".join(leaf("String", category) for category in item.categories)
    return f"<t:Categories>{inside}</t:Categories>" if inside else ""


def mailbox(name: str, address: str | None) -> str:
    if address is None:
        return f"<t:Mailbox>{leaf('Name', name)}</t:Mailbox>"
    return (
        f"<t:Mailbox>{leaf('Name', name)}{leaf('EmailAddress', address)}"
        "<t:RoutingType>SMTP</t:RoutingType><t:MailboxType>Mailbox</t:MailboxType></t:Mailbox>"
    )


def _organizer(item: Item, page: Page) -> str:
    """Lists know the organizer by name only."""
    if item.organizer is None:
        return ""
    address = None if page.is_list else item.organizer.address
    return f"<t:Organizer>{mailbox(item.organizer.name, address)}</t:Organizer>"


def _attendees(name: str, of: Callable[[Item], tuple[Attendee, ...]]) -> Writer:
    def write(item: Item, page: Page) -> str:
        inside = "".join(
            f"<t:Attendee>{mailbox(one.name, one.address)}<t:ResponseType>{one.response}</t:ResponseType>"
            f"{page.instant('LastResponseTime', one.answered)}</t:Attendee>"
            for one in of(item)
        )
        return f"<t:{name}>{inside}</t:{name}>" if inside else ""

    return write


def _extended(item: Item, page: Page) -> str:
    return "".join(_extended_property(item, wanted) for wanted in page.shape.extended)


def _extended_property(item: Item, wanted: ExtendedUri) -> str:
    value = mapi.value(item, wanted)
    return "" if value is None else mapi.xml(wanted, value)


def _modified_by(item: Item, page: Page) -> str:
    return "" if item.organizer is None else leaf("LastModifiedName", item.organizer.name)


def _request_was_sent(item: Item, page: Page) -> str:
    return flag("MeetingRequestWasSent", item.is_meeting and item.is_organizer and item.was_sent)


def _duration(item: Item) -> str:
    minutes, seconds = divmod(int((item.end - item.start) / timedelta(seconds=1)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"PT{hours}H{minutes}M{seconds}S"


def _wall_clock(name: str, at: datetime, zone: Zone) -> str:
    return f"<t:{name}>{at.astimezone(zone.tz).isoformat(timespec='seconds')}</t:{name}>"


def _end_zone(item: Item) -> Zone:
    return item.end_zone or item.zone


# In the schema's order, which clients may rely on. The UID of an occurrence is that of its series.
FIELDS: Final = (
    Field("item:ItemId", lambda item, page: item_id(item.item_id, item.change_key)),
    Field("item:ParentFolderId", lambda item, page: item_id(page.folder.id, page.folder.change_key, "ParentFolderId")),
    Field("item:ItemClass", _further("ItemClass", "IPM.Appointment")),
    Field("item:Subject", lambda item, page: _optional("Subject", item.subject)),
    Field("item:Sensitivity", lambda item, page: leaf("Sensitivity", item.sensitivity)),
    Field("item:Body", _body, is_long=True),
    Field("item:DateTimeReceived", lambda item, page: page.instant("DateTimeReceived", item.created)),
    Field("item:Size", lambda item, page: leaf("Size", str(2000 + len(item.body or "") + len(item.subject or "")))),
    Field("item:Categories", _categories),
    Field("item:Importance", lambda item, page: leaf("Importance", item.importance)),
    Field("item:InReplyTo", _further("InReplyTo")),
    Field("item:IsSubmitted", _yes("IsSubmitted", False)),
    Field("item:IsDraft", _yes("IsDraft", False)),
    Field("item:IsFromMe", _yes("IsFromMe", False)),
    Field("item:IsResend", _yes("IsResend", False)),
    Field("item:IsUnmodified", _yes("IsUnmodified", False)),
    Field("item:DateTimeSent", lambda item, page: page.instant("DateTimeSent", item.created)),
    Field("item:DateTimeCreated", lambda item, page: page.instant("DateTimeCreated", item.created)),
    Field("item:ReminderDueBy", lambda item, page: page.instant("ReminderDueBy", item.start)),
    Field("item:ReminderIsSet", lambda item, page: flag("ReminderIsSet", item.has_reminder)),
    Field("item:ReminderMinutesBeforeStart", _reminder_minutes),
    Field("item:DisplayCc", lambda item, page: leaf("DisplayCc", "; ".join(one.name for one in item.optional))),
    Field("item:DisplayTo", lambda item, page: leaf("DisplayTo", "; ".join(one.name for one in item.required))),
    Field("item:HasAttachments", lambda item, page: flag("HasAttachments", bool(item.attachments))),
    Field("", _extended),
    Field("item:Culture", _further("Culture", "en-US")),
    Field("item:LastModifiedName", _modified_by),
    Field("item:LastModifiedTime", lambda item, page: page.instant("LastModifiedTime", item.modified)),
    Field("item:IsAssociated", _yes("IsAssociated", False)),
    Field("item:TextBody", lambda item, page: _text_body(item, "TextBody"), is_long=True),
    Field("calendar:UID", lambda item, page: leaf("UID", item.uid)),
    Field("calendar:RecurrenceId", lambda item, page: page.instant("RecurrenceId", item.original_start)),
    Field("calendar:DateTimeStamp", lambda item, page: page.instant("DateTimeStamp", item.modified)),
    Field("calendar:Start", lambda item, page: page.instant("Start", item.start)),
    Field("calendar:End", lambda item, page: page.instant("End", item.end)),
    Field("calendar:OriginalStart", lambda item, page: page.instant("OriginalStart", item.original_start)),
    Field("calendar:IsAllDayEvent", lambda item, page: flag("IsAllDayEvent", item.is_all_day)),
    Field("calendar:LegacyFreeBusyStatus", lambda item, page: leaf("LegacyFreeBusyStatus", item.show_as)),
    Field("calendar:Location", lambda item, page: _optional("Location", item.location)),
    Field("calendar:When", _further("When")),
    Field("calendar:IsMeeting", lambda item, page: flag("IsMeeting", item.is_meeting)),
    Field("calendar:IsCancelled", lambda item, page: flag("IsCancelled", item.is_cancelled)),
    Field("calendar:IsRecurring", lambda item, page: flag("IsRecurring", item.master_id is not None)),
    Field("calendar:MeetingRequestWasSent", _request_was_sent),
    Field("calendar:IsResponseRequested", lambda item, page: flag("IsResponseRequested", item.wants_answers)),
    Field("calendar:CalendarItemType", lambda item, page: leaf("CalendarItemType", item.kind)),
    Field("calendar:MyResponseType", lambda item, page: leaf("MyResponseType", item.my_response)),
    Field("calendar:Organizer", _organizer),
    Field("calendar:RequiredAttendees", _attendees("RequiredAttendees", lambda item: item.required), is_long=True),
    Field("calendar:OptionalAttendees", _attendees("OptionalAttendees", lambda item: item.optional), is_long=True),
    Field("calendar:Resources", _attendees("Resources", lambda item: item.resources), is_long=True),
    Field("calendar:Duration", lambda item, page: leaf("Duration", _duration(item))),
    Field("calendar:TimeZone", lambda item, page: leaf("TimeZone", timezones.label(item.zone))),
    Field("calendar:AppointmentSequenceNumber", lambda item, page: leaf("AppointmentSequenceNumber", str(item.sequence))),
    Field("calendar:AppointmentState", lambda item, page: leaf("AppointmentState", mapi.state(item))),
    Field("calendar:Recurrence", lambda item, page: series_xml.recurrence(item), is_long=True),
    Field("calendar:FirstOccurrence", lambda item, page: series_xml.first(item, page.moment), is_long=True),
    Field("calendar:LastOccurrence", lambda item, page: series_xml.last(item, page.moment), is_long=True),
    Field("calendar:ModifiedOccurrences", lambda item, page: series_xml.modified(item, page.moment), is_long=True),
    Field("calendar:DeletedOccurrences", lambda item, page: series_xml.deleted(item, page.moment), is_long=True),
    Field("calendar:StartTimeZone", lambda item, page: timezones.reference("StartTimeZone", item.zone, item.start)),
    Field("calendar:EndTimeZone", lambda item, page: timezones.reference("EndTimeZone", _end_zone(item), item.end)),
    Field("calendar:ConferenceType", _further("ConferenceType")),
    Field("calendar:AllowNewTimeProposal", lambda item, page: flag("AllowNewTimeProposal", item.allows_new_times)),
    Field("calendar:IsOnlineMeeting", _yes("IsOnlineMeeting", False)),
    Field("calendar:MeetingWorkspaceUrl", _further("MeetingWorkspaceUrl")),
    Field("calendar:NetShowUrl", _further("NetShowUrl")),
    Field("calendar:StartWallClock", lambda item, page: _wall_clock("StartWallClock", item.start, item.zone)),
    Field("calendar:EndWallClock", lambda item, page: _wall_clock("EndWallClock", item.end, _end_zone(item))),
    Field("calendar:StartTimeZoneId", lambda item, page: leaf("StartTimeZoneId", item.zone.id)),
    Field("calendar:EndTimeZoneId", lambda item, page: leaf("EndTimeZoneId", _end_zone(item).id)),
    Field("calendar:IsOrganizer", lambda item, page: flag("IsOrganizer", item.is_organizer)),
)  # fmt: skip


@lru_cache(maxsize=256)
def _writers(uris: frozenset[str] | None, is_list: bool, has_extended: bool) -> tuple[Writer, ...]:
    return tuple(
        field.write
        for field in FIELDS
        if (has_extended if field.uri == "" else uris is None or field.uri in uris) and not (is_list and field.is_long)
    )


def calendar_item(item: Item, page: Page) -> str:
    writers = _writers(page.shape.uris, page.is_list, bool(page.shape.extended))
    return f"<t:CalendarItem>{''.join([write(item, page) for write in writers])}</t:CalendarItem>"
