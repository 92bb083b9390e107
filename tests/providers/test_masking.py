"""Headers, forms and JSON: what is known to be technical is shown, all else is masked."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalends.providers import masking

SECRET = "c2VjcmV0LXRva2Vu"


@pytest.mark.parametrize("name", ["Authorization", "cookie", "Set-Cookie", "Proxy-Authorization"])
def test_headers_that_hold_secrets_do_not_even_tell_their_length(name: str) -> None:
    assert masking.headers([(name, f"Bearer {SECRET}")]) == ((name, "(masked)"),)


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        (("Retry-After", "17"), "17"),
        (("X-AnchorMailbox", "oak@example.test"), "oak@example.test"),
        (("WWW-Authenticate", f"NTLM {SECRET}"), "NTLM (masked)"),
        (("WWW-Authenticate", f'Basic realm="{SECRET}"'), "Basic (masked)"),
        (("WWW-Authenticate", f'Negotiate, Bearer realm="{SECRET}"'), "Negotiate (masked), Bearer (masked)"),
        (("WWW-Authenticate", SECRET), "(masked)"),
        (("X-Unheard-Of", "abc"), "(masked 3 characters)"),
        (("Location", f"https://user:{SECRET}@other.test/a?code={SECRET}#{SECRET}"), "https://other.test/a?(masked)"),
        (
            ("x-ms-diagnostics", f'2000003;reason="{SECRET}";error_category="invalid_resource"'),
            '(masked 67 characters) error_category="invalid_resource"',
        ),
    ],
)
def test_a_header_shows_what_one_debugs_with(header: tuple[str, str], shown: str) -> None:
    assert masking.headers([header]) == ((header[0], shown),)


def test_a_form_shows_which_grant_was_asked_for_and_not_the_secret() -> None:
    body = f"grant_type=client_credentials&client_id=app&client_secret={SECRET}&scope=https%3A%2F%2Fmail%2F.default"

    text, note = masking.form(body.encode())

    assert text.splitlines() == [
        "grant_type=client_credentials",
        "client_id=app",
        "client_secret=(masked)",
        "scope=https://mail/.default",
    ]
    assert note == ""


def test_a_token_answer_shows_how_long_it_holds_and_not_the_token() -> None:
    body = {"token_type": "Bearer", "expires_in": 3599, "access_token": SECRET, "id": {"refresh_token": SECRET}}

    text, _ = masking.document(json.dumps(body).encode())

    assert text.splitlines() == ["token_type: Bearer", "expires_in: 3599", "access_token: (masked)", "id: (masked)"]


def test_a_refusal_shows_the_directory_s_code_without_its_sentence() -> None:
    body = {"error": "invalid_client", "error_description": f"AADSTS7000215: Invalid secret {SECRET}"}

    text, _ = masking.document(json.dumps(body).encode())

    assert "error: invalid_client" in text
    assert text.endswith("AADSTS7000215")
    assert SECRET not in text


@given(st.dictionaries(st.text(max_size=30), st.text(max_size=60) | st.lists(st.text(max_size=30)), max_size=6))
def test_no_value_of_an_unknown_key_survives(fields: dict[str, object]) -> None:
    hidden = {f"x{number}": f"canary{number} {value}" for number, value in enumerate(fields.values())}

    text, _ = masking.document(json.dumps(hidden | fields).encode())

    assert "canary" not in text


@given(st.binary(max_size=400))
def test_bytes_of_any_kind_are_a_sentence_and_not_an_error(body: bytes) -> None:
    for masked in (masking.form, masking.document):
        text, note = masked(body)

        assert isinstance(text, str)
        assert "readable" not in note or str(len(body)) in note
