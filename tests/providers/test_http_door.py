"""The HTTP door: every way in which a call can fail is a sentence that says which, and what to do."""

import asyncio
import contextlib
import datetime
import gzip
import hashlib
import ipaddress
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from kalends.providers.http import BODY_BYTES, Disconnected, Http, TooLarge, Transport
from kalends.providers.protocol import Unavailable
from kalends.providers.tls import Trust, end_point

pytestmark = pytest.mark.asyncio


@dataclass
class Scripted:
    """A server that reads a request and answers with these bytes, whatever it was asked."""

    answer: bytes
    hold_open: bool = False
    at_once: bool = False
    """Answers before the request is whole."""
    seen: list[bytes] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.read(1) if self.at_once else await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        self.seen.append(head + await reader.readexactly(int(length[1]) if length else 0))
        writer.write(self.answer)
        if self.hold_open:
            await reader.read()
        writer.close()


@asynccontextmanager
async def serving(talk: Scripted, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    tasks: list[asyncio.Task[None]] = []

    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.get_running_loop().create_task(quiet(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def plain(transport: Transport | None = None) -> Http:
    return Http(Trust(), connections=4, allow_plain=True, transport=transport)


async def failure(http: Http, url: str, seconds: float = 5) -> str:
    """The sentence with which a call fails."""
    try:
        with pytest.raises(Unavailable) as caught:
            await http.post(url, {}, b"ask", seconds)
    finally:
        await http.aclose()
    return str(caught.value)


async def test_an_answer_is_returned_whole() -> None:
    talk = Scripted(answer(b"hello", "500 Oops", X_Odd="1", Set_Cookie="a=b"))
    http = plain()

    async with serving(talk) as port:
        found = await http.post(f"http://127.0.0.1:{port}/EWS", {"X-Mine": "yes"}, b"ask")

    assert (found.status, found.body, found.headers.get("x-odd")) == (500, b"hello", "1")
    assert b"x-mine: yes" in talk.seen[0].lower()
    assert talk.seen[0].endswith(b"ask")
    await http.aclose()


async def test_a_cookie_is_not_sent_back() -> None:
    talk = Scripted(answer(b"", Set_Cookie="X-BackEndCookie=almond; path=/"))
    http = plain()

    async with serving(talk) as port:
        for _ in range(2):
            await http.post(f"http://127.0.0.1:{port}/", {}, b"")

    assert b"almond" not in b"".join(talk.seen)
    await http.aclose()


async def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    http = plain()

    async with serving(Scripted(answer(b"hello"))) as port:
        found = await http.post(f"http://127.0.0.1:{port}/", {}, b"")

    assert found.body == b"hello"
    await http.aclose()


async def test_plain_http_is_refused() -> None:
    http = Http(Trust(), connections=1)

    assert "use its https:// address" in (await failure(http, "http://127.0.0.1:9/EWS")).lower()


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary"])
async def test_a_redirect_is_not_followed(status: str) -> None:
    talk = Scripted(answer(b"", status, Location="https://evil.example.test/login?secret=1"))

    async with serving(talk) as port:
        sentence = await failure(plain(), f"http://127.0.0.1:{port}/")

    assert "redirects to evil.example.test." in sentence
    assert "secret" not in sentence


@pytest.mark.parametrize("announced", [True, False], ids=["with length", "without length"])
async def test_more_than_16_mib_is_refused(announced: bool) -> None:
    body = b"x" * (BODY_BYTES + 1)
    whole = answer(body) if announced else b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body
    http = plain()

    async with serving(Scripted(whole)) as port:
        with pytest.raises(TooLarge, match="more than 16 MiB"):
            await http.post(f"http://127.0.0.1:{port}/", {}, b"")

    await http.aclose()


async def test_a_compressed_answer_is_refused() -> None:
    bomb = gzip.compress(b"x" * 100_000)

    async with serving(Scripted(answer(bomb, Content_Encoding="gzip"))) as port:
        sentence = await failure(plain(), f"http://127.0.0.1:{port}/")

    assert "compressed its answer" in sentence


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"", "broke off in the middle"),
        (answer(b"hello")[:-2], "broke off in the middle"),
        (b"hello\r\n\r\n", "broke off in the middle"),
    ],
    ids=["nothing", "half", "no HTTP"],
)
async def test_a_broken_answer_is_said_so(sent: bytes, words: str) -> None:
    async with serving(Scripted(sent)) as port:
        sentence = await failure(plain(), f"http://127.0.0.1:{port}/")

    assert words in sentence


