"""An internet in which nobody means well, for autodiscover: made from a seed, and writing down every byte it is sent."""

import struct
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random
from typing import get_args

import httpx2

from kalends.providers.exchange.settings import Way

LABELS = {
    "example": "example",
    "contoso": "contoso",
    "bücher": "xn--bcher-kva",
    "straße": "xn--strae-oqa",
    "пример": "xn--e1afmkfd",
    "xn--bcher-kva": "xn--bcher-kva",
    "a-b": "a-b",
    "MiXeD": "mixed",
}
"""What may be typed → what is looked up."""
ENDS = ("com", "org", "de", "co.uk", "com.br", "test", "gov.au")
SCHEMES = (
    'Basic realm="{host}"',
    "NTLM",
    "Negotiate",
    'Bearer client_id="x"',
    'Basic realm="a, NTLM"',
    "Digest realm=x",
)

LIES_TO_STRANGERS = ("offer",) * 6 + ("redirect",) * 5 + ("url", "address", "told", "pox", "page", "gone")
LIES_TO_CLIENTS = ("url", "url", "address", "told", "pox", "pox", "redirect", "redirect", "offer", "page", "gone")

PROOF = b"uthorization"
"""The header that comes with every sign-in, in either case."""
TOKEN = b"t0ken-of-mine"
_GREETING, _NTLM_PROOF = b"TlRMTVNTUAAB", b"TlRMTVNTUAAD"
_CHALLENGE = b64encode(
    struct.pack("<8sIHHIIQQHHI", b"NTLMSSP\0", 2, 14, 14, 56, 0x62890215, 0x0123456789ABCDEF, 0, 4, 4, 70)
    + bytes(8)
    + "EXAMPLE".encode("utf-16-le")
    + bytes(4)
).decode()

A_NS = "http://schemas.microsoft.com/exchange/2010/Autodiscover"


class Body(httpx2.AsyncByteStream):
    """An answer's body that is yet to be read, as from a network."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data


def answer(status: int, headers: list[tuple[str, str]] | None = None, body: str = "") -> httpx2.Response:
    raw = [(name.encode(), value.encode()) for name, value in headers or []]
    return httpx2.Response(status, headers=raw, stream=Body(body.encode()))


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as it left."""

    scheme: str
    host: str
    port: int
    method: str
    path: str
    raw: bytes
    """Everything else: headers and body, but for the wish to show a token, which holds none."""

    @property
    def is_signed_in(self) -> bool:
        """Whether it proves a password, or shows a token."""
        return PROOF in self.raw and _GREETING not in self.raw

    @property
    def authority(self) -> str:
        return self.host if (self.scheme, self.port) in (("https", 443), ("http", 80)) else f"{self.host}:{self.port}"


@dataclass
class Case:
    """One search: who looks for what, and whom the admin trusts."""

    typed_domain: str
    domain: str
    way: Way
    typed_url: str | None
    is_careless: bool
    """Confirms whatever is asked."""
    user: str
    password: str

    @property
    def token_host(self) -> str:
        return f"adfs.{self.domain}"

    @property
    def own(self) -> set[str]:
        return {self.domain, f"autodiscover.{self.domain}"}

    @property
    def secrets(self) -> list[bytes]:
        """Whatever must not be read by strangers: the password however it is written, and whose it is."""
        basic = b64encode(f"{self.user}:{self.password}".encode())
        name = self.user.partition("@")[0]
        return [self.password.encode(), TOKEN, basic, name.encode(), PROOF]


def case(rng: Random, number: int) -> Case:
    labels = [
        rng.choice(sorted(LABELS) if rng.random() < 0.4 else ("example", "contoso", "a-b"))
        for _ in range(rng.choice((1, 1, 1, 2, 3)))
    ]
    end = rng.choice(ENDS)
    typed = ".".join([*labels, end])
    domain = ".".join([*(LABELS[label] for label in labels), end])
    way = rng.choice(get_args(Way))
    url = rng.choice(
        (None, None, None, f"https://mail.{domain}/", "https://elsewhere.test:8443/Autodiscover/Autodiscover.xml")
    )
    user = f"service{number}x@{typed}"
    return Case(typed, domain, way, url, rng.random() < 0.4, user, f"S3cret-{number}-of-mine")


