"""Which part of what was found is given out: by index, by fraction or from a condition on. FindItem and FindFolder share it.

Only pages by index are cut short at the server's limit; every other kind that would exceed it is refused, as Exchange does
to callers who do not page. Neighbours: find.py, folders.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from kalends_sandbox.exchange.soap import Element, Refusal, need, need_attribute, need_number, t, unreadable

T = TypeVar("T")
ReadCondition = Callable[[Element], Callable[[T], bool]]

_MAX_INT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """`attributes` are those of RootFolder: how many there are, and where the next part begins."""

    rows: Sequence[T]
    attributes: str


def part(parent: Element, found: Sequence[T], most: int, read_condition: ReadCondition[T]) -> Part[T]:
    """The part that the request's view asks for; the children of `parent` name it."""
    for view in parent:
        kind = str(view.tag).rpartition("}")[2]
        if kind in ("IndexedPageItemView", "IndexedPageFolderView"):
            return _by_index(view, found, most)
        if kind in ("FractionalPageItemView", "FractionalPageFolderView"):
            return _by_fraction(view, found, most)
        if kind == "SeekToConditionPageItemView":
            return _from_condition(view, found, most, read_condition)
    return _plain(found, _checked(found, most))


def entries(view: Element) -> int:
    """MaxEntriesReturned; as many as there are when it is missing."""
    asked = need_number(view.get("MaxEntriesReturned", str(_MAX_INT)), "MaxEntriesReturned", -_MAX_INT, _MAX_INT)
    if asked < 1:
        raise Refusal("ErrorInvalidPagingMaxRows", "MaxEntriesReturned is below 1.")
    return asked


def root(total: int, is_last: bool, rest: str = "") -> str:
    return f'TotalItemsInView="{total}" IncludesLastItemInRange="{str(is_last).lower()}"{rest}'


def _by_index(view: Element, found: Sequence[T], most: int) -> Part[T]:
    offset = need_number(need_attribute(view, "Offset"), "Offset", -_MAX_INT, _MAX_INT)
    if offset < 0:
        raise Refusal("ErrorInvalidIndexedPagingParameters", "Offset is below 0.")
    limit = min(entries(view), most)
    if _is_from_end(view):
        stop = max(0, len(found) - offset)
        rows = found[max(0, stop - limit) : stop]
        is_last = stop <= limit
    else:
        rows = found[offset : offset + limit]
        is_last = offset + len(rows) >= len(found)
    return Part(rows, root(len(found), is_last, f' IndexedPagingOffset="{offset + len(rows)}"'))


def _by_fraction(view: Element, found: Sequence[T], most: int) -> Part[T]:
    above, below = (
        need_number(need_attribute(view, name), name, -_MAX_INT, _MAX_INT) for name in ("Numerator", "Denominator")
    )
    if below < 1 or not 0 <= above <= below:
        raise Refusal("ErrorInvalidFractionalPagingParameters", "The fraction is not one from 0 to 1.")
    start = len(found) * above // below
    rows = _checked(found[start : start + entries(view)], most)
    ends = start + len(rows)
    attributes = root(len(found), ends >= len(found), f' NumeratorOffset="{ends}" AbsoluteDenominator="{len(found)}"')
    return Part(rows, attributes)


def _from_condition(view: Element, found: Sequence[T], most: int, read_condition: ReadCondition[T]) -> Part[T]:
    """From the first row that the condition keeps, counted from the base point and read on in that direction."""
    keeps, limit = read_condition(need(view, t("Condition"))), entries(view)
    if _is_from_end(view):
        at = next((index for index in range(len(found) - 1, -1, -1) if keeps(found[index])), -1)
        rows, is_last = found[max(0, at + 1 - limit) : at + 1], at < limit
        place = len(found) - (at + 1 - len(rows))
    else:
        at = next((index for index, one in enumerate(found) if keeps(one)), len(found))
        rows, is_last = found[at : at + limit], at + limit >= len(found)
        place = at + len(rows)
    return Part(_checked(rows, most), root(len(found), is_last, f' IndexedPagingOffset="{place}"'))


def _is_from_end(view: Element) -> bool:
    base = need_attribute(view, "BasePoint")
    if base not in ("Beginning", "End"):
        raise unreadable(f"BasePoint is {base!r}")
    return base == "End"


def _plain(found: Sequence[T], rows: Sequence[T]) -> Part[T]:
    return Part(rows, root(len(found), True, f' IndexedPagingOffset="{len(found)}"'))


def _checked(rows: Sequence[T], most: int) -> Sequence[T]:
    if len(rows) > most:
        raise Refusal(
            "ErrorExceededFindCountLimit",
            "You have exceeded the maximum number of objects that can be returned for the find operation. Use paging to "
            "reduce the result size and try your request again.",
        )
    return rows
