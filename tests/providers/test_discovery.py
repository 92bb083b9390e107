"""Autodiscover against the sandbox over real TLS: every sign-in, every kind of redirect, certificates that are wrong."""

import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx2
import pytest
import trustme

from kalends.providers import http as door
from kalends.providers.exchange.autodiscover import Confirm, Found
from kalends.providers.exchange.discovery import Discovery, Wanted
from kalends.providers.exchange.settings import Way
from kalends.providers.exchange.version import Build
from kalends.providers.protocol import AuthLost, Finding, Rejected
from kalends_sandbox.exchange.autodiscover import redirector
from kalends_sandbox.http import Handler, Request, Response, serve
from kalends_sandbox.identity import Identity
from kalends_sandbox.signpost import Redirect, Signpost
from providers.exchange_stage import APPLICATION, PASSWORD, ROOM, SECRET, USER, ExchangeStage, exchange_stage

pytestmark = pytest.mark.asyncio

EWS = "https://mail.example.test/EWS/Exchange.asmx"
INSIDE = "https://exch01.corp.example.test/EWS/Exchange.asmx"
AUTHORITY = trustme.CA()
STRANGER = trustme.CA()
SVC, XML = "/autodiscover/autodiscover.svc", "/autodiscover/autodiscover.xml"


@dataclass
class Rerouted(httpx2.AsyncBaseTransport):
    """The real transport, with the test's own idea of where each name lives. TLS is judged by the name."""

    inner: httpx2.AsyncBaseTransport
    ports: dict[tuple[str, str], int]

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        port = self.ports.get((request.url.scheme, request.url.host))
        if port is None:
            raise httpx2.ConnectError("nobody lives there")
        request.extensions = {**request.extensions, "sni_hostname": request.url.host}
        request.url = request.url.copy_with(host="127.0.0.1", port=port)
        return await self.inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


@dataclass
class Town:
    """Names, who lives there, and whatever was sent to them."""

    stage: ExchangeStage
    stack: AsyncExitStack
    ports: dict[tuple[str, str], int] = field(default_factory=dict)
    visits: list[tuple[str, Request]] = field(default_factory=list)

    async def settle(self, handler: Handler, *names: str, by: trustme.CA | None = AUTHORITY) -> None:
        """Each name under a port of its own, by https with a certificate of this authority; by http without one."""
        for name in names:
            context = None
            if by is not None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                by.issue_cert(name).configure_cert(context)
            server = await serve(self._watched(name, handler), "127.0.0.1", 0, context)
            self.stack.push_async_callback(server.close)
            self.ports["http" if by is None else "https", name] = server.port

    def _watched(self, name: str, handler: Handler) -> Handler:
        async def watched(request: Request) -> Response:
            self.visits.append((name, request))
            return await handler(request)

        return watched

    async def settle_exchange(self, *names: str) -> None:
        await self.settle(self.stage.exchange.handle, *names)

    def signed_in_at(self) -> set[str]:
        """The names that were shown credentials."""
        return {name for name, request in self.visits if "Authorization" in request.headers}

    def knew_the_mailbox(self) -> set[str]:
        return {name for name, request in self.visits if ROOM.encode() in request.body}


@asynccontextmanager
async def town(monkeypatch: pytest.MonkeyPatch, way: Way = "ntlm", **settings: Any) -> AsyncIterator[Town]:
    async with exchange_stage(way=way, **settings) as stage, AsyncExitStack() as stack:
        made = Town(stage, stack)
        network = door._network
        monkeypatch.setattr(door, "_network", lambda trusted, most: Rerouted(network(trusted, most), made.ports))
        stage.world.signpost = Signpost(EWS, INSIDE, "Berlin")
        yield made


@dataclass
class Search:
    found: Found
    steps: list[Finding]
    asked: list[str]
    """Hosts that the admin was asked about."""


async def search(
    town: Town,
    way: Way = "ntlm",
    password: str = PASSWORD,
    typed: str | None = None,
    yes: Iterable[str] = (),
    mailbox: str = ROOM,
    steps: list[Finding] | None = None,
) -> Search:
    steps = [] if steps is None else steps
    settings: dict[str, Any] = {"username": USER, "sign_in": way, "authority_pem": AUTHORITY.cert_pem.bytes().decode()}
    if way == "oauth":
        settings |= {"token_url": "https://adfs.example.test/adfs/oauth2/token", "client_id": APPLICATION}
        settings |= {"username": ROOM, "scope": "https://mail.example.test/.default"}
    asked: list[str] = []

    async def confirm(question: Confirm) -> bool:
        asked.append(question.host)
        return question.host in yes

    secrets = {"password": password, "client_secret": SECRET}
    discovery = Discovery.of(settings, secrets, Wanted(mailbox, typed), Random(1), town.stage.world.clock.now)
    try:
        found = await discovery.run(confirm, steps.append)
    finally:
        await discovery.aclose()
    return Search(found, steps, asked)


