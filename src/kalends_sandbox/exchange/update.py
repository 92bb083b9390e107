"""UpdateItem: single properties set, deleted or appended to, on singles, series, occurrences and messages.

A client that knew an older version is told so, or its change is merged, as ConflictResolution says. Neighbours: fields.py
reads the properties, drafting.py puts them together, desk.py keeps the item and tells the attendees.
"""

import base64
import binascii
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from kalends_sandbox import series
from kalends_sandbox.desk import NOBODY, Held, Telling
from kalends_sandbox.exchange import extended
from kalends_sandbox.exchange.create import sent_items
from kalends_sandbox.exchange.drafting import check, check_occurrence, drafted
from kalends_sandbox.exchange.fields import WRITABLE, Said
from kalends_sandbox.exchange.item_xml import item_id
from kalends_sandbox.exchange.items import held
from kalends_sandbox.exchange.message_xml import element_name
from kalends_sandbox.exchange.shapes import extended_uri, field_uri
from kalends_sandbox.exchange.site import Call, Site
from kalends_sandbox.exchange.soap import (
    Element,
    Refusal,
    answer,
    children,
    failure,
    is_true,
    local,
    m,
    need,
    need_attribute,
    some,
    success,
    t,
    text_of,
    unreadable,
)
from kalends_sandbox.item import Item

_RESOLUTIONS: Final = ("NeverOverwrite", "AutoResolve", "AlwaysOverwrite")
_WISHES: Final = {
    "SendToNone": "nobody",
    "SendOnlyToAll": "everybody",
    "SendOnlyToChanged": "changed",
    "SendToAllAndSaveCopy": "everybody",
    "SendToChangedAndSaveCopy": "changed",
}
_IN_CONFLICT: Final = (
    "The send or update operation could not be performed because the change key passed in the request does not match "
    "the current change key for the item."
)


@dataclass(frozen=True, slots=True)
class _Prepared:
    found: Held
    after: Item
    telling: Telling = NOBODY
    conflicts: int = 0


@dataclass(frozen=True, slots=True)
class _Updated:
    item: Item
    conflicts: int = 0


def update_item(site: Site, call: Call) -> str:
    resolution = need_attribute(call.element, "ConflictResolution")
    if resolution not in _RESOLUTIONS:
        raise unreadable(f"{resolution!r} is no ConflictResolution")
    changes = some(need(call.element, m("ItemChanges")))
    for change in changes:  # what the schema forbids stops all of them, before the first is carried out
        with suppress(Refusal):
            _prepared(site, call, change, resolution)
    messages = []
    for change in changes:
        try:
            site.budgets.admit_item(call.payer)
            updated = _carried_out(site, _prepared(site, call, change, resolution))
        except Refusal as refusal:
            messages.append(failure(call.operation, refusal, "<m:Items/>"))
        else:
            name, one = element_name(updated.item), updated.item
            payload = f"<m:Items><t:{name}>{item_id(one.item_id, one.change_key)}</t:{name}></m:Items>"
            payload += f"<m:ConflictResults><t:Count>{updated.conflicts}</t:Count></m:ConflictResults>"
            messages.append(success(call.operation, payload))
    return answer(call.operation, messages)


def _prepared(site: Site, call: Call, change: Element, resolution: str) -> _Prepared:
    """What is to be done, with nothing done yet."""
    reference = some(change)[0]
    found = held(call, reference)
    updates = some(need(change, t("Updates")))
    if found.item.letter is not None:
        return _Prepared(found, _message_read(call, found.item, updates))
    telling = _telling(call, found)
    before = found.one
    said = _said(site, before, updates)
    after = drafted(before, said, call.zone)
    conflicts = _conflicts(found, reference, resolution, after, said)
    check(after)
    if found.original is not None and (after.start, after.end) != (before.start, before.end):
        check_occurrence(found, after)
    return _Prepared(found, after, telling, conflicts)


def _carried_out(site: Site, prepared: _Prepared) -> _Updated:
    found = prepared.found
    if prepared.after.letter is not None:
        return _Updated(found.folder.save(prepared.after))
    try:
        kept = site.desk.change(found, prepared.after, prepared.telling)
    except ValueError as error:  # only a series can still be impossible: moved past its own end
        raise Refusal("ErrorCalendarInvalidRecurrence", f"The recurrence is not valid. {error}") from error
    one = kept if found.original is None else series.occurrence(kept, found.original)
    return _Updated(one, prepared.conflicts)


def _telling(call: Call, found: Held) -> Telling:
    wish = call.element.get("SendMeetingInvitationsOrCancellations")
    if wish is None:
        raise Refusal(
            "ErrorSendMeetingInvitationsOrCancellationsRequired",
            "SendMeetingInvitationsOrCancellations attribute is required for calendar items.",
        )
    if wish not in _WISHES:
        raise unreadable(f"{wish!r} is no SendMeetingInvitationsOrCancellations")
    if wish != "SendToNone" and found.folder.kind != "calendar":
        raise Refusal(
            "ErrorCalendarCannotUpdateDeletedItem", "A meeting outside the calendar cannot be updated for others."
        )
    whom: Any = _WISHES[wish]
    return Telling(whom, sent_items(found.mailbox, wish))


# --- what is said


