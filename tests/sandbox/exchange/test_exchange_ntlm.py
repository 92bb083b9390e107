"""NTLM: a challenge and a response, bound to the connection and, by Extended Protection, to its TLS channel."""

import base64
import random
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from spnego._ntlm_raw.messages import AvId, Challenge

from kalends_sandbox.exchange import Settings
from kalends_sandbox.exchange.ntlm import Protection
from kalends_sandbox.tls import Certificate, Digest, self_signed
from sandbox.exchange import wire
from sandbox.exchange.line import Said, connected
from sandbox.exchange.stage import PASSWORD, USER, Stage, staged

NTLM = Settings(sign_in=("ntlm", "negotiate"))
ROOM = "room1@north.example"
OTHER_CHANNEL = b"tls-server-end-point:" + bytes(32)


def body(impersonate: str | None = ROOM) -> bytes:
    return wire.envelope(wire.sync(), impersonate)


def port_of(stage: Stage) -> str:
    return stage.url.removesuffix("/EWS/Exchange.asmx").rpartition(":")[2]


@pytest.mark.asyncio
@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate"])
@pytest.mark.parametrize(
    "user",
    [USER, "NORTH\\svc-kalends", "north.example\\svc-kalends", "\\svc-kalends@north.example", "SVC-Kalends"],
)
async def test_whoever_proves_the_password_is_in_under_any_of_the_accounts_names(user: str, scheme: str) -> None:
    async with staged(200, NTLM) as stage, connected(stage.url) as line:
        answer = await line.sign_in(body(), user, PASSWORD, scheme=scheme)

        assert answer.status == 200
        assert stage.exchange.counters()["calls"] == {"SyncFolderItems": 1}
        assert stage.exchange.counters()["refused_sign_ins"] == 0


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("user", "password"),
    [(USER, "wrong"), ("nobody@north.example", PASSWORD), ("SOUTH\\svc-kalends", PASSWORD), ("narrow", PASSWORD)],
    ids=["wrong password", "nobody", "another domain", "somebody else's password"],
)
async def test_whoever_does_not_gets_every_offer_again(user: str, password: str) -> None:
    async with staged(201, NTLM) as stage, connected(stage.url) as line:
        answer = await line.sign_in(body(), user, password)
        again = await line.post(body())

        assert (answer.status, answer.all("WWW-Authenticate")) == (401, ["Negotiate", "NTLM"])
        assert again.status == 401
        assert stage.exchange.counters()["refused_sign_ins"] == 2
        assert stage.exchange.counters()["calls"] == {}


@pytest.mark.asyncio
async def test_the_connection_is_signed_in_and_no_other() -> None:
    async with staged(202, NTLM) as stage, connected(stage.url) as line, connected(stage.url) as other:
        first = await line.sign_in(body(), USER, PASSWORD)
        second = await line.post(body())
        stranger = await other.post(body())
        third = await line.post(body())

        assert [first.status, second.status, stranger.status, third.status] == [200, 200, 401, 200]


@pytest.mark.asyncio
async def test_a_response_is_worth_nothing_on_another_connection_or_a_second_time() -> None:
    async with staged(203, NTLM) as stage, connected(stage.url) as line, connected(stage.url) as thief:
        challenge = await line.challenge(USER, PASSWORD)
        response = line.response(challenge)
        await thief.challenge(USER, "unknown to the thief")

        stolen = await thief.post(body(), response)
        rightful = await line.post(body(), response)
        repeated = await line.post(body(), response)

        assert [stolen.status, rightful.status, repeated.status] == [401, 200, 401]


@pytest.mark.asyncio
async def test_each_connection_gets_a_challenge_of_its_own_with_the_worlds_names_and_time() -> None:
    async with staged(204, NTLM) as stage, connected(stage.url) as one, connected(stage.url) as two:
        tokens = [
            base64.b64decode((await line.challenge(USER, PASSWORD)).all("WWW-Authenticate")[0].removeprefix("NTLM "))
            for line in (one, two)
        ]

        assert tokens[0][24:32] != tokens[1][24:32]
        assert "north.example".encode("utf-16-le") in tokens[0]
        ticks = int((stage.world.clock.now().timestamp() + 11_644_473_600) * 10_000_000)
        assert abs(int.from_bytes(tokens[0][-12:-4], "little") - ticks) < 10_000_000


@pytest.mark.asyncio
async def test_a_new_first_message_begins_anew_and_forgets_who_was_signed_in() -> None:
    async with staged(205, NTLM) as stage, connected(stage.url) as line:
        await line.challenge(USER, PASSWORD)
        after_two = await line.sign_in(body(), USER, PASSWORD)
        await line.challenge("narrow", "narrow")

        half_way = await line.post(body())

        assert (after_two.status, half_way.status) == (200, 401)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "authorization",
    [
        *("NTLM", "NTLM %%%", "NTLM AAAA", "NTLM " + base64.b64encode(b"NTLMSSP\0\1\0\0\0").decode()),
        "NTLM " + base64.b64encode(b"NTLMSSP\0\3\0\0\0" + b"\xff" * 80).decode(),
        "NTLM " + "A" * 40_000,
        "Kerberos x",
        "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
    ],
    ids=["empty", "not base64", "no message", "cut short", "garbled", "endless", "unknown", "not offered"],
)
async def test_what_is_no_handshake_or_not_offered_is_refused(authorization: str) -> None:
    async with staged(206, NTLM) as stage, connected(stage.url) as line:
        at_once = await line.post(body(), authorization)
        await line.challenge(USER, PASSWORD)
        half_way = await line.post(body(), authorization)

        assert [at_once.status, half_way.status] == [401, 401]
        assert (await line.sign_in(body(), USER, PASSWORD)).status == 200


