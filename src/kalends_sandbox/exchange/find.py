"""FindItem: a span of a calendar unfolded (CalendarView), or a folder's items page by page.

Neighbours: folder.py unfolds and keeps, filters.py reads restrictions.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from kalends_sandbox.exchange import filters
from kalends_sandbox.exchange.folders import target
from kalends_sandbox.exchange.item_xml import Page
from kalends_sandbox.exchange.items import answer_zone
from kalends_sandbox.exchange.message_xml import any_item
from kalends_sandbox.exchange.shapes import ItemShape, field_uri, item_shape
from kalends_sandbox.exchange.site import Call, Site
from kalends_sandbox.exchange.soap import (
    Element,
    Refusal,
    answer,
    children,
    failure,
    m,
    need,
    need_attribute,
    need_number,
    some,
    success,
    t,
    unreadable,
)
from kalends_sandbox.folder import Folder
from kalends_sandbox.item import Item
from kalends_sandbox.zones import Zone

_MAX_INT = 2**31 - 1
_EMPTY = '<m:RootFolder TotalItemsInView="0" IncludesLastItemInRange="true"><t:Items/></m:RootFolder>'

_SORTABLE: dict[str, Callable[[Item], Any]] = {
    "calendar:Start": lambda item: item.start,
    "calendar:End": lambda item: item.end,
    "item:Subject": lambda item: (item.subject or "").casefold(),
    "item:DateTimeCreated": lambda item: item.created or item.start,
    "item:DateTimeReceived": lambda item: item.created or item.start,
    "item:LastModifiedTime": lambda item: item.modified or item.start,
}


def find_item(site: Site, call: Call) -> str:
    shape = item_shape(need(call.element, m("ItemShape")))
    if need_attribute(call.element, "Traversal") not in ("Shallow", "SoftDeleted", "Associated"):
        raise unreadable("Traversal is none of Shallow, SoftDeleted and Associated")
    messages = []
    for parent in some(need(call.element, m("ParentFolderIds"))):
        try:
            _, folder = target(site, call, parent)
            messages.append(success(call.operation, _listing(site, call, folder, shape)))
        except Refusal as refusal:
            messages.append(failure(call.operation, refusal))
    return answer(call.operation, messages)


def _listing(site: Site, call: Call, folder: Folder, shape: ItemShape) -> str:
    if call.element.find(m("QueryString")) is not None:
        raise Refusal("ErrorUnsupportedQueryFilter", "This server searches by restriction, not by query string.")
    if call.element.get("Traversal") != "Shallow":
        return _EMPTY  # nothing here is soft-deleted or hidden
    page = Page(shape, folder, is_list=True, zone=answer_zone(site, call))
    view = call.element.find(m("CalendarView"))
    if view is not None:
        return _view(site, call, view, page)
    return _paged(site, call, page)


def _view(site: Site, call: Call, view: Element, page: Page) -> str:
    if any(call.element.find(m(name)) is not None for name in ("Restriction", "SortOrder", "GroupBy")):
        raise Refusal(
            "ErrorInvalidOperation", "Restrictions, sorting and grouping may not be used with a CalendarView."
        )
    if page.folder.kind != "calendar":
        raise Refusal("ErrorCalendarFolderIsInvalidForCalendarView", "A CalendarView needs a calendar folder.")
    since, until = (moment(need_attribute(view, name), call.zone) for name in ("StartDate", "EndDate"))
    if until < since:
        raise Refusal("ErrorCalendarEndDateIsEarlierThanStartDate", "EndDate is earlier than StartDate.")
    if until - since > timedelta(days=731):
        raise Refusal(
            "ErrorCalendarViewRangeTooBig", "The specified view range exceeds the maximum range of two years."
        )
    limit = _limit(site, view)
    found = page.folder.view(since, until, touching=True)  # Exchange's view includes what only touches its ends
    shown = found[:limit]
    return _root_folder(shown, page, total=len(found), is_last=len(shown) == len(found))


def _paged(site: Site, call: Call, page: Page) -> str:
    view = call.element.find(m("IndexedPageItemView"))
    offset, limit, from_end = 0, site.settings.rows_per_find, False
    if view is not None:
        offset = need_number(need_attribute(view, "Offset"), "Offset", 0, _MAX_INT)
        from_end = need_attribute(view, "BasePoint") == "End"
        limit = _limit(site, view)
    found = _sorted(call.element, _filtered(call, page.folder))
    if from_end:
        stop = max(0, len(found) - offset)
        shown, is_last = found[max(0, stop - limit) : stop], stop <= limit
    else:
        shown = found[offset : offset + limit]
        is_last = offset + len(shown) >= len(found)
    return _root_folder(shown, page, total=len(found), is_last=is_last, next_offset=offset + len(shown))


def _limit(site: Site, view: Element) -> int:
    """How many rows at most: what is asked for, but never more than the server gives."""
    asked = need_number(view.get("MaxEntriesReturned", str(_MAX_INT)), "MaxEntriesReturned", -_MAX_INT, _MAX_INT)
    if asked < 1:
        raise Refusal("ErrorInvalidPagingMaxRows", "MaxEntriesReturned is below 1.")
    return min(asked, site.settings.rows_per_find)


def _filtered(call: Call, folder: Folder) -> list[Item]:
    restriction = call.element.find(m("Restriction"))
    if restriction is None:
        return list(folder.items.values())
    keeps = filters.compiled(restriction, lambda text: moment(text, call.zone))
    return [item for item in folder.items.values() if keeps(item)]


def _sorted(element: Element, found: list[Item]) -> list[Item]:
    """By the orders given, the first one weighing most; the newest item first when none is."""
    order = element.find(m("SortOrder"))
    found.reverse()
    for one in reversed(list(children(order))) if order is not None else ():
        uri = field_uri(need(one, t("FieldURI")))
        if uri not in _SORTABLE:
            raise Refusal("ErrorUnsupportedPathForSortGroup", f"Items cannot be sorted by {uri}.")
        found.sort(key=_SORTABLE[uri], reverse=one.get("Order") == "Descending")
    return found


def _root_folder(shown: Sequence[Item], page: Page, total: int, is_last: bool, next_offset: int | None = None) -> str:
    paging = "" if next_offset is None else f' IndexedPagingOffset="{next_offset}"'
    return (
        f'<m:RootFolder{paging} TotalItemsInView="{total}" IncludesLastItemInRange="{str(is_last).lower()}">'
        f"<t:Items>{''.join([any_item(item, page) for item in shown])}</t:Items></m:RootFolder>"
    )


def moment(text: str, zone: Zone | None) -> datetime:
    """xs:dateTime as aware UTC; without an offset it is meant in the request's TimeZoneContext, else in UTC."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise unreadable(f"{text!r} is no dateTime") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=zone.tz if zone is not None else UTC)
    try:
        return found.astimezone(UTC)
    except OverflowError:
        raise unreadable(f"{text!r} is outside the calendar") from None
