"""Finding an account's EWS address by autodiscover, as decisions only. Pure: `discovery.py` does what is decided here.

Autodiscover is where passwords leak: clients sent them to whoever answered for the mail domain, followed any redirect,
climbed up to autodiscover.<top-level domain> and let themselves be talked into Basic. So here

- a host is asked nothing at all, not even without credentials, unless it is one of the account's own two
  (`example.com`, `autodiscover.example.com`), stands in an address that the admin typed, or was confirmed by typing
  its name; a redirect is never more than a question to the admin;
- the first request to an address is empty and carries no credentials; they follow, over https, only when the address
  offers the very sign-in that was chosen for the account. No offer makes Kalends use another one;
- the bare mail domain is often a public web site: a password that is sent as it is (Basic) or a token goes there only
  when its name was typed as well;
- http is asked once per own host, by a bare GET, and believed nothing but a redirect to https;
- nobody is asked above the mail domain, nor at a host named by an http address, a hidden user name or a bare number;
- a refused sign-in ends the search, so that a wrong password is sent once;
- Exchange Online is never asked.

    Search ── upcoming ──▶ Ask      ──▶ (the answer) heard ──▶ Search
                      ├──▶ Confirm  ──▶ (yes or no) decided ─▶ Search
                      └──▶ Found or Ended
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from kalends.providers.exchange.autodiscover_wire import (
    POX_PATH,
    SOAP_PATH,
    Denied,
    Moved,
    Nothing,
    Offered,
    Renamed,
    Reply,
    Told,
)
from kalends.providers.exchange.places import BadPlace, Place, climbs, is_online, mail_domain, place, readable
from kalends.providers.exchange.settings import Way
from kalends.providers.exchange.version import Build, release
from kalends.providers.protocol import AuthLost, Finding, ProviderError, Rejected

MOST_REDIRECTS = 10

_OFFERS = {"basic": {"basic"}, "ntlm": {"ntlm", "negotiate"}, "oauth": {"bearer"}}
_NAMES = {"basic": "Basic", "ntlm": "NTLM", "oauth": "OAuth"}

Dialect = Literal["soap", "pox", "http"]


@dataclass(frozen=True, slots=True)
class Ask:
    """To be asked next."""

    place: Place
    dialect: Dialect
    """`http`: a bare GET of the same path over plain http."""
    address: str
    """The mailbox asked about."""
    why: str
    """What led here."""
    is_signed_in: bool = False
    """The request may carry the credentials, and says what is asked; else it is empty."""

    @property
    def url(self) -> str:
        return f"http://{self.place.host}{self.place.path}" if self.dialect == "http" else self.place.url


@dataclass(frozen=True, slots=True)
class Confirm:
    """Nothing is sent to this host unless the admin types its name."""

    host: str
    """With its port, where that is not 443."""
    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """Where EWS is, for an admin to look at and pin."""

    external: str | None
    internal: str | None
    group: str | None
    build: Build | None
    source: str
    """The autodiscover address that said so."""

    @property
    def server(self) -> str | None:
        """For people."""
        return None if self.build is None else f"{release(self.build).name} ({self.build})"


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing was found, or nothing may be looked for."""

    error: ProviderError


@dataclass(frozen=True, slots=True)
class Search:
    way: Way
    waiting: tuple[Ask, ...]
    allowed: frozenset[str]
    """Hosts (with ports) that may be asked."""
    trusted: frozenset[str]
    """Those of them that may hold what is as good as the password: a token, or with Basic the password itself."""
    domains: tuple[str, ...]
    """The mail domains so far: the account's own, then those of redirects."""
    refused: frozenset[str] = frozenset()
    asked: frozenset[tuple[str, str, str]] = frozenset()
    """Dialect, address and mailbox of everything that was asked."""
    redirects: int = 0
    trail: tuple[Finding, ...] = ()
    """Every step, for people."""
    end: Found | Ended | None = None


Move = Ask | Confirm | Found | Ended


def begin(address: str, way: Way, typed: str | None = None, confirmed: Iterable[str] = ()) -> Search:
    """The search for a mailbox: at the address that the admin typed, or at the two hosts of its own mail domain.

    `confirmed` are hosts that the admin named beforehand. Raises BadPlace for a mail address or a typed address that
    can't be used.
    """
    domain = mail_domain(address)
    mailbox = f"{address.rpartition('@')[0]}@{domain}"
    named = frozenset(_typed_host(each) for each in confirmed)
    if typed is None:
        trusted = named | {f"autodiscover.{domain}"}
        search = Search(way, (), trusted | {domain}, trusted, (domain,))
        return _forbid_online(_with(search, _of_domain(domain, mailbox, f"{domain} is the mail domain")), domain)
    try:
        at = place(typed, is_typed=True)
    except BadPlace as error:
        raise BadPlace(f"The autodiscover address can't be used: {error}.") from error
    trusted = named | {at.authority}
    search = Search(way, (), trusted, trusted, (domain,))
    return _forbid_online(_with(search, _of_place(at, mailbox, "it was typed")), at.host)