@dataclass
class Internet(httpx2.AsyncBaseTransport):
    rng: Random
    case: Case
    sent: list[Sent] = field(default_factory=list)
    offers: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """Where a sign-in was offered by which schemes."""
    confirmed: set[str] = field(default_factory=set)
    """Hosts that the admin said yes to."""
    refusals: int = 0
    """How often a sign-in was refused."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url, body = request.url, await request.aread()
        port = url.port or (443 if url.scheme == "https" else 80)
        lines = [name + b": " + value for name, value in request.headers.raw]
        raw = b"\r\n".join(line for line in lines if line != b"Authorization: Bearer") + b"\r\n\r\n" + body
        sent = Sent(url.scheme, url.raw_host.decode(), port, request.method, url.raw_path.decode(), raw)
        self.sent.append(sent)
        if sent.host == self.case.token_host and sent.path == "/token":
            return answer(200, body=f'{{"token_type":"Bearer","expires_in":3600,"access_token":"{TOKEN.decode()}"}}')
        if _GREETING in raw and self.rng.random() < 0.8:
            scheme = "NTLM" if b"NTLM TlRM" in raw else "Negotiate"
            return answer(401, [("WWW-Authenticate", f"{scheme} {_CHALLENGE}")])
        return self._answer(sent)

    def _answer(self, sent: Sent) -> httpx2.Response:
        kind = self.rng.choice(LIES_TO_CLIENTS if sent.is_signed_in else LIES_TO_STRANGERS)
        if kind == "gone":
            raise httpx2.ConnectError("refused")
        if kind == "offer":
            return self._offer(sent)
        if kind == "redirect":
            return answer(self.rng.choice((301, 302, 307, 308)), [("Location", self.target(sent))])
        if kind == "page":
            page = "<html><a href='https://evil.test'>here</a></html>"
            return answer(self.rng.choice((200, 404, 500, 503)), body=page)
        return answer(200, body=self._document(kind, sent))

    def _offer(self, sent: Sent) -> httpx2.Response:
        self.refusals += sent.is_signed_in
        schemes = self.rng.sample(SCHEMES, self.rng.randint(0, 3))
        at = (sent.authority, sent.path)
        self.offers.setdefault(at, set()).update(one.split()[0].lower() for one in schemes)
        lines = [("WWW-Authenticate", one.format(host=sent.host)) for one in schemes]
        return answer(401, lines)

    def _document(self, kind: str, sent: Sent) -> str:
        target = _xml(self.target(sent))
        address = _xml(
            self.rng.choice((self.target(sent), f"x@{self.name()}", f"{self.case.user}", "x@[10.0.0.1]", "x"))
        )
        if kind == "pox":
            action = self.rng.choice((
                f"<Action>redirectUrl</Action><RedirectUrl>{target}</RedirectUrl>",
                f"<Action>redirectAddr</Action><RedirectAddr>{address}</RedirectAddr>",
                f"<Action>settings</Action><Protocol><Type>EXPR</Type><EwsUrl>{target}</EwsUrl></Protocol>",
            ))  # fmt: skip
            return f'<Autodiscover xmlns="x"><Response xmlns="y"><Account>{action}</Account></Response></Autodiscover>'
        answers = {
            "url": f"<ErrorCode>RedirectUrl</ErrorCode><RedirectTarget>{target}</RedirectTarget>",
            "address": f"<ErrorCode>RedirectAddress</ErrorCode><RedirectTarget>{address}</RedirectTarget>",
            "told": "<ErrorCode>NoError</ErrorCode><UserSettings><UserSetting><Name>ExternalEwsUrl</Name>"
            f"<Value>{target}</Value></UserSetting></UserSettings>",
        }
        return (
            '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
            f'<GetUserSettingsResponseMessage xmlns="{A_NS}"><Response><ErrorCode>NoError</ErrorCode><UserResponses>'
            f"<UserResponse>{answers[kind]}</UserResponse></UserResponses></Response></GetUserSettingsResponseMessage>"
            "</s:Body></s:Envelope>"
        )

    def name(self) -> str:
        """A host that somebody would like the client to ask."""
        domain = self.case.domain
        above = domain.partition(".")[2]
        if self.rng.random() < 0.4:
            return self.rng.choice((domain, f"mail.{domain}", "evil.test", f"{domain}.evil.test"))
        return self.rng.choice((
            f"autodiscover.{domain}", "autodiscover.evil.test",
            above, f"autodiscover.{above}", f"autodiscover.{above.rpartition('.')[2]}", above.rpartition(".")[2],
            "autodiscover.com", "autodiscover.co.uk", "autodiscover.com.br", "autodiscover",
            f"{domain}.evil.test", f"evil{domain}", domain.replace("o", "0"), domain.replace("e", "е"),
            "xn--80ak6aa92e.com", "*.example.com", f"*.{above}", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "[::1]",
            "outlook.office365.com", "autodiscover-s.outlook.com", "OUTLOOK.COM", "contoso.mail.onmicrosoft.com",
        ))  # fmt: skip

    def target(self, sent: Sent) -> str:
        name, own = self.name(), self.case.domain
        path = self.rng.choice(("/autodiscover/autodiscover.xml", f"/{self.rng.randrange(9)}.svc", "/"))
        if self.rng.random() < 0.6:
            return f"https://{name}{path}"
        return self.rng.choice((
            f"https://{name}:8443{path}",
            f"http://{name}{path}", f"HTTPS://{name.upper()}{path}", f"//{name}{path}", path, "",
            f"https://{own}@{name}{path}", f"https://{own}:443@{name}{path}", f"https://{own}\\@{name}{path}",
            f"https://{name}\\.{own}{path}", f"https://{name}#{own}{path}", f"https://{name}?{own}{path}",
            f"https://{name}%2f.{own}{path}", f"https://{name}%00.{own}{path}", f"https://{name} .{own}{path}",
            f"https:{name}{path}", f"https:///{name}{path}", f"https:\\\\{name}{path}", f"https://{own}.{name}{path}",
            f"https://{own}。{name}{path}", f"https://{name}／.{own}{path}", f"ftp://{name}{path}", f"javascript:{name}",
            f"https://{own}:80{path}", f"https://{name}:0{path}", f"https://{name}{path}\t", f"\thttps://{name}{path}",
        ))  # fmt: skip


def _xml(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