@pytest.mark.parametrize("sent", [b"", answer(b"hello")[:-2]], ids=["no head", "half a body"])
async def test_a_server_that_falls_silent_is_left(sent: bytes) -> None:
    async with serving(Scripted(sent, hold_open=True)) as port:
        sentence = await failure(plain(), f"http://127.0.0.1:{port}/", seconds=0.05)

    assert "did not answer within 0.05 seconds" in sentence


async def test_a_closed_port_is_said_so() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    assert "refuses connections" in await failure(plain(), f"http://127.0.0.1:{port}/")


async def test_an_unknown_name_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)

    assert "can't be resolved" in await failure(plain(), "http://nowhere.example.test/")


async def overheard(port: int, idle_seconds: float) -> tuple[bytes, str]:
    """What a stream brought before it failed, and the sentence."""
    http, heard = plain(), b""
    try:
        async with http.stream(f"http://127.0.0.1:{port}/", {}, b"", idle_seconds) as stream:
            async for chunk in stream.chunks():
                heard += chunk
    except Unavailable as error:
        return heard, str(error)
    finally:
        await http.aclose()
    raise AssertionError("the stream did not fail")


BEGUN = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"


async def test_a_stream_is_read_as_it_comes_and_a_silent_one_is_left() -> None:
    async with serving(Scripted(BEGUN, hold_open=True)) as port:
        heard, sentence = await overheard(port, 0.05)

    assert heard == b"hello"
    assert "sent nothing for 0.05 seconds" in sentence


async def test_a_stream_that_is_cut_is_said_so() -> None:
    async with serving(Scripted(BEGUN)) as port:
        heard, sentence = await overheard(port, 5)

    assert heard == b"hello"
    assert "broke off" in sentence


async def test_cancelling_a_call_is_no_error_of_the_server() -> None:
    http = plain()

    async with serving(Scripted(b"", hold_open=True)) as port:
        call = asyncio.create_task(http.post(f"http://127.0.0.1:{port}/", {}, b""))
        await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    await http.aclose()


# --- TLS ---------------------------------------------------------------------------------------------------------------

AUTHORITY = trustme.CA(organization_name="House of Certificates")
PEM = AUTHORITY.cert_pem.bytes().decode()


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def fingerprint_of(certificate: trustme.LeafCert) -> str:
    return x509.load_pem_x509_certificate(certificate.cert_chain_pems[0].bytes()).fingerprint(hashes.SHA256()).hex()


GOOD = AUTHORITY.issue_cert("127.0.0.1")
OTHER_HOST = AUTHORITY.issue_cert("mail.elsewhere.test")
EXPIRED = AUTHORITY.issue_cert(
    "127.0.0.1", not_before=datetime.datetime(2020, 1, 1), not_after=datetime.datetime(2021, 2, 3)
)
FUTURE = AUTHORITY.issue_cert(
    "127.0.0.1", not_before=datetime.datetime(2090, 1, 1), not_after=datetime.datetime(2091, 1, 1)
)


@pytest.mark.parametrize(
    ("certificate", "trust"),
    [
        (GOOD, Trust(authority_pem=PEM)),
        (GOOD, Trust(fingerprint=fingerprint_of(GOOD).upper())),
        (OTHER_HOST, Trust(fingerprint=fingerprint_of(OTHER_HOST))),
    ],
    ids=["private authority", "pinned", "pinned for another host"],
)
async def test_a_trusted_certificate_lets_the_call_through(certificate: trustme.LeafCert, trust: Trust) -> None:
    http = Http(trust, connections=1)

    async with serving(Scripted(answer(b"hello")), server_context(certificate)) as port:
        found = await http.post(f"https://127.0.0.1:{port}/", {}, b"")

    assert found.body == b"hello"
    await http.aclose()


