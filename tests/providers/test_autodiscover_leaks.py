"""Autodiscover among ten thousand domains of liars: not one byte that could be used goes to anybody not on the list."""

import asyncio
from collections import Counter
from random import Random

import pytest

from kalends.providers.exchange.autodiscover import Confirm
from kalends.providers.exchange.discovery import Discovery, Wanted
from kalends.providers.protocol import ProviderError
from providers.contract import NOON
from providers.hostile_internet import TOKEN, Case, Internet, Sent, case

DOMAINS, BATCHES = 10_000, 10
OFFERED_AS = {"basic": {"basic"}, "ntlm": {"ntlm", "negotiate"}, "oauth": {"bearer"}}
ONLINE = ("outlook.com", "office365.com", "onmicrosoft.com")


def settings_of(one: Case) -> dict[str, str]:
    if one.way == "oauth":
        return {
            "sign_in": "oauth",
            "username": "calendar@example.com",
            "token_url": f"https://{one.token_host}/token",
            "client_id": "kalends",
        }
    return {"sign_in": one.way, "username": one.user}


async def search(internet: Internet) -> str:
    """How the search ended."""
    one = internet.case

    async def confirm(question: Confirm) -> bool:
        said = one.is_careless or question.host == f"mail.{one.domain}"
        if said:
            internet.confirmed.add(question.host)
        return said

    secrets = {"password": one.password, "client_secret": one.password}
    wanted = Wanted(one.user, one.typed_url)
    discovery = Discovery.of(settings_of(one), secrets, wanted, Random(1), lambda: NOON, internet)
    try:
        await discovery.run(confirm, lambda step: None)
    except ProviderError as error:
        return type(error).__name__
    finally:
        await discovery.aclose()
    return "Found"


def listed(internet: Internet) -> set[str]:
    """Who may be asked, by the rule as it is written down: not by the code that is judged."""
    one = internet.case
    if one.typed_url is None:
        return one.own | internet.confirmed
    return {f"mail.{one.domain}" if "mail." in one.typed_url else "elsewhere.test:8443"} | internet.confirmed


def is_for_the_token_server(sent: Sent, one: Case) -> bool:
    """The one place where the client secret belongs."""
    return (sent.scheme, sent.authority, sent.path) == ("https", one.token_host, "/token") and TOKEN not in sent.raw


def is_forbidden(host: str, one: Case) -> bool:
    """Hosts that not even a careless admin can confirm."""
    above = [".".join(one.domain.split(".")[at:]) for at in range(1, one.domain.count(".") + 1)]
    return (
        host in above
        or host in [f"autodiscover.{name}" for name in above]
        or host in ("autodiscover.com", "autodiscover.co.uk", "autodiscover.com.br", "autodiscover")
        or host.endswith(ONLINE)
        or "." not in host
    )


def crimes(internet: Internet) -> list[str]:
    """What was sent that should not have been."""
    one, allowed = internet.case, listed(internet)
    found = []
    for sent in internet.sent:
        if is_for_the_token_server(sent, one):
            continue
        told = [secret for secret in one.secrets if secret in sent.raw]
        if sent.authority not in allowed:
            found.append(f"asked {sent.authority}")
        if is_forbidden(sent.host, one):
            found.append(f"asked the forbidden {sent.authority}")
        if sent.scheme != "https" and (told or sent.method != "GET" or sent.port != 80):
            found.append(f"sent more than a bare GET over {sent.scheme} to {sent.authority}")
        if told and not OFFERED_AS[one.way] & internet.offers.get((sent.authority, sent.path), set()):
            found.append(f"gave credentials to {sent.authority}, which did not offer {one.way}")
        if (
            sent.is_signed_in
            and one.way != "ntlm"
            and sent.host == one.domain
            and sent.authority not in internet.confirmed
        ):
            found.append("gave the password or a token to the bare mail domain")
        if b"uthorization: Basic" in sent.raw and one.way != "basic":
            found.append("was talked into Basic")
    if internet.refusals > (2 if one.way == "oauth" else 1):  # a token may have ended, and is renewed once
        found.append("signed in again after a refusal")
    if len(internet.sent) > 120:
        found.append(f"sent {len(internet.sent)} requests")
    return found


@pytest.mark.parametrize("batch", range(BATCHES))
def test_not_one_credential_byte_goes_off_list(batch: int) -> None:
    rng = Random(f"autodiscover {batch}")
    ends: Counter[str] = Counter()
    guilty: list[tuple[Case, list[str]]] = []

    async def all_of_them() -> None:
        for number in range(DOMAINS // BATCHES):
            one = case(rng, number)
            internet = Internet(rng, one)
            ends[await search(internet)] += 1
            ends["signed in"] += any(sent.is_signed_in for sent in internet.sent)
            ends["confirmed"] += bool(internet.confirmed)
            ends["http"] += any(sent.scheme == "http" for sent in internet.sent)
            if found := crimes(internet):
                guilty.append((one, found))

    asyncio.run(all_of_them())

    assert guilty == []
    few = [what for what in ("Found", "AuthLost", "Rejected", "signed in", "confirmed", "http") if ends[what] < 15]
    assert few == [], f"the internet was too kind to prove anything: {ends}"
