"""`kalends accounts discover` and `address`: what is shown, what has to be typed, and what is kept."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from kalends.app import open_hub
from kalends.cli import addresses
from kalends.cli import kalends as program
from kalends.config import Config
from kalends.store import accounts
from sync.processes import Wanted, World, config, invoked, rows, sandbox, set_up, variables

OUTSIDE, INSIDE = "https://mail.north.example/EWS/Exchange.asmx", "https://mbx.north.example/EWS/Exchange.asmx"

MAILBOX = "study@one.example"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with sandbox("one-mailbox", tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
def world(running: World) -> World:
    signpost(running)
    return running


@pytest.fixture
def hub(world: World, tmp_path: Path) -> Config:
    made = config(tmp_path)
    set_up(made, [Wanted("hq", world.settings(), world.password, [])])
    return made


def signpost(world: World, *redirects: dict[str, str], external: str = OUTSIDE) -> None:
    said = {"external_url": external, "internal_url": INSIDE, "grouping": "Berlin", "redirects": list(redirects)}
    world.call("POST", "/autodiscover", said)


def service(world: World) -> str:
    """The address of the sandbox's own autodiscover."""
    return str(world.ready["exchange"]).replace("/EWS/Exchange.asmx", "/autodiscover/autodiscover.svc")


def discover(hub: Config, world: World, *arguments: str) -> Result:
    file = hub.data_folder / "password"
    file.write_text(world.password)
    settings = world.settings()
    known = ("--user", settings["username"], "--sign-in", "basic", "--password-file", str(file))
    asked = ("--mailbox", MAILBOX, "--autodiscover-url", service(world), "--pin", settings["fingerprint"])
    return invoked(hub, "accounts", "discover", *known, *asked, *arguments)


def address(hub: Config, *arguments: str, typed: str | None = None) -> Result:
    said = {name: value for name, value in variables(hub).items() if name.startswith("KALENDS_")}
    return CliRunner().invoke(program, ["accounts", "address", "hq", *arguments], env=said, input=typed)


def stored(hub: Config) -> dict[str, Any]:
    async def look() -> dict[str, Any]:
        async with open_hub(hub) as opened:
            account = await opened.store.read(accounts.by_name, opened.organization, "hq")
            assert account is not None
            return dict(account.settings)

    return asyncio.run(look())


def test_what_is_found_is_shown_with_each_step_and_not_kept(hub: Config, world: World) -> None:
    done = discover(hub, world, "--json")

    *steps, found = rows(done)
    assert done.exit_code == 0, done.output
    assert [step["ok"] for step in steps] == [True]
    assert (found["url"], found["internal_url"], found["group"]) == (OUTSIDE, INSIDE, "Berlin")
    assert found["server"] == "Exchange Server 2019 (15.2.1748.10)"
    assert len(rows(invoked(hub, "accounts", "list", "--json"))) == 1
    assert world.password not in done.output


def test_the_command_that_comes_next_is_printed_and_quoted(hub: Config, world: World) -> None:
    signpost(world, external="https://mail.north.example/EWS/$(reboot);x")

    done = discover(hub, world)

    assert done.exit_code == 0, done.output
    assert "--url 'https://mail.north.example/EWS/$(reboot);x'" in done.stderr


def test_an_internal_address_that_is_no_other_is_left_out(hub: Config, world: World) -> None:
    signpost(world, external=INSIDE)

    done = discover(hub, world, "--json")

    assert (rows(done)[-1]["url"], rows(done)[-1]["internal_url"]) == (INSIDE, None)


def test_a_foreign_host_needs_a_word_and_without_one_is_not_asked(hub: Config, world: World) -> None:
    signpost(world, {"kind": "url", "target": "https://exchange.hoster.test/autodiscover/autodiscover.svc"})

    done = discover(hub, world)

    assert done.exit_code == 7, done.output
    assert "exchange.hoster.test needs your word: give --yes-host exchange.hoster.test" in done.stderr
    assert "no credentials were sent there" in done.stdout


def test_a_foreign_host_that_was_named_is_asked(hub: Config, world: World) -> None:
    signpost(world, {"kind": "url", "target": "https://127.0.0.1:1/autodiscover/autodiscover.svc"})

    done = discover(hub, world, "--yes-host", "127.0.0.1:1")

    assert done.exit_code == 7, done.output
    assert "refuses connections on this port" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--mailbox", "EXAMPLE\\ada"), "give --mailbox name@example.com"),
        (("--mailbox", "ada@com"), "no mail domain"),
        (("--mailbox", "ada@127.0.0.1"), "IP address"),
        (("--autodiscover-url", "http://127.0.0.1/"), "must be https://"),
        (("--yes-host", "a b"), "--yes-host takes the name of a host"),
        (("--pin", "abc"), "not a SHA-256"),
    ],
)
def test_what_can_not_be_searched_is_said_before_anything_is_asked(
    hub: Config, world: World, arguments: tuple[str, ...], says: str
) -> None:
    done = discover(hub, world, *arguments)

    assert done.exit_code == 2, done.output
    assert says in done.stderr