@pytest.mark.asyncio
async def test_a_message_changed_on_its_way_is_refused_by_its_integrity_code() -> None:
    async with staged(207, NTLM) as stage, connected(stage.url) as line:
        challenge = await line.challenge(USER, PASSWORD)
        scheme, _, encoded = line.response(challenge).partition(" ")
        token = bytearray(base64.b64decode(encoded))
        token[60] ^= 0x10  # a flag: the proof itself does not cover it

        answer = await line.post(body(), f"{scheme} {base64.b64encode(token).decode()}")

        assert answer.status == 401


@pytest.mark.asyncio
@pytest.mark.parametrize(("password", "status"), [(PASSWORD, 200), ("wrong", 401)])
async def test_an_older_client_without_integrity_code_is_judged_by_its_proof_alone(password: str, status: int) -> None:
    async with staged(213, NTLM) as stage, connected(stage.url) as line:
        offered = await line.challenge(USER, password)
        challenge = Challenge.unpack(base64.b64decode(offered.all("WWW-Authenticate")[0].removeprefix("NTLM ")))
        pairs = challenge.target_info
        assert pairs is not None
        del pairs[AvId.timestamp]  # a client that sees no time sends no code
        bare = Challenge(challenge.flags, challenge.server_challenge, challenge.target_name, pairs, challenge.version)
        response = line.response(
            Said(401, [("www-authenticate", f"NTLM {base64.b64encode(bare.pack()).decode()}")], b"")
        )

        assert (await line.post(body(), response)).status == status


@pytest.mark.asyncio
async def test_an_offer_for_each_method_in_exchanges_order() -> None:
    settings = Settings(sign_in=("basic", "ntlm", "negotiate"))
    async with staged(208, settings) as stage, connected(stage.url) as line:
        answer = await line.post(body())
        by_password = await line.post(body(), stage.account_headers()["Authorization"])

        assert answer.all("WWW-Authenticate") == ["Negotiate", "NTLM", 'Basic realm="mail.north.example"']
        assert by_password.status == 200


@pytest.mark.asyncio
async def test_a_refusal_played_by_a_fault_costs_the_connection_its_sign_in() -> None:
    async with staged(209, NTLM) as stage, connected(stage.url) as line:
        await line.sign_in(body(), USER, PASSWORD)
        stage.faults.add("http_401", count=1)

        refused, after = await line.post(body()), await line.post(body())

        assert [refused.status, after.status] == [401, 401]


def certificate(folder: Path, digest: Digest | None = None) -> tuple[Certificate, ssl.SSLContext]:
    made = self_signed(folder, random.Random(1), digest=digest)
    return made, ssl.create_default_context(cafile=str(made.path))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("protection", "without", "right", "wrong", "zeros"),
    [("none", 200, 200, 200, 200), ("allow", 200, 200, 401, 200), ("require", 401, 200, 401, 401)],
)
async def test_extended_protection_judges_the_binding_as_it_is_set(
    protection: Protection, without: int, right: int, wrong: int, zeros: int, tmp_path: Path
) -> None:
    made, trusting = certificate(tmp_path)
    settings = Settings(sign_in=("ntlm",), extended_protection=protection)
    async with staged(210, settings, made.context, channel=made.channel) as stage:
        found = []
        for binding in (None, made.channel, OTHER_CHANNEL):
            async with connected(stage.url, trusting) as line:
                found.append((await line.sign_in(body(), USER, PASSWORD, binding)).status)
        async with connected(stage.url, trusting) as line:
            challenge = await line.challenge(USER, PASSWORD, made.channel)
            assert line.client is not None
            with pytest.MonkeyPatch.context() as patch:  # as Windows does where it knows of no channel
                patch.setattr("spnego._ntlm.md5", lambda _: bytes(16))
                response = line.response(challenge)
            found.append((await line.post(body(), response)).status)

    assert found == [without, right, wrong, zeros]


@pytest.mark.asyncio
async def test_the_binding_uses_the_hash_of_the_certificates_signature(tmp_path: Path) -> None:
    made, trusting = certificate(tmp_path, hashes.SHA384())
    settings = Settings(sign_in=("ntlm",), extended_protection="require")
    async with staged(211, settings, made.context, channel=made.channel) as stage:
        async with connected(stage.url, trusting) as line:
            own = ssl.PEM_cert_to_DER_cert(made.path.read_text())
            digest = hashes.Hash(hashes.SHA384())
            digest.update(own)
            by_rule = b"tls-server-end-point:" + digest.finalize()

            answer = await line.sign_in(body(), USER, PASSWORD, by_rule)

        assert answer.status == 200


@pytest.mark.asyncio
async def test_where_a_binding_is_required_nobody_signs_in_without_tls() -> None:
    settings = Settings(sign_in=("ntlm",), extended_protection="require")
    async with staged(212, settings, channel=OTHER_CHANNEL) as stage, connected(stage.url) as line:
        answer = await line.sign_in(body(), USER, PASSWORD, OTHER_CHANNEL)

        assert answer.status == 401
