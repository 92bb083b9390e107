"""SOAP envelopes in and out, and the few ways EWS says no. Knows nothing of calendars; every other module here builds on it.

Answers are written as text, not as trees: they are large and simple, and reading stays with lxml.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from kalends_sandbox.exchange.releases import release_of

SOAP: Final = "http://schemas.xmlsoap.org/soap/envelope/"
MESSAGES: Final = "http://schemas.microsoft.com/exchange/services/2006/messages"
TYPES: Final = "http://schemas.microsoft.com/exchange/services/2006/types"
ERRORS: Final = "http://schemas.microsoft.com/exchange/services/2006/errors"
XSI: Final = "http://www.w3.org/2001/XMLSchema-instance"

# What XML 1.0 cannot carry at all, not even escaped.
_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

Element = etree._Element


class Refusal(Exception):
    """One item, folder or name of a request is refused: an error response message, while its neighbours go on."""

    def __init__(self, code: str, text: str, values: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{code}: {text}")
        self.code, self.text, self.values = code, text, dict(values or {})


class Fault(Exception):
    """The whole request is refused: a SOAP fault with HTTP 500."""

    def __init__(self, code: str, text: str, values: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{code}: {text}")
        self.code, self.text, self.values = code, text, dict(values or {})


def unreadable(violation: str) -> Fault:
    """The request is not what the schema allows; `violation` says where."""
    text = f"The request failed schema validation: {violation}"
    return Fault("ErrorSchemaValidation", text, {"LineNumber": "0", "LinePosition": "0", "Violation": violation})


def too_many_connections() -> Fault:
    """More plain calls or streams at a time than the caller's budget allows."""
    return Fault(
        "ErrorExceededConnectionCount",
        "You have exceeded the available concurrent connections for your account. Try again once your other requests "
        "have completed.",
    )


# --- reading


def m(name: str) -> str:
    return f"{{{MESSAGES}}}{name}"


def t(name: str) -> str:
    return f"{{{TYPES}}}{name}"


def local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def read_document(body: bytes) -> Element:
    """The root of a document; a fault when it cannot be read. Entities, DTDs and the network are off."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise unreadable(f"it is not well-formed XML ({error.msg})") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise unreadable("a document type declaration is not allowed")
    return root


def read_envelope(body: bytes) -> tuple[Element | None, Element]:
    """The SOAP Header, if any, and the Body's first child."""
    root = read_document(body)
    if root.tag != f"{{{SOAP}}}Envelope":
        raise unreadable("the root element is not a SOAP envelope")
    content = root.find(f"{{{SOAP}}}Body")
    if content is None or len(content) == 0:
        raise unreadable("the SOAP Body is missing or empty")
    return root.find(f"{{{SOAP}}}Header"), content[0]


def need(parent: Element, tag: str) -> Element:
    """The child of that name; a fault when it is missing."""
    found = parent.find(tag)
    if found is None:
        raise unreadable(f"{local(parent)} lacks {tag.rpartition('}')[2]}")
    return found


def need_attribute(element: Element, name: str) -> str:
    value = element.get(name)
    if value is None:
        raise unreadable(f"the required attribute '{name}' of {local(element)} is missing")
    return value


def need_number(text: str | None, what: str, least: int, most: int) -> int:
    try:
        number = int(text or "")
    except ValueError:
        raise unreadable(f"{what} is not a number") from None
    if not least <= number <= most:
        raise unreadable(f"{what} is {number}, outside {least} to {most}")
    return number


def is_true(text: str | None) -> bool:
    return (text or "").strip() in ("true", "1")


def text_of(element: Element | None) -> str:
    return (element.text or "").strip() if element is not None else ""


def children(parent: Element) -> Iterator[Element]:
    return (child for child in parent if isinstance(child.tag, str))


def some(parent: Element) -> list[Element]:
    """The children; a fault when there is none."""
    found = list(children(parent))
    if not found:
        raise unreadable(f"{local(parent)} is empty")
    return found


# --- writing


def text(value: str) -> str:
    """Escaped for element content; what XML cannot carry is left out."""
    return escape(_UNPRINTABLE.sub("", value), {"\r": "&#xD;"})


