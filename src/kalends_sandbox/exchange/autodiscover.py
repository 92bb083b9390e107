"""Autodiscover: where a mailbox's EWS is, told in SOAP (`autodiscover.svc`) or plain old XML (`autodiscover.xml`).

The door is the one of EWS, but never with Extended Protection (Microsoft keeps it off here). A 302 goes out before anybody
signs in. Neighbours: signpost.py knows what to tell, autodiscover_xml.py how to write it.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kalends_sandbox.exchange import autodiscover_xml as written
from kalends_sandbox.exchange.autodiscover_xml import Guide
from kalends_sandbox.exchange.door import Door
from kalends_sandbox.exchange.site import Site
from kalends_sandbox.exchange.soap import Element, Fault, children, local, read_document, read_envelope, text_of
from kalends_sandbox.faults import played
from kalends_sandbox.http import Handler, Request, Response
from kalends_sandbox.signpost import Redirect, Signpost
from kalends_sandbox.world import World

SOAP_PATH: Final = "/autodiscover/autodiscover.svc"
POX_PATH: Final = "/autodiscover/autodiscover.xml"
OPERATION: Final = "Autodiscover"  # what faults and counters call it

_MOST_USERS: Final = 100
_XML: Final = ("Content-Type", "text/xml; charset=utf-8")
_A: Final = f"{{{written.NS}}}"
_R: Final = f"{{{written.POX_REQUEST}}}"


@dataclass(frozen=True, slots=True)
class _Question:
    """Whose settings are wanted, and which (SOAP only). `wrong`: why it cannot be answered, in the service's own words."""

    addresses: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    wrong: str = ""
    pox_code: int = 600


class Autodiscover:
    """`tally` hears of each question and the address it is about."""

    def __init__(self, site: Site, door: Door, tally: Callable[[str, str], None]) -> None:
        self._site, self._door, self._tally = site, door, tally
        self._errors = 0

    async def handle(self, request: Request) -> Response:
        signpost = self._site.world.signpost
        sent_on = moved(signpost, request, after_sign_in=False)
        if sent_on is not None:
            return sent_on
        is_soap = request.path.lower() == SOAP_PATH
        account = self._door.admit(request, "none")
        if isinstance(account, Response):
            response = account
        else:
            response = moved(signpost, request, after_sign_in=True) or await self._answered(request, is_soap)
        if not is_soap:  # how clients of the plain form learn that there is another
            response.headers.append(("X-SOAP-Enabled", "True"))
        return response

    async def _answered(self, request: Request, is_soap: bool) -> Response:
        if request.method not in ("GET", "HEAD", "POST"):
            return Response(405, [("Allow", "GET, POST"), ("Content-Type", "text/plain")], b"Ask by POST.\n")
        if is_soap and request.method != "POST":
            return Response(200, [("Content-Type", "text/html")], b"<html><body>Autodiscover Service</body></html>\n")
        try:
            question = _soap_question(request) if is_soap else _pox_question(request)
        except Fault:
            if is_soap:
                return Response(400)
            question = _Question(wrong="Invalid Request")
        address = question.addresses[0] if question.addresses else ""
        known = self._site.world.mailbox(address)
        self._tally(OPERATION, known.primary if known is not None else "")
        answer = self._soap if is_soap else self._pox
        return await played(
            self._site.faults, OPERATION, address, lambda: Response(200, [_XML], answer(request, question))
        )

    def _soap(self, request: Request, question: _Question) -> bytes:
        build = self._site.settings.build
        if question.wrong:
            return written.envelope((), build, "InvalidRequest", question.wrong)
        return written.envelope([self._user(request, one, question.settings) for one in question.addresses], build)

    def _user(self, request: Request, address: str, settings: tuple[str, ...]) -> str:
        redirect = self._elsewhere(request, address)
        if redirect is not None:
            return written.sent_on(
                "RedirectUrl" if redirect.kind == "url" else "RedirectAddress", redirect.aim(address)
            )
        guide = self._guide(request, address)
        return written.unknown(address) if guide is None else written.told(guide, settings)

    def _pox(self, request: Request, question: _Question) -> bytes:
        if question.wrong:
            return self._pox_error(question.pox_code, question.wrong)
        (address,) = question.addresses
        redirect = self._elsewhere(request, address)
        if redirect is not None:
            action = "redirectUrl" if redirect.kind == "url" else "redirectAddr"
            return written.pox_sent_on(action, redirect.aim(address))
        guide = self._guide(request, address)
        if guide is None:
            return self._pox_error(500, "The e-mail address cannot be found.")
        return written.pox_settings(guide)

    def _pox_error(self, code: int, message: str) -> bytes:
        self._errors += 1
        return written.pox_error(code, message, self._site.world.clock.now(), self._errors)

    def _elsewhere(self, request: Request, address: str) -> Redirect | None:
        return self._site.world.signpost.elsewhere(("url", "address"), request.host, address)

    def _guide(self, request: Request, address: str) -> Guide | None:
        world, nodes = self._site.world, self._site.nodes
        mailbox = world.mailbox(address)
        if mailbox is None:
            return None
        here = f"{'https' if request.connection.is_secure else 'http'}://{request.host}/EWS/Exchange.asmx"
        signpost = world.signpost
        return Guide(
            mailbox, world.name, uuid.uuid5(uuid.NAMESPACE_DNS, world.domain), nodes.home(mailbox.primary).name,
            signpost.internal_url or here, signpost.external_url or here, signpost.grouping, self._site.settings.build,
        )  # fmt: skip


