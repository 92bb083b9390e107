"""SOAP: envelopes out, and in again under suspicion. Pure.

What comes in may be hostile or broken: entities, DTDs and network access are off, a DOCTYPE is refused, libxml2's own
limits (nesting depth 256, text nodes of 10 MB) stand, and `http.py` bounds the size. Exchange itself sends characters
that XML forbids, as references such as `&#x1F;` in a subject: those are replaced, since one bad character must not
cost a calendar.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from lxml import etree

from kalends.model.event import CalendarId
from kalends.providers.protocol import Unavailable

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
TYPES = "http://schemas.microsoft.com/exchange/services/2006/types"
MESSAGES = "http://schemas.microsoft.com/exchange/services/2006/messages"
ERRORS = "http://schemas.microsoft.com/exchange/services/2006/errors"
S, T, M, E = f"{{{SOAP}}}", f"{{{TYPES}}}", f"{{{MESSAGES}}}", f"{{{ERRORS}}}"
SCHEMA_VERSION = "Exchange2013"
"""The schema asked for unless another is pinned. All we ask for is older (streaming came with 2010 SP1), every server
since 2013 knows it, and behind a load balancer the next answer may come from an older server than the last one."""

Element = etree._Element
_NAMES = {"s": SOAP, "t": TYPES, "m": MESSAGES}
_PARSING = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "huge_tree": False,
    "remove_comments": True,
}
END_OF_DOCUMENT = re.compile(rb"</(?:[A-Za-z][\w.-]{0,30}:)?Envelope\s{0,8}>")
_CHARACTER = re.compile(rb"&#(x[0-9A-Fa-f]{1,8}|[0-9]{1,10});")
_RAW_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_DOCUMENT_BYTES = 4 * 1024 * 1024


class Malformed(Unavailable):
    """The server's answer is not readable SOAP."""


def root(name: str, attributes: dict[str, str] | None = None) -> Element:
    """The element of a request, in the messages namespace."""
    return etree.Element(f"{M}{name}", attributes or {}, nsmap=_NAMES)


def child(parent: Element, tag: str, text: str | None = None, **attributes: str) -> Element:
    element = etree.SubElement(parent, tag, attributes)
    element.text = text
    return element


def envelope(operation: Element, impersonated: CalendarId | None, schema: str = SCHEMA_VERSION) -> bytes:
    """The request as bytes, in the words of `schema` (see `version.py`), acting as the mailbox `impersonated` if given."""
    outer = etree.Element(f"{S}Envelope", nsmap=_NAMES)
    header = child(outer, f"{S}Header")
    child(header, f"{T}RequestServerVersion", Version=schema)
    if impersonated is not None:
        identity = child(child(header, f"{T}ExchangeImpersonation"), f"{T}ConnectingSID")
        # SmtpAddress takes secondary addresses too, PrimarySmtpAddress only the primary one.
        child(identity, f"{T}SmtpAddress", impersonated)
    child(outer, f"{S}Body").append(operation)
    return etree.tostring(outer, xml_declaration=True, encoding="utf-8")


def parse(body: bytes, host: str) -> Element:
    """The single element in the answer's SOAP body: a response or a Fault. Raises Malformed."""
    outer = tree(body, host)
    if outer.tag != f"{S}Envelope":
        raise Malformed(f"{host} answered with {_what(outer)} instead of SOAP. Check the EWS address.")
    inner = outer.find(f"{S}Body")
    content = None if inner is None else next((each for each in inner if isinstance(each.tag, str)), None)
    if content is None:
        raise Malformed(f"{host} answered with an empty SOAP body. If this repeats, look at proxies before the server.")
    return content


def tree(body: bytes, host: str) -> Element:
    """The root of any XML document. Raises Malformed."""
    try:
        tree = _strict(body)
    except etree.XMLSyntaxError as first:
        try:
            tree = _strict(legal(body))
        except etree.XMLSyntaxError:
            raise Malformed(
                f"{host} answered with malformed XML ({len(body)} bytes). "
                "If this repeats, look at the server's log and at proxies before it."
            ) from first
    if tree.getroottree().docinfo.internalDTD is not None:
        raise Malformed(f"{host} answered with a DOCTYPE, which no SOAP answer may hold. Check the EWS address.")
    return tree


def _strict(body: bytes) -> Element:
    return etree.fromstring(body, etree.XMLParser(**_PARSING))  # type: ignore[arg-type]


def legal(body: bytes) -> bytes:
    """The document with every character that XML 1.0 forbids replaced."""
    return _RAW_CONTROL.sub(b" ", _CHARACTER.sub(lambda found: found[0] if _is_legal(found[1]) else b"&#xFFFD;", body))


def _is_legal(reference: bytes) -> bool:
    code = int(reference[1:], 16) if reference[:1] == b"x" else int(reference)
    return code in (9, 10, 13) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or 0x10000 <= code <= 0x10FFFF


def _what(element: Element) -> str:
    return "a web page" if str(element.tag).lower().endswith("html") else "some other XML"


class Documents:
    """Cuts a stream of envelopes into documents."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The documents that are complete now. Raises Malformed beyond 4 MiB without an end."""
        searched = max(0, len(self._buffer) - 64)
        self._buffer += data
        while found := END_OF_DOCUMENT.search(self._buffer, searched):
            document = bytes(self._buffer[: found.end()]).lstrip()  # white space before a declaration is malformed
            del self._buffer[: found.end()]
            searched = 0
            yield document
        if len(self._buffer) > _DOCUMENT_BYTES:
            raise Malformed(f"{self._host} streamed more than 4 MiB without finishing a message. Kalends reconnects.")


def text(element: Element, path: str) -> str | None:
    """The text at a path, None where there is no such element."""
    found = element.find(path)
    return None if found is None else (found.text or "")


def when(value: str) -> datetime:
    """An xs:dateTime as an aware UTC instant; one without a zone is UTC. Raises ValueError."""
    at = datetime.fromisoformat(value.strip())
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def written(at: datetime) -> str:
    """An instant as EWS wants it in a request."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
