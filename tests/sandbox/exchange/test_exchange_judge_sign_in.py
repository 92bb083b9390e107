"""exchangelib 5.6, unpatched, signs in: by NTLM bound to its TLS channel, by Basic, and by tokens."""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests.adapters
from exchangelib import BASIC, IMPERSONATION, NTLM, OAUTH2, Account, Build, Configuration, EWSTimeZone, FailFast
from exchangelib import Identity as Whom
from exchangelib.credentials import BaseCredentials, Credentials, OAuth2Credentials
from exchangelib.errors import ErrorImpersonateUserDenied, UnauthorizedError
from exchangelib.protocol import BaseProtocol
from exchangelib.version import Version
from oauthlib.oauth2 import InvalidClientError

from kalends_sandbox import http
from kalends_sandbox.exchange import Settings
from kalends_sandbox.identity import Identity, Tokens
from kalends_sandbox.tls import Certificate, self_signed
from kalends_sandbox.world import Application, World
from sandbox.exchange.stage import PASSWORD, USER, Stage, staged

R = TypeVar("R")


class Tokened(OAuth2Credentials):
    """The sandbox's token endpoint and the server's own name in place of Microsoft's, as a subclass may say."""

    endpoint = ""
    resource = ""

    @property
    def token_url(self) -> str:
        return self.endpoint

    @property
    def scope(self) -> list[str]:
        return [f"{self.resource}/.default"]


class Tagged(Credentials):
    """exchangelib keeps one connection pool per (URL, credentials) for the whole process: a tag gives each its own."""

    def __init__(self, username: str, password: str, tag: str = "") -> None:
        super().__init__(username, password)
        self.tag = tag


async def judged(call: Callable[[], R]) -> R:
    """exchangelib blocks; the server lives on this loop."""
    return await asyncio.wait_for(asyncio.to_thread(call), 30)


def account(
    stage: Stage, address: str, credentials: BaseCredentials, auth_type: str | None, access_type: str = IMPERSONATION
) -> Account:
    config = Configuration(
        service_endpoint=stage.url,
        credentials=credentials,
        auth_type=auth_type,
        version=Version(Build(15, 2, 1748, 10)),
        retry_policy=FailFast(),
        max_connections=3,
    )
    zone = EWSTimeZone("Europe/Berlin")
    return Account(address, config=config, autodiscover=False, access_type=access_type, default_timezone=zone)


def trusting(certificate: Certificate) -> type[requests.adapters.HTTPAdapter]:
    class Trusting(requests.adapters.HTTPAdapter):
        def get_connection_with_tls_context(
            self, request: Any, verify: Any, proxies: Any = None, cert: Any = None
        ) -> Any:
            return super().get_connection_with_tls_context(request, str(certificate.path), proxies, cert)

        def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
            super().cert_verify(conn, url, str(certificate.path), cert)  # type: ignore[no-untyped-call]

    return Trusting


def uids(stage: Stage, found: Account) -> list[str]:
    return [one.uid for one in found.calendar.view(stage.at(-1), stage.at(5)).only("uid")]


@pytest.mark.asyncio
async def test_exchangelib_signs_in_by_ntlm_where_extended_protection_is_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path, random.Random(1))
    monkeypatch.setattr(BaseProtocol, "HTTP_ADAPTER_CLS", trusting(certificate))
    settings = Settings(sign_in=("ntlm", "negotiate"), extended_protection="require")
    async with staged(220, settings, certificate.context, channel=certificate.channel) as stage:
        mine, _ = stage.book()
        for user in (USER, "NORTH\\svc-kalends"):
            found = account(stage, stage.room.primary, Tagged(user, PASSWORD, "ntlm"), NTLM)

            assert await judged(lambda found=found: uids(stage, found)) == [mine.uid]  # type: ignore[misc]
        detected = account(stage, stage.ann.primary, Tagged(USER, PASSWORD, "detected"), None)
        assert await judged(lambda: uids(stage, detected)) == [mine.uid]
        assert detected.protocol.auth_type == NTLM


@pytest.mark.asyncio
async def test_exchangelib_is_refused_with_a_wrong_password_and_where_its_method_is_not_offered() -> None:
    async with staged(221, Settings(sign_in=("ntlm",))) as stage:
        wrong = account(stage, stage.room.primary, Tagged(USER, "wrong", "221"), NTLM)
        other = account(stage, stage.room.primary, Tagged(USER, PASSWORD, "221 basic"), BASIC)

        for refused in (wrong, other):
            with pytest.raises(UnauthorizedError):
                await judged(lambda refused=refused: uids(stage, refused))  # type: ignore[misc]


