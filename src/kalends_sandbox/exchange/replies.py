"""Answers to meeting requests, and cancellations: the items of CreateItem that stand for deeds.

They refer to a copy in the calendar, to one occurrence of it, or to the request in the inbox. Neighbours: create.py,
desk.py does what they ask.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from kalends_sandbox.desk import Held, Telling
from kalends_sandbox.exchange.folders import target
from kalends_sandbox.exchange.item_xml import item_id
from kalends_sandbox.exchange.items import by_id
from kalends_sandbox.exchange.message_xml import element_name
from kalends_sandbox.exchange.site import Call, Site
from kalends_sandbox.exchange.soap import Element, Refusal, local, m, need_attribute, some, t, unreadable
from kalends_sandbox.folder import Folder
from kalends_sandbox.item import Item, Response

_Verb = Literal["Accept", "Tentative", "Decline", "Cancel"]

KINDS: Final[Mapping[str, _Verb]] = {
    "AcceptItem": "Accept",
    "TentativelyAcceptItem": "Tentative",
    "DeclineItem": "Decline",
    "CancelCalendarItem": "Cancel",
}


@dataclass(frozen=True, slots=True)
class _Meant:
    """The calendar's copy, and the request that was answered, if it was named."""

    copy: Held
    request: Held | None = None


def prepared(site: Site, call: Call, element: Element) -> Callable[[], str]:
    """The reply, checked but not given."""
    verb = KINDS[local(element)]
    reference = element.find(t("ReferenceItemId"))
    if reference is None:
        raise Refusal("ErrorMissingInformationReferenceItemId", "The ReferenceItemId is missing.")
    meant = _meant(call, reference, verb)
    telling = _telling(site, call, meant.copy, _note(element))
    if verb == "Cancel":
        _check_cancellable(meant.copy)
    else:
        _check_answerable(meant, verb)
    return lambda: _given(site, meant, verb, telling)


def _given(site: Site, meant: _Meant, verb: _Verb, telling: Telling) -> str:
    """The items that came of it: the message saved, and the request answered, which goes to Deleted Items."""
    desk = site.desk
    done = desk.cancel(meant.copy, telling) if verb == "Cancel" else desk.respond(meant.copy, verb, telling)
    items = [done.filed] if done.filed is not None else []
    if meant.request is not None:
        items.append(meant.request.mailbox.move(meant.request.item.item_id, _trash(meant.request)))
    return "".join(_reference(item) for item in items)


def _reference(item: Item) -> str:
    name = element_name(item)
    return f"<t:{name}>{item_id(item.item_id, item.change_key)}</t:{name}>"


def _trash(found: Held) -> Folder:
    return found.mailbox.folders["deleteditems"]


def _meant(call: Call, reference: Element, verb: _Verb) -> _Meant:
    found = by_id(call, need_attribute(reference, "Id"))
    letter = found.item.letter
    if letter is None:
        return _Meant(found)
    if verb == "Cancel" or letter.kind not in ("invitation", "update", "cancellation"):
        raise Refusal("ErrorInvalidReferenceItem", "The item referred to is no meeting that could be answered.")
    copy = _copy_of(found)
    if copy is None:
        raise Refusal("ErrorItemNotFound", "The meeting of this request is not in the calendar any more.")
    return _Meant(copy, found)


def _copy_of(request: Held) -> Held | None:
    """The calendar's copy of the meeting, or of the one occurrence, that a request is about."""
    calendar, wanted = request.mailbox.calendar, request.item
    if calendar is None:
        return None
    for item in calendar.related(wanted.clean_uid):
        if wanted.original_start is None or item.recurrence is None:
            return Held(request.mailbox, calendar, item)
        return Held(request.mailbox, calendar, item, wanted.original_start)
    return None


def _check_answerable(meant: _Meant, verb: Response) -> None:
    one = meant.copy.one
    if one.is_organizer or one.organizer is None:
        raise Refusal(f"ErrorCalendarIsOrganizerFor{verb}", "The organizer of a meeting has nothing to answer.")
    if one.is_cancelled:
        raise Refusal(f"ErrorCalendarIsCancelledFor{verb}", "The meeting has been cancelled.")
    if meant.request is not None and (letter := meant.request.item.letter) is not None and letter.is_outdated:
        raise Refusal("ErrorCalendarMeetingRequestIsOutOfDate", "The meeting has changed since this request.")


def _check_cancellable(copy: Held) -> None:
    if copy.folder.kind != "calendar":
        raise Refusal("ErrorCalendarCannotUpdateDeletedItem", "The meeting lies outside the calendar.")
    if not copy.item.is_organizer:
        raise Refusal("ErrorCalendarIsNotOrganizer", "Only the organizer of a meeting can cancel it.")


def _telling(site: Site, call: Call, copy: Held, note: str) -> Telling:
    """By MessageDisposition: a reply that is only saved is a draft, and nobody is told."""
    disposition = call.element.get("MessageDisposition")
    if disposition is None:
        raise Refusal("ErrorMessageDispositionRequired", "MessageDisposition attribute is required for messages.")
    if disposition not in ("SaveOnly", "SendOnly", "SendAndSaveCopy"):
        raise unreadable(f"{disposition!r} is no MessageDisposition")
    wanted = call.element.find(m("SavedItemFolderId"))
    if disposition == "SendOnly":
        return Telling(note=note)
    sent = disposition == "SendAndSaveCopy"
    saved_in = copy.mailbox.folders["sentitems" if sent else "drafts"]
    if wanted is not None:
        _, saved_in = target(site, call, some(wanted)[0])
    return replace(Telling(note=note, filed_in=saved_in), whom="everybody" if sent else "nobody")


def _note(element: Element) -> str:
    """What stands beside the answer; a cancellation calls it NewBodyContent."""
    for name in ("NewBodyContent", "Body"):
        found = element.find(t(name))
        if found is not None:
            return found.text or ""
    return ""
