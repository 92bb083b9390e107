"""exchangelib 5.6, unpatched, finds its way by Autodiscover: its resolver and its connections lead to loopback, nothing else.

The names it asks for are real ones to it, with real certificates checked for them; only ports and addresses are ours.
"""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import dns.resolver
import exchangelib.autodiscover.cache
import pytest
import requests.adapters
from exchangelib import IMPERSONATION, Account, EWSTimeZone
from exchangelib.autodiscover import Autodiscovery
from exchangelib.credentials import Credentials
from exchangelib.errors import AutoDiscoverCircularRedirect, AutoDiscoverFailed, ErrorNonExistentMailbox
from exchangelib.protocol import BaseProtocol

from kalends_sandbox import http
from kalends_sandbox.exchange import Settings
from kalends_sandbox.exchange.autodiscover import redirector
from kalends_sandbox.signpost import Redirect, Signpost
from kalends_sandbox.tls import self_signed
from sandbox.exchange.stage import PASSWORD, USER, Stage, staged

R = TypeVar("R")
NAMES = (
    *("north.example", "autodiscover.north.example", "mail.north.example", "elsewhere.example"),
    "old.example",
)
PLAIN_ONLY = ("autodiscover.plain.example",)
EWS = "https://mail.north.example/EWS/Exchange.asmx"


class Tagged(Credentials):
    """What exchangelib keeps for the whole process, it keeps by credentials: each case has its own."""

    serial = itertools.count()

    def __init__(self) -> None:
        super().__init__(USER, PASSWORD)
        self.tag = next(self.serial)


@dataclass
class Dns:
    """The names that exist, and service records (priority, weight, port, host) by name."""

    names: set[str]
    services: dict[str, str] = field(default_factory=dict)

    def resolve(self, name: str, kind: str, lifetime: float) -> list[Any]:
        name = name.rstrip(".")
        if kind == "A" and name in self.names:
            return [name]
        if kind == "SRV" and name in self.services:
            return [dns.rdata.from_text("IN", "SRV", self.services[name])]
        raise dns.resolver.NXDOMAIN


@dataclass
class Country:
    stage: Stage
    dns: Dns
    asked: list[str]

    def signpost(self, *redirects: Redirect) -> None:
        self.stage.world.signpost = Signpost(EWS, redirects=redirects)

    async def account(self, address: str = "ann@north.example") -> Account:
        def discovered() -> Account:
            zone = EWSTimeZone("Europe/Berlin")
            return Account(
                address, credentials=Tagged(), autodiscover=True, access_type=IMPERSONATION, default_timezone=zone
            )

        return await judged(discovered)

    async def uids(self, account: Account) -> list[str]:
        since, until = self.stage.at(-1), self.stage.at(5)
        return await judged(lambda: [one.uid for one in account.calendar.view(since, until).only("uid")])


async def judged(call: Callable[[], R]) -> R:
    return await asyncio.wait_for(asyncio.to_thread(call), 30)


def leading_to(secure_port: int, plain_port: int, ca: Path, asked: list[str]) -> type[requests.adapters.HTTPAdapter]:
    class Loopback(requests.adapters.HTTPAdapter):
        def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
            where, tls = super().build_connection_pool_key_attributes(request, str(ca), cert)
            asked.append(f"{request.method} {request.url}")
            if where["scheme"] == "https":
                tls = {**tls, "assert_hostname": where["host"], "server_hostname": where["host"]}
            ports = {"http": plain_port, "https": 1 if where["host"] in PLAIN_ONLY else secure_port}
            return {**where, "host": "127.0.0.1", "port": ports[where["scheme"]]}, tls

        def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
            super().cert_verify(conn, url, str(ca), cert)  # type: ignore[no-untyped-call]

        def add_headers(self, request: Any, **options: Any) -> None:
            request.headers["Host"] = urlsplit(request.url).netloc  # and not loopback's

    return Loopback


