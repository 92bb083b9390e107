"""FindItem: a span of a calendar unfolded (CalendarView), or a folder's items as found, sorted and cut into pages.

Neighbours: folder.py unfolds and keeps, filters.py and query.py say what is found, paging.py which part of it is shown.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from kalends_sandbox.exchange import filters, paging, query, searching
from kalends_sandbox.exchange.folders import target
from kalends_sandbox.exchange.item_xml import Page
from kalends_sandbox.exchange.items import answer_zone
from kalends_sandbox.exchange.message_xml import any_item
from kalends_sandbox.exchange.shapes import ItemShape, item_shape
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
from kalends_sandbox.zones import Zone

_EMPTY: Final = '<m:RootFolder TotalItemsInView="0" IncludesLastItemInRange="true"><t:Items/></m:RootFolder>'
_TWO_YEARS: Final = timedelta(days=731)
_GROUPINGS: Final = ("GroupBy", "DistinguishedGroupBy")


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
    if any(_has(call, name) for name in ("ContactsView", *_GROUPINGS)):
        raise Refusal(
            "ErrorInvalidOperation", "This server neither groups items nor lists contacts: ask for plain pages."
        )
    if _has(call, "QueryString") and (_has(call, "Restriction") or call.element.get("Traversal") != "Shallow"):
        raise Refusal(
            "ErrorInvalidOperation", "A QueryString stands alone: without a Restriction, and for Shallow only."
        )
    page = Page(shape, folder, is_list=True, zone=answer_zone(site, call))
    view = call.element.find(m("CalendarView"))
    if view is not None:
        return _view(site, call, view, page)
    if call.element.get("Traversal") != "Shallow":
        return _EMPTY  # nothing here is soft-deleted or hidden
    return _paged(site, call, page)


def _has(call: Call, name: str) -> bool:
    return call.element.find(m(name)) is not None


def _view(site: Site, call: Call, view: Element, page: Page) -> str:
    if any(_has(call, name) for name in ("Restriction", "SortOrder", "QueryString")):
        raise Refusal(
            "ErrorInvalidOperation", "Restrictions, sorting and grouping may not be used with a CalendarView."
        )
    if page.folder.kind != "calendar":
        raise Refusal("ErrorCalendarFolderIsInvalidForCalendarView", "A CalendarView needs a calendar folder.")
    since, until = (moment(need_attribute(view, name), call.zone) for name in ("StartDate", "EndDate"))
    if until < since:
        raise Refusal("ErrorCalendarEndDateIsEarlierThanStartDate", "EndDate is earlier than StartDate.")
    if until - since > _TWO_YEARS:
        raise Refusal(
            "ErrorCalendarViewRangeTooBig", "The specified view range exceeds the maximum range of two years."
        )
    limit = min(paging.entries(view), site.settings.rows_per_find)
    found = page.folder.view(since, until, touching=True)  # Exchange's view includes what only touches its ends
    shown = found[:limit]
    return _root_folder(site, call, shown, page, paging.root(len(found), len(shown) == len(found)))


def _paged(site: Site, call: Call, page: Page) -> str:
    """The newest item first, unless a sort order is given."""
    ground = searching.items(lambda text: moment(text, call.zone))
    keeps = _kept(call, ground)
    found = [item for item in reversed(page.folder.items.values()) if keeps is None or keeps(item)]
    searching.order(ground, call.element.find(m("SortOrder")), found)
    most = site.settings.rows_per_find if keeps is None else site.settings.rows_per_search
    part = paging.part(call.element, found, most, lambda condition: filters.compiled(condition, ground))
    return _root_folder(site, call, part.rows, page, part.attributes)


def _kept(call: Call, ground: searching.Ground) -> Callable[[Item], bool] | None:
    """What is searched for; None when everything is wanted."""
    restriction, words = call.element.find(m("Restriction")), call.element.find(m("QueryString"))
    if restriction is not None:
        return filters.compiled(restriction, ground)
    return query.compiled(text_of(words)) if words is not None else None


def _root_folder(site: Site, call: Call, shown: Sequence[Item], page: Page, attributes: str) -> str:
    site.budgets.charge(call.payer, len(shown))
    items = "".join([any_item(item, page) for item in shown])
    return f"<m:RootFolder {attributes}><t:Items>{items}</t:Items></m:RootFolder>"


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