def upcoming(search: Search) -> Move:
    """What to do next."""
    if search.end is not None:
        return search.end
    if not search.waiting:
        return Ended(Rejected(_nowhere(search)))
    ask = search.waiting[0]
    host = ask.place.authority
    if host not in search.allowed:
        return Confirm(host, ask.why)
    if ask.is_signed_in and search.way != "ntlm" and host not in search.trusted:
        return Confirm(host, f"{host} offers {_NAMES[search.way]}, but a mail domain is often a public web site")
    return ask


def decided(search: Search, is_confirmed: bool) -> Search:
    """After the admin confirmed or refused the host of the Confirm that was due."""
    host = search.waiting[0].place.authority
    if is_confirmed:
        return replace(search, allowed=search.allowed | {host}, trusted=search.trusted | {host})
    search = replace(search, refused=search.refused | {host})
    return _noted(_without(search, host), host, "not confirmed, so no credentials were sent there", ok=False)


def heard(search: Search, reply: Reply) -> Search:
    """After the answer to the Ask that was due."""
    ask = search.waiting[0]
    search = replace(search, waiting=search.waiting[1:], asked=search.asked | {_key(ask)})
    if isinstance(reply, Nothing):
        search = _without(search, ask.place.authority, "http") if reply.is_away else search
        return _noted(search, _step(ask), reply.reason, ok=False)
    if ask.dialect == "http" and not isinstance(reply, Moved):
        return _noted(search, _step(ask), "does not redirect, and is believed nothing else", ok=False)
    if isinstance(reply, Moved):
        return _redirected(search, ask, reply.target)
    if isinstance(reply, Offered) and not ask.is_signed_in:
        return _offered(search, ask, reply)
    if isinstance(reply, Denied | Offered):
        return _denied(search, ask, reply)
    if not ask.is_signed_in:
        return _noted(search, _step(ask), "answers without a sign-in, and is not believed", ok=False)
    return _renamed(search, ask, reply) if isinstance(reply, Renamed) else _told(search, ask, reply)


def _offered(search: Search, ask: Ask, offer: Offered) -> Search:
    """Signs in if the chosen way is offered."""
    if _OFFERS[search.way].isdisjoint(offer.schemes):
        chosen = f"and not {_NAMES[search.way]}, which was chosen: no credentials were sent"
        return _noted(search, _step(ask), f"offers {offer.named} {chosen}", ok=False)
    return replace(search, waiting=(replace(ask, is_signed_in=True), *search.waiting))


def _denied(search: Search, ask: Ask, reply: Denied | Offered) -> Search:
    host = readable(ask.place.authority)
    reason = reply.reason if isinstance(reply, Denied) else f"{host} refuses the sign-in."
    error = AuthLost(
        f"{reason} Nothing else was tried, so that the account is not locked out. If {host} is not your Exchange Server, "
        "give the right address with --autodiscover-url."
    )
    return replace(_noted(search, _step(ask), "refuses the sign-in", ok=False), end=Ended(error))


def _told(search: Search, ask: Ask, told: Told) -> Search:
    """The end, if an address is among what was told that could be used."""
    external, internal = _ews(told.external), _ews(told.internal)
    online = next((each for each in (external, internal) if each is not None and is_online(each.host)), None)
    if online is not None:
        return replace(search, end=Ended(_use_graph(online.host)))
    if external is None and internal is None:
        return _noted(search, _step(ask), "names no https address of EWS for this mailbox", ok=False)
    group = None if told.group is None or not told.group.isprintable() else told.group[:200]
    urls = [None if each is None else each.url for each in (external, internal)]
    found = Found(urls[0], urls[1], group, told.build, ask.url)
    return replace(_noted(search, _step(ask), "knows the mailbox"), end=found)


def _ews(text: str | None) -> Place | None:
    """An internal address may well be a name without a dot; both are looked at by a person before they are used."""
    try:
        return None if text is None else place(text, is_typed=True)
    except BadPlace:
        return None


def _renamed(search: Search, ask: Ask, reply: Renamed) -> Search:
    """The mailbox is asked about under another mail address, whose hosts are then as foreign as any."""
    try:
        domain = mail_domain(reply.address)
    except BadPlace:
        return _noted(search, _step(ask), "redirects to a mail address that can't be used", ok=False)
    reason = _never(search, domain)
    if reason is not None:
        return _noted(search, _step(ask), f"redirects to a mail address at {domain}: {reason}", ok=False)
    mailbox = f"{reply.address.rpartition('@')[0]}@{domain}"
    why = f"{readable(ask.place.authority)} redirects to a mail address at {readable(domain)}"
    search = replace(search, domains=(*search.domains, domain))
    return _led_on(search, ask, why, _of_domain(domain, mailbox, why), domain)


