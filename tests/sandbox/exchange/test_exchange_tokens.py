"""Signing in by tokens: the token endpoint in both providers' words, and what Exchange makes of a token."""

import base64
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from kalends_sandbox import http
from kalends_sandbox.exchange import Settings
from kalends_sandbox.identity import Identity, Tokens
from kalends_sandbox.world import Application
from sandbox.exchange import wire
from sandbox.exchange.stage import Answer, Stage, staged

APP = Application("6b1f4a52-0000-4000-8000-00000000000a", "s3cret~+&%ü", "Rooms", ("list:haus-a@north.example",))
BARE = replace(APP, client_id="6b1f4a52-0000-4000-8000-00000000000b", is_granted=False)
SCOPE = "https://mail.north.example/.default"
TENANT = "north.example"


@dataclass
class Gate:
    stage: Stage
    tokens: Tokens
    url: str

    async def ask(self, path: str = f"/{TENANT}/oauth2/v2.0/token", **fields: str | None) -> httpx2.Response:
        """A request for a token; a field given as None is left out."""
        form = {"grant_type": "client_credentials", "client_id": APP.client_id, "client_secret": APP.secret}
        said = {**form, "scope": SCOPE, **fields}
        return await self.stage.client.post(
            self.url + path, data={key: value for key, value in said.items() if value is not None}
        )

    async def token(self, **fields: str | None) -> str:
        return str((await self.ask(**fields)).json()["access_token"])

    async def call(self, token: str, impersonate: str | None = "room1@north.example") -> Answer:
        headers = {"Authorization": f"Bearer {token}", "Host": "mail.north.example"}
        return await self.stage.send(wire.envelope(wire.sync(), impersonate), headers)


@asynccontextmanager
async def gated(seed: int) -> AsyncIterator[Gate]:
    tokens: list[Tokens] = []

    def believed(world: Any) -> Tokens:
        world.applications.extend([APP, BARE])
        tokens.append(Tokens(world, random.Random(seed)))
        return tokens[0]

    async with staged(seed, Settings(sign_in=("oauth", "ntlm")), tokens_of=believed) as stage:
        identity = Identity(stage.world, stage.faults, tokens[0], random.Random(seed))
        server = await http.serve(identity.handle, "127.0.0.1", 0)
        try:
            yield Gate(stage, tokens[0], f"http://127.0.0.1:{server.port}")
        finally:
            await server.close()


@pytest.mark.asyncio
async def test_a_token_lets_the_application_into_what_it_may_impersonate_and_nothing_else() -> None:
    async with gated(230) as gate:
        token = await gate.token()

        room = await gate.call(token)
        person = await gate.call(token, "ann@north.example")
        nobody = await gate.call(token, None)

        assert (room.status, room.codes) == (200, ["NoError"])
        assert (person.status, person.codes) == (500, ["ErrorImpersonateUserDenied"])
        assert (nobody.status, nobody.codes) == (500, ["ErrorInvalidExchangeImpersonationHeaderData"])
        assert gate.stage.exchange.counters()["tokens_issued"] == 1


@pytest.mark.asyncio
async def test_the_three_endpoints_answer_in_their_own_shapes_and_their_tokens_are_as_good() -> None:
    async with gated(231) as gate:
        newer = await gate.ask()
        older = await gate.ask(f"/{TENANT}/oauth2/token", scope=None, resource="https://mail.north.example/")
        adfs = await gate.ask("/adfs/oauth2/token", scope=None, resource="https://mail.north.example")

        assert newer.headers["Cache-Control"] == "no-store, no-cache"
        assert {key: value for key, value in newer.json().items() if key != "access_token"} == {
            "token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599,
        }  # fmt: skip
        assert (older.json()["expires_in"], older.json()["resource"]) == ("3599", "https://mail.north.example")
        assert (adfs.json()["token_type"], adfs.json()["expires_in"]) == ("bearer", 3599)
        for answer in (newer, older, adfs):
            assert (await gate.call(answer.json()["access_token"])).status == 200


@pytest.mark.asyncio
async def test_the_secret_may_come_in_the_authorization_header_too() -> None:
    async with gated(232) as gate:
        credentials = httpx2.QueryParams({"": APP.secret})
        encoded = str(credentials).removeprefix("=")
        basic = base64.b64encode(f"{APP.client_id}:{encoded}".encode()).decode()

        answer = await gate.stage.client.post(
            f"{gate.url}/{TENANT}/oauth2/v2.0/token",
            data={"grant_type": "client_credentials", "scope": SCOPE},
            headers={"Authorization": f"Basic {basic}"},
        )

        assert answer.status_code == 200


REFUSALS = {
    "wrong secret": ({"client_secret": "wrong"}, 401, "invalid_client", 7000215, 9622),
    "no secret": ({"client_secret": None}, 401, "invalid_client", 7000218, None),
    "unknown application": ({"client_id": "nobody"}, 400, "unauthorized_client", 700016, 9607),
    "no application": ({"client_id": None}, 400, "invalid_request", 900144, 9605),
    "no grant": ({"grant_type": None}, 400, "invalid_request", 900144, 9605),
    "another grant": ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003, 9611),
    "no scope": ({"scope": None}, 400, "invalid_request", 900144, None),
    "a scope by name": ({"scope": "https://mail.north.example/EWS.Read"}, 400, "invalid_scope", 1002012, None),
    "a strange resource": ({"scope": "https://mail.south.example/.default"}, 400, "invalid_resource", 500011, None),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("why", REFUSALS)