@pytest.mark.parametrize("certificate", [EXPIRED, OTHER_HOST, GOOD], ids=["expired", "other host", "unknown"])
async def test_without_verification_any_certificate_of_the_named_host_will_do(certificate: trustme.LeafCert) -> None:
    http = Http(Trust(unverified="127.0.0.1"), connections=1)

    async with serving(Scripted(answer(b"hello")), server_context(certificate)) as port:
        found = await http.post(f"https://127.0.0.1:{port}/", {}, b"")

    assert found.body == b"hello"
    await http.aclose()


async def test_without_verification_of_one_host_nothing_is_sent_to_another() -> None:
    talk = Scripted(answer(b"hello"))

    async with serving(talk, server_context(GOOD)) as port:
        sentence = await failure(
            Http(Trust(unverified="mail.example.test"), connections=1), f"https://127.0.0.1:{port}/"
        )

    assert "switched off for mail.example.test alone" in sentence
    assert talk.seen == []


@pytest.mark.parametrize(
    ("certificate", "trust", "words"),
    [
        (GOOD, Trust(), ["not trusted", "House of Certificates", fingerprint_of(GOOD), "pin it"]),
        (OTHER_HOST, Trust(authority_pem=PEM), ["another host name", "mail.elsewhere.test"]),
        (EXPIRED, Trust(authority_pem=PEM), ["expired on 2021-02-03", "Renew it"]),
        (FUTURE, Trust(authority_pem=PEM), ["not valid yet", "clocks"]),
        (GOOD, Trust(fingerprint="ab" * 32), ["another certificate than the pinned one", fingerprint_of(GOOD)]),
    ],
    ids=["unknown authority", "another host", "expired", "not yet valid", "another than pinned"],
)
async def test_an_untrusted_certificate_is_explained(
    certificate: trustme.LeafCert, trust: Trust, words: list[str]
) -> None:
    talk = Scripted(answer(b"hello"))

    async with serving(talk, server_context(certificate)) as port:
        sentence = await failure(Http(trust, connections=1), f"https://127.0.0.1:{port}/")

    assert [word for word in words if word not in sentence] == []
    assert talk.seen == [], "no request, and so no password, may reach a server that is not trusted"


async def test_a_self_signed_certificate_is_explained() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Exchange\x07Server")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2090, 1, 1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    leaf = trustme.LeafCert(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        certificate.public_bytes(serialization.Encoding.PEM),
        [],
    )

    async with serving(Scripted(answer()), server_context(leaf)) as port:
        sentence = await failure(Http(Trust(), connections=1), f"https://127.0.0.1:{port}/")

    assert certificate.fingerprint(hashes.SHA256()).hex() in sentence
    assert sentence.isprintable()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_tls_older_than_1_2_is_refused() -> None:
    context = server_context(GOOD)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")

    async with serving(Scripted(answer()), context) as port:
        sentence = await failure(Http(Trust(authority_pem=PEM), connections=1), f"https://127.0.0.1:{port}/")

    assert "TLS 1.2 or newer" in sentence


async def test_a_server_that_names_its_protocols_as_the_trouble_is_understood() -> None:
    alert = bytes.fromhex("15 0301 0002 02 46")  # fatal, protocol_version

    async with serving(Scripted(alert, at_once=True)) as port:
        sentence = await failure(Http(Trust(authority_pem=PEM), connections=1), f"https://127.0.0.1:{port}/")

    assert "127.0.0.1 speaks only TLS 1.1 or older. Kalends needs TLS 1.2 or newer: switch it on" in sentence


