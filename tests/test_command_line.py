"""The command line as a script sees it: help everywhere, JSON lines, honest exit codes, a quick start."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kalends.cli import kalends as program
from sync.processes import Wanted, config, environment, invoked, rows, set_up


def _commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        return [path]
    context = click.Context(command)
    found = [path]
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        found += _commands(inner, (*path, name))
    return found


COMMANDS = _commands(program)


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: " ".join(path) or "kalends")
def test_every_command_and_option_says_what_it_is_for(path: tuple[str, ...]) -> None:
    command: click.Command = program
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found

    done = CliRunner().invoke(program, [*path, "--help"])

    assert done.exit_code == 0
    assert (command.help or "").strip().endswith((".", "with.", "step.")), "a sentence"
    silent = [p.name for p in command.params if isinstance(p, click.Option) and not p.help]
    assert silent == []


def test_help_imports_next_to_nothing() -> None:
    code = (
        "import sys\nsys.argv = ['kalends', '--help']\nfrom kalends.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sum(name.startswith('kalends') for name in sys.modules), 'sqlalchemy' in sys.modules)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60, check=True
    )

    ours, heavy = done.stdout.splitlines()[-1].split()
    assert int(ours) < 30
    assert heavy == "False"


def test_a_misspelt_command_is_met_with_the_right_one() -> None:
    done = CliRunner().invoke(program, ["acounts"])

    assert done.exit_code == 2
    assert "There is no command “acounts”. Did you mean “accounts”?" in done.output


def test_a_misspelt_verb_is_met_with_the_right_one() -> None:
    done = CliRunner().invoke(program, ["calendars", "relaese", "x@y.test"])

    assert done.exit_code == 2
    assert "release" in done.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cli")
    settings = {"url": "https://127.0.0.1:1/EWS/Exchange.asmx", "username": "svc"}
    set_up(config(made), [Wanted("hq", settings, "secret-password", ["aspen@example.test"])])
    return made


JSON = [
    ("accounts", "list"),
    ("calendars", "list"),
    ("rooms", "list"),
    ("panels", "list"),
    ("users", "tokens"),
    ("config", "show"),
    ("config", "check"),
    ("db", "upgrade"),
    ("doctor",),
    ("accounts", "check", "hq"),
]


@pytest.mark.parametrize("command", JSON, ids=" ".join)
def test_json_means_one_object_per_line_and_nothing_secret(folder: Path, command: tuple[str, ...]) -> None:
    done = invoked(config(folder), *command, "--json")

    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(isinstance(row, dict) for row in found)
    assert "secret-password" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if command != ("panels", "list"):
        assert found


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (("accounts", "check", "nobody"), 4, "There is no account “nobody”. There is “hq”."),
        (("calendars", "pull", "nobody@example.test"), 4, "kalends calendars list shows all"),
        (("panels", "pair", "nowhere"), 4, "kalends rooms list shows ids"),
        (("panels", "revoke", "dev_none"), 4, "kalends panels list shows all"),
        (("users", "revoke-token", "tok_none"), 4, "kalends users tokens shows all"),
        (("rooms", "discover", "--account", "hq"), 7, "refuses connections on this port"),
        (("rooms", "discover", "--account", "hq", "--zone", "Mars/Base"), 2, "Use an IANA name such as Europe/Berlin"),
        (("accounts", "check", "hq"), 1, "refuses connections on this port"),
        (("doctor",), 1, "Add the first admin: kalends users add"),
        (("serve", "--role", "web"), 78, "need PostgreSQL"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_an_exit_code_says_what_kind_of_failure_it_was(
    folder: Path, command: tuple[str, ...], code: int, says: str
) -> None:
    done = invoked(config(folder), *command)

    assert done.exit_code == code, done.stderr
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_that_is_taken_is_a_conflict_and_plain_http_is_refused(folder: Path) -> None:
    file = folder / "password"
    file.write_text("secret-password\n")
    account = ("accounts", "add", "exchange", "--user", "svc", "--password-file", str(file))

    taken = invoked(config(folder), *account, "--name", "hq", "--url", "https://127.0.0.1:1/EWS")
    plain = invoked(config(folder), *account, "--name", "new", "--url", "http://127.0.0.1:1/EWS")
    tried = invoked(config(folder), *account, "--name", "new", "--url", "https://127.0.0.1:1/EWS", "--dry-run")

    assert (taken.exit_code, plain.exit_code, tried.exit_code) == (5, 2, 0)
    assert "choose another name" in taken.stderr
    assert "use https://" in plain.stderr
    assert [row["name"] for row in rows(invoked(config(folder), "accounts", "list", "--json"))] == ["hq"]


def test_a_release_that_is_only_tried_changes_nothing(folder: Path) -> None:
    before = rows(invoked(config(folder), "calendars", "list", "--json"))

    done = invoked(config(folder), "calendars", "release", "aspen@example.test", "--dry-run")

    assert done.exit_code == 0
    assert "may lose meetings" not in done.stderr
    assert rows(invoked(config(folder), "calendars", "list", "--json")) == before
