"""The requests that Kalends sends to Exchange: all of them. Pure.

What is asked of a meeting is FIELDS and nothing else: no MIME content, no attachments, no folder but the calendar.
Child elements stand in the order of Microsoft's schema; the tests validate each against it.
"""

from collections.abc import Sequence

from kalends.model.event import CalendarId, ItemId
from kalends.model.time import Span
from kalends.providers.exchange.soap import Element, M, T, child, root, written

ROWS = 1000
"""The most rows that Exchange returns of a calendar view."""
LISTED = 512
"""The most changes that Exchange returns in one SyncFolderItems."""
CHANGES = 100
"""How many are asked for when each must be read, so that one step takes seconds and not minutes."""
BATCH = 50
"""How many items are asked for at once. Exchange charges a batch as it goes; Microsoft advises small ones."""

CLEAN_GLOBAL_OBJECT_ID = {"DistinguishedPropertySetId": "Meeting", "PropertyId": "35", "PropertyType": "Binary"}
"""PidLidCleanGlobalObjectId: shared by every copy and every instance of a meeting, wherever it moves."""

_ROW_FIELDS = ("calendar:Start", "calendar:End", "calendar:CalendarItemType")
FIELDS = (
    "item:Subject",
    "item:Sensitivity",
    "item:Body",
    "item:LastModifiedTime",
    "calendar:UID",
    "calendar:RecurrenceId",
    "calendar:Start",
    "calendar:End",
    "calendar:OriginalStart",
    "calendar:IsAllDayEvent",
    "calendar:LegacyFreeBusyStatus",
    "calendar:Location",
    "calendar:IsCancelled",
    "calendar:CalendarItemType",
    "calendar:MyResponseType",
    "calendar:Organizer",
    "calendar:RequiredAttendees",
    "calendar:OptionalAttendees",
    "calendar:Resources",
    "calendar:AppointmentState",
    "calendar:Recurrence",
    "calendar:FirstOccurrence",
    "calendar:LastOccurrence",
    "calendar:ModifiedOccurrences",
    "calendar:StartTimeZone",
)
EVENTS = ("CreatedEvent", "DeletedEvent", "ModifiedEvent", "MovedEvent")


def sync_items(calendar: CalendarId, state: str | None, most: int) -> Element:
    """Ids of what changed since `state`; of everything when it is None."""
    request = root("SyncFolderItems")
    _shape(request)
    _folder(child(request, f"{M}SyncFolderId"), calendar)
    if state is not None:
        child(request, f"{M}SyncState", state)
    child(request, f"{M}MaxChangesReturned", str(most))
    return request


def view(calendar: CalendarId, span: Span) -> Element:
    """The lean rows of everything that overlaps or touches `span`, series expanded."""
    request = root("FindItem", {"Traversal": "Shallow"})
    _shape(request, _ROW_FIELDS)
    limits = {"MaxEntriesReturned": str(ROWS), "StartDate": written(span.start), "EndDate": written(span.end)}
    child(request, f"{M}CalendarView", **limits)
    _folder(child(request, f"{M}ParentFolderIds"), calendar)
    return request


def items(ids: Sequence[ItemId]) -> Element:
    """Full meetings by their ids."""
    request = root("GetItem")
    _shape(request, FIELDS, body="Text")
    wanted = child(request, f"{M}ItemIds")
    for one in ids:
        child(wanted, f"{T}ItemId", Id=one)
    return request


def probe(item: ItemId) -> Element:
    """One item by its id, without any of its content."""
    request = root("GetItem")
    _shape(request)
    child(child(request, f"{M}ItemIds"), f"{T}ItemId", Id=item)
    return request


def masters(instances: Sequence[ItemId]) -> Element:
    """The series that each of these instances belongs to."""
    request = root("GetItem")
    _shape(request, FIELDS, body="Text")
    wanted = child(request, f"{M}ItemIds")
    for one in instances:
        child(wanted, f"{T}RecurringMasterItemId", OccurrenceId=one)
    return request


def folder(calendar: CalendarId) -> Element:
    """The calendar folder's own properties: a probe for rights."""
    request = root("GetFolder")
    child(child(request, f"{M}FolderShape"), f"{T}BaseShape", "IdOnly")
    _folder(child(request, f"{M}FolderIds"), calendar)
    return request


def subscribe(calendar: CalendarId) -> Element:
    """A streaming subscription to the calendar folder."""
    request = root("Subscribe")
    wanted = child(request, f"{M}StreamingSubscriptionRequest")
    _folder(child(wanted, f"{T}FolderIds"), calendar)
    kinds = child(wanted, f"{T}EventTypes")
    for kind in EVENTS:
        child(kinds, f"{T}EventType", kind)
    return request


def streaming_events(subscriptions: Sequence[str], minutes: int) -> Element:
    """One connection for all these subscriptions, closed by the server after `minutes`."""
    request = root("GetStreamingEvents")
    wanted = child(request, f"{M}SubscriptionIds")
    for one in subscriptions:
        child(wanted, f"{T}SubscriptionId", one)
    child(request, f"{M}ConnectionTimeout", str(minutes))
    return request


def unsubscribe(subscription: str) -> Element:
    request = root("Unsubscribe")
    child(request, f"{M}SubscriptionId", subscription)
    return request


def room_lists() -> Element:
    return root("GetRoomLists")


def rooms(room_list: str) -> Element:
    request = root("GetRooms")
    child(child(request, f"{M}RoomList"), f"{T}EmailAddress", room_list)
    return request


def resolve(address: str) -> Element:
    """Looks an address up in the directory, with all addresses of what is found."""
    request = root("ResolveNames", {"ReturnFullContactData": "true", "SearchScope": "ActiveDirectory"})
    child(request, f"{M}UnresolvedEntry", f"smtp:{address}")
    return request


def _shape(request: Element, fields: Sequence[str] = (), body: str | None = None) -> None:
    shape = child(request, f"{M}ItemShape")
    child(shape, f"{T}BaseShape", "IdOnly")
    if body is not None:
        child(shape, f"{T}BodyType", body)
    if fields:
        wanted = child(shape, f"{T}AdditionalProperties")
        for name in fields:
            child(wanted, f"{T}FieldURI", FieldURI=name)
        child(wanted, f"{T}ExtendedFieldURI", **CLEAN_GLOBAL_OBJECT_ID)


def _folder(parent: Element, calendar: CalendarId) -> None:
    chosen = child(parent, f"{T}DistinguishedFolderId", Id="calendar")
    child(child(chosen, f"{T}Mailbox"), f"{T}EmailAddress", calendar)