async def test_a_port_that_speaks_no_tls_is_said_so() -> None:
    async with serving(Scripted(answer(status="400 Bad Request"), at_once=True)) as port:
        sentence = await failure(Http(Trust(authority_pem=PEM), connections=1), f"https://127.0.0.1:{port}/")

    assert "the port speaks https" in sentence


async def test_a_server_that_never_shakes_hands_is_left() -> None:
    talk = Scripted(b"", hold_open=True)

    async with serving(talk) as port:
        sentence = await failure(Http(Trust(), connections=1), f"https://127.0.0.1:{port}/", seconds=0.05)

    assert "did not answer within" in sentence


RSA_SHA256, RSA_SHA1, RSA_MD5 = (bytes.fromhex(f"06092a864886f70d0101{last}") for last in ("0b", "05", "04"))


def der(algorithm: hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None) -> bytes:
    """A certificate whose signature hashes so; None: by Ed25519, which has no hash of its own."""
    key = rsa.generate_private_key(65537, 2048) if algorithm else ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Exchange")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2090, 1, 1))
        .sign(key, algorithm)
        .public_bytes(serialization.Encoding.DER)
    )


@pytest.mark.parametrize(
    ("certificate", "hashed"),
    [
        (der(hashes.SHA256()), "sha256"),
        (der(hashes.SHA384()), "sha384"),
        (der(hashes.SHA512()), "sha512"),
        (der(hashes.SHA256()).replace(RSA_SHA256, RSA_SHA1), "sha256"),
        (der(hashes.SHA256()).replace(RSA_SHA256, RSA_MD5), "sha256"),
        (der(None), "sha256"),
        (b"no certificate that can be read", "sha256"),
    ],
    ids=["sha256", "sha384", "sha512", "sha1", "md5", "ed25519", "odd"],
)
async def test_a_connection_is_known_by_its_certificate_as_rfc_5929_says(certificate: bytes, hashed: str) -> None:
    assert end_point(certificate) == b"tls-server-end-point:" + hashlib.new(hashed, certificate).digest()


@pytest.mark.parametrize(
    "trust",
    [Trust(authority_pem=PEM), Trust(fingerprint=fingerprint_of(GOOD)), Trust(authority_pem=PEM, beside_system=True)],
    ids=["private authority", "pinned", "beside the system's"],
)
async def test_the_certificate_of_the_very_connection_can_be_looked_at(trust: Trust) -> None:
    http = Http(trust, connections=1)

    async with (
        serving(Scripted(answer(b"hello")), server_context(GOOD)) as port,
        http.stream(f"https://127.0.0.1:{port}/", {}, b"", None) as stream,
    ):
        shown = stream.certificate

    assert shown is not None
    assert x509.load_der_x509_certificate(shown).fingerprint(hashes.SHA256()).hex() == fingerprint_of(GOOD)
    await http.aclose()


async def test_a_plain_connection_has_no_certificate() -> None:
    http = plain()

    async with (
        serving(Scripted(answer(b"hello"))) as port,
        http.stream(f"http://127.0.0.1:{port}/", {}, b"", None) as stream,
    ):
        assert stream.certificate is None

    await http.aclose()


async def test_a_pin_says_nothing_about_another_server_and_a_private_authority_is_joined_by_the_systems() -> None:
    assert Trust(fingerprint="ab" * 32).elsewhere() == Trust(beside_system=True)
    assert Trust(authority_pem=PEM).elsewhere() == Trust(authority_pem=PEM, beside_system=True)


async def test_without_reconnecting_nothing_is_sent_over_a_new_connection() -> None:
    talk = Scripted(answer(b"hello"))
    http = plain().single()

    async with serving(talk) as port:
        url = f"http://127.0.0.1:{port}/"
        await http.post(url, {}, b"first")  # the server closes after its answer
        with pytest.raises(Disconnected):
            async with http.stream(url, {}, b"second", None, reconnect=False):
                pass
        again = await http.post(url, {}, b"third")

    assert again.body == b"hello"
    assert [body.rpartition(b"\r\n\r\n")[2] for body in talk.seen] == [b"first", b"third"]
    await http.aclose()
