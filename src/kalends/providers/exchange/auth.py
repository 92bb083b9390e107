"""How an account's requests prove who asks: what all ways have in common, and Basic. `ntlm` and `oauth` are the others.

No way ever answers to another way's offer: an account set to NTLM sends no password to a server that asks for Basic.
"""

import base64
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import urlsplit

from kalends.providers.exchange import challenges
from kalends.providers.exchange.settings import ExchangeSettings
from kalends.providers.http import Headers, Http, Stream
from kalends.providers.protocol import AuthLost

_SWITCHES = {"Basic": "-BasicAuthentication", "NTLM": "-WindowsAuthentication", "OAuth": "-OAuthAuthentication"}


class Refused(AuthLost):
    """The credentials themselves were refused: sending them again could lock the account out."""


class SignIn(ABC):
    """Carries requests to one EWS address so that the server knows whose they are.

    Refused credentials are not sent again until `try_again`, by however many requests.
    """

    way: str
    """As people call it: Basic, NTLM, OAuth."""

    def __init__(self, settings: ExchangeSettings) -> None:
        self.url = settings.address
        self.host = urlsplit(settings.address).hostname or ""
        self._refusal: Refused | None = None

    @abstractmethod
    def open(
        self, headers: dict[str, str], body: bytes, idle_seconds: float | None
    ) -> AbstractAsyncContextManager[Stream]:
        """As `Http.stream`, signed in: never yields a 401. Raises AuthLost, and once refused without asking."""

    @abstractmethod
    async def aclose(self) -> None: ...

    @property
    def described(self) -> str:
        """For a sentence, once a request went through: how it was signed in."""
        return self.way

    def try_again(self) -> None:
        """The credentials were changed or confirmed by somebody."""
        self._refusal = None

    def check(self) -> None:
        """Raises what the server said when it refused these credentials."""
        if self._refusal is not None:
            raise Refused(str(self._refusal))

    def refused(self, sentence: str) -> Refused:
        self._refusal = Refused(sentence)
        return self._refusal

    def not_offered(self, offered: list[challenges.Challenge]) -> AuthLost:
        """No credentials were sent, or none that this server could use, so it may be asked again later."""
        return AuthLost(
            f"{self.host} does not offer {self.way}; it offers {challenges.named(offered)}. Switch it on for EWS "
            f"(Set-WebServicesVirtualDirectory {_SWITCHES[self.way]} $true), or choose another way for the account: "
            "kalends accounts change NAME --sign-in."
        )

    def wrong_password(self, hint: str) -> Refused:
        return self.refused(
            f"{self.host} refuses the service account's user name or password. Correct them; Kalends does not try "
            f"again by itself, so that the account is not locked out. {hint}"
        )


def offered(headers: Headers) -> list[challenges.Challenge]:
    return challenges.read(headers.all("WWW-Authenticate"))


class Basic(SignIn):
    """User name and password with every request, over verified https only (`http.py` sees to that)."""

    way = "Basic"

    def __init__(self, settings: ExchangeSettings, password: str, http: Http) -> None:
        super().__init__(settings)
        token = base64.b64encode(f"{settings.username}:{password}".encode()).decode("ascii")
        self._proof = {"Authorization": f"Basic {token}"}
        self._http = http

    @asynccontextmanager
    async def open(self, headers: dict[str, str], body: bytes, idle_seconds: float | None) -> AsyncIterator[Stream]:
        self.check()
        async with self._http.stream(self.url, headers | self._proof, body, idle_seconds) as stream:
            if stream.status == 401:
                raise self._refused_by(offered(stream.headers))
            yield stream

    def _refused_by(self, offers: list[challenges.Challenge]) -> AuthLost:
        if offers and all(offer.scheme != "basic" for offer in offers):
            return self.not_offered(offers)
        return self.wrong_password("If they are right, check that EWS offers Basic on this server.")

    async def aclose(self) -> None:
        await self._http.aclose()

    def __repr__(self) -> str:
        return "Basic(…)"
