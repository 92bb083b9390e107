"""Restrictions of FindItem as predicates: and, or, not, exists, contains and the comparisons, on the fields clients search by.

Everything else is refused by name, as Exchange refuses paths that cannot be searched. Neighbours: find.py.
"""

import operator
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from kalends_sandbox.exchange.shapes import extended_uri, field_uri, key_of
from kalends_sandbox.exchange.soap import (
    Element,
    Refusal,
    children,
    is_true,
    local,
    need,
    need_attribute,
    t,
    unreadable,
)
from kalends_sandbox.item import Item

Predicate = Callable[[Item], bool]
ReadMoment = Callable[[str], datetime]

_MAX_DEPTH = 20

_FIELDS: Final[dict[str, Callable[[Item], Any]]] = {
    "item:Subject": lambda item: item.subject,
    "item:Body": lambda item: item.body,
    "item:Sensitivity": lambda item: item.sensitivity,
    "item:DateTimeCreated": lambda item: item.created,
    "item:LastModifiedTime": lambda item: item.modified,
    "calendar:UID": lambda item: item.uid,
    "calendar:Start": lambda item: item.start,
    "calendar:End": lambda item: item.end,
    "calendar:Location": lambda item: item.location,
    "calendar:IsAllDayEvent": lambda item: item.is_all_day,
    "calendar:IsMeeting": lambda item: item.is_meeting,
    "calendar:IsCancelled": lambda item: item.is_cancelled,
    "calendar:LegacyFreeBusyStatus": lambda item: item.show_as,
    "calendar:CalendarItemType": lambda item: item.kind,
}
_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "IsEqualTo": operator.eq,
    "IsNotEqualTo": operator.ne,
    "IsLessThan": operator.lt,
    "IsLessThanOrEqualTo": operator.le,
    "IsGreaterThan": operator.gt,
    "IsGreaterThanOrEqualTo": operator.ge,
}
_CONTAINMENTS: Final[dict[str, Callable[[str, str], bool]]] = {
    "FullString": lambda value, sought: value == sought,
    "Prefixed": lambda value, sought: value.startswith(sought),
    "Substring": lambda value, sought: sought in value,
}


def compiled(restriction: Element, read_moment: ReadMoment) -> Predicate:
    """What the one condition inside `restriction` keeps."""
    inside = list(children(restriction))
    if len(inside) != 1:
        raise unreadable("Restriction holds exactly one condition")
    return _condition(inside[0], read_moment, _MAX_DEPTH)


def _condition(element: Element, read_moment: ReadMoment, depth: int) -> Predicate:
    kind = local(element)
    if depth == 0:
        raise Refusal("ErrorRestrictionTooComplex", "The restriction is nested too deeply.")
    if kind in ("And", "Or", "Not"):
        parts = [_condition(child, read_moment, depth - 1) for child in children(element)]
        return _joined(kind, parts)
    if kind == "Exists":
        of = _value(element)
        return lambda item: of(item) is not None
    if kind == "Contains":
        return _contains(element)
    if kind in _COMPARISONS:
        return _compares(element, _COMPARISONS[kind], read_moment)
    raise Refusal("ErrorUnsupportedTypeForConversion", f"This server does not know the condition {kind}.")


def _joined(kind: str, parts: list[Predicate]) -> Predicate:
    if kind == "Not":
        if len(parts) != 1:
            raise unreadable("Not holds exactly one condition")
        return lambda item: not parts[0](item)
    join = all if kind == "And" else any
    return lambda item: join(part(item) for part in parts)


def _value(element: Element) -> Callable[[Item], Any]:
    """The left side: the property that a condition looks at."""
    path = next(children(element), None)
    if path is not None and local(path) == "FieldURI":
        uri = field_uri(path)
        if uri not in _FIELDS:
            raise Refusal("ErrorUnsupportedPathForQuery", f"Items cannot be searched by {uri}.")
        return _FIELDS[uri]
    if path is not None and local(path) == "ExtendedFieldURI":
        wanted = extended_uri(path)
        return lambda item: next((one.value for one in item.extended if key_of(one) == wanted.key), None)
    raise Refusal("ErrorUnsupportedPathForQuery", "A condition looks at a FieldURI or an ExtendedFieldURI.")


def _contains(element: Element) -> Predicate:
    of = _value(element)
    sought = need_attribute(need(element, t("Constant")), "Value")
    mode = element.get("ContainmentMode", "FullString")
    if mode not in _CONTAINMENTS:
        raise Refusal("ErrorUnsupportedQueryFilter", f"This server does not know the containment mode {mode}.")
    matches = _CONTAINMENTS[mode]
    if element.get("ContainmentComparison", "Exact").startswith("Ignore"):
        return lambda item: isinstance(found := of(item), str) and matches(found.casefold(), sought.casefold())
    return lambda item: isinstance(found := of(item), str) and matches(found, sought)


def _compares(element: Element, compare: Callable[[Any, Any], bool], read_moment: ReadMoment) -> Predicate:
    of = _value(element)
    constant = need_attribute(need(need(element, t("FieldURIOrConstant")), t("Constant")), "Value")

    def keeps(item: Item) -> bool:
        found = of(item)
        if found is None:
            return compare is operator.ne
        if isinstance(found, datetime):
            return compare(found, read_moment(constant))
        return compare(found, is_true(constant.lower()) if isinstance(found, bool) else constant)

    return keeps