async def test_the_endpoint_says_no_in_the_words_of_entra_and_of_adfs(why: str) -> None:
    fields, status, error, number, adfs_number = REFUSALS[why]
    async with gated(233) as gate:
        entra = await gate.ask(**fields)
        adfs = await gate.ask("/adfs/oauth2/token", **fields)

        said = entra.json()
        assert (entra.status_code, said["error"], said["error_codes"]) == (status, error, [number])
        assert said["error_description"].startswith(f"AADSTS{number}: ")
        assert f"Timestamp: {gate.stage.world.clock.now():%Y-%m-%d}" in said["error_description"]
        assert APP.secret not in entra.text
        if adfs_number is not None:
            assert adfs.status_code == 400
            assert adfs.json()["error_description"].startswith(f"MSIS{adfs_number}: ")
        assert gate.tokens.issued == 0


@pytest.mark.asyncio
async def test_other_tenants_methods_paths_and_bodies_get_no_token() -> None:
    async with gated(234) as gate:
        tenant = await gate.ask("/south.example/oauth2/v2.0/token")
        got = await gate.stage.client.get(f"{gate.url}/{TENANT}/oauth2/v2.0/token")
        lost = await gate.ask("/oauth2/v2.0")
        as_json = await gate.stage.client.post(
            f"{gate.url}/{TENANT}/oauth2/v2.0/token", json={"grant_type": "client_credentials"}
        )

        assert tenant.json()["error_codes"] == [90002]
        assert got.json()["error_codes"] == [900561]
        assert lost.status_code == 404
        assert as_json.json()["error_codes"] == [900144]
        by_id = await gate.ask(f"/{gate.stage.world.tenant_id}/oauth2/v2.0/token")
        assert by_id.status_code == 200


@pytest.mark.asyncio
async def test_a_token_ends_by_the_worlds_clock_with_five_minutes_grace() -> None:
    async with gated(235) as gate:
        token = await gate.token()
        codes = []
        for minutes in (59, 4, 3):
            gate.stage.world.clock.set(gate.stage.world.clock.now() + timedelta(minutes=minutes))
            codes.append((await gate.call(token)).status)
        late = await gate.call(token)

        assert codes == [200, 200, 401]
        assert late.headers["x-ms-diagnostics"].startswith("2000001;reason=")
        assert 'error_category="invalid_token"' in late.headers["x-ms-diagnostics"]
        bearer, ntlm = late.headers.get_list("WWW-Authenticate")
        assert bearer.startswith("Bearer client_id=")
        assert bearer.endswith('error="invalid_token"')
        assert ntlm == "NTLM"


@pytest.mark.asyncio
async def test_a_token_that_is_forged_foreign_or_without_rights_is_told_why_it_fails() -> None:
    async with gated(236) as gate:
        token = await gate.token()
        head, claims, signature = token.split(".")
        changed = json.loads(base64.urlsafe_b64decode(claims + "=="))
        changed["appid"] = BARE.client_id
        forged = base64.urlsafe_b64encode(json.dumps(changed).encode()).decode().rstrip("=")
        tokens = {
            "2000001": [f"{head}.{forged}.{signature}", "x", "a.b.c", token[:-3]],
            "2000003": [await gate.token(scope="https://autodiscover.north.example/.default")],
            "2000008": [await gate.token(client_id=BARE.client_id)],
        }

        for number, bad in tokens.items():
            for one in bad:
                answer = await gate.call(one)
                assert answer.status == 401
                assert answer.headers["x-ms-diagnostics"].startswith(number + ";")
        assert (await gate.call(token)).status == 200


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("resource", "status"),
    [
        ("https://mail.north.example", 200),
        ("https://MAIL.north.example:8443", 200),
        ("https://outlook.office365.com", 200),
        ("https://north.example", 401),
        ("https://127.0.0.1", 401),
    ],
)
async def test_a_token_is_good_where_its_audience_is(resource: str, status: int) -> None:
    async with gated(2360) as gate:
        token = await gate.token(scope=f"{resource}/.default")

        assert (await gate.call(token)).status == status


@pytest.mark.asyncio
async def test_without_a_token_there_is_an_offer_and_no_diagnosis() -> None:
    async with gated(237) as gate:
        answer = await gate.stage.send(wire.envelope(wire.sync()), {"Authorization": ""})

        assert answer.status == 401
        assert "x-ms-diagnostics" not in answer.headers
        assert "error=" not in answer.headers["WWW-Authenticate"]


@pytest.mark.asyncio
async def test_a_revoked_token_and_a_troubled_endpoint_can_be_played() -> None:
    async with gated(238) as gate:
        token = await gate.token()
        gate.stage.faults.add("http_401", operation="SyncFolderItems", count=1)
        gate.stage.faults.add("http_503", operation="Token", count=1)
        gate.stage.faults.add("reset_after_processing", operation="Token", count=1)

        revoked = await gate.call(token)
        busy = await gate.ask()
        with pytest.raises(httpx2.TransportError):
            await gate.ask()
        after = await gate.ask()

        assert (revoked.status, "revoked" in revoked.headers["x-ms-diagnostics"]) == (401, True)
        assert (busy.status_code, after.status_code) == (503, 200)


@pytest.mark.asyncio
async def test_an_application_is_no_account_and_has_no_password() -> None:
    async with gated(239) as gate:
        assert gate.stage.world.account(APP.client_id) is None
