"""Settings that can't work are refused with a sentence that says what would."""

from typing import Any

import pytest

from kalends.providers.exchange.settings import BadSettings, ExchangeSettings
from kalends.providers.protocol import ProviderError

GOOD = {"url": "https://mail.example.test/EWS/Exchange.asmx", "username": "EXAMPLE\\kalends"}
OAUTH = {
    "sign_in": "oauth",
    "token_url": "https://adfs.example.test/adfs/oauth2/token",
    "client_id": "kalends",
    "username": "almond@example.test",
}


def test_address_and_user_name_are_enough() -> None:
    settings = ExchangeSettings.of(GOOD)

    assert (settings.impersonate, settings.max_per_connection) == (True, 200)
    assert settings.sign_in == "basic", "what accounts of the time before there was a choice mean"
    assert settings.trust.fingerprint is None


def test_the_external_address_is_used_unless_the_internal_one_is_chosen() -> None:
    inside = {**GOOD, "internal_url": "https://exch01/EWS/Exchange.asmx"}

    assert ExchangeSettings.of(inside).address == GOOD["url"]
    assert ExchangeSettings.of({**inside, "use_internal": True}).address == "https://exch01/EWS/Exchange.asmx"


def test_a_token_is_for_the_server_in_use() -> None:
    inside = {**GOOD, "internal_url": "https://exch01.corp.test/EWS/Exchange.asmx", "use_internal": True}

    assert ExchangeSettings.of(GOOD).token_scope == "https://mail.example.test/.default"
    assert ExchangeSettings.of(inside).token_scope == "https://exch01.corp.test/.default"


def test_a_fingerprint_may_be_written_as_openssl_prints_it() -> None:
    fingerprint = ":".join(["AB"] * 32)

    assert ExchangeSettings.of({**GOOD, "fingerprint": fingerprint}).trust.fingerprint == fingerprint


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"url": "http://mail.example.test/EWS/Exchange.asmx"}, "use https://"),
        ({"url": "mail.example.test"}, "no server name"),
        ({"url": "ftp://mail.example.test/"}, "does not start with https"),
        ({"url": "https://"}, "no server name"),
        ({"url": "https://[::1/EWS"}, "can't be read"),
        ({"url": "https://mail.example.test:99999/EWS"}, "can't be read"),
        ({"url": "https://me:secret@mail.example.test/EWS"}, "must not hold"),
        ({"url": "https://mail.example.test/EWS Exchange"}, "no server name"),
        ({"username": " "}, "user name is empty"),
        ({"max_per_connection": 201}, "between 1 and 200"),
        ({"calls_at_once": 0}, "between 1 and 27"),
        ({"connection_minutes": 31}, "between 1 and 30"),
        ({"max_per_connection": "many"}, "must be a number"),
        ({"calls_at_once": True}, "must be a number"),
        ({"internal_url": "http://exch01/EWS/Exchange.asmx"}, "internal EWS address starts with http://"),
        ({"use_internal": True}, "there is none: set it"),
        ({"url": "https://outlook.office365.com/EWS/Exchange.asmx"}, "by Graph instead"),
        ({"internal_url": "https://outlook.office365.com/EWS/Exchange.asmx"}, "by Graph instead"),
        ({"version": "2010"}, "use one of 2013"),
        ({"pasword": "x"}, "unknown setting “pasword”"),
        ({"fingerprint": "abc"}, "not a SHA-256"),
        ({"authority_pem": "hello"}, "not a readable PEM"),
        ({"authority_pem": "hello", "fingerprint": "ab" * 32}, "only one of them"),
        ({"sign_in": "kerberos"}, "choose basic, ntlm or oauth"),
        ({"sign_in": "oauth"}, "no “token_url”"),
        ({**OAUTH, "token_url": "http://adfs.example.test/token"}, "token address starts with http://"),
        ({**OAUTH, "token_url": "https://me:secret@adfs.example.test/"}, "token address must not hold"),
        ({**OAUTH, "client_id": " "}, "client id is empty"),
        ({**OAUTH, "username": "EXAMPLE\\kalends"}, "a mailbox that it may act as"),
        ({**OAUTH, "impersonate": False}, "can't be a delegate"),
    ],
)
def test_what_can_not_work_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(BadSettings, match=words) as caught:
        ExchangeSettings.of({**GOOD, **given})

    assert isinstance(caught.value, ProviderError)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("missing", ["url", "username"])
def test_what_is_missing_is_named(missing: str) -> None:
    with pytest.raises(BadSettings, match=f"no “{missing}”"):
        ExchangeSettings.of({name: value for name, value in GOOD.items() if name != missing})


@pytest.mark.parametrize(
    ("url", "scope", "wanted"),
    [
        ("https://mail.example.test/EWS/Exchange.asmx", "", "https://mail.example.test/.default"),
        ("https://mail.example.test:8443/EWS/Exchange.asmx", "", "https://mail.example.test/.default"),
        ("https://mail.example.test/EWS/Exchange.asmx", "https://ews/.default", "https://ews/.default"),
    ],
)
def test_a_token_is_for_the_server_itself_unless_told_otherwise(url: str, scope: str, wanted: str) -> None:
    assert ExchangeSettings.of({**GOOD, **OAUTH, "url": url, "scope": scope}).token_scope == wanted
