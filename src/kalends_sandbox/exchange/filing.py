"""DeleteItem, MoveItem and CopyItem. Neighbours: desk.py cancels and discards, mailbox.py moves and copies."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from kalends_sandbox.desk import Disposal, Held, Telling
from kalends_sandbox.exchange.create import sent_items
from kalends_sandbox.exchange.folders import target
from kalends_sandbox.exchange.item_xml import item_id
from kalends_sandbox.exchange.items import held
from kalends_sandbox.exchange.message_xml import element_name
from kalends_sandbox.exchange.site import Call, Site
from kalends_sandbox.exchange.soap import (
    Element,
    Refusal,
    answer,
    failure,
    m,
    need,
    need_attribute,
    some,
    success,
    text_of,
    unreadable,
)
from kalends_sandbox.folder import Folder
from kalends_sandbox.item import Item
from kalends_sandbox.mailbox import Mailbox

_DISPOSALS: Final[Mapping[str, Disposal]] = {
    "HardDelete": "gone",
    "SoftDelete": "recoverableitemsdeletions",
    "MoveToDeletedItems": "deleteditems",
}
_CANCELLATIONS: Final = ("SendToNone", "SendOnlyToAll", "SendToAllAndSaveCopy")


def delete_item(site: Site, call: Call) -> str:
    kind = need_attribute(call.element, "DeleteType")
    if kind not in _DISPOSALS:
        raise unreadable(f"{kind!r} is no DeleteType")
    if call.element.get("AffectedTaskOccurrences", "AllOccurrences") not in (
        "AllOccurrences",
        "SpecifiedOccurrenceOnly",
    ):
        raise unreadable("AffectedTaskOccurrences is neither AllOccurrences nor SpecifiedOccurrenceOnly")
    wanted = _references(call)
    messages = []
    for element in wanted:
        try:
            site.budgets.admit_item(call.payer)
            _delete(site, call, element, _DISPOSALS[kind])
        except Refusal as refusal:
            messages.append(failure(call.operation, refusal))
        else:
            messages.append(success(call.operation))
    return answer(call.operation, messages)


def _delete(site: Site, call: Call, element: Element, disposal: Disposal) -> None:
    found = held(call, element)
    if found.item.letter is not None:
        site.desk.discard(found, disposal)
        return
    telling = _telling(call, found)
    if telling.whom == "nobody" or not found.item.is_organizer or found.folder.kind != "calendar":
        site.desk.discard(found, disposal)
    else:
        site.desk.cancel(found, telling, disposal)


def _telling(call: Call, found: Held) -> Telling:
    wish = call.element.get("SendMeetingCancellations")
    if wish is None:
        raise Refusal(
            "ErrorSendMeetingCancellationsRequired",
            "SendMeetingCancellations attribute is required for calendar items.",
        )
    if wish not in _CANCELLATIONS:
        raise unreadable(f"{wish!r} is no SendMeetingCancellations")
    return Telling("nobody" if wish == "SendToNone" else "everybody", sent_items(found.mailbox, wish))


def move_item(site: Site, call: Call) -> str:
    return _filed(site, call, lambda mailbox, id_, to: mailbox.move(id_, to))


def copy_item(site: Site, call: Call) -> str:
    return _filed(site, call, lambda mailbox, id_, to: mailbox.copy(id_, to))


def _filed(site: Site, call: Call, put: Callable[[Mailbox, str, Folder], Item]) -> str:
    """Moved or copied; the answer has the new ids unless the client does not want them."""
    wants_ids = text_of(call.element.find(m("ReturnNewItemIds"))) not in ("false", "0")
    to = some(need(call.element, m("ToFolderId")))[0]
    messages = []
    for element in _references(call):
        try:
            site.budgets.admit_item(call.payer)
            item = _put(call, element, *_destination(site, call, to), put)
        except Refusal as refusal:
            messages.append(failure(call.operation, refusal, "<m:Items/>"))
        else:
            name = element_name(item)
            new = f"<t:{name}>{item_id(item.item_id, item.change_key)}</t:{name}>" if wants_ids else ""
            messages.append(success(call.operation, f"<m:Items>{new}</m:Items>"))
    return answer(call.operation, messages)


def _destination(site: Site, call: Call, element: Element) -> tuple[Mailbox, Folder]:
    try:
        return target(site, call, element)
    except Refusal as refusal:
        if refusal.code != "ErrorFolderNotFound":
            raise
        raise Refusal("ErrorToFolderNotFound", "The folder to move or copy to could not be found.") from refusal


def _put(
    call: Call, element: Element, mailbox: Mailbox, to: Folder, put: Callable[[Mailbox, str, Folder], Item]
) -> Item:
    found = held(call, element)
    if found.original is not None:
        raise Refusal(
            "ErrorCalendarCannotMoveOrCopyOccurrence", "An occurrence cannot be moved or copied without its series."
        )
    if found.mailbox is not mailbox:
        raise Refusal("ErrorCrossMailboxMoveCopy", "An item cannot be moved into another mailbox here.")
    if found.item.letter is not None and to.kind == "calendar":
        raise Refusal("ErrorMoveCopyFailed", "A message does not belong into a calendar.")
    return put(mailbox, found.item.item_id, to)


def _references(call: Call) -> list[Element]:
    """The ids of a request, all of them looked at before the first is acted on: what the schema forbids stops them all."""
    wanted = some(need(call.element, m("ItemIds")))
    for element in wanted:
        with suppress(Refusal):
            held(call, element)
    return wanted
