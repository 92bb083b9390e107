"""Which properties a request asks for: base shapes, field URIs and extended properties. `item_xml.py` writes them out."""

import re
from dataclasses import dataclass
from typing import Final

from kalends_sandbox.exchange.soap import (
    Element,
    Refusal,
    attribute,
    children,
    local,
    need,
    need_attribute,
    t,
    text_of,
    unreadable,
)
from kalends_sandbox.item import ExtendedProperty

_FOLDER_DEFAULT: Final = frozenset(
    {"folder:FolderId", "folder:DisplayName", "folder:TotalCount", "folder:ChildFolderCount", "folder:UnreadCount"}
)
_FOLDER_ALL: Final = _FOLDER_DEFAULT | {
    "folder:ParentFolderId",
    "folder:FolderClass",
    "folder:EffectiveRights",
    "folder:DistinguishedFolderId",
}
_ITEM_DEFAULT: Final = frozenset(
    {
        "item:ItemId",
        "item:Subject",
        "item:HasAttachments",
        "calendar:Start",
        "calendar:End",
        "calendar:LegacyFreeBusyStatus",
        "calendar:Location",
        "calendar:CalendarItemType",
        "calendar:Organizer",
        "calendar:RequiredAttendees",
        "calendar:OptionalAttendees",
        "calendar:Resources",
        "calendar:Recurrence",
    }
)
# Every word that a field URI may begin with.
_FAMILIES: Final = frozenset(
    {
        *("folder", "item", "message", "sharingMessage", "meeting", "meetingRequest", "calendar", "task"),
        *("contacts", "distributionlist", "postitem", "conversation", "persona", "role"),
    }
)

# MS-OXPROPS 1.3.2; the names are those of DistinguishedPropertySetType.
PROPERTY_SETS: Final = {
    "Meeting": "6ed8da90-450b-101b-98da-00aa003f1305",
    "Appointment": "00062002-0000-0000-c000-000000000046",
    "Common": "00062008-0000-0000-c000-000000000046",
    "PublicStrings": "00020329-0000-0000-c000-000000000046",
    "Address": "00062004-0000-0000-c000-000000000046",
    "InternetHeaders": "00020386-0000-0000-c000-000000000046",
    "CalendarAssistant": "11000e07-b51b-40d6-af21-caa85edab1d0",
    "UnifiedMessaging": "4442858e-a9e3-4e80-b900-317a210cc15b",
    "Task": "00062003-0000-0000-c000-000000000046",
    "Sharing": "00062040-0000-0000-c000-000000000046",
}

_NAMINGS: Final = ("PropertyTag", "DistinguishedPropertySetId", "PropertySetId", "PropertyName", "PropertyId")
_SET_AND_NAME: Final = [
    [set_, name] for set_ in ("DistinguishedPropertySetId", "PropertySetId") for name in ("PropertyName", "PropertyId")
]
_NOT_READABLE: Final = frozenset({"Error", "Null", "Object", "ObjectArray"})
_SINGLE_TYPES: Final = frozenset(
    {
        *("ApplicationTime", "Binary", "Boolean", "CLSID", "Currency", "Double", "Float", "Integer", "Long", "Short"),
        *("SystemTime", "String"),
    }
)
_PROPERTY_TYPES: Final = _NOT_READABLE | _SINGLE_TYPES | {f"{one}Array" for one in _SINGLE_TYPES - {"Boolean"}}
_GUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class ExtendedUri:
    """An ExtendedFieldURI as it was asked (`written`, to be repeated in the answer) and what it means (`key`)."""

    key: tuple[str | None, str | int]
    kind: str
    written: str


@dataclass(frozen=True, slots=True)
class FolderShape:
    uris: frozenset[str]
    extended: tuple[ExtendedUri, ...] = ()

    def __contains__(self, uri: str) -> bool:
        return uri in self.uris


@dataclass(frozen=True, slots=True)
class ItemShape:
    """`uris` None means all properties."""

    uris: frozenset[str] | None
    extended: tuple[ExtendedUri, ...] = ()
    body: str = "Best"


