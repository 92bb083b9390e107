"""What token addresses answer, by Entra and AD FS and by things that are neither."""

import json
from datetime import timedelta
from typing import Any

import pytest

from kalends.providers.exchange import token_answers
from kalends.providers.exchange.auth import Refused
from kalends.providers.http import Answer, Headers
from kalends.providers.protocol import AuthLost, ProviderError, Throttled, Unavailable


def answer(status: int, said: Any, **headers: str) -> Answer:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return Answer(status, Headers([(name.replace("_", "-"), value) for name, value in headers.items()]), body)


@pytest.mark.parametrize(
    ("said", "holds"),
    [
        ({"expires_in": 3599, "token_type": "Bearer"}, timedelta(seconds=3599)),
        ({"expires_in": "3599", "token_type": "bearer"}, timedelta(seconds=3599)),
        ({"expires_in": 0}, timedelta(0)),
        ({"expires_in": -5}, timedelta(0)),
        ({"expires_in": 10**12}, timedelta(days=1)),
        ({"expires_in": "soon"}, timedelta(minutes=5)),
        ({"expires_in": "nan"}, timedelta(minutes=5)),
        ({}, timedelta(minutes=5)),
    ],
)
def test_a_token_holds_as_long_as_it_says_within_reason(said: dict[str, Any], holds: timedelta) -> None:
    found = token_answers.read(answer(200, {"access_token": "ey.J.x", **said}), "login.test")

    assert (found.text, found.holds) == ("ey.J.x", holds)


@pytest.mark.parametrize(
    "said",
    [
        b"<html>",
        {},
        {"access_token": ""},
        {"access_token": "two words"},
        {"access_token": "line\r\nbreak"},
        {"access_token": "ü"},
        {"access_token": "x" * 40_000},
        {"access_token": 7},
        {"access_token": "x", "token_type": "mac"},
    ],
)
def test_what_is_no_token_is_not_sent_anywhere(said: Any) -> None:
    with pytest.raises(Unavailable, match=r"login\.test gave"):
        token_answers.read(answer(200, said), "login.test")


@pytest.mark.parametrize(
    ("status", "said", "kind", "words"),
    [
        (401, {"error": "invalid_client", "error_description": "AADSTS7000222: Hush"}, Refused, "secret has expired"),
        (401, {"error": "invalid_client", "error_description": "AADSTS7000215: Hush"}, Refused, "its value is needed"),
        (400, {"error": "invalid_client", "error_description": "MSIS9622: Hush"}, Refused, "id or the client secret"),
        (400, {"error": "unauthorized_client", "error_description": "AADSTS700016: Hush"}, AuthLost, "unknown in this"),
        (400, {"error": "unauthorized_client"}, AuthLost, "client credentials"),
        (400, {"error": "invalid_scope"}, AuthLost, "scope is refused"),
        (400, {"error": "invalid_request", "error_description": "AADSTS90002: Hush"}, AuthLost, "tenant in the token"),
        (400, {"error": "Hush <b>"}, AuthLost, "an unreadable reason"),
        (400, {"error": "temporarily_unavailable"}, Throttled, "at the moment"),
        (400, {"error": "invalid_request", "error_description": "AADSTS50196: Hush"}, Throttled, "AADSTS50196"),
        (429, b"", Throttled, "pause"),
        (503, b"", Throttled, "pause"),
        (500, b"", Unavailable, "HTTP status 500"),
        (404, b"<html>", Unavailable, "usually ends in /token"),
        (400, {"reason": "none"}, Unavailable, "HTTP status 400"),
    ],
)
def test_a_refusal_has_its_situation_and_passes_on_nothing_private(
    status: int, said: Any, kind: type[ProviderError], words: str
) -> None:
    with pytest.raises(ProviderError) as caught:
        token_answers.read(answer(status, said), "login.test")

    assert type(caught.value) is kind
    assert words in str(caught.value)
    assert "Hush" not in str(caught.value)


def test_a_pause_is_as_long_as_the_server_asks() -> None:
    with pytest.raises(Throttled) as caught:
        token_answers.read(answer(429, b"", Retry_After="17"), "login.test")

    assert caught.value.wait == timedelta(seconds=17)
