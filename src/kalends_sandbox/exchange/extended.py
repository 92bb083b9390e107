"""Extended properties as clients write them, each kind with its own spelling. Neighbours: shapes.py reads which is meant."""

import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from kalends_sandbox.exchange.shapes import ExtendedUri, extended_uri, key_of
from kalends_sandbox.exchange.soap import Element, Refusal, children, need, t
from kalends_sandbox.item import ExtendedProperty

_GUID: Final = re.compile(r"\{?([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\}?")
_TRUTHS: Final = {"true": "true", "1": "true", "false": "false", "0": "false"}


def read(element: Element) -> ExtendedProperty:
    """A t:ExtendedProperty with its value, spelled as Exchange gives it back."""
    uri = extended_uri(need(element, t("ExtendedFieldURI")))
    kind = uri.kind.removesuffix("Array")
    many, one = element.find(t("Values")), element.find(t("Value"))
    if (uri.kind != kind) != (many is not None) or (many is None and one is None):
        raise _unfit(f"A property of type {uri.kind} has {'Values' if uri.kind != kind else 'one Value'}.")
    value: str | tuple[str, ...]
    if many is not None:
        value = tuple(_value(kind, text or "") for text in (child.text for child in children(many)))
    else:
        value = _value(kind, (one.text if one is not None else None) or "")
    property_set, name = uri.key
    return ExtendedProperty(property_set, name, uri.kind, value)


def with_property(known: tuple[ExtendedProperty, ...], new: ExtendedProperty) -> tuple[ExtendedProperty, ...]:
    return (*(one for one in known if (key_of(one), one.kind) != (key_of(new), new.kind)), new)


def without_property(known: tuple[ExtendedProperty, ...], gone: ExtendedUri) -> tuple[ExtendedProperty, ...]:
    return tuple(one for one in known if not is_one(one, gone))


def is_one(stored: ExtendedProperty, wanted: ExtendedUri) -> bool:
    return key_of(stored) == wanted.key and stored.kind == wanted.kind


def _value(kind: str, text: str) -> str:
    try:
        return _KINDS[kind](text if kind == "String" else text.strip())
    except (ValueError, OverflowError, KeyError):
        raise _unfit(f"The value is no {kind}.") from None


def _unfit(why: str) -> Refusal:
    return Refusal("ErrorInvalidExtendedPropertyValue", why)


def _whole(bits: int) -> Callable[[str], str]:
    def spelled(text: str) -> str:
        number = int(text)
        if not -(2 ** (bits - 1)) <= number < 2**bits:  # clients write unsigned ones too
            raise ValueError(number)
        return str(number)

    return spelled


def _real(text: str) -> str:
    float(text)
    return text


def _instant(text: str) -> str:
    found = datetime.fromisoformat(text)
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    return found.strftime("%Y-%m-%dT%H:%M:%SZ")


def _guid(text: str) -> str:
    found = _GUID.fullmatch(text)
    if found is None:
        raise ValueError(text)
    return found[1].lower()


def _bytes(text: str) -> str:
    return base64.b64encode(base64.b64decode(text, validate=True)).decode()


_KINDS: Final[Mapping[str, Callable[[str], str]]] = {
    "ApplicationTime": _real,
    "Binary": _bytes,
    "Boolean": lambda text: _TRUTHS[text.lower()],
    "CLSID": _guid,
    "Currency": _whole(64),
    "Double": _real,
    "Float": _real,
    "Integer": _whole(32),
    "Long": _whole(64),
    "Short": _whole(16),
    "String": str,
    "SystemTime": _instant,
}