def folder_shape(element: Element) -> FolderShape:
    base = text_of(need(element, t("BaseShape")))
    uris, extended = _additional(element)
    bases = {"IdOnly": frozenset({"folder:FolderId"}), "Default": _FOLDER_DEFAULT, "AllProperties": _FOLDER_ALL}
    if base not in bases:
        raise unreadable(f"{base!r} is no BaseShape")
    return FolderShape(bases[base] | uris, extended)


def item_shape(element: Element) -> ItemShape:
    base = text_of(need(element, t("BaseShape")))
    uris, extended = _additional(element)
    body = text_of(element.find(t("BodyType"))) or "Best"
    if base == "AllProperties":
        return ItemShape(None, extended, body)
    if base == "Default":
        return ItemShape(_ITEM_DEFAULT | uris, extended, body)
    if base != "IdOnly":
        raise unreadable(f"{base!r} is no BaseShape")
    return ItemShape(uris | {"item:ItemId"}, extended, body)


def _additional(element: Element) -> tuple[frozenset[str], tuple[ExtendedUri, ...]]:
    additional = element.find(t("AdditionalProperties"))
    if additional is None:
        return frozenset(), ()
    uris, extended = [], []
    for path in children(additional):
        kind = local(path)
        if kind == "FieldURI":
            uris.append(field_uri(path))
        elif kind == "ExtendedFieldURI":
            extended.append(extended_uri(path))
        elif kind != "IndexedFieldURI":
            raise unreadable(f"AdditionalProperties has no element {kind}")
    return frozenset(uris), tuple(extended)


def field_uri(path: Element) -> str:
    uri = need_attribute(path, "FieldURI")
    if uri.partition(":")[0] not in _FAMILIES:
        raise unreadable(f"{uri!r} is no FieldURI")
    return uri


def extended_uri(path: Element) -> ExtendedUri:
    """Equal keys mean the same property, whether its set was named or given as a GUID. Refused when it names none."""
    kind = need_attribute(path, "PropertyType")
    if kind not in _PROPERTY_TYPES:
        raise unreadable(f"{kind!r} is no PropertyType")
    if kind in _NOT_READABLE:
        raise Refusal(
            "ErrorUnsupportedMapiPropertyType", f"Properties of type {kind} can be neither read nor searched."
        )
    written = "".join(f" {name}={attribute(path.get(name, ''))}" for name in map(str, path.attrib))
    named = [name for name in _NAMINGS if path.get(name) is not None]
    if named == ["PropertyTag"]:
        return ExtendedUri((None, _tag(path)), kind, written)
    if named not in _SET_AND_NAME:
        raise Refusal("ErrorInvalidExtendedProperty", "A property is named by a tag, or by a set with a name or an id.")
    name = path.get("PropertyName")
    known: str | int = name.lower() if name is not None else _number(path, "PropertyId")
    return ExtendedUri((_set(path), known), kind, written)


def _tag(path: Element) -> int:
    tag = _number(path, "PropertyTag")
    if not 0 <= tag < 0x8000:
        raise Refusal(
            "ErrorNoPropertyTagForCustomProperties", "Custom properties have no tag: name their set and name or id."
        )
    return tag


def _number(path: Element, name: str) -> int:
    try:
        return int(need_attribute(path, name), 0)
    except ValueError:
        raise unreadable("an extended property's tag or id is not a number") from None


def _set(path: Element) -> str:
    name = path.get("DistinguishedPropertySetId")
    if name is None:
        written = need_attribute(path, "PropertySetId").lower()
        if not _GUID.fullmatch(written):
            raise unreadable(f"{written!r} is no PropertySetId")
        return written
    if name not in PROPERTY_SETS:
        raise unreadable(f"{name!r} is no DistinguishedPropertySetId")
    return PROPERTY_SETS[name]


def key_of(stored: ExtendedProperty) -> tuple[str | None, str | int]:
    if stored.property_set is None:
        return None, int(stored.name, 0) if isinstance(stored.name, str) else stored.name
    name = stored.name.lower() if isinstance(stored.name, str) else stored.name
    return _guid(stored.property_set), name


def _guid(property_set: str) -> str:
    return PROPERTY_SETS.get(property_set, property_set).lower()