def _said(site: Site, before: Item, updates: list[Element]) -> Said:
    said: Said = {"extended": before.extended}
    for update in updates:
        parts = list(children(update))
        if not parts:
            raise unreadable(f"{local(update)} is empty")
        if local(parts[0]) == "ExtendedFieldURI":
            said["extended"] = _property_changed(said["extended"], update, parts)
        else:
            said |= _field_changed(site, replace(before, **_plain(said, before)), update, parts)
    if before.master_id is not None and "recurrence" in said:
        raise Refusal("ErrorInvalidPropertySet", "An occurrence has no recurrence of its own.")
    said.pop("uid", None)  # Exchange takes it and keeps the one that the item was made with
    return said


def _plain(said: Said, before: Item) -> Said:
    """What was already said of the body, so that a second append goes behind the first."""
    return {"body": said["body"]} if "body" in said else {}


def _property_changed(known: Any, update: Element, parts: list[Element]) -> Any:
    uri = extended_uri(parts[0])
    kind = local(update)
    if kind == "DeleteItemField":
        return extended.without_property(known, uri)
    if kind == "AppendToItemField":
        raise Refusal("ErrorInvalidPropertyAppend", "Append action is invalid for extended properties.")
    new = extended.read(_one_property(parts, "ExtendedProperty"))
    if not extended.is_one(new, uri):
        raise _mismatch()
    return extended.with_property(known, new)


def _field_changed(site: Site, before: Item, update: Element, parts: list[Element]) -> Said:
    uri, kind = _uri(parts[0]), local(update)
    field = WRITABLE.get(uri)
    if kind == "DeleteItemField":
        if field is None or field.emptied is None:
            raise Refusal("ErrorInvalidPropertyDelete", f"Delete action is invalid for property {uri}.")
        return field.emptied
    if kind not in ("SetItemField", "AppendToItemField"):
        raise unreadable(f"Updates has no element {kind}")
    if field is None:
        raise Refusal("ErrorInvalidPropertySet", f"Set action is invalid for property {uri}.")
    said = field.read(_one_property(parts, field.element), site.world)
    if kind == "SetItemField":
        return said
    if field.append is None:
        raise Refusal("ErrorInvalidPropertyAppend", f"Append action is invalid for property {uri}.")
    return field.append(before, said)


def _uri(path: Element) -> str:
    if local(path) == "IndexedFieldURI":
        return need_attribute(path, "FieldURI")
    if local(path) != "FieldURI":
        raise unreadable(f"{local(path)} is no path to a property")
    return field_uri(path)


def _one_property(parts: list[Element], name: str) -> Element:
    """The one property inside the item that follows the path."""
    if len(parts) != 2:
        raise unreadable("a change names a property and an item with its value")
    inside = list(children(parts[1]))
    if len(inside) != 1:
        raise Refusal("ErrorIncorrectUpdatePropertyCount", "A change sets exactly one property.")
    if local(inside[0]) != name:
        raise _mismatch()
    return inside[0]


def _mismatch() -> Refusal:
    return Refusal("ErrorUpdatePropertyMismatch", "The property set is not the one that the path names.")


# --- older versions


def _conflicts(found: Held, reference: Element, resolution: str, after: Item, said: Said) -> int:
    """How many properties two writers gave the same new value; refused when they disagree, or none may be touched."""
    if resolution == "AlwaysOverwrite":
        return 0
    key = reference.get("ChangeKey")
    if local(reference) == "ItemId" and not key:
        raise Refusal("ErrorChangeKeyRequiredForWriteOperations", "The change key is required for this operation.")
    if not key or key == found.item.change_key:
        return 0
    _check_key(key)
    known, before = _as_known(found, key), found.one
    if resolution == "NeverOverwrite" or known is None:
        raise Refusal("ErrorIrresolvableConflict", _IN_CONFLICT)
    moved = [name for name in _WRITTEN if _value(known, name) != _value(before, name)]
    if any(_value(after, name) != _value(before, name) for name in moved):
        raise Refusal("ErrorIrresolvableConflict", _IN_CONFLICT)
    return len(said.keys() & set(moved))


_WRITTEN: Final = (
    *("subject", "body", "location", "start", "end", "is_all_day", "show_as", "sensitivity", "importance"),
    *("categories", "attendees", "recurrence", "extended", "has_reminder", "reminder_minutes"),
)


def _value(item: Item, name: str) -> object:
    """Attendees are who is invited: what they answered meanwhile is nobody's conflict."""
    if name == "attendees":
        return frozenset((one.role, one.address.lower()) for one in item.attendees)
    return getattr(item, name)


def _as_known(found: Held, key: str) -> Item | None:
    """The item as the client knew it."""
    known = found.folder.version(found.item.item_id, key)
    if known is None or found.original is None:
        return known
    return series.occurrence(known, found.original) if series.falls_on(known, found.original) else None


def _check_key(key: str) -> None:
    try:
        base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal("ErrorInvalidChangeKey", "The change key is invalid.") from None


# --- messages


def _message_read(call: Call, message: Item, updates: list[Element]) -> Item:
    """Of a message clients mark whether it was read; the rest was sent and stays as it is."""
    if call.element.get("MessageDisposition") is None:
        raise Refusal("ErrorMessageDispositionRequired", "MessageDisposition attribute is required for messages.")
    letter = message.letter
    assert letter is not None
    for update in updates:
        parts = list(children(update))
        if not parts or local(update) != "SetItemField" or _uri(parts[0]) != "message:IsRead":
            raise Refusal("ErrorInvalidPropertyUpdateSentMessage", "Update is invalid for a sent message's property.")
        letter = replace(letter, is_read=is_true(text_of(_one_property(parts, "IsRead"))))
    return replace(message, letter=letter)
