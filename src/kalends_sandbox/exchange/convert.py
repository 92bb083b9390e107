"""ConvertId: one id in the spellings that Exchange's interfaces have for it. Clients also use it to ask who is there."""

import base64
import binascii
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, unquote

from kalends_sandbox.exchange.items import check_id
from kalends_sandbox.exchange.site import Call, Site
from kalends_sandbox.exchange.soap import (
    Element,
    Refusal,
    answer,
    attribute,
    failure,
    m,
    need,
    need_attribute,
    some,
    success,
)

# Each format to the EWS id and back. A store's entry id is the same bytes without the EWS dress.
_TO_EWS: Final[dict[str, Callable[[str], str]]] = {
    "EwsId": str,
    "EwsLegacyId": str,
    "OwaId": unquote,
    "EntryId": lambda entry: "AAMk" + base64.b64encode(base64.b64decode(entry, validate=True)).decode(),
    "StoreId": lambda entry: "AAMk" + base64.b64encode(base64.b64decode(entry, validate=True)[1:]).decode(),
    "HexEntryId": lambda entry: "AAMk" + base64.b64encode(bytes.fromhex(entry)).decode(),
}
_FROM_EWS: Final[dict[str, Callable[[str], str]]] = {
    "EwsId": str,
    "EwsLegacyId": str,
    "OwaId": lambda ews: quote(ews, safe=""),
    "EntryId": lambda ews: base64.b64encode(_bytes(ews)).decode(),
    "StoreId": lambda ews: base64.b64encode(b"\x2e" + _bytes(ews)).decode(),
    "HexEntryId": lambda ews: _bytes(ews).hex().upper(),
}


def _bytes(ews: str) -> bytes:
    return base64.b64decode(ews.removeprefix("AAMk"), validate=True)


def convert_id(site: Site, call: Call) -> str:
    destination = need_attribute(call.element, "DestinationFormat")
    messages = []
    for source in some(need(call.element, m("SourceIds"))):
        try:
            messages.append(success(call.operation, _converted(site, source, destination)))
        except Refusal as refusal:
            messages.append(failure(call.operation, refusal))
    return answer(call.operation, messages)


def _converted(site: Site, source: Element, destination: str) -> str:
    kind, id_, address = (need_attribute(source, name) for name in ("Format", "Id", "Mailbox"))
    if "@" not in address:
        raise Refusal("ErrorInvalidSmtpAddress", "The SMTP address format is invalid.")
    mailbox = site.world.mailbox(address)
    if mailbox is None:
        raise Refusal("ErrorNonExistentMailbox", "The SMTP address has no mailbox associated with it.")
    if kind not in _TO_EWS or destination not in _FROM_EWS:
        raise Refusal("ErrorUnsupportedTypeForConversion", "This id format cannot be converted.")
    try:
        ews = _TO_EWS[kind](id_)
    except (binascii.Error, ValueError):
        raise Refusal("ErrorInvalidIdMalformed", "Id is malformed.") from None
    check_id(ews)
    return (
        f'<m:AlternateId xsi:type="t:AlternateIdType" Format="{destination}" '
        f"Id={attribute(_FROM_EWS[destination](ews))} Mailbox={attribute(mailbox.primary)}/>"
    )
