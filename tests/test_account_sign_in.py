"""The command line and how an Exchange account signs in: what is stored, what is sealed, and what doesn't go together."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from kalends.app import open_hub
from kalends.config import Config
from kalends.store import accounts
from sync.processes import config, invoked

URL = "https://mail.example.test/EWS/Exchange.asmx"
TOKENS = "https://adfs.example.test/adfs/oauth2/token"
BY_OAUTH = (
    *("--sign-in", "oauth", "--token-url", TOKENS, "--client-id", "kalends-app"),
    *("--user", "almond@example.test"),
)


@pytest.fixture
def hub(tmp_path: Path) -> Config:
    return config(tmp_path)


def file(made: Config, secret: str) -> str:
    path = made.data_folder / f"{secret}.txt"
    path.write_text(secret + "\n")
    return str(path)


def add(made: Config, *arguments: str) -> Result:
    return invoked(made, "accounts", "add", "exchange", "--name", "hq", "--url", URL, *arguments)


def stored(made: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """The account's settings and its opened credentials."""

    async def look() -> tuple[dict[str, Any], dict[str, Any]]:
        async with open_hub(made) as hub:
            account = await hub.store.read(accounts.by_name, hub.organization, "hq")
            assert account is not None
            return dict(account.settings), await hub.store.read(accounts.credentials, hub.seal, account.id)

    return asyncio.run(look())


def test_a_new_account_signs_in_by_ntlm_unless_told_otherwise(hub: Config) -> None:
    done = add(hub, "--user", "EXAMPLE\\kalends", "--password-file", file(hub, "horse"))

    settings, credentials = stored(hub)
    assert done.exit_code == 0, done.output
    assert (settings["sign_in"], settings["username"]) == ("ntlm", "EXAMPLE\\kalends")
    assert credentials == {"password": "horse"}


def test_the_secret_of_an_application_is_sealed(hub: Config) -> None:
    done = add(hub, *BY_OAUTH, "--client-secret-file", file(hub, "battery"))

    settings, credentials = stored(hub)
    assert done.exit_code == 0, done.output
    assert (settings["token_url"], settings["client_id"]) == (TOKENS, "kalends-app")
    assert credentials == {"client_secret": "battery"}
    assert "battery" not in str(settings) + done.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--password-file", "FILE"), "Missing option '--user'"),
        (("--user", "svc", "--client-secret-file", "FILE"), "signs in by ntlm: give --password-file"),
        (("--sign-in", "oauth", "--user", "a@b.test", "--client-secret-file", "FILE"), "has no “token_url”"),
        ((*BY_OAUTH, "--user", "EXAMPLE\\svc", "--client-secret-file", "FILE"), "An application has no user name"),
        ((*BY_OAUTH, "--no-impersonation", "--client-secret-file", "FILE"), "An application can't be a delegate"),
        ((*BY_OAUTH, "--password-file", "FILE"), "signs in by oauth: give --client-secret-file"),
        ((*BY_OAUTH,), "No client secret: give --client-secret-file"),
        (("--user", "svc"), "No password: give --password-file"),
        ((*BY_OAUTH, "--token-url", "http://adfs.test/token", "--client-secret-file", "FILE"), "starts with http://"),
    ],
)
def test_what_does_not_go_together_is_refused(hub: Config, arguments: tuple[str, ...], says: str) -> None:
    secret = file(hub, "horse")

    done = add(hub, *[secret if argument == "FILE" else argument for argument in arguments])

    assert done.exit_code == 2
    assert says in done.output
    assert "horse" not in done.output.replace(secret, "")


def test_an_account_moves_from_password_to_application_in_one_step(hub: Config) -> None:
    add(hub, "--user", "svc", "--password-file", file(hub, "horse"))

    without = invoked(hub, "accounts", "change", "hq", *BY_OAUTH)
    between = stored(hub)
    tried = invoked(
        hub, "accounts", "change", "hq", *BY_OAUTH, "--client-secret-file", file(hub, "battery"), "--dry-run"
    )
    only_tried = stored(hub)
    done = invoked(hub, "accounts", "change", "hq", *BY_OAUTH, "--client-secret-file", file(hub, "battery"))

    settings, credentials = stored(hub)
    assert (without.exit_code, tried.exit_code, done.exit_code) == (2, 0, 0), done.output
    assert between == only_tried
    assert between[1] == {"password": "horse"}
    assert (settings["sign_in"], settings["username"]) == ("oauth", "almond@example.test")
    assert credentials == {"client_secret": "battery"}


def test_an_account_moves_between_ntlm_and_basic_with_the_password_it_has(hub: Config) -> None:
    add(hub, "--user", "svc", "--password-file", file(hub, "horse"))

    done = invoked(hub, "accounts", "change", "hq", "--sign-in", "basic")

    settings, credentials = stored(hub)
    assert done.exit_code == 0, done.output
    assert (settings["sign_in"], settings["username"]) == ("basic", "svc")
    assert credentials == {"password": "horse"}


def test_what_only_oauth_needs_goes_with_it(hub: Config) -> None:
    add(hub, *BY_OAUTH, "--scope", "https://mail.example.test/.default", "--client-secret-file", file(hub, "battery"))

    done = invoked(
        hub, "accounts", "change", "hq", "--sign-in", "ntlm", "--user", "svc", "--password-file", file(hub, "horse")
    )

    settings, credentials = stored(hub)
    assert done.exit_code == 0, done.output
    assert not {"token_url", "client_id", "scope"} & settings.keys()
    assert credentials == {"password": "horse"}


def test_new_credentials_are_of_the_kind_that_the_account_needs(hub: Config) -> None:
    add(hub, *BY_OAUTH, "--client-secret-file", file(hub, "battery"))

    wrong = invoked(hub, "accounts", "credentials", "hq", "--password-file", file(hub, "horse"))
    right = invoked(hub, "accounts", "credentials", "hq", "--client-secret-file", file(hub, "staple"))

    assert (wrong.exit_code, right.exit_code) == (2, 0)
    assert "give --client-secret-file" in wrong.output
    assert stored(hub)[1] == {"client_secret": "staple"}