@asynccontextmanager
async def country(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *names: str, **settings: Any
) -> AsyncIterator[Country]:
    certificate = self_signed(tmp_path, random.Random(1), NAMES)
    asked: list[str] = []
    told = Settings(**{"sign_in": ("ntlm",), **settings})
    async with staged(seed, told, certificate.context, channel=certificate.channel) as stage:
        port = int(stage.url.split(":")[2].split("/")[0])
        plain = await http.serve(redirector(stage.world, 443), "127.0.0.1", 0)
        dns_ = Dns({"mail.north.example", "elsewhere.example", *names})
        cache = exchangelib.autodiscover.cache
        monkeypatch.setattr(cache, "AUTODISCOVER_PERSISTENT_STORAGE", tmp_path / "exchangelib")
        monkeypatch.setattr(Autodiscovery, "resolver", dns_)
        monkeypatch.setattr(BaseProtocol, "HTTP_ADAPTER_CLS", leading_to(port, plain.port, certificate.path, asked))
        stage.world.signpost = Signpost(EWS)
        try:
            yield Country(stage, dns_, asked)
        finally:
            await plain.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["north.example", "autodiscover.north.example"])
async def test_exchangelib_finds_the_server_under_the_domain_or_its_autodiscover_name_and_reads(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with country(300, tmp_path, monkeypatch, name) as land:
        mine, _ = land.stage.book()

        account = await land.account()

        assert account.protocol.service_endpoint == EWS
        assert await land.uids(account) == [mine.uid]
        assert f"POST https://{name}/autodiscover/autodiscover.svc" in land.asked
        assert land.stage.exchange.counters()["calls"]["Autodiscover"] == 1  # type: ignore[index]


@pytest.mark.asyncio
async def test_exchangelib_signs_in_to_autodiscover_without_a_binding_where_ews_requires_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with country(301, tmp_path, monkeypatch, "north.example", extended_protection="require") as land:
        mine, _ = land.stage.book()

        assert await land.uids(await land.account()) == [mine.uid]


@pytest.mark.asyncio
async def test_exchangelib_follows_the_plain_302_that_asks_for_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with country(302, tmp_path, monkeypatch, "autodiscover.plain.example") as land:
        to = "https://mail.north.example/autodiscover/autodiscover.svc"
        land.signpost(Redirect("http", to, "autodiscover.plain.example"))
        land.stage.world.add_mailbox("Old Hand", "hand@plain.example")
        account = await land.account("hand@plain.example")

        assert account.protocol.service_endpoint == EWS
        assert "GET http://autodiscover.plain.example/autodiscover/autodiscover.svc" in land.asked


@pytest.mark.asyncio
async def test_exchangelib_follows_a_302_over_https_and_an_answer_that_names_another_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with country(303, tmp_path, monkeypatch, "north.example") as land:
        for kind in ("http", "url"):
            land.asked.clear()
            exchangelib.autodiscover.clear_cache()
            to = "https://elsewhere.example/autodiscover/autodiscover.svc"
            land.signpost(Redirect(kind, to, "north.example", after_sign_in=kind == "http"))  # type: ignore[arg-type]

            account = await land.account()

            assert account.protocol.service_endpoint == EWS
            posts = [url for url in land.asked if url.startswith("POST") and "autodiscover" in url]
            assert {url.split("/")[2] for url in posts} == {"north.example", "elsewhere.example"}


@pytest.mark.asyncio
async def test_exchangelib_begins_again_with_another_address_that_an_answer_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with country(304, tmp_path, monkeypatch, "old.example", "north.example") as land:
        land.signpost(Redirect("address", "@north.example", mailbox="*@old.example"))

        account = await land.account("bob@old.example")

        assert account.primary_smtp_address == "bob@north.example"
        assert account.protocol.service_endpoint == EWS


@pytest.mark.asyncio
async def test_exchangelib_finds_the_server_by_its_service_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with country(305, tmp_path, monkeypatch) as land:
        land.dns.services["_autodiscover._tcp.north.example"] = "10 10 443 mail.north.example."

        assert (await land.account()).protocol.service_endpoint == EWS


@pytest.mark.asyncio
async def test_exchangelib_gives_up_on_circles_and_strangers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with country(306, tmp_path, monkeypatch, "north.example") as land:
        land.signpost(Redirect("url", "https://north.example/autodiscover/autodiscover.svc"))
        with pytest.raises(AutoDiscoverFailed):
            await land.account()
        land.signpost(Redirect("address", "ann@north.example", mailbox="ann@*"))
        with pytest.raises(AutoDiscoverCircularRedirect):
            await land.account()
        land.signpost()
        with pytest.raises(ErrorNonExistentMailbox, match="nobody"):
            await land.account("nobody@north.example")