def attribute(value: str) -> str:
    """Escaped for an attribute, quotes included."""
    return quoteattr(_UNPRINTABLE.sub("", value))


def leaf(name: str, value: str) -> str:
    """`<t:Name>value</t:Name>`."""
    return f"<t:{name}>{text(value)}</t:{name}>"


def flag(name: str, value: bool) -> str:
    return f"<t:{name}>{'true' if value else 'false'}</t:{name}>"


def version_attributes(build: tuple[int, int, int, int]) -> str:
    names = ("MajorVersion", "MinorVersion", "MajorBuildNumber", "MinorBuildNumber")
    numbers = " ".join(f'{name}="{number}"' for name, number in zip(names, build, strict=True))
    return f'{numbers} Version="{release_of(build).version}"'


def envelope(content: str, build: tuple[int, int, int, int]) -> bytes:
    """A whole answer around the Body's content, in which the prefixes m, t and xsi are bound."""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="{SOAP}"><s:Header>'
        f'<h:ServerVersionInfo {version_attributes(build)} xmlns:h="{TYPES}"/></s:Header>'
        f'<s:Body xmlns:m="{MESSAGES}" xmlns:t="{TYPES}" xmlns:xsi="{XSI}">{content}</s:Body></s:Envelope>'
    ).encode()


def stream_envelope(content: str, build: tuple[int, int, int, int]) -> bytes:
    """One document of a stream. The root has no prefix: ews-javascript-api looks for `<Envelope` in the text."""
    return (
        f'<Envelope xmlns="{SOAP}"><soap11:Header xmlns:soap11="{SOAP}">'
        f'<ServerVersionInfo xmlns="{TYPES}" {version_attributes(build)}/></soap11:Header>'
        f'<soap11:Body xmlns:soap11="{SOAP}"><m:GetStreamingEventsResponse xmlns:m="{MESSAGES}" xmlns:t="{TYPES}">'
        f"<m:ResponseMessages>{content}</m:ResponseMessages></m:GetStreamingEventsResponse></soap11:Body></Envelope>"
    ).encode()


def fault_envelope(fault: Fault) -> bytes:
    """Faults carry no Header; clients read the code from the detail."""
    return (
        f'<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="{SOAP}"><s:Body><s:Fault>'
        f'<faultcode xmlns:a="{TYPES}">a:{fault.code}</faultcode><faultstring xml:lang="en-US">{text(fault.text)}'
        f'</faultstring><detail><e:ResponseCode xmlns:e="{ERRORS}">{fault.code}</e:ResponseCode>'
        f'<e:Message xmlns:e="{ERRORS}">{text(fault.text)}</e:Message>'
        f"{_values(fault.values, 't:MessageXml', TYPES)}</detail></s:Fault></s:Body></s:Envelope>"
    ).encode()


def _values(values: Mapping[str, str], wrapper: str, namespace: str | None = None) -> str:
    if not values:
        return ""
    declared = f' xmlns:t="{namespace}"' if namespace else ""
    inside = "".join(f"<t:Value Name={attribute(name)}>{text(value)}</t:Value>" for name, value in values.items())
    return f"<{wrapper}{declared}>{inside}</{wrapper}>"


def success(operation: str, payload: str = "") -> str:
    """One response message that went well."""
    return (
        f'<m:{operation}ResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>'
        f"{payload}</m:{operation}ResponseMessage>"
    )


def failure(operation: str, refusal: Refusal, payload: str = "", response_class: str = "Error") -> str:
    """One response message that did not; some operations must carry their payload even so."""
    return (
        f'<m:{operation}ResponseMessage ResponseClass="{response_class}">{refusal_text(refusal)}'
        f"{payload}</m:{operation}ResponseMessage>"
    )


def refusal_text(refusal: Refusal) -> str:
    return (
        f"<m:MessageText>{text(refusal.text)}</m:MessageText><m:ResponseCode>{refusal.code}</m:ResponseCode>"
        f"<m:DescriptiveLinkKey>0</m:DescriptiveLinkKey>{_values(refusal.values, 'm:MessageXml')}"
    )


def answer(operation: str, messages: list[str]) -> str:
    return (
        f"<m:{operation}Response><m:ResponseMessages>{''.join(messages)}</m:ResponseMessages></m:{operation}Response>"
    )