def moved(signpost: Signpost, request: Request, after_sign_in: bool) -> Response | None:
    """The 302 for a host whose Autodiscover has moved."""
    redirect = signpost.elsewhere(("http",), request.host)
    return found_at(redirect.target) if redirect is not None and redirect.after_sign_in is after_sign_in else None


def found_at(url: str) -> Response:
    return Response(302, [("Location", url), ("Content-Type", "text/html")], b"<html><body>Moved.</body></html>\n")


def redirector(world: World, secure_port: int) -> Handler:
    """What many organisations put on port 80: a 302 to the place that is safe, for whoever asks without signing in.

    By default that is the same name at `secure_port` by https. Everything else is refused as IIS refuses plain http.
    """

    async def handle(request: Request) -> Response:
        if request.path.lower() not in (SOAP_PATH, POX_PATH) or request.method not in ("GET", "HEAD"):
            return Response(403, [("Content-Type", "text/html")], b"<html><body>403.4 SSL is required.</body></html>\n")
        name = request.host.partition(":")[0]
        port = "" if secure_port == 443 else f":{secure_port}"
        return moved(world.signpost, request, after_sign_in=False) or found_at(f"https://{name}{port}{request.path}")

    return handle


def _soap_question(request: Request) -> _Question:
    """Fault when it cannot be read at all."""
    header, element = read_envelope(request.body)
    if element.tag != f"{_A}GetUserSettingsRequestMessage":
        return _Question(wrong=f"The operation {local(element)} is not offered here.")
    if header is None or header.find(f"{_A}RequestedServerVersion") is None:
        return _Question(wrong="The header RequestedServerVersion is missing.")
    users = _texts(element, "Users", "Mailbox")
    settings = _texts(element, "RequestedSettings")
    if not users or not settings:
        return _Question(wrong="At least one user and one setting must be requested.")
    if len(users) > _MOST_USERS:
        return _Question(wrong=f"The number of users exceeds the maximum of {_MOST_USERS}.")
    return _Question(users, settings)


def _texts(element: Element, group: str, below: str | None = None) -> tuple[str, ...]:
    found = element.find(f"{_A}Request/{_A}{group}")
    inside = () if found is None else children(found)
    return tuple(text_of(one if below is None else one.find(_A + below)) for one in inside)


def _pox_question(request: Request) -> _Question:
    if request.method != "POST":
        return _Question(wrong="Invalid Request")
    root = read_document(request.body)
    asked = root.find(f"{_R}Request")
    address = text_of(asked.find(f"{_R}EMailAddress")) if asked is not None else ""
    if root.tag != f"{_R}Autodiscover" or asked is None or not address:
        return _Question(wrong="Invalid Request")
    if text_of(asked.find(f"{_R}AcceptableResponseSchema")) != written.POX_ANSWER:
        return _Question((address,), wrong="Provider is not available", pox_code=601)
    return _Question((address,))
