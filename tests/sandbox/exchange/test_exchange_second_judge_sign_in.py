"""ews-javascript-api, unpatched, at the sandbox's doors: NTLM on its own connection, tokens, Autodiscover."""

import random
import ssl
from pathlib import Path
from typing import Any

import httpx2
import pytest

from kalends_sandbox import http
from kalends_sandbox.exchange import Settings
from kalends_sandbox.identity import Identity, Tokens
from kalends_sandbox.signpost import Signpost
from kalends_sandbox.tls import self_signed
from kalends_sandbox.world import Application, World
from sandbox.exchange.second_judge import Judged, asked, needed
from sandbox.exchange.stage import PASSWORD, USER, staged

pytestmark = [needed, pytest.mark.asyncio]

DAY = {"start": "2026-11-20T00:00:00Z", "end": "2026-11-21T00:00:00Z"}


def over_tls(path: Path, **more: Any) -> dict[str, Any]:
    return {"environment": {"NODE_EXTRA_CA_CERTS": str(path)}, **more}


async def test_it_signs_in_by_ntlm_and_a_wrong_password_is_refused(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path, random.Random(1))
    settings = Settings(sign_in=("ntlm",), extended_protection="allow")
    async with staged(260, settings, certificate.context, channel=certificate.channel) as stage:
        mine, _ = stage.book(hours=2)

        signed_in = over_tls(certificate.path, ntlm=True, user="NORTH\\svc-kalends")
        found = await asked(stage, "view", stage.room.primary, connection=signed_in, **DAY)
        with pytest.raises(Judged):
            await asked(stage, "view", stage.room.primary, connection={**signed_in, "password": "wrong"}, **DAY)

        assert [one["uid"] for one in found] == [mine.uid]


async def test_it_brings_no_channel_binding_and_is_refused_where_one_is_required(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path, random.Random(1))
    settings = Settings(sign_in=("ntlm",), extended_protection="require")
    async with staged(261, settings, certificate.context, channel=certificate.channel) as stage:
        signed_in = over_tls(certificate.path, ntlm=True, user="NORTH\\svc-kalends")

        with pytest.raises(Judged):
            await asked(stage, "view", stage.room.primary, connection=signed_in, **DAY)


async def test_it_comes_in_with_a_token_as_far_as_the_application_may(tmp_path: Path) -> None:
    certificate = self_signed(tmp_path, random.Random(1))
    made: list[Tokens] = []

    def believed(world: World) -> Tokens:
        world.applications.append(Application("rooms-app", "s3cret/+", impersonates=("list:haus-a@north.example",)))
        made.append(Tokens(world, random.Random(1)))
        return made[0]

    settings = Settings(sign_in=("oauth",))
    async with staged(263, settings, certificate.context, tokens_of=believed) as stage:
        mine, _ = stage.book(hours=2)
        identity = Identity(stage.world, stage.faults, made[0], random.Random(1))
        server = await http.serve(identity.handle, "127.0.0.1", 0, certificate.context)
        try:
            token = await asked_for_token(f"https://127.0.0.1:{server.port}", stage.url, certificate.path)
        finally:
            await server.close()

        with_token = over_tls(certificate.path, token=token)
        found = await asked(stage, "view", stage.room.primary, connection=with_token, **DAY)
        with pytest.raises(Judged, match="impersonate"):
            await asked(stage, "view", stage.ann.primary, connection=with_token, **DAY)
        with pytest.raises(Judged):
            await asked(stage, "view", stage.room.primary, connection={**with_token, "token": f"{token}x"}, **DAY)

        assert [one["uid"] for one in found] == [mine.uid]


async def asked_for_token(identity: str, exchange: str, trusted: Path) -> str:
    """As any program asks Entra or AD FS; the client leaves this to others."""
    form = {
        "grant_type": "client_credentials",
        "client_id": "rooms-app",
        "client_secret": "s3cret/+",
        "scope": f"{exchange.removesuffix('/EWS/Exchange.asmx')}/.default",
    }
    async with httpx2.AsyncClient(verify=ssl.create_default_context(cafile=str(trusted))) as client:
        answer = await client.post(f"{identity}/common/oauth2/v2.0/token", data=form)
    token = answer.json()["access_token"]
    assert isinstance(token, str)
    return token


async def test_it_is_told_where_exchange_is() -> None:
    async with staged(262, judged=False) as stage:
        stage.world.signpost = Signpost(
            "https://mail.north.example/EWS/Exchange.asmx", "https://inside.north.example/EWS"
        )
        url = stage.url.replace("/EWS/Exchange.asmx", "/autodiscover/autodiscover.svc")

        found = await asked(
            stage, "discover", connection={"url": url, "user": USER, "password": PASSWORD}, address=stage.ann.primary
        )

        assert found["external"] == "https://mail.north.example/EWS/Exchange.asmx"
        assert found["internal"] == "https://inside.north.example/EWS"
        assert found["grouping"]