@asynccontextmanager
async def in_between(stage: Stage, certificate: Certificate, own: Certificate) -> AsyncIterator[str]:
    """A proxy that opens the TLS and closes it again under a certificate of its own, as inspection devices do."""
    upstream_port = int(stage.url.split(":")[2].split("/")[0])
    upstream = ssl.create_default_context(cafile=str(certificate.path))
    tasks: list[asyncio.Task[None]] = []

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", upstream_port, ssl=upstream)
        tasks.extend([asyncio.create_task(pipe(reader, there[1])), asyncio.create_task(pipe(there[0], writer))])

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=own.context)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/EWS/Exchange.asmx"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.asyncio
@pytest.mark.parametrize(("protection", "comes_in"), [("require", False), ("allow", False), ("none", True)])
async def test_exchangelib_behind_a_proxy_that_breaks_tls_is_refused_unless_protection_is_off(
    protection: Any,
    comes_in: bool,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    certificate = self_signed(tmp_path, random.Random(1))
    own = self_signed(tmp_path_factory.mktemp("proxy"), random.Random(2))
    settings = Settings(sign_in=("ntlm",), extended_protection=protection)
    async with staged(222, settings, certificate.context, channel=certificate.channel) as stage:
        mine, _ = stage.book()
        async with in_between(stage, certificate, own) as stage.url:
            monkeypatch.setattr(BaseProtocol, "HTTP_ADAPTER_CLS", trusting(own))
            found = account(stage, stage.room.primary, Tagged(USER, PASSWORD, f"222 {protection}"), NTLM)

            if comes_in:
                assert await judged(lambda: uids(stage, found)) == [mine.uid]
            else:
                with pytest.raises(UnauthorizedError):
                    await judged(lambda: uids(stage, found))


@pytest.mark.asyncio
async def test_exchangelib_signs_in_by_tokens_impersonates_within_scope_and_fetches_a_new_one_when_the_old_one_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path, random.Random(1))
    monkeypatch.setattr(BaseProtocol, "HTTP_ADAPTER_CLS", trusting(certificate))
    made: list[Tokens] = []

    def believed(world: World) -> Tokens:
        world.applications.append(Application("rooms-app", "s3cret/+", impersonates=("list:haus-a@north.example",)))
        made.append(Tokens(world, random.Random(1)))
        return made[0]

    settings = Settings(sign_in=("oauth",))
    async with staged(223, settings, certificate.context, tokens_of=believed) as stage:
        identity = Identity(stage.world, stage.faults, made[0], random.Random(1))
        server = await http.serve(identity.handle, "127.0.0.1", 0, certificate.context)
        monkeypatch.setattr(Tokened, "endpoint", f"https://127.0.0.1:{server.port}/common/oauth2/v2.0/token")
        monkeypatch.setattr(Tokened, "resource", stage.url.removesuffix("/EWS/Exchange.asmx"))
        try:
            mine, _ = stage.book()
            identities = (stage.room.primary, stage.ann.primary)
            credentials = {
                one: Tokened("rooms-app", "s3cret/+", "", identity=Whom(primary_smtp_address=one)) for one in identities
            }
            room = account(stage, stage.room.primary, credentials[stage.room.primary], OAUTH2)
            person = account(stage, stage.ann.primary, credentials[stage.ann.primary], OAUTH2)
            wrong = account(stage, stage.room.primary, Tokened("rooms-app", "wrong", ""), OAUTH2)

            assert await judged(lambda: uids(stage, room)) == [mine.uid]
            with pytest.raises(ErrorImpersonateUserDenied):
                await judged(lambda: uids(stage, person))
            with pytest.raises(InvalidClientError, match="7000215"):
                await judged(lambda: uids(stage, wrong))
            issued = made[0].issued
            stage.world.clock.set(stage.world.clock.now() + timedelta(hours=2))
            with pytest.raises(UnauthorizedError):
                await judged(lambda: uids(stage, room))
            assert await judged(lambda: uids(stage, account(stage, stage.room.primary, room.protocol.credentials,
                                                            OAUTH2))) == [mine.uid]  # fmt: skip
            assert made[0].issued > issued
        finally:
            await server.close()
