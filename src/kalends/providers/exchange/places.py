"""Where autodiscover may look: mail domains, hosts and https addresses, read under suspicion. Pure.

What stands here decides where a password can go, so it accepts little: one shape of address, taken apart and put
together again, so that no other reader of the same text finds another host in it. Names outside ASCII become the form
that is looked up (`xn--…`), by the rules of 2008: those of 2003 turn straße.example into another domain.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

import idna

from kalends.providers.protocol import Rejected

_URL = re.compile(r"(?i:https)://([^\s/?#@\\:\[\]%]{1,253})(?::([0-9]{1,5}))?(/[!-\[\]-~]{0,1900})?")
_PLAIN = re.compile(r"(?i:http)://")
_USER = re.compile(r"[A-Za-z]+:/*[^/]*@")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_PUBLIC = re.compile(r"(?:ac|co|com|edu|gov|net|org)\.[a-z]{2}")
"""The commonest domains under which everybody registers, such as co.uk and com.br."""
_HTTPS = 443

_ONLINE = (
    "apps.mil",
    "hotmail.com",
    "live.com",
    "microsoftonline.com",
    "msn.com",
    "office.com",
    "office.de",
    "office365.com",
    "office365.us",
    "onmicrosoft.com",
    "onmicrosoft.us",
    "onmschina.cn",
    "outlook.cn",
    "outlook.com",
    "outlook.de",
)


class BadPlace(Rejected):
    """Nothing is sent to this address; the message says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """An https address."""

    host: str
    """Lower case, in the form that is looked up (`xn--…`)."""
    port: int
    path: str
    """With the query, if there is one."""

    @property
    def authority(self) -> str:
        """What is confirmed: the host, and its port where that is not 443."""
        return self.host if self.port == _HTTPS else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"https://{self.authority}{self.path}"

    def at(self, path: str) -> "Place":
        return Place(self.host, self.port, path)


def place(text: str, *, is_typed: bool = False) -> Place:
    """The https address that `text` is. Names without a dot (`mail`) are only taken from people. Raises BadPlace."""
    found = _URL.fullmatch(text)
    if found is None:
        raise BadPlace(_why_not(text))
    name, port, path = found.groups()
    number = int(port or _HTTPS)
    if not 0 < number < 65536:
        raise BadPlace(f"the address of {_shown(name)} has no possible port")
    return Place(_host(name, is_typed=is_typed), number, path or "/")


def _why_not(text: str) -> str:
    if _PLAIN.match(text):
        return "the address starts with http://, where whatever is sent can be read: it must be https://"
    if _USER.match(text):
        return "the address hides its host behind a user name"
    return f"“{_shown(text)}” is no https:// address"


def _host(name: str, *, is_typed: bool) -> str:
    ascii_name = _ascii(name)
    if _ends_in_number(ascii_name):
        return _number(ascii_name)
    if "." not in ascii_name and not is_typed:
        raise BadPlace(f"{ascii_name} is a name without a domain, or a whole top-level domain")
    return ascii_name


def _ends_in_number(name: str) -> bool:
    """Whether some reader would take the name for an IP address: 127.1 and 0x7f.1 are ways to write one."""
    return _NUMBER.fullmatch(name.rpartition(".")[2]) is not None


def _number(name: str) -> str:
    try:
        return str(IPv4Address(name))
    except ValueError as error:
        raise BadPlace(f"“{_shown(name)}” is neither a name nor an IP address in its usual form") from error


def _ascii(name: str) -> str:
    try:
        encoded = idna.encode(name.removesuffix("."), uts46=True, std3_rules=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise BadPlace(f"“{_shown(name)}” is no name that can be looked up") from error
    return encoded.lower()


def mail_domain(address: str) -> str:
    """The domain of a mail address, in the form that is looked up. Raises BadPlace."""
    user, at, domain = address.rpartition("@")
    if not at or not user or not user.isprintable() or " " in user:
        raise BadPlace(f"“{_shown(address)}” is no mail address: give one such as name@example.com.")
    name = "" if domain.startswith("[") else _ascii(domain)
    if not name or _ends_in_number(name):
        raise BadPlace(
            f"“{_shown(domain)}” is an IP address, not a mail domain: give an address such as name@example.com."
        )
    if "." not in name or _PUBLIC.fullmatch(name):
        raise BadPlace(
            f"“{_shown(domain)}” is no mail domain: it has no dot. Give an address such as name@example.com."
        )
    return name


def is_online(host: str) -> bool:
    """Whether this is Exchange Online, or another of Microsoft's own services."""
    return any(host == name or host.endswith(f".{name}") for name in _ONLINE)


def climbs(host: str, domains: tuple[str, ...]) -> bool:
    """Whether a host stands above one of the mail domains (example.co.uk → co.uk), or is autodiscover's name up there.

    Clients that looked there gave hundreds of thousands of passwords to whoever had registered autodiscover.co.uk.
    """
    name = host.removeprefix("autodiscover.")
    if "." not in name or _PUBLIC.fullmatch(name):
        return True
    return any(host in (above, f"autodiscover.{above}") for domain in domains for above in _above(domain))


def _above(domain: str) -> Iterator[str]:
    while "." in domain:
        domain = domain.partition(".")[2]
        yield domain


def readable(authority: str) -> str:
    """For people: beside a name in `xn--…` form what it looks like."""
    if "xn--" not in authority:
        return authority
    try:
        return f"{authority} (looks like “{idna.decode(authority.partition(':')[0])}”)"
    except (idna.IDNAError, UnicodeError):
        return authority


def _shown(text: str) -> str:
    """What a stranger sent, fit for one line."""
    return "".join(char if char.isprintable() else "·" for char in text[:100])