async def test_the_addresses_are_found_at_the_autodiscover_name_of_the_mail_domain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with town(monkeypatch) as there:
        await there.settle_exchange("autodiscover.example.test")

        done = await search(there)

    assert done.found == Found(EWS, INSIDE, "Berlin", Build(15, 2, 1748, 10), f"https://autodiscover.example.test{SVC}")
    assert [(step.step, step.ok) for step in done.steps] == [
        (f"https://example.test{SVC}", False),
        (f"https://autodiscover.example.test{SVC}", True),
    ]
    assert done.asked == []


@pytest.mark.parametrize("way", ["basic", "ntlm"])
async def test_each_way_to_sign_in_works_and_comes_second(monkeypatch: pytest.MonkeyPatch, way: Way) -> None:
    async with town(monkeypatch, way) as there:
        await there.settle_exchange("autodiscover.example.test")

        done = await search(there, way)

    first, *_, last = (request for _, request in there.visits)
    assert done.found.external == EWS
    assert ("Authorization" in first.headers, first.body) == (False, b"")
    assert "Authorization" in last.headers


async def test_a_token_is_fetched_and_shown_to_a_server_that_offers_to_take_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with town(monkeypatch, "oauth") as there:
        await there.settle_exchange("mail.example.test")
        identity = Identity(there.stage.world, there.stage.faults, there.stage.tokens, Random(2))
        await there.settle(identity.handle, "adfs.example.test")

        done = await search(there, "oauth", typed="https://mail.example.test")

    assert done.found.external == EWS
    assert {name for name, request in there.visits if SECRET.split()[1].encode() in request.body} == {
        "adfs.example.test"
    }


async def test_a_server_that_takes_tokens_but_says_so_only_to_those_who_have_one_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with town(monkeypatch, "oauth") as there:

        async def shy(request: Request) -> Response:
            answer = await there.stage.exchange.handle(request)
            if "Authorization" not in request.headers:
                answer.headers = [(name, value) for name, value in answer.headers if "Bearer" not in value]
            return answer

        await there.settle(shy, "mail.example.test")
        identity = Identity(there.stage.world, there.stage.faults, there.stage.tokens, Random(2))
        await there.settle(identity.handle, "adfs.example.test")

        done = await search(there, "oauth", typed="https://mail.example.test")

    first, *_ = (request for name, request in there.visits if name == "mail.example.test")
    assert done.found.external == EWS
    assert (first.headers.get("Authorization"), first.body) == ("Bearer", b"")


async def test_pox_is_asked_where_there_is_no_soap(monkeypatch: pytest.MonkeyPatch) -> None:
    async with town(monkeypatch) as there:

        async def old(request: Request) -> Response:
            return Response(404) if request.path.endswith(".svc") else await there.stage.exchange.handle(request)

        await there.settle(old, "autodiscover.example.test")

        done = await search(there)

    assert (done.found.external, done.found.internal) == (EWS, INSIDE)
    assert done.found.source == f"https://autodiscover.example.test{XML}"


@pytest.mark.parametrize("after_sign_in", [False, True])
async def test_a_302_is_followed_once_its_host_is_confirmed(
    monkeypatch: pytest.MonkeyPatch, after_sign_in: bool
) -> None:
    async with town(monkeypatch) as there:
        await there.settle_exchange("autodiscover.example.test", "exchange.hoster.test")
        moved = Redirect("http", f"https://exchange.hoster.test{XML}", "autodiscover.*", after_sign_in=after_sign_in)
        there.stage.world.signpost = Signpost(EWS, INSIDE, redirects=(moved,))

        done = await search(there, yes=["exchange.hoster.test"])

    assert done.asked == ["exchange.hoster.test"]
    assert done.found.source == f"https://exchange.hoster.test{SVC}"


async def test_an_answer_that_names_another_url_is_followed_once_its_host_is_confirmed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with town(monkeypatch) as there:
        await there.settle_exchange("autodiscover.example.test", "exchange.hoster.test")
        moved = Redirect("url", f"https://exchange.hoster.test{SVC}", "autodiscover.*")
        there.stage.world.signpost = Signpost(EWS, INSIDE, redirects=(moved,))

        done = await search(there, yes=["exchange.hoster.test"])

    assert done.asked == ["exchange.hoster.test"]
    assert done.found.source == f"https://exchange.hoster.test{SVC}"


