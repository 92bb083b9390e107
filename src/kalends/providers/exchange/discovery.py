"""Does what `autodiscover.py` decides: asks over the HTTP door, asks the admin, tells every step."""

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kalends.providers.exchange import autodiscover, autodiscover_wire
from kalends.providers.exchange.auth import SignIn
from kalends.providers.exchange.autodiscover import Ask, Confirm, Ended, Found, Search
from kalends.providers.exchange.autodiscover_wire import Denied, Nothing, Reply
from kalends.providers.exchange.oauth import Now
from kalends.providers.exchange.settings import ExchangeSettings
from kalends.providers.exchange.sign_in import sign_in
from kalends.providers.http import Http, Transport, whole
from kalends.providers.protocol import AuthLost, Finding, Unavailable
from kalends.providers.tls import Trust

ASK_SECONDS = 15.0
"""How long one host may take: a mail domain's web site often swallows what it doesn't expect."""
_COUNTS = {"username", "sign_in", "token_url", "client_id", "scope", "authority_pem", "fingerprint"}
"""Which of an account's settings count. Whatever else an account may do, here every server proves who it is."""
_EMPTY_BEARER = {"Authorization": "Bearer"}
"""Not a token, but the wish to use one: without it Exchange may not say that it takes them. Outlook asks so too."""
_MOST_MOVES = 200
"""More than eleven mail domains have hosts, dialects and questions."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the admin says before a search."""

    mailbox: str
    """Whose address is asked about."""
    typed: str | None = None
    """The address of an autodiscover service, instead of looking for one."""
    confirmed: tuple[str, ...] = ()
    """Hosts that need no further question."""


class Discovery:
    """One search, once.

    `sign_in_at` makes the account's way to sign in at an address, which tells redirects. `transport` replaces the
    network, for tests.
    """

    def __init__(
        self, search: Search, trust: Trust, sign_in_at: Callable[[str], SignIn], transport: Transport | None = None
    ) -> None:
        self._search = search
        self._sign_in_at = sign_in_at
        self._secure = Http(trust, connections=2, tells_redirects=True, transport=transport)
        # Plain http has a door of its own, through which nothing of ours ever goes.
        self._plain = Http(Trust(), connections=2, allow_plain=True, tells_redirects=True, transport=transport)

    @classmethod
    def of(
        cls,
        settings: Mapping[str, Any],
        credentials: Mapping[str, Any],
        wanted: Wanted,
        rng: random.Random,
        now: Now,
        transport: Transport | None = None,
    ) -> "Discovery":
        """For an account's settings, of which the address is yet to be found. Raises Rejected for what can't work."""
        kept = {name: value for name, value in settings.items() if name in _COUNTS}

        def sign_in_at(url: str) -> SignIn:
            there = ExchangeSettings.of({**kept, "url": url})
            return sign_in(there, credentials, rng, now, transport, tells_redirects=True)

        # Checked before anything is asked, for an address that stands for the one that is looked for.
        known = ExchangeSettings.of({**kept, "url": "https://address.invalid/"})
        search = autodiscover.begin(wanted.mailbox, known.sign_in, wanted.typed, wanted.confirmed)
        return cls(search, known.trust, sign_in_at, transport)

    async def run(self, confirm: Callable[[Confirm], Awaitable[bool]], tell: Callable[[Finding], None]) -> Found:
        """Where EWS is. Raises AuthLost when the sign-in is refused, Rejected when nothing is found or may be asked."""
        search = self._search
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
                headers = _headers(None) | (_EMPTY_BEARER if self._search.way == "oauth" else {})
                return autodiscover_wire.glance(await self._secure.post(ask.url, headers, b"", ASK_SECONDS))
            return await self._signed_in(ask)
        except Unavailable as error:
            return Nothing(str(error), is_away=True)

    async def _signed_in(self, ask: Ask) -> Reply:
        signing = self._sign_in_at(ask.url)
        try:
            answer = await whole(signing.open(_headers(ask.address), _body(ask), None), ask.place.host, ASK_SECONDS)
        except AuthLost as error:
            return Denied(str(error))
        finally:
            await signing.aclose()
        return autodiscover_wire.read(answer, ask.place.host)

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
