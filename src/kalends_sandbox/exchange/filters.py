"""Restrictions as predicates: and, or, not, exists, excludes, contains and the comparisons, on whatever can be searched.

Everything else is refused by name, as Exchange refuses paths that cannot be searched. Neighbours: searching.py has the
properties, find.py and folders.py use it.
"""

import operator
import re
import unicodedata
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from kalends_sandbox.exchange.searching import Getter, Ground, first_path, path
from kalends_sandbox.exchange.soap import Element, Fault, Refusal, children, local, need, need_attribute, t, unreadable

Predicate = Callable[[Any], bool]

_MAX_DEPTH: Final = 20
_MAX_CONDITIONS: Final = 255

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
    "PrefixOnWords": lambda value, sought: re.search(rf"\b{re.escape(sought)}", value) is not None,
    "ExactPhrase": lambda value, sought: re.search(rf"\b{re.escape(sought)}\b", value) is not None,
}
_COMPARED: Final = frozenset(
    {
        *("Exact", "IgnoreCase", "IgnoreNonSpacingCharacters", "IgnoreCaseAndNonSpacingCharacters", "Loose"),
        *("LooseAndIgnoreCase", "LooseAndIgnoreNonSpace", "LooseAndIgnoreCaseAndIgnoreNonSpace"),
    }
)


def compiled(restriction: Element, ground: Ground) -> Predicate:
    """What the one condition inside `restriction` keeps."""
    inside = list(children(restriction))
    if len(inside) != 1:
        raise unreadable("Restriction holds exactly one condition")
    if sum(1 for _ in inside[0].iter("{*}Constant", "{*}Exists", "{*}Bitmask")) > _MAX_CONDITIONS:
        raise Refusal("ErrorRestrictionTooLong", f"The restriction has more than {_MAX_CONDITIONS} conditions.")
    return _condition(inside[0], ground, _MAX_DEPTH)


def _condition(element: Element, ground: Ground, depth: int) -> Predicate:
    kind = local(element)
    if depth == 0:
        raise Refusal("ErrorRestrictionTooComplex", "The restriction is nested too deeply.")
    if kind in ("And", "Or", "Not"):
        return _joined(kind, [_condition(child, ground, depth - 1) for child in children(element)])
    if kind == "Exists":
        of = first_path(ground, element)
        return lambda row: of(row) is not None
    if kind == "Excludes":
        return _excludes(element, ground)
    if kind == "Contains":
        return _contains(element, ground)
    if kind in _COMPARISONS:
        return _compares(element, _COMPARISONS[kind], ground)
    raise unreadable(f"Restriction has no condition {kind}")


def _joined(kind: str, parts: list[Predicate]) -> Predicate:
    if kind == "Not":
        if len(parts) != 1:
            raise unreadable("Not holds exactly one condition")
        return lambda row: not parts[0](row)
    join = all if kind == "And" else any
    return lambda row: join(part(row) for part in parts)


def _each(value: Any) -> tuple[Any, ...]:
    """A property of several values is met by any of them."""
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def _excludes(element: Element, ground: Ground) -> Predicate:
    """Keeps what has none of the mask's bits set."""
    of, written = first_path(ground, element), need_attribute(need(element, t("Bitmask")), "Value")
    try:
        mask = int(written, 16) if written.lower().startswith("0x") else int(written)
    except ValueError:
        raise Refusal("ErrorInvalidExcludesRestriction", f"{written!r} is no bitmask.") from None
    return lambda row: type(found := of(row)) is int and not found & mask


def _contains(element: Element, ground: Ground) -> Predicate:
    of = first_path(ground, element)
    mode, comparison = element.get("ContainmentMode", "FullString"), element.get("ContainmentComparison", "Exact")
    if mode not in _CONTAINMENTS or comparison not in _COMPARED:
        raise unreadable("Contains has a mode or comparison that does not exist")
    matches = _CONTAINMENTS[mode]
    sought = folded(need_attribute(need(element, t("Constant")), "Value"), comparison)
    return lambda row: any(isinstance(one, str) and matches(folded(one, comparison), sought) for one in _each(of(row)))


def folded(text: str, comparison: str) -> str:
    """As much of a text as the comparison looks at; loose ones look at neither case nor accents."""
    is_loose = comparison == "Loose"
    if is_loose or "NonSpac" in comparison:
        text = "".join(one for one in unicodedata.normalize("NFD", text) if not unicodedata.combining(one))
    return text.casefold() if is_loose or "IgnoreCase" in comparison else text


def _compares(element: Element, compare: Callable[[Any, Any], bool], ground: Ground) -> Predicate:
    of, other = first_path(ground, element), need(element, t("FieldURIOrConstant"))
    right = next(children(other), None)
    if right is None:
        raise unreadable("FieldURIOrConstant is empty")
    if local(right) != "Constant":
        return _compares_two(of, path(ground, right), compare)
    constant, misses = need_attribute(right, "Value"), compare is operator.ne

    def keeps(row: Any) -> bool:
        values = _each(of(row))
        if misses:
            return all(one != _as(one, constant, ground) for one in values)
        return any(compare(one, _as(one, constant, ground)) for one in values)

    return keeps


def _compares_two(of: Getter, other: Getter, compare: Callable[[Any, Any], bool]) -> Predicate:
    def keeps(row: Any) -> bool:
        left, right = of(row), other(row)
        if left is None or right is None or type(left) is not type(right):
            return compare is operator.ne and left is not right
        return compare(left, right)

    return keeps


def _as(value: Any, constant: str, ground: Ground) -> Any:
    """The constant as what it is compared with."""
    try:
        if isinstance(value, datetime):
            return ground.read_moment(constant)
        if isinstance(value, bool):
            return {"true": True, "1": True, "false": False, "0": False}[constant.strip().lower()]
        return type(value)(constant) if isinstance(value, int | float) else constant
    except (ValueError, KeyError, Fault):
        raise Refusal("ErrorInvalidValueForProperty", f"{constant!r} cannot be compared with that property.") from None