async def test_an_answer_that_names_another_mailbox_is_followed_once_its_host_is_confirmed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with town(monkeypatch) as there:
        await there.settle_exchange("autodiscover.example.test", "autodiscover.elsewhere.test")
        moved = Redirect("address", "secret@elsewhere.test", "autodiscover.example.test")
        there.stage.world.signpost = Signpost(EWS, INSIDE, redirects=(moved,))

        done = await search(there, yes=["autodiscover.elsewhere.test"])

    assert done.asked == ["elsewhere.test", "autodiscover.elsewhere.test"]
    assert done.found.source == f"https://autodiscover.elsewhere.test{SVC}"


async def test_plain_http_sends_on_to_https_and_learns_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with town(monkeypatch) as there:
        await there.settle_exchange("mail.example.test")
        moved = Redirect("http", f"https://mail.example.test{XML}", "autodiscover.*")
        there.stage.world.signpost = Signpost(EWS, INSIDE, redirects=(moved,))
        await there.settle(redirector(there.stage.world, 443), "autodiscover.example.test", by=None)

        done = await search(there, yes=["mail.example.test"])

    (plain,) = (request for name, request in there.visits if name == "autodiscover.example.test")
    assert done.found.external == EWS
    assert (plain.method, plain.body, "Authorization" in plain.headers) == ("GET", b"", False)
    assert b"kalends" not in repr(list(plain.headers)).lower().encode()


@pytest.mark.parametrize("kind", ["http", "url", "address"])
async def test_what_is_not_confirmed_never_hears_a_word(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    async with town(monkeypatch) as there:
        await there.settle_exchange("autodiscover.example.test", "evil.test", "autodiscover.evil.test")
        target = "secret@evil.test" if kind == "address" else f"https://evil.test{SVC}"
        there.stage.world.signpost = Signpost(EWS, INSIDE, redirects=(Redirect(kind, target, "autodiscover.*"),))

        with pytest.raises(Rejected, match="gave an EWS address"):
            await search(there)

    assert {name for name, _ in there.visits} == {"autodiscover.example.test"}


async def test_an_address_that_was_typed_may_be_anybodys(monkeypatch: pytest.MonkeyPatch) -> None:
    async with town(monkeypatch) as there:
        await there.settle_exchange("exchange.hoster.test", "autodiscover.example.test")

        done = await search(there, typed="https://exchange.hoster.test")

    assert done.found.source == f"https://exchange.hoster.test{SVC}"
    assert {name for name, _ in there.visits} == {"exchange.hoster.test"}


async def test_a_wrong_password_is_sent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with town(monkeypatch, "basic") as there:
        await there.settle_exchange("example.test", "autodiscover.example.test")

        with pytest.raises(AuthLost, match="Nothing else was tried"):
            await search(there, "basic", password="wrong", yes=["example.test"])

    signed = [name for name, request in there.visits if "Authorization" in request.headers]
    assert signed == ["example.test"]


async def test_a_bare_mail_domain_does_not_hear_the_password_of_basic_unless_it_was_typed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with town(monkeypatch, "basic") as there:
        await there.settle_exchange("example.test", "autodiscover.example.test")

        done = await search(there, "basic")

    assert done.asked == ["example.test"]
    assert done.found.source == f"https://autodiscover.example.test{SVC}"
    assert there.signed_in_at() == {"autodiscover.example.test"}


@pytest.mark.parametrize("way", ["ntlm", "basic"])
async def test_a_server_that_wants_another_sign_in_gets_none(monkeypatch: pytest.MonkeyPatch, way: Way) -> None:
    offered = ("basic",) if way == "ntlm" else ("negotiate", "ntlm")
    async with town(monkeypatch, way, sign_in=offered) as there:
        await there.settle_exchange("example.test", "autodiscover.example.test")

        with pytest.raises(Rejected):
            await search(there, way)

    assert len(there.visits) == 4
    assert there.signed_in_at() == there.knew_the_mailbox() == set()


async def test_a_server_whose_certificate_is_not_trusted_gets_no_request_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with town(monkeypatch, "basic") as there:
        await there.settle(there.stage.exchange.handle, "example.test", by=STRANGER)
        await there.settle_exchange("autodiscover.example.test")
        there.ports["https", "autodiscover.example.test"] = there.ports["https", "example.test"]

        with pytest.raises(Rejected):
            await search(there, "basic")

    assert there.visits == []


async def test_a_certificate_for_another_name_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    async with town(monkeypatch, "basic") as there:
        await there.settle_exchange("www.example.test")
        for name in ("example.test", "autodiscover.example.test"):
            there.ports["https", name] = there.ports["https", "www.example.test"]

        with pytest.raises(Rejected):
            await search(there, "basic")

    assert there.visits == []


async def test_an_unknown_mailbox_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[Finding] = []
    async with town(monkeypatch) as there:
        await there.settle_exchange("autodiscover.example.test")

        with pytest.raises(Rejected, match="The steps say why"):
            await search(there, mailbox="nobody@example.test", steps=steps)

    assert any("knows nothing of this mailbox (InvalidUser)" in step.detail for step in steps)
