"""`kalends accounts change`: what the sentences about wrong addresses, certificates and limits tell people to do."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kalends.app import open_hub
from kalends.cli import kalends as program
from kalends.config import Config
from kalends.store import accounts, calendars, due
from kalends.store.accounts import Account
from kalends.store.calendars import Calendar
from kalends.store.due import Backlog
from sync.processes import Wanted, config, set_up, variables

PIN = "ab" * 32


@pytest.fixture
def hub(tmp_path: Path) -> Config:
    made = config(tmp_path)
    settings = {"url": "https://old.example.test/EWS/Exchange.asmx", "username": "svc", "fingerprint": "cd" * 32}
    set_up(made, [Wanted("hq", settings, "secret", [f"r{n}@t.example" for n in range(5)], streams=True)])
    return made


def change(made: Config, *arguments: str) -> Result:
    return CliRunner(env=variables(made)).invoke(program, ["accounts", "change", "hq", *arguments])


def now(made: Config) -> tuple[Account, list[Calendar], dict[tuple[str, int], Backlog]]:
    async def look() -> tuple[Account, list[Calendar], dict[tuple[str, int], Backlog]]:
        async with open_hub(made) as hub:
            account = await hub.store.read(accounts.by_name, hub.organization, "hq")
            assert account is not None
            members = await hub.store.read(calendars.of_account, account.id)
            return account, members, await hub.store.read(due.backlog, hub.clock.now())

    return asyncio.run(look())


def test_what_is_given_changes_and_the_rest_stays(hub: Config) -> None:
    done = change(hub, "--url", "https://new.example.test/EWS/Exchange.asmx", "--pin", PIN, "--calls-at-once", "2")

    account, _, backlog = now(hub)
    assert done.exit_code == 0, done.output
    assert account.settings == {
        "url": "https://new.example.test/EWS/Exchange.asmx",
        "username": "svc",
        "fingerprint": PIN,
        "calls_at_once": 2,
    }
    assert backlog["pull", due.NEWS].rows == 5, "its calendars are read again at once"


def test_another_trust_replaces_the_pin(hub: Config) -> None:
    done = change(hub, "--system-trust")

    assert done.exit_code == 0, done.output
    assert "fingerprint" not in now(hub)[0].settings


def test_fewer_calendars_per_stream_make_more_streams(hub: Config) -> None:
    done = change(hub, "--max-per-connection", "2")

    _, members, backlog = now(hub)
    streams = [member.stream for member in members]
    assert done.exit_code == 0, done.output
    assert sorted(streams.count(stream) for stream in set(streams)) == [1, 2, 2]
    assert backlog["stream", due.NEWS].rows == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--url", "http://plain.example.test/"), "use https://"),
        (("--pin", "abc"), "not a SHA-256"),
        (("--pin", PIN, "--system-trust"), "each replaces the others"),
        (("--max-per-connection", "500"), "must lie between 1 and 200"),
    ],
)
def test_what_can_not_work_changes_nothing(hub: Config, arguments: tuple[str, ...], says: str) -> None:
    before = now(hub)[0].settings

    done = change(hub, *arguments)

    assert done.exit_code == 2
    assert says in done.output
    assert now(hub)[0].settings == before


def test_a_dry_run_changes_nothing(hub: Config) -> None:
    before = now(hub)[0].settings

    done = change(hub, "--calls-at-once", "3", "--dry-run")

    assert done.exit_code == 0, done.output
    assert now(hub)[0].settings == before