def test_exchange_online_is_never_asked(hub: Config, world: World) -> None:
    done = discover(hub, world, "--autodiscover-url", "https://outlook.office365.com")

    assert done.exit_code == 7
    assert "Connect Microsoft 365 by Graph instead" in done.stderr


def test_a_refused_password_ends_the_search(hub: Config, world: World) -> None:
    file = hub.data_folder / "wrong"
    file.write_text("wrong")

    done = discover(hub, world, "--password-file", str(file))

    assert done.exit_code == 6, done.output
    assert "Nothing else was tried" in done.stderr


# --- an account's addresses ------------------------------------------------------------------------------------------


def test_an_accounts_addresses_are_shown(hub: Config, world: World) -> None:
    done = address(hub, "--json")

    assert json.loads(done.stdout) == {
        "account": "hq",
        "url": world.ready["exchange"],
        "internal_url": None,
        "in_use": "external",
        "version": "detect",
    }


def test_the_internal_address_is_set_used_and_left_again(hub: Config) -> None:
    before = stored(hub)

    inside = address(hub, "--internal-url", INSIDE, "--use", "internal")

    assert inside.exit_code == 0, inside.output
    assert stored(hub) == {**before, "internal_url": INSIDE, "use_internal": True}
    assert address(hub, "--use", "external").exit_code == 0
    assert stored(hub)["use_internal"] is False


def test_the_certificate_that_goes_unchecked_is_that_of_the_address_in_use(hub: Config) -> None:
    address(hub, "--internal-url", INSIDE, "--use", "internal")
    inside = urlsplit(INSIDE).hostname or ""

    outside = invoked(hub, "accounts", "trust", "hq", "--unverified", "--confirm", "127.0.0.1")
    done = invoked(hub, "accounts", "trust", "hq", "--unverified", "--confirm", inside)

    assert outside.exit_code == 2, outside.output
    assert done.exit_code == 0, done.output
    assert stored(hub)["unverified"] == inside


def test_a_version_is_pinned_and_unpinned(hub: Config) -> None:
    assert address(hub, "--version", "2016").exit_code == 0
    assert stored(hub)["version"] == "2016"

    assert address(hub, "--version", "detect").exit_code == 0

    assert "version" not in stored(hub)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--use", "internal"), "there is none: set it"),
        (("--internal-url", "http://mbx/EWS"), "use https://"),
        (("--url", "https://outlook.office365.com/EWS/Exchange.asmx"), "by Graph instead"),
        (("--version", "2010"), "use one of 2013, 2013_SP1"),
    ],
)
def test_what_can_not_work_is_refused_and_changes_nothing(hub: Config, arguments: tuple[str, ...], says: str) -> None:
    before = stored(hub)

    done = address(hub, *arguments)

    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert stored(hub) == before


def test_what_is_only_tried_changes_nothing(hub: Config) -> None:
    before = stored(hub)

    done = address(hub, "--internal-url", INSIDE, "--dry-run", "--json")

    assert json.loads(done.stdout)["internal_url"] == INSIDE
    assert stored(hub) == before


def found_as_account(hub: Config, world: World, *arguments: str, typed: str | None = None) -> Result:
    asked = ("--mailbox", MAILBOX, "--autodiscover-url", service(world))
    return address(hub, "--discover", *asked, *arguments, typed=typed)


def test_addresses_that_lead_elsewhere_are_not_kept_without_a_word(hub: Config, world: World) -> None:
    before = stored(hub)

    done = found_as_account(hub, world)

    assert done.exit_code == 2, done.output
    assert "mail.north.example was not confirmed, so nothing is changed" in done.stderr
    assert stored(hub) == before


def test_addresses_are_kept_once_their_hosts_were_typed(
    hub: Config, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "_is_terminal", lambda: True)
    before = stored(hub)

    done = found_as_account(hub, world, typed="mail.north.example\nMBX.north.example\n")

    assert done.exit_code == 0, done.output
    assert stored(hub) == {**before, "url": OUTSIDE, "internal_url": INSIDE}


def test_another_name_than_the_one_asked_for_is_no_consent(
    hub: Config, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "_is_terminal", lambda: True)
    before = stored(hub)

    done = found_as_account(hub, world, typed="yes\n")

    assert done.exit_code == 2
    assert stored(hub) == before


def test_a_script_names_the_hosts_beforehand(hub: Config, world: World) -> None:
    done = found_as_account(hub, world, "--yes-host", "mail.north.example", "--yes-host", "mbx.north.example")

    assert done.exit_code == 0, done.output
    assert stored(hub)["internal_url"] == INSIDE
