"""Autodiscover's two dialects: what is asked, and what an answer says. Pure. `autodiscover.py` decides what follows.

SOAP (`autodiscover.svc`, MS-OXWSADISC) and POX, “plain old XML” (`autodiscover.xml`, MS-OXDSCLI). An answer may come
from anybody: its texts are bounded, and none is followed or shown before `places.py` has read it.
"""

from dataclasses import dataclass

from lxml import etree

from kalends.providers.exchange import challenges, soap, version
from kalends.providers.exchange.soap import Element, S, child
from kalends.providers.exchange.version import Build
from kalends.providers.http import Answer
from kalends.providers.protocol import Unavailable

SOAP_PATH, POX_PATH = "/autodiscover/autodiscover.svc", "/autodiscover/autodiscover.xml"

_A_NS = "http://schemas.microsoft.com/exchange/2010/Autodiscover"
_WSA_NS = "http://www.w3.org/2005/08/addressing"
_A, _WSA = f"{{{_A_NS}}}", f"{{{_WSA_NS}}}"
_REQUEST_NS = "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"
_RESPONSE_NS = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
_SETTINGS = ("ExternalEwsUrl", "InternalEwsUrl", "GroupingInformation")
_TEXT = 2000


@dataclass(frozen=True, slots=True)
class Offered:
    """A sign-in is wanted, in one of these ways."""

    schemes: frozenset[str]
    """Lower case, as `WWW-Authenticate` names them."""
    named: str
    """For a sentence."""


@dataclass(frozen=True, slots=True)
class Denied:
    """The sign-in was tried and refused; the reason is a whole sentence."""

    reason: str


@dataclass(frozen=True, slots=True)
class Moved:
    """An HTTP redirect, or the answer `RedirectUrl`: ask there instead."""

    target: str


@dataclass(frozen=True, slots=True)
class Renamed:
    """The answer `RedirectAddress`: ask about this mail address instead."""

    address: str


@dataclass(frozen=True, slots=True)
class Told:
    """What Exchange says about a mailbox, as it stands in the answer."""

    external: str | None
    internal: str | None
    group: str | None
    """GroupingInformation: mailboxes that share it may share one stream."""
    build: Build | None = None


@dataclass(frozen=True, slots=True)
class Nothing:
    """No answer that helps."""

    reason: str
    is_away: bool = False
    """The host can't be reached at all."""


Reply = Offered | Denied | Moved | Renamed | Told | Nothing


def soap_request(address: str, url: str) -> bytes:
    """GetUserSettings for one mailbox."""
    outer = etree.Element(f"{S}Envelope", nsmap={"s": soap.SOAP, "a": _A_NS, "wsa": _WSA_NS})
    header = child(outer, f"{S}Header")
    child(header, f"{_A}RequestedServerVersion", soap.SCHEMA_VERSION)
    child(header, f"{_WSA}Action", f"{_A_NS}/Autodiscover/GetUserSettings")
    child(header, f"{_WSA}To", url)
    request = child(child(child(outer, f"{S}Body"), f"{_A}GetUserSettingsRequestMessage"), f"{_A}Request")
    child(child(child(request, f"{_A}Users"), f"{_A}User"), f"{_A}Mailbox", address)
    wanted = child(request, f"{_A}RequestedSettings")
    for name in _SETTINGS:
        child(wanted, f"{_A}Setting", name)
    return etree.tostring(outer, xml_declaration=True, encoding="utf-8")


def pox_request(address: str) -> bytes:
    outer = etree.Element(f"{{{_REQUEST_NS}}}Autodiscover", nsmap={None: _REQUEST_NS})  # type: ignore[dict-item]
    request = child(outer, f"{{{_REQUEST_NS}}}Request")
    child(request, f"{{{_REQUEST_NS}}}EMailAddress", address)
    child(request, f"{{{_REQUEST_NS}}}AcceptableResponseSchema", _RESPONSE_NS)
    return etree.tostring(outer, xml_declaration=True, encoding="utf-8")


