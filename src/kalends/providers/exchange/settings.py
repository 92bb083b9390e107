"""What an admin says about an Exchange account, checked with sentences."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from kalends.providers.exchange.places import is_online
from kalends.providers.exchange.version import PINS
from kalends.providers.protocol import Rejected
from kalends.providers.tls import Trust

MOST_PER_CONNECTION = 200
"""Exchange's own limit of subscription ids in one GetStreamingEvents."""

Way = Literal["basic", "ntlm", "oauth"]
"""How an account signs in."""

_EXAMPLE = "https://mail.example.com/EWS/Exchange.asmx"


class BadSettings(Rejected, ValueError):
    """A setting can't work; the message says which, and what would."""


_KINDS: Mapping[str, tuple[type, str]] = {
    "url": (str, "text"),
    "username": (str, "text"),
    "sign_in": (str, "basic, ntlm or oauth"),
    "token_url": (str, "text"),
    "client_id": (str, "text"),
    "scope": (str, "text"),
    "impersonate": (bool, "true or false"),
    "max_per_connection": (int, "a number"),
    "calls_at_once": (int, "a number"),
    "connection_minutes": (int, "a number"),
    "allow_plain": (bool, "true or false"),
    "internal_url": (str, "text"),
    "use_internal": (bool, "true or false"),
    "version": (str, "text"),
}
_TRUST = {"authority_pem", "fingerprint", "unverified"}


@dataclass(frozen=True, slots=True)
class ExchangeSettings:
    """Raises BadSettings for what can't work."""

    url: str
    """The EWS address, usually https://mail.example.com/EWS/Exchange.asmx."""
    username: str
    """DOMAIN\\name or name@domain of the service account; for OAuth the mailbox as which the application looks things up."""
    sign_in: Way = "basic"
    token_url: str = ""
    """OAuth: where tokens are given out, such as https://adfs.example.com/adfs/oauth2/token."""
    client_id: str = ""
    """OAuth: the application's id."""
    scope: str = ""
    """OAuth: what the token is for. Empty: the server of the EWS address, as https://mail.example.com/.default."""
    impersonate: bool = True
    """Act as each mailbox (ApplicationImpersonation); else open them as a delegate, without streaming."""
    max_per_connection: int = MOST_PER_CONNECTION
    """How many calendars one streaming connection listens for."""
    calls_at_once: int = 8
    """How many requests the account has under way; Exchange's default limit is 27."""
    connection_minutes: int = 29
    """The longest a streaming connection is kept; each ends up to nine minutes earlier, so that they spread."""
    trust: Trust = field(default_factory=Trust)
    allow_plain: bool = False
    """Lets an http address through: for the simulation only."""
    internal_url: str | None = None
    """The EWS address inside the organisation's network, where that is another one."""
    use_internal: bool = False
    """Use the internal address instead of `url`."""
    version: str | None = None
    """Which Exchange Server this is (a key of `version.PINS`), where the newest schema it knows is to be asked for."""

    @property
    def token_scope(self) -> str:
        return self.scope or f"https://{urlsplit(self.address).hostname}/.default"

    @property
    def looks_up_as(self) -> str | None:
        """Whom to act as where no calendar is concerned: Exchange lets an application ask nothing in its own name."""
        return self.username if self.sign_in == "oauth" else None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "ExchangeSettings":
        """From an account's stored settings: the field names, and one of `_TRUST` for the trust."""
        unknown = sorted(settings.keys() - _KINDS.keys() - _TRUST)
        if unknown:
            raise BadSettings(f"The Exchange account has an unknown setting “{unknown[0]}”: remove it.")
        for name in sorted(_TRUST & settings.keys()):
            if not isinstance(settings[name], str):
                raise BadSettings(f"The Exchange account's setting “{name}” must be text.")
        for name, (kind, words) in _KINDS.items():
            if name in settings and type(settings[name]) is not kind:
                raise BadSettings(f"The Exchange account's setting “{name}” must be {words}.")
        of_oauth = ("token_url", "client_id") if settings.get("sign_in") == "oauth" else ()
        for name in ("url", "username", *of_oauth):
            if name not in settings:
                raise BadSettings(f"The Exchange account has no “{name}”: set it.")
        try:
            trust = Trust(
                settings.get("authority_pem"), settings.get("fingerprint"), unverified=settings.get("unverified")
            )
        except ValueError as error:
            raise BadSettings(str(error)) from error
        return cls(**{name: value for name, value in settings.items() if name not in _TRUST}, trust=trust)

    def __post_init__(self) -> None:
        self._check_address(self.url, "EWS", _EXAMPLE)
        if self.internal_url is not None:
            self._check_address(self.internal_url, "internal EWS", _EXAMPLE)
        if self.use_internal and self.internal_url is None:
            raise BadSettings(
                "The internal EWS address is to be used, but there is none: set it, or use the external one."
            )
        if self.version is not None and self.version not in PINS:
            raise BadSettings(f"There is no Exchange version “{self.version}” to pin: use one of {', '.join(PINS)}.")
        if self.sign_in not in get_args(Way):
            raise BadSettings(f"“{self.sign_in}” is no way to sign in: choose basic, ntlm or oauth.")
        if not _is_readable(self.username):
            raise BadSettings("The user name is empty or unreadable: give DOMAIN\\name or name@domain.")
        if self.sign_in == "oauth":
            self._check_application()
        _check_range("The number of calendars per streaming connection", self.max_per_connection, MOST_PER_CONNECTION)
        _check_range("The number of requests at once", self.calls_at_once, 27)
        _check_range("The minutes of a streaming connection", self.connection_minutes, 30)

    @property
    def address(self) -> str:
        """The EWS address in use."""
        return self.internal_url if self.use_internal and self.internal_url is not None else self.url

    def _check_application(self) -> None:
        self._check_address(self.token_url, "token", "https://adfs.example.com/adfs/oauth2/token")
        if not _is_readable(self.client_id):
            raise BadSettings("The application's client id is empty or unreadable: give it as it was registered.")
        if not re.fullmatch(r"[^\s@\\]+@[^\s@\\]+", self.username):
            raise BadSettings(
                "An application has no user name: give the address of a mailbox that it may act as, to look rooms up."
            )
        if not self.impersonate:
            raise BadSettings("An application can't be a delegate: let it act as each mailbox (--impersonation).")

    def _check_address(self, url: str, what: str, example: str) -> None:
        hint = f"it usually looks like {example}."
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise BadSettings(f"The {what} address can't be read: {hint}") from error
        if not host or port == 0 or re.search(r"[\s\x00-\x1f]", url):
            raise BadSettings(f"The {what} address has no server name: {hint}")
        if parts.username or parts.password:
            raise BadSettings(f"The {what} address must not hold a user name or password: {hint}")
        if parts.scheme == "http" and not self.allow_plain:
            raise BadSettings(
                f"The {what} address starts with http://, which would send the password in the clear: use https://."
            )
        if parts.scheme not in ("https", "http"):
            raise BadSettings(f"The {what} address does not start with https://: {hint}")
        if is_online(host) and "EWS" in what:
            raise BadSettings(
                f"{host} belongs to Exchange Online, where EWS is being switched off (for good on 2027-04-01). "
                "Connect Microsoft 365 by Graph instead."
            )


def _is_readable(text: str) -> bool:
    return bool(text.strip()) and all(ord(char) >= 32 for char in text)


def _check_range(what: str, value: int, most: int) -> None:
    if not 1 <= value <= most:
        raise BadSettings(f"{what} is {value}; it must lie between 1 and {most}.")