def _redirected(search: Search, ask: Ask, target: str) -> Search:
    try:
        at = place(target)
    except BadPlace as error:
        return _noted(search, _step(ask), f"redirects, but {error}: not followed", ok=False)
    reason = _never(search, at.host)
    if reason is not None:
        return _noted(search, _step(ask), f"redirects to {readable(at.authority)}: {reason}", ok=False)
    if not _is_service(at):  # web sites send strangers to their front page; nobody should be asked to confirm that
        return _noted(search, _step(ask), f"redirects to a page of {readable(at.authority)}: not followed", ok=False)
    why = f"{readable(ask.place.authority)} redirects to it"
    return _led_on(search, ask, f"redirects to {readable(at.authority)}", _of_place(at, ask.address, why), at.host)


def _led_on(search: Search, ask: Ask, what: str, onward: list[Ask], name: str) -> Search:
    """One redirect more; where it leads is asked before anything else."""
    search = _noted(replace(search, redirects=search.redirects + 1), _step(ask), what)
    if search.redirects > MOST_REDIRECTS:
        return replace(search, end=Ended(Rejected(
            f"Autodiscover redirected more than {MOST_REDIRECTS} times, the last time from "
            f"{readable(ask.place.authority)}. Give the EWS address itself."
        )))  # fmt: skip
    if not _fresh(search, onward):
        return _noted(search, _step(ask), "leads nowhere new: a loop, or a host that was not confirmed", ok=False)
    return _forbid_online(_with(search, onward), name)


def _never(search: Search, name: str) -> str | None:
    """Why a redirect there is not even a question."""
    if climbs(name, search.domains):
        return (
            "this is above the mail domain, where nobody is asked. If it is yours, give it yourself with "
            "--autodiscover-url"
        )
    return None


def _forbid_online(search: Search, name: str) -> Search:
    return replace(search, end=Ended(_use_graph(name))) if is_online(name) else search


def _use_graph(name: str) -> Rejected:
    return Rejected(
        f"{name} belongs to Exchange Online, where EWS is being switched off (for good on 2027-04-01). Nothing was sent "
        "there. Connect Microsoft 365 by Graph instead."
    )


def _of_domain(domain: str, mailbox: str, why: str) -> list[Ask]:
    """The four candidates of a mail domain, in Microsoft's order."""
    hosts = (domain, f"autodiscover.{domain}")
    secure = [ask for host in hosts for ask in _of_place(Place(host, 443, SOAP_PATH), mailbox, why)]
    return secure + [Ask(Place(host, 443, POX_PATH), "http", mailbox, why) for host in hosts]


def _of_place(at: Place, mailbox: str, why: str) -> list[Ask]:
    """Both dialects, SOAP first: they live side by side. An address of another kind stands for its host."""
    stem = at.path[:-4]
    paths = (f"{stem}.svc", f"{stem}.xml") if _is_service(at) else (SOAP_PATH, POX_PATH)
    return [Ask(at.at(paths[0]), "soap", mailbox, why), Ask(at.at(paths[1]), "pox", mailbox, why)]


def _is_service(at: Place) -> bool:
    return at.path.lower().endswith((".svc", ".xml"))


def _with(search: Search, asks: list[Ask]) -> Search:
    """With these before everything else."""
    fresh = _fresh(search, asks)
    keys = {_key(ask) for ask in fresh}
    return replace(search, waiting=(*fresh, *(ask for ask in search.waiting if _key(ask) not in keys)))


def _fresh(search: Search, asks: list[Ask]) -> list[Ask]:
    """Those that were not asked before, at hosts that were not refused."""
    return [ask for ask in asks if _key(ask) not in search.asked and ask.place.authority not in search.refused]


def _key(ask: Ask) -> tuple[str, str, str]:
    return ask.dialect, ask.url, ask.address


def _without(search: Search, host: str, *but: Dialect) -> Search:
    """Without what still waits for a host, except in these dialects."""
    kept = tuple(ask for ask in search.waiting if ask.place.authority != host or ask.dialect in but)
    return replace(search, waiting=kept)


def _typed_host(text: str) -> str:
    try:
        return place(f"https://{text}", is_typed=True).authority
    except BadPlace as error:
        raise BadPlace(f"--yes-host takes the name of a host, but {error}.") from error


def _step(ask: Ask) -> str:
    return ask.url


def _noted(search: Search, step: str, detail: str, *, ok: bool = True) -> Search:
    return replace(search, trail=(*search.trail, Finding(step, ok, detail)))


def _nowhere(search: Search) -> str:
    return (
        f"No autodiscover service for {search.domains[0]} gave an EWS address. The steps say why; give the address "
        "yourself, which usually is https://mail.example.com/EWS/Exchange.asmx, or the one of your autodiscover "
        "service with --autodiscover-url."
    )
