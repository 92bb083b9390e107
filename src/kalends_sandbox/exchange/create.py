"""CreateItem: appointments and meetings; replies.py has the answers and cancellations that come in the same operation."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from kalends_sandbox.desk import Telling
from kalends_sandbox.exchange import extended, replies
from kalends_sandbox.exchange.drafting import check, drafted
from kalends_sandbox.exchange.fields import BY_ELEMENT, WRITABLE, Said
from kalends_sandbox.exchange.folders import target
from kalends_sandbox.exchange.item_xml import item_id
from kalends_sandbox.exchange.site import Call, Site
from kalends_sandbox.exchange.soap import (
    Element,
    Refusal,
    answer,
    children,
    failure,
    local,
    m,
    need,
    some,
    success,
    unreadable,
)
from kalends_sandbox.folder import Folder
from kalends_sandbox.item import ExtendedProperty, Item, Party
from kalends_sandbox.mailbox import Mailbox
from kalends_sandbox.zones import UTC_ZONE

_INVITATIONS: Final = ("SendToNone", "SendOnlyToAll", "SendToAllAndSaveCopy")


def create_item(site: Site, call: Call) -> str:
    elements = some(need(call.element, m("Items")))
    for element in elements:  # what the schema forbids stops all of them, before the first is made
        with suppress(Refusal):
            _prepared(site, call, element)
    messages = []
    for element in elements:
        try:
            site.budgets.admit_item(call.payer)
            made = _prepared(site, call, element)()
        except Refusal as refusal:
            messages.append(failure(call.operation, refusal, "<m:Items/>"))
        else:
            messages.append(success(call.operation, f"<m:Items>{made}</m:Items>"))
    return answer(call.operation, messages)


def _prepared(site: Site, call: Call, element: Element) -> Callable[[], str]:
    """The deed, checked but not done."""
    kind = local(element)
    if kind in replies.KINDS:
        return replies.prepared(site, call, element)
    if kind != "CalendarItem":
        raise Refusal("ErrorInvalidItemForOperationCreateItem", f"This server does not create items of type {kind}.")
    mailbox, calendar = _destination(site, call)
    telling = telling_of(mailbox, call.element.get("SendMeetingInvitations"))
    draft = _draft(site, call, mailbox, element)
    check(draft)

    def make() -> str:
        uid = draft.uid or site.world.ids.uid(site.world.clock.now())
        made = site.desk.create(mailbox, calendar, replace(draft, uid=uid), telling)
        return f"<t:CalendarItem>{item_id(made.item_id, made.change_key)}</t:CalendarItem>"

    return make


def telling_of(mailbox: Mailbox, wish: str | None) -> Telling:
    """Who hears of a new meeting, by SendMeetingInvitations."""
    if wish is None:
        raise Refusal(
            "ErrorSendMeetingInvitationsRequired", "SendMeetingInvitations attribute is required for calendar items."
        )
    if wish not in _INVITATIONS:
        raise unreadable(f"{wish!r} is no SendMeetingInvitations")
    return Telling("nobody" if wish == "SendToNone" else "everybody", sent_items(mailbox, wish))


def sent_items(mailbox: Mailbox, wish: str) -> Folder | None:
    """Where a copy of what is sent is saved, when the wish ends in `SaveCopy`."""
    return mailbox.folders["sentitems"] if wish.endswith("SaveCopy") else None


def _destination(site: Site, call: Call) -> tuple[Mailbox, Folder]:
    wanted = call.element.find(m("SavedItemFolderId"))
    if wanted is not None:
        mailbox, folder = target(site, call, some(wanted)[0])
    else:
        mailbox = call.acting_mailbox()
        calendar = mailbox.calendar
        if calendar is None:
            raise Refusal("ErrorFolderNotFound", "The specified folder could not be found in the store.")
        folder = calendar
    if folder.kind != "calendar":
        raise Refusal(
            "ErrorCannotCreateCalendarItemInNonCalendarFolder",
            "Cannot create a calendar item in a folder other than a calendar folder.",
        )
    return mailbox, folder


def _draft(site: Site, call: Call, mailbox: Mailbox, element: Element) -> Item:
    now = site.world.clock.now().replace(microsecond=0)
    blank = Item(
        uid="",  # given when it is made, unless the client brings one
        subject=None,
        start=now,
        end=now,
        zone=call.zone or UTC_ZONE,
        organizer=Party(mailbox.name, mailbox.primary),
    )
    said, properties = _said(site, element)
    said.setdefault("start", now.isoformat())
    return drafted(blank, said | {"extended": properties}, call.zone)


def _said(site: Site, element: Element) -> tuple[Said, tuple[ExtendedProperty, ...]]:
    said: Said = {}
    properties: tuple[ExtendedProperty, ...] = ()
    for child in children(element):
        name = local(child)
        if name == "ExtendedProperty":
            properties = extended.with_property(properties, extended.read(child))
        elif name in BY_ELEMENT:
            said |= WRITABLE[BY_ELEMENT[name]].read(child, site.world)
        elif len(child) or (child.text or "").strip():
            raise Refusal("ErrorInvalidPropertySet", f"Set action is invalid for property {name}.")
    if not said.get("uid", "known"):
        raise Refusal("ErrorInvalidPropertySet", "A UID cannot be empty.")
    return said, properties
