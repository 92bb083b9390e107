"""`kalends accounts debug`: on for a stated time, read, saved, ended and forgotten; a check of the account is recorded."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest

from kalends.app import open_hub
from kalends.cli import accounts_debug
from kalends.config import Config
from kalends.providers.protocol import Spoken
from kalends.store import accounts, audit, debugging
from kalends.store.debugging import Entry
from sync.processes import Wanted, config, invoked, rows, set_up

URL = "http://127.0.0.1:1/EWS/Exchange.asmx"
NOBODY = {"url": URL, "username": "svc", "allow_plain": True, "sign_in": "basic"}
"""An address where nobody answers: a conversation of one side is one, too."""


@pytest.fixture
def hub(tmp_path: Path) -> Config:
    made = config(tmp_path)
    set_up(made, [Wanted("hq", NOBODY, "correct horse", ["r1@t.example"])])
    return made


def told(made: Config) -> list[str]:
    async def look() -> list[str]:
        async with open_hub(made) as hub:
            account = await hub.store.read(accounts.by_name, hub.organization, "hq")
            assert account is not None
            found = await hub.store.read(audit.list_entries, hub.organization, 20, account.id)
            return [each.action for each in found if "debugging" in each.action]

    return asyncio.run(look())


def keep(made: Config, *numbers: int, lost: int = 0) -> None:
    async def work() -> None:
        async with open_hub(made) as hub:
            account = await hub.store.read(accounts.by_name, hub.organization, "hq")
            assert account is not None
            entries = [Entry(hub.clock.now(), "p1", Spoken(n, "request", f"POST {n}")) for n in numbers]
            await hub.store.run(debugging.keep, account.id, entries, lost)

    asyncio.run(work())


def test_a_check_is_recorded_while_it_is_on_and_without_the_password(hub: Config) -> None:
    assert invoked(hub, "accounts", "debug", "hq", "--for", "30m").exit_code == 0

    invoked(hub, "accounts", "check", "hq")

    shown = invoked(hub, "accounts", "debug", "hq", "--show")
    assert shown.exit_code == 0, shown.output
    assert f"asked: POST {URL} GetRoomLists" in shown.output
    assert "Authorization: (masked)" in shown.output
    assert "<m:GetRoomLists/>" in shown.output
    assert "failed: 127.0.0.1 refuses connections" in shown.output
    assert "horse" not in shown.output


def test_nothing_is_recorded_while_it_is_off(hub: Config) -> None:
    invoked(hub, "accounts", "check", "hq")

    shown = invoked(hub, "accounts", "debug", "hq", "--show")

    assert shown.exit_code == 4
    assert "Begin with" in shown.output


def test_its_state_says_until_when_and_what_was_lost(hub: Config) -> None:
    invoked(hub, "accounts", "debug", "hq", "--for", "2h")
    keep(hub, lost=37)

    done = invoked(hub, "accounts", "debug", "hq")
    [row] = rows(invoked(hub, "accounts", "debug", "hq", "--json"))

    assert "is being recorded until 20" in done.output
    assert "37 entries were not kept: too many at once." in done.output
    assert (row["on"], row["lost"]) == (True, 37)


def test_ending_it_keeps_the_record_for_a_while(hub: Config) -> None:
    invoked(hub, "accounts", "debug", "hq", "--for", "30m")
    keep(hub, 1)

    done = invoked(hub, "accounts", "debug", "hq", "--off")

    assert "has ended" in done.output
    assert "POST 1" in invoked(hub, "accounts", "debug", "hq", "--show").output
    assert told(hub) == ["account.debugging.off", "account.debugging.on"]


def test_forgetting_leaves_nothing(hub: Config) -> None:
    invoked(hub, "accounts", "debug", "hq", "--for", "30m")
    keep(hub, 1)

    invoked(hub, "accounts", "debug", "hq", "--off", "--forget")

    assert invoked(hub, "accounts", "debug", "hq", "--show").exit_code == 4


def test_it_is_saved_whole_to_a_file_for_its_owner_only(hub: Config, tmp_path: Path) -> None:
    invoked(hub, "accounts", "debug", "hq", "--for", "30m")
    keep(hub, *range(250))
    file = tmp_path / "said.jsonl"

    done = invoked(hub, "accounts", "debug", "hq", "--save", str(file), "--json")
    again = invoked(hub, "accounts", "debug", "hq", "--save", str(file))

    assert done.exit_code == 0, done.output
    assert [json.loads(line)["conversation"] for line in file.read_text().splitlines()] == list(range(250))
    assert file.stat().st_mode & 0o777 == 0o600
    assert again.exit_code == 2, "nothing is written over"


def test_following_goes_on_until_it_ends(hub: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_debug, "_LOOK_SECONDS", 0.01)
    invoked(hub, "accounts", "debug", "hq", "--for", "1s")
    keep(hub, 1)

    done = invoked(hub, "accounts", "debug", "hq", "--follow")

    assert done.exit_code == 0
    assert "POST 1" in done.output


def test_doctor_mentions_it_without_alarm(hub: Config) -> None:
    invoked(hub, "accounts", "debug", "hq", "--for", "30m")

    found = rows(invoked(hub, "doctor", "--json"))

    [step] = [row for row in found if row["step"] == "hq, debugging"]
    assert (step["ok"], step["warning"]) == (True, False)
    assert "is being recorded, masked, until" in step["detail"]


@pytest.mark.parametrize("length", ["25h", "0m", "soon", "-5m", "1441m"])
def test_a_length_beyond_a_day_or_of_no_sense_is_refused(hub: Config, length: str) -> None:
    done = invoked(hub, "accounts", "debug", "hq", f"--for={length}")

    assert done.exit_code == 2
    assert "24h at most" in done.output
    assert told(hub) == []


@pytest.mark.parametrize("arguments", [("--for", "5m", "--off"), ("--off", "--show"), ("--forget",)])
def test_what_contradicts_itself_is_refused(hub: Config, arguments: tuple[str, ...]) -> None:
    assert invoked(hub, "accounts", "debug", "hq", *arguments).exit_code == 2


def test_what_ended_long_ago_is_not_shown_even_before_it_is_deleted(hub: Config) -> None:
    async def long_ago() -> None:
        async with open_hub(hub) as opened:
            account = await opened.store.read(accounts.by_name, opened.organization, "hq")
            assert account is not None
            then = opened.clock.now() - debugging.KEPT_AFTER - timedelta(hours=1)
            await opened.store.run(debugging.begin, account.id, then, then + timedelta(minutes=30), actor="test")
            entry = Entry(then, "p1", Spoken(1, "request", "POST 1"))
            assert await opened.store.run(debugging.keep, account.id, [entry], 0) == 1

    asyncio.run(long_ago())

    assert invoked(hub, "accounts", "debug", "hq", "--show").exit_code == 4
