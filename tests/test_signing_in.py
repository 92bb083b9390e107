"""An admin at the command line and a sandbox beside it: accounts by NTLM and OAuth from nothing to a working check."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kalends.config import Config
from sync.processes import Program, config, environment, invoked, rows

APPLICATION = """
[[applications]]
client_id = "6b1f4a52-0000-4000-8000-00000000000a"
secret = "for-rooms-only"
impersonates = ["*"]
"""
WORLD = Path(__file__).parents[1] / "src" / "kalends_sandbox" / "worlds" / "one-mailbox.toml"
ROOM = "study@one.example"


@contextmanager
def sandbox(folder: Path, *arguments: str) -> Iterator[dict[str, Any]]:
    """What a sandbox of one room says when it is ready, for as long as the block lasts."""
    world = folder / "world.toml"
    world.write_text(WORLD.read_text(encoding="utf-8") + APPLICATION, encoding="utf-8")
    options = ("serve", "--world", str(world), "--tls-folder", str(folder), *arguments)
    program = Program.start("kalends_sandbox", *options, env=environment())
    try:
        assert program.process.stdout is not None
        line = program.process.stdout.readline()
        assert line, "".join(program.errors)
        yield json.loads(line)
    finally:
        program.end()


def added(made: Config, ready: dict[str, Any], *arguments: str) -> list[dict[str, Any]]:
    """The findings of a check right after adding the account."""
    where = ("--name", "hq", "--url", ready["exchange"], "--pin", ready["certificate"]["sha256"])
    done = invoked(made, "accounts", "add", "exchange", *where, *arguments)
    assert done.exit_code == 0, done.output
    return rows(invoked(made, "accounts", "check", "hq", "--calendar", ROOM, "--json"))


def secret(folder: Path, text: str) -> str:
    file = folder / "secret.txt"
    file.write_text(text + "\n")
    return str(file)


def test_an_account_by_ntlm_works_where_extended_protection_is_required(tmp_path: Path) -> None:
    offered = ("--tls", "self-signed", "--sign-in", "ntlm,negotiate", "--extended-protection", "require")
    with sandbox(tmp_path, *offered) as ready:
        [account, *_] = ready["accounts"]
        password = secret(tmp_path, account["password"])

        findings = added(config(tmp_path), ready, "--user", account["user"], "--password-file", password)

    assert [finding for finding in findings if not finding["ok"]] == []
    assert findings[1]["detail"] == "The service account may use EWS. It signed in by NTLM with channel binding."
    assert [finding["step"] for finding in findings][-1] == "streaming"


def test_an_application_works_with_tokens_from_its_own_address(tmp_path: Path) -> None:
    with sandbox(tmp_path, "--tls", "self-signed", "--sign-in", "oauth") as ready:
        findings = added(
            config(tmp_path),
            ready,
            *("--sign-in", "oauth", "--token-url", ready["token_url"], "--user", ROOM),
            *("--client-id", "6b1f4a52-0000-4000-8000-00000000000a"),
            *("--client-secret-file", secret(tmp_path, "for-rooms-only")),
        )

    assert [finding for finding in findings if not finding["ok"]] == []
    assert findings[1]["detail"] == "The service account may use EWS. It signed in by OAuth."


def test_a_server_of_yesterday_is_named_as_such(tmp_path: Path) -> None:
    with sandbox(tmp_path, "--tls", "tls-1.0", "--sign-in", "ntlm") as ready:
        password = secret(tmp_path, "never sent")

        findings = added(config(tmp_path), ready, "--user", "svc", "--password-file", password)

    [finding] = findings
    assert not finding["ok"]
    assert "TLS 1.2 or newer" in finding["detail"]


@pytest.mark.parametrize("offer", ["basic", "oauth"])
def test_what_the_server_offers_instead_is_said(tmp_path: Path, offer: str) -> None:
    with sandbox(tmp_path, "--tls", "self-signed", "--sign-in", offer) as ready:
        password = secret(tmp_path, "never sent")

        findings = added(config(tmp_path), ready, "--user", "svc", "--password-file", password)

    name = {"basic": "Basic", "oauth": "OAuth"}[offer]
    assert [(finding["step"], finding["ok"]) for finding in findings] == [("connection", True), ("sign-in", False)]
    assert f"does not offer NTLM; it offers {name}." in findings[1]["detail"]
