"""What items and folders are searched and sorted by: the properties of each, found by field URI or extended property.

Neighbours: filters.py compares them, find.py sorts by them, query.py looks words up in them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from kalends_sandbox.exchange import mapi
from kalends_sandbox.exchange.message_xml import item_class
from kalends_sandbox.exchange.shapes import ExtendedUri, extended_uri, field_uri
from kalends_sandbox.exchange.soap import Element, Refusal, children, local
from kalends_sandbox.folder import Folder
from kalends_sandbox.item import Item

# A property is text, a number, a truth, an instant, several of one of these, or None where it is not there.
Getter = Callable[[Any], Any]

_ITEMS: Final[Mapping[str, Callable[[Item], Any]]] = {
    "item:Subject": lambda item: item.subject,
    "item:Body": lambda item: item.body,
    "item:TextBody": lambda item: item.body,
    "item:Sensitivity": lambda item: item.sensitivity,
    "item:Categories": lambda item: item.categories or None,
    "item:Importance": lambda item: item.importance,
    "item:ItemClass": item_class,
    "item:HasAttachments": lambda item: False,
    "item:IsDraft": lambda item: False,
    "item:ReminderIsSet": lambda item: item.has_reminder,
    "item:DateTimeCreated": lambda item: item.created,
    "item:DateTimeReceived": lambda item: item.created,
    "item:DateTimeSent": lambda item: item.created,
    "item:LastModifiedTime": lambda item: item.modified,
    "item:DisplayTo": lambda item: "; ".join(one.name for one in (item.letter.to if item.letter else item.required)),
    "item:DisplayCc": lambda item: "; ".join(one.name for one in item.optional),
    "calendar:UID": lambda item: item.uid,
    "calendar:Start": lambda item: item.start,
    "calendar:End": lambda item: item.end,
    "calendar:Location": lambda item: item.location,
    "calendar:IsAllDayEvent": lambda item: item.is_all_day,
    "calendar:IsMeeting": lambda item: item.is_meeting,
    "calendar:IsCancelled": lambda item: item.is_cancelled,
    "calendar:IsRecurring": lambda item: item.master_id is not None,
    "calendar:LegacyFreeBusyStatus": lambda item: item.show_as,
    "calendar:CalendarItemType": lambda item: item.kind,
    "calendar:MyResponseType": lambda item: item.my_response,
    "calendar:AppointmentSequenceNumber": lambda item: item.sequence,
    "calendar:Organizer": lambda item: None if item.organizer is None else item.organizer.name,
}
_FOLDERS: Final[Mapping[str, Callable[[Folder], Any]]] = {
    "folder:DisplayName": lambda folder: folder.name,
    "folder:FolderClass": lambda folder: folder.folder_class,
    "folder:TotalCount": lambda folder: folder.count,
    "folder:UnreadCount": lambda folder: folder.unread,
}


@dataclass(frozen=True, slots=True)
class Ground:
    """What one request searches. `read_moment` reads its times, which may be meant in a zone of its own."""

    fields: Mapping[str, Getter]
    extended: Callable[[ExtendedUri], Getter]
    read_moment: Callable[[str], datetime]


def items(read_moment: Callable[[str], datetime]) -> Ground:
    return Ground(_ITEMS, _extended_of_item, read_moment)


def folders() -> Ground:
    return Ground(_FOLDERS, _extended_of_folder, datetime.fromisoformat)


def path(ground: Ground, element: Element | None, code: str = "ErrorUnsupportedPathForQuery") -> Getter:
    """The property that a path names; refused with `code` when nothing can be found by it."""
    kind = local(element) if element is not None else ""
    if element is not None and kind == "FieldURI":
        uri = field_uri(element)
        if uri in ground.fields:
            return ground.fields[uri]
        raise Refusal(code, f"The property {uri} can be neither searched nor sorted by.")
    if element is not None and kind == "ExtendedFieldURI":
        return ground.extended(extended_uri(element))
    raise Refusal(code, "Searching and sorting go by a FieldURI or an ExtendedFieldURI.")


def first_path(ground: Ground, element: Element, code: str = "ErrorUnsupportedPathForQuery") -> Getter:
    """The property that the first child names."""
    return path(ground, next(children(element), None), code)


def _extended_of_item(wanted: ExtendedUri) -> Getter:
    return lambda item: _typed(wanted, mapi.value(item, wanted))


def _extended_of_folder(wanted: ExtendedUri) -> Getter:
    return lambda folder: _typed(wanted, mapi.of_folder(folder, wanted))


def _typed(wanted: ExtendedUri, found: mapi.Value | None) -> Any:
    try:
        if found is None or isinstance(found, str):
            return None if found is None else mapi.typed(wanted.kind, found)
        return tuple(mapi.typed(wanted.kind, one) for one in found)
    except ValueError:
        return None  # stored as something that its type cannot be: as good as not there


def order(ground: Ground, element: Element | None, found: list[Any]) -> None:
    """Sorts by the orders of SortOrder, the first one weighing most; what lacks a property comes before what has it."""
    for one in reversed(list(children(element))) if element is not None else ():
        get = first_path(ground, one, "ErrorUnsupportedPathForSortGroup")
        found.sort(key=lambda row, get=get: _key(get(row)), reverse=one.get("Order") == "Descending")  # type: ignore[misc]


def _key(value: Any) -> tuple[bool, Any]:
    if isinstance(value, str):
        return True, value.casefold()
    if isinstance(value, tuple):
        return True, tuple(str(one).casefold() for one in value)
    return value is not None, value
