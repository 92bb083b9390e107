"""MAPI's view of items and folders: properties that are there without anybody having set them, and values by their type.

Numbers and meanings: MS-OXPROPS and MS-OXOCAL. Neighbours: shapes.py reads what is asked, searching.py and item_xml.py use it.
"""

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from kalends_sandbox.exchange.shapes import PROPERTY_SETS, ExtendedUri, key_of
from kalends_sandbox.exchange.soap import leaf
from kalends_sandbox.folder import Folder
from kalends_sandbox.ids import global_object_id
from kalends_sandbox.item import Html, Item

Value = str | tuple[str, ...]
Read = Callable[[Item], Value | None]

_SENSITIVITIES: Final = ("Normal", "Personal", "Private", "Confidential")
_IMPORTANCES: Final = ("Low", "Normal", "High")
_BUSY: Final = ("Free", "Tentative", "Busy", "OOF", "WorkingElsewhere")
_RESPONSES: Final = ("Unknown", "Organizer", "Tentative", "Accept", "Decline", "NoResponseReceived")


def _at(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _yes(value: bool) -> str:
    return "true" if value else "false"


def _bytes(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def state(item: Item) -> str:
    """PidLidAppointmentStateFlags: 1 a meeting, 2 received from somebody else, 4 cancelled."""
    return str(item.is_meeting + 2 * (item.is_meeting and not item.is_organizer) + 4 * item.is_cancelled)


# By tag; the type follows the name.
_TAGGED: Final[Mapping[int, tuple[str, Read]]] = {
    0x0017: ("Integer", lambda item: str(_IMPORTANCES.index(item.importance))),
    0x0036: ("Integer", lambda item: str(_SENSITIVITIES.index(item.sensitivity))),
    0x0037: ("String", lambda item: item.subject),
    0x0039: ("SystemTime", lambda item: _at(item.created)),
    0x0042: ("String", lambda item: None if item.organizer is None else item.organizer.name),
    0x0060: ("SystemTime", lambda item: _at(item.start)),
    0x0061: ("SystemTime", lambda item: _at(item.end)),
    0x0E06: ("SystemTime", lambda item: _at(item.created)),
    0x0FFF: ("Binary", lambda item: item.item_id.removeprefix("AAMk")),
    0x1000: ("String", lambda item: None if isinstance(item.body, Html) else item.body),
    0x3007: ("SystemTime", lambda item: _at(item.created)),
    0x3008: ("SystemTime", lambda item: _at(item.modified)),
    0x5D02: ("String", lambda item: None if item.organizer is None else item.organizer.address),
}
_NAMED: Final[Mapping[tuple[str, int | str], tuple[str, Read]]] = {
    ("Meeting", 0x03): ("Binary", lambda item: _bytes(global_object_id(item.uid))),
    ("Meeting", 0x23): ("Binary", lambda item: _bytes(item.clean_global_object_id)),
    ("Appointment", 0x8201): ("Integer", lambda item: str(item.sequence)),
    ("Appointment", 0x8205): ("Integer", lambda item: str(_BUSY.index(item.show_as)) if item.show_as in _BUSY else None),
    ("Appointment", 0x8208): ("String", lambda item: item.location),
    ("Appointment", 0x820D): ("SystemTime", lambda item: _at(item.start)),
    ("Appointment", 0x820E): ("SystemTime", lambda item: _at(item.end)),
    ("Appointment", 0x8213): ("Integer", lambda item: str((item.end - item.start) // timedelta(minutes=1))),
    ("Appointment", 0x8215): ("Boolean", lambda item: _yes(item.is_all_day)),
    ("Appointment", 0x8217): ("Integer", state),
    ("Appointment", 0x8218): ("Integer", lambda item: str(_RESPONSES.index(item.my_response))),
    ("Appointment", 0x8223): ("Boolean", lambda item: _yes(item.recurrence is not None or item.master_id is not None)),
    ("Common", 0x8503): ("Boolean", lambda item: _yes(item.has_reminder)),
    ("Common", 0x8506): ("Boolean", lambda item: _yes(item.sensitivity in ("Private", "Confidential"))),
    ("PublicStrings", "keywords"): ("StringArray", lambda item: item.categories or None),
}  # fmt: skip
_KNOWN: Final[Mapping[tuple[str | None, str | int], tuple[str, Read]]] = {
    **{(None, tag): known for tag, known in _TAGGED.items()},
    **{(PROPERTY_SETS[name], id_): known for (name, id_), known in _NAMED.items()},
}
_OF_FOLDERS: Final[Mapping[tuple[str | None, str | int], tuple[str, Callable[[Folder], str | None]]]] = {
    (None, 0x3001): ("String", lambda folder: folder.name),
    (None, 0x3613): ("String", lambda folder: folder.folder_class),
    (None, 0x670A): ("SystemTime", lambda folder: _at(folder.changed)),
    (None, 0x670B): ("Integer", lambda folder: str(folder.deletions)),
}


def value(item: Item, wanted: ExtendedUri) -> Value | None:
    """What was set, else what every item has; None when there is no such property of that type."""
    found = next((one.value for one in item.extended if one.kind == wanted.kind and key_of(one) == wanted.key), None)
    if found is not None:
        return found
    kind, read = _KNOWN.get(wanted.key, ("", lambda item: None))
    return read(item) if kind == wanted.kind else None


def of_folder(folder: Folder, wanted: ExtendedUri) -> str | None:
    """The two by which one may ask cheaply whether anything has changed, and the name; folders keep no others here."""
    kind, read = _OF_FOLDERS.get(wanted.key, ("", lambda folder: None))
    return read(folder) if kind == wanted.kind else None


def xml(wanted: ExtendedUri, value: Value) -> str:
    """The property as it is asked for, with one value or several."""
    if isinstance(value, str):
        inside = leaf("Value", value)
    else:
        inside = f"<t:Values>{''.join(leaf('Value', one) for one in value)}</t:Values>"
    return f"<t:ExtendedProperty><t:ExtendedFieldURI{wanted.written}/>{inside}</t:ExtendedProperty>"


# --- values by type

Typed = str | bool | int | float | datetime

_NUMBERS: Final = ("Integer", "Short", "Long", "Error")
_FRACTIONS: Final = ("Float", "Double", "Currency", "ApplicationTime")


def typed(kind: str, text: str) -> Typed:
    """A value of a type to compare by. ValueError when the text is none of that type."""
    single = kind.removesuffix("Array")
    if single in _NUMBERS:
        return int(text)
    if single in _FRACTIONS:
        return float(text)
    if single == "Boolean":
        if text.strip().lower() not in ("true", "false", "1", "0"):
            raise ValueError(f"{text!r} is neither true nor false")
        return text.strip().lower() in ("true", "1")
    if single == "SystemTime":
        at = datetime.fromisoformat(text.strip())
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return text.lower() if single == "CLSID" else text
