"""What servers and proxies write into WWW-Authenticate, and what of it a sentence may say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalends.providers.exchange import challenges
from kalends.providers.exchange.challenges import Challenge


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (["Negotiate", "NTLM"], [Challenge("negotiate", "", {}), Challenge("ntlm", "", {})]),
        (["Negotiate, NTLM"], [Challenge("negotiate", "", {}), Challenge("ntlm", "", {})]),
        (["NTLM TlRMTVNTUAAC=="], [Challenge("ntlm", "TlRMTVNTUAAC==", {})]),
        (["NTLM TlRMTVNTUAAC="], [Challenge("ntlm", "TlRMTVNTUAAC=", {})]),
        (["NTLM TlRM, Negotiate"], [Challenge("ntlm", "TlRM", {}), Challenge("negotiate", "", {})]),
        (
            ['Basic realm="a, b", NTLM'],
            [Challenge("basic", "", {"realm": "a, b"}), Challenge("ntlm", "", {})],
        ),
        (
            ['Bearer client_id="1", trusted_issuers="a@b,c@d", error="invalid_token", NTLM'],
            [
                Challenge("bearer", "", {"client_id": "1", "trusted_issuers": "a@b,c@d", "error": "invalid_token"}),
                Challenge("ntlm", "", {}),
            ],
        ),
        (['Basic realm="say \\"hi\\""'], [Challenge("basic", "", {"realm": 'say "hi"'})]),
        (["Digest qop=auth, nonce=x"], [Challenge("digest", "", {"qop": "auth", "nonce": "x"})]),
        ([", ,", 'realm="of nobody"', ""], []),
    ],
)
def test_every_offer_is_found(lines: list[str], found: list[Challenge]) -> None:
    assert challenges.read(lines) == found


@given(st.lists(st.text(max_size=200), max_size=5))
def test_whatever_a_server_writes_is_read_and_named_in_our_words(lines: list[str]) -> None:
    found = challenges.read(lines)

    words = challenges.named(found).replace(",", "").split()
    assert len(found) <= 64
    assert set(words) <= {"NTLM", "Negotiate", "Basic", "OAuth", "Digest", "another", "way", "and", "nothing"}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "nothing"),
        (["NTLM"], "NTLM"),
        (["Negotiate", "NTLM", 'Basic realm="x"'], "Basic, NTLM and Negotiate"),
        (["Evil<script>", "Bearer"], "OAuth"),
        (["Kerberos", "Mutual"], "another way"),
    ],
)
def test_offers_are_named_for_people(lines: list[str], words: str) -> None:
    assert challenges.named(challenges.read(lines)) == words
