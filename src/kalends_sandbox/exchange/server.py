"""The handler of Exchange's paths: the door, impersonation, faults, dispatch on the Body's first child, counting."""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Final

from kalends_sandbox.desk import Desk
from kalends_sandbox.exchange import (
    access,
    autodiscover,
    availability,
    configuration,
    convert,
    create,
    directory,
    filing,
    find,
    folders,
    items,
    limits,
    pull,
    push,
    soap,
    streaming,
    subscriptions,
    sync,
    timezones,
    trouble,
    update,
)
from kalends_sandbox.exchange.autodiscover import Autodiscover
from kalends_sandbox.exchange.budgets import Budgets, Payer
from kalends_sandbox.exchange.door import Door
from kalends_sandbox.exchange.limits import Value as LimitValue
from kalends_sandbox.exchange.nodes import OVERRIDE_COOKIE, Nodes, cookie_of
from kalends_sandbox.exchange.notifications import Notifier
from kalends_sandbox.exchange.reach import Reach
from kalends_sandbox.exchange.recorder import Recorded, Recorder
from kalends_sandbox.exchange.releases import release_of
from kalends_sandbox.exchange.settings import Settings
from kalends_sandbox.exchange.site import Call, Site
from kalends_sandbox.faults import Faults
from kalends_sandbox.http import Request, Response
from kalends_sandbox.identity import Tokens
from kalends_sandbox.world import ServiceAccount, World

PATH: Final = "/ews/exchange.asmx"

OPERATIONS: Final[dict[str, Callable[[Site, Call], str]]] = {
    "ConvertId": convert.convert_id,
    "CopyItem": filing.copy_item,
    "CreateItem": create.create_item,
    "DeleteItem": filing.delete_item,
    "FindFolder": folders.find_folder,
    "FindItem": find.find_item,
    "GetEvents": pull.get_events,
    "GetFolder": folders.get_folder,
    "GetItem": items.get_item,
    "GetRoomLists": directory.get_room_lists,
    "GetRooms": directory.get_rooms,
    "GetUserConfiguration": configuration.get_user_configuration,
    "MoveItem": filing.move_item,
    "GetServerTimeZones": timezones.get_server_time_zones,
    "GetUserAvailability": availability.get_user_availability,
    "ResolveNames": directory.resolve_names,
    "Subscribe": subscriptions.subscribe,
    "SyncFolderItems": sync.sync_folder_items,
    "Unsubscribe": subscriptions.unsubscribe,
    "UpdateItem": update.update_item,
}
STREAMING: Final = "GetStreamingEvents"
# Requests that are not named after their operation.
_ROOTS: Final = {"GetUserAvailability": "GetUserAvailabilityRequest"}

_REVOKED: Final = '2000001;reason="The token was revoked.";error_category="invalid_token"'  # by the fault http_401
_XML: Final = ("Content-Type", "text/xml; charset=utf-8")


