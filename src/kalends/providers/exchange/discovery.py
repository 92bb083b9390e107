"""Does what `autodiscover.py` decides: asks over the HTTP door, asks the admin, tells every step."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from kalends.providers.exchange import autodiscover, autodiscover_wire
from kalends.providers.exchange.auth import Auth
from kalends.providers.exchange.autodiscover import Ask, Confirm, Ended, Found, Search
from kalends.providers.exchange.autodiscover_wire import Nothing, Reply
from kalends.providers.http import Answer, Http, Transport
from kalends.providers.protocol import Finding, Unavailable
from kalends.providers.tls import Trust

ASK_SECONDS = 15.0
"""How long one host may take: a mail domain's web site often swallows what it doesn't expect."""
_MOST_MOVES = 200
"""More than eleven mail domains have hosts, dialects and questions."""


class SignIn(Protocol):
    async def post(self, url: str, headers: dict[str, str], body: bytes, seconds: float) -> Answer:
        """One request with the account's credentials, to an https address that may have them.

        Refusals and redirects are answers like others.
        """
        ...


class WithHeaders:
    """Signs in by headers: Basic and OAuth."""

    def __init__(self, http: Http, auth: Auth) -> None:
        self._http, self._auth = http, auth

    async def post(self, url: str, headers: dict[str, str], body: bytes, seconds: float) -> Answer:
        return await self._http.post(url, {**headers, **await self._auth.headers()}, body, seconds)


class Discovery:
    """One search at a time. `transport` replaces the network, for tests."""

    def __init__(self, trust: Trust, auth: Auth, *, transport: Transport | None = None) -> None:
        self._secure = Http(trust, connections=2, tells_redirects=True, transport=transport)
        # Plain http has a door of its own, through which nothing of ours ever goes.
        self._plain = Http(Trust(), connections=2, allow_plain=True, tells_redirects=True, transport=transport)
        self._sign_in: SignIn = WithHeaders(self._secure, auth)

    async def run(
        self,
        search: Search,
        confirm: Callable[[Confirm], Awaitable[bool]],
        tell: Callable[[Finding], None],
    ) -> Found:
        """Where EWS is. Raises AuthLost when the sign-in is refused, Rejected when nothing is found or may be asked."""
        told = 0
        for _ in range(_MOST_MOVES):
            move = autodiscover.upcoming(search)
            if isinstance(move, Found):
                return move
            if isinstance(move, Ended):
                raise move.error
            if isinstance(move, Confirm):
                search = autodiscover.decided(search, await confirm(move))
            else:
                search = autodiscover.heard(search, await self._reply(move))
            for step in search.trail[told:]:
                tell(step)
            told = len(search.trail)
        raise Unavailable("Autodiscover leads on and on. Give the EWS address itself.")

    async def _reply(self, ask: Ask) -> Reply:
        try:
            if ask.dialect == "http":
                return autodiscover_wire.glance(await self._plain.get(ask.url, ASK_SECONDS))
            if not ask.is_signed_in:
                return autodiscover_wire.glance(await self._secure.post(ask.url, _headers(None), b"", ASK_SECONDS))
            answer = await self._sign_in.post(ask.url, _headers(ask.address), _body(ask), ASK_SECONDS)
            return autodiscover_wire.read(answer, ask.place.host)
        except Unavailable as error:
            return Nothing(str(error), is_away=True)

    async def aclose(self) -> None:
        await self._secure.aclose()
        await self._plain.aclose()


def _headers(mailbox: str | None) -> dict[str, str]:
    named = {"X-AnchorMailbox": mailbox} if mailbox is not None and mailbox.isascii() else {}
    return {"Content-Type": "text/xml; charset=utf-8", "Accept": "text/xml", "User-Agent": "Kalends", **named}


def _body(ask: Ask) -> bytes:
    if ask.dialect == "soap":
        return autodiscover_wire.soap_request(ask.address, ask.url)
    return autodiscover_wire.pox_request(ask.address)
