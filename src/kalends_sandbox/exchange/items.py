"""GetItem: items by their own id, by place in a series, or the series of an occurrence. Neighbours: item_xml.py writes them."""

import base64
import binascii
from dataclasses import replace

from kalends_sandbox import series
from kalends_sandbox.desk import Held
from kalends_sandbox.exchange.item_xml import Page
from kalends_sandbox.exchange.message_xml import any_item
from kalends_sandbox.exchange.shapes import ItemShape, item_shape
from kalends_sandbox.exchange.site import Call, Site
from kalends_sandbox.exchange.soap import (
    Element,
    Refusal,
    answer,
    failure,
    local,
    m,
    need,
    need_attribute,
    need_number,
    some,
    success,
    unreadable,
)
from kalends_sandbox.folder import Folder
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.zones import Zone

_NOT_FOUND = ("ErrorItemNotFound", "The specified object was not found in the store.")


def get_item(site: Site, call: Call) -> str:
    shape = item_shape(need(call.element, m("ItemShape")))
    wanted = some(need(call.element, m("ItemIds")))
    return answer(call.operation, [_one(site, call, element, shape) for element in wanted])


def _one(site: Site, call: Call, element: Element, shape: ItemShape) -> str:
    try:
        site.budgets.admit_item(call.payer)
        found = held(call, element)
    except Refusal as refusal:
        return failure(call.operation, refusal, "<m:Items/>")
    page = Page(shape, found.folder, is_list=False, zone=answer_zone(site, call))
    return success(call.operation, f"<m:Items>{any_item(found.one, page)}</m:Items>")


def answer_zone(site: Site, call: Call) -> Zone | None:
    return call.zone if site.settings.answers_in_context_zone else None


def held(call: Call, element: Element) -> Held:
    """What an ItemId, OccurrenceItemId or RecurringMasterItemId means."""
    kind = local(element)
    if kind == "ItemId":
        return by_id(call, need_attribute(element, "Id"))
    if kind == "OccurrenceItemId":
        index = need_number(need_attribute(element, "InstanceIndex"), "InstanceIndex", -(2**31), 2**31 - 1)
        return _nth(by_id(call, need_attribute(element, "RecurringMasterId")), index)
    if kind == "RecurringMasterItemId":
        return _master(call, need_attribute(element, "OccurrenceId"))
    raise unreadable(f"ItemIds has no element {kind}")


def check_id(item_id: str) -> None:
    """Refused when it cannot be an id of this server: they are Base64 behind four fixed letters."""
    try:
        if item_id.startswith("AAMk") and base64.b64decode(item_id[4:], validate=True):
            return
    except (binascii.Error, ValueError):
        pass
    raise Refusal("ErrorInvalidIdMalformed", "Id is malformed.")


def by_id(call: Call, item_id: str) -> Held:
    check_id(item_id)
    for mailbox, folder in call.reach.places():
        held = _in_folder(mailbox, folder, item_id)
        if held is not None:
            call.reach.check(mailbox, folder)
            if not call.reach.shows(mailbox, held.one):
                break
            return held
    raise Refusal(*_NOT_FOUND)


def _in_folder(mailbox: Mailbox, folder: Folder, item_id: str) -> Held | None:
    if item_id in folder.items:
        return Held(mailbox, folder, folder.items[item_id])
    original = folder.original_of(item_id)
    if original is None or original[1] in original[0].deleted:
        return None
    return Held(mailbox, folder, *original)


def _nth(of: Held, index: int) -> Held:
    master = of.item
    if master.recurrence is None or of.original is not None:
        raise Refusal(
            "ErrorCalendarCannotUseIdForRecurringMasterId",
            "The RecurringMasterId does not correspond to a valid recurring master.",
        )
    start = series.nth_start(master, index)
    if start is None:
        raise Refusal(
            "ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange",
            "Occurrence index is out of recurrence range.",
        )
    if start in master.deleted:
        raise Refusal(
            "ErrorCalendarOccurrenceIsDeletedFromRecurrence",
            "Occurrence with this index was previously deleted from the recurrence.",
        )
    return replace(of, original=start)


def _master(call: Call, occurrence_id: str) -> Held:
    """The series of an occurrence. A deleted occurrence leads to it too."""
    check_id(occurrence_id)
    for _, folder in call.reach.places():
        original = folder.original_of(occurrence_id)
        if original is not None:
            return by_id(call, original[0].item_id)
        if occurrence_id in folder.items:
            raise Refusal(
                "ErrorCalendarCannotUseIdForOccurrenceId",
                "The OccurrenceId does not correspond to a valid occurrence of a recurring master.",
            )
    raise Refusal(*_NOT_FOUND)