class Exchange:
    """One Exchange organisation over a world. Give `handle` to `http.serve`; `close` lets go of the world.

    `channel` is the binding of the TLS certificate that it is served with (tls.py); `tokens` are those that it believes.
    """

    def __init__(
        self,
        world: World,
        desk: Desk,
        faults: Faults,
        rng: Random,
        settings: Settings | None = None,
        channel: bytes | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        settings = replace(settings or Settings())  # its limits may be turned
        self._door = Door(world, rng, settings.sign_in, channel, tokens)
        self.nodes = Nodes(settings, rng, lambda address: _primary(world, address))
        budgets = Budgets(settings, world.clock)
        self.site = Site(world, desk, faults, rng, settings, self.nodes, budgets, world.clock.now())
        self._tokens = tokens
        self.recorder = Recorder()
        self._notifier = Notifier(self.nodes, faults, rng, settings)
        world.listeners.append(self._notifier.hear)
        self._calls: Counter[tuple[str, str]] = Counter()
        self._running: Counter[Payer] = Counter()
        self._visitors = 0
        self._autodiscover = Autodiscover(self.site, self._door, self._count)

    async def push(self) -> None:
        """Serves push subscriptions; never ends by itself. Without it nothing is pushed, and all else goes on."""
        await push.run(self.nodes, self.site.settings)

    def close(self) -> None:
        """No more notifications. Calls are the HTTP server's to end."""
        self._notifier.close()
        self.site.world.listeners.remove(self._notifier.hear)

    def drop_subscriptions(self, mailboxes: str = "*") -> int:
        """Lose the subscriptions of all mailboxes that match the pattern; how many there were."""
        return self.nodes.drop(mailboxes)

    def limits(self) -> dict[str, object]:
        return limits.shown(self.site.settings)

    def turn(self, wanted: Mapping[str, LimitValue]) -> None:
        """Other limits from now on. ValueError, with a sentence, when one cannot be so."""
        limits.turn(self.site.settings, wanted)

    def counters(self) -> dict[str, object]:
        """Calls by operation and by mailbox (empty: none in particular) since the start, and what is open now."""
        calls: Counter[str] = Counter()
        by_mailbox: dict[str, dict[str, int]] = {}
        for (operation, mailbox), count in sorted(self._calls.items()):
            calls[operation] += count
            by_mailbox.setdefault(mailbox, {})[operation] = count
        return {
            "calls": dict(calls),
            "calls_by_mailbox": by_mailbox,
            "streams_open": self.nodes.streams_open,
            "subscriptions": self.nodes.subscriptions_alive(),
            "refused_sign_ins": self._door.refused,
            "tokens_issued": self._tokens.issued if self._tokens is not None else 0,
        }

    async def handle(self, request: Request) -> Response:
        path = request.path.lower()
        if path in (autodiscover.SOAP_PATH, autodiscover.POX_PATH):
            return await self._autodiscover.handle(request)
        if path != PATH:
            return Response(
                404, [("Content-Type", "text/plain")], b"Exchange Web Services live at /EWS/Exchange.asmx.\n"
            )
        account = self._door.admit(request, self.site.settings.extended_protection)
        if isinstance(account, Response):
            return account
        if request.method != "POST":
            return Response(405, [("Allow", "POST"), ("Content-Type", "text/plain")], b"Ask by POST.\n")
        recorded = self.recorder.begin(request.body)
        try:
            call = self._read(request, account, recorded)
        except soap.Fault as fault:
            return self._finished(trouble.refused(fault), request, recorded)
        response = await self._guarded(call, recorded)
        return self._finished(response, request, recorded, call)

    def _read(self, request: Request, account: ServiceAccount, recorded: Recorded) -> Call:
        header, element = soap.read_envelope(request.body)
        operation = recorded.operation = _operation(element)
        version = header.find(soap.t("RequestServerVersion")) if header is not None else None
        known = release_of(self.site.settings.build).known
        if version is not None and version.get("Version", "") not in known:
            raise soap.Fault("ErrorInvalidServerVersion", "The requested server version is not valid.")
        acting, is_impersonating = access.acting_for(self.site.world, account, header)
        reach = Reach(self.site.world, account, acting, operation)
        call = Call(operation, element, request, account, acting, is_impersonating, access.context_zone(header), reach)
        recorded.mailbox = call.mailbox
        self._count(operation, call.mailbox)
        return call

    def _count(self, operation: str, mailbox: str) -> None:
        self._calls[operation, mailbox] += 1

    async def _guarded(self, call: Call, recorded: Recorded) -> Response:
        """The answer, or what a fault makes of it."""
        fault = self.site.faults.strike(trouble.INSTEAD, call.operation, call.mailbox)
        if fault is not None:
            recorded.fault = fault.name
            if fault.name == "http_401":
                return self._door.refusal(call.request, _REVOKED if call.account.is_application else None)
            return trouble.instead(fault, call, self.site)
        if self.site.faults.strike(("drop_subscriptions",), call.operation, call.mailbox):
            self.nodes.drop(call.mailbox or "*")
        if call.operation != STREAMING and self._running[call.payer] >= self.site.settings.concurrency:
            recorded.fault = "concurrency"
            return trouble.too_many_at_once(self.site.settings)
        self._running[call.payer] += 1
        try:
            response = self._answered(call, recorded)
            fault = self.site.faults.strike(trouble.AFTERWARDS, call.operation, call.mailbox)
            if fault is not None:
                recorded.fault = fault.name
                await trouble.afterwards(fault, response)
        finally:
            self._running[call.payer] -= 1
        return response

    def _answered(self, call: Call, recorded: Recorded) -> Response:
        build = self.site.settings.build
        try:
            self.site.budgets.admit(call.payer)
            if call.operation == STREAMING:
                return self._streamed(call, recorded)
            return Response(200, [_XML], soap.envelope(OPERATIONS[call.operation](self.site, call), build))
        except soap.Fault as fault:
            return trouble.refused(fault)
        except soap.Refusal as refusal:  # refused before the operation looked at its parts
            content = soap.answer(call.operation, [soap.failure(call.operation, refusal)])
            return Response(200, [_XML], soap.envelope(content, build))

    def _streamed(self, call: Call, recorded: Recorded) -> Response:
        try:
            stream, length_s = streaming.opened(self.site, call)
        except streaming.Refused as refused:
            return Response(200, [_XML], soap.stream_envelope(refused.content, self.site.settings.build))
        body = _kept(streaming.documents(self.site, stream, length_s), recorded)
        return Response(200, [_XML], body, closed=lambda: self.nodes.close(call.charged, stream))

    def _finished(self, response: Response, request: Request, recorded: Recorded, call: Call | None = None) -> Response:
        recorded.status = response.status
        if isinstance(response.body, bytes):
            recorded.answers.append(response.body)
        response.headers.extend(self._cookies(request, call))
        return response

    def _cookies(self, request: Request, call: Call | None) -> list[tuple[str, str]]:
        """Exchange's own: who you are, where you were served, and, once per group, where your subscriptions live."""
        node = self.nodes.route(request.headers, call.account.user if call is not None else "")
        cookies = [f"X-BackEndCookie={node.cookie}; path=/EWS; secure; HttpOnly"]
        if cookie_of(request.headers, "exchangecookie") is None:
            self._visitors += 1
            cookies.append(f"exchangecookie={self._visitors:032x}; path=/; HttpOnly")
        wants_affinity = (request.headers.get("X-PreferServerAffinity") or "").lower() == "true"
        has_cookie = cookie_of(request.headers, OVERRIDE_COOKIE) is not None
        if call is not None and call.operation == "Subscribe" and wants_affinity and not has_cookie:
            cookies.append(f"{OVERRIDE_COOKIE}={node.cookie}; path=/; HttpOnly")
        return [("Set-Cookie", cookie) for cookie in cookies]


def _primary(world: World, address: str) -> str:
    mailbox = world.mailbox(address)
    return address if mailbox is None else mailbox.primary


def _operation(element: soap.Element) -> str:
    """The operation that the Body's child asks for; a fault when there is none of that name."""
    name = soap.local(element)
    operation = next((known for known, root in _ROOTS.items() if root == name), name)
    is_known = operation in OPERATIONS or operation == STREAMING
    if not is_known or element.tag != soap.m(_ROOTS.get(operation, operation)):
        raise soap.unreadable(f"the operation {name} does not exist on this server")
    return operation


async def _kept(documents: AsyncGenerator[bytes, None], recorded: Recorded) -> AsyncGenerator[bytes, None]:
    async for document in documents:
        recorded.answers.append(document)
        yield document