def glance(answer: Answer) -> Reply:
    """What an answer says to somebody who has not signed in: which methods there are, or where to ask instead."""
    if 300 <= answer.status < 400:
        return Moved((answer.headers.get("Location") or "")[:_TEXT])
    if answer.status == 401:
        offers = challenges.read(answer.headers.all("WWW-Authenticate"))
        return Offered(frozenset(offer.scheme for offer in offers), challenges.named(offers))
    return Nothing(f"answers {answer.status} without asking for a sign-in: no autodiscover service")


def read(answer: Answer, host: str) -> Reply:
    """What an answer says to somebody who has signed in."""
    if 300 <= answer.status < 400:
        return glance(answer)
    try:
        outer = soap.tree(answer.body, host)
    except Unavailable:
        return Nothing(f"answers {answer.status} with something other than autodiscover")
    if outer.tag == f"{S}Envelope":
        return _read_soap(outer)
    if etree.QName(outer).localname == "Autodiscover":
        return _read_pox(outer)
    return Nothing(f"answers {answer.status} with something other than autodiscover")


def _read_soap(outer: Element) -> Reply:
    response = outer.find(f"{S}Body/{_A}GetUserSettingsResponseMessage/{_A}Response")
    if response is None:
        return Nothing("refuses the question")
    user = response.find(f"{_A}UserResponses/{_A}UserResponse")
    code = _text(response, f"{_A}ErrorCode")
    if code in (None, "NoError") and user is not None:
        code = _text(user, f"{_A}ErrorCode")
    target = None if user is None else _text(user, f"{_A}RedirectTarget")
    if code == "RedirectUrl" and target:
        return Moved(target)
    if code == "RedirectAddress" and target:
        return Renamed(target)
    if code not in (None, "NoError") or user is None:
        return Nothing(f"knows nothing of this mailbox ({_code(code)})")
    settings = {_text(each, f"{_A}Name"): _text(each, f"{_A}Value") for each in user.iter(f"{_A}UserSetting")}
    external, internal, group = (settings.get(name) for name in _SETTINGS)
    return Told(external, internal, group, _soap_build(outer))


def _soap_build(outer: Element) -> Build | None:
    """Autodiscover names the build in child elements, where EWS uses attributes."""
    info = outer.find(f"{S}Header/{_A}ServerVersionInfo")
    if info is None:
        return None
    names = ("MajorVersion", "MinorVersion", "MajorBuildNumber", "MinorBuildNumber")
    return version.build_of(*(_text(info, f"{_A}{name}") or "" for name in names))


def _read_pox(outer: Element) -> Reply:
    error = outer.find("{*}Response/{*}Error")
    account = outer.find("{*}Response/{*}Account")
    if error is not None or account is None:
        code = None if error is None else _text(error, "{*}ErrorCode")
        return Nothing(f"knows nothing of this mailbox ({_code(code)})")
    url, address = _text(account, "{*}RedirectUrl"), _text(account, "{*}RedirectAddr")
    action = (_text(account, "{*}Action") or "").lower()
    if action == "redirecturl" and url:
        return Moved(url)
    if action == "redirectaddr" and address:
        return Renamed(address)
    inside, outside = _protocol(account, "EXCH"), _protocol(account, "EXPR")
    packed = None if inside is None else _text(inside, "{*}ServerVersion")
    return Told(
        None if outside is None else _ews(outside),
        None if inside is None else _ews(inside),
        next((_text(each, "{*}GroupingInformation") for each in (inside, outside) if each is not None), None),
        version.packed(packed) if packed else None,
    )


def _protocol(account: Element, kind: str) -> Element | None:
    """EXCH holds what is meant for inside the network, EXPR what is meant for outside."""
    found = (each for each in account.iterfind("{*}Protocol") if _text(each, "{*}Type") == kind)
    return next(found, None)


def _ews(protocol: Element) -> str | None:
    return _text(protocol, "{*}EwsUrl") or _text(protocol, "{*}ASUrl")


def _text(element: Element, path: str) -> str | None:
    text = (element.findtext(path) or "").strip()
    return text[:_TEXT] or None


def _code(code: str | None) -> str:
    return code[:60] if code is not None and code.isalnum() else "without a reason"
