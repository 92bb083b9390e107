"""Each trouble gets one sentence that says what to do, the same in command line, API, page and log; nothing is lost.

One server runs with one account per trouble, so that every test is also about the others going on.
"""

import asyncio
import html
import json
import signal
import sqlite3
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.cookiejar import CookieJar
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner

from kalends.app import open_hub
from kalends.cli import kalends as program
from kalends.config import EXIT_CONFIG
from kalends.model.time import Span
from kalends.store import calendars, events
from postgres import Cluster
from sync.processes import (
    Program,
    Wanted,
    World,
    address_of,
    api,
    config,
    invoked,
    kalends,
    leases_end,
    rows,
    sandbox,
    serving,
    set_up,
    stored,
    variables,
    wait_for,
)

WORLD = """
[organization]
name = "Trouble"
domain = "t.example"
zone = "UTC"
[[accounts]]
user = "svc@t.example"
password = "right-password"
impersonates = ["*"]
[[accounts]]
user = "narrow@t.example"
password = "narrow-password"
impersonates = ["nobody@t.example"]
[[buildings]]
name = "House"
[[people]]
name = "Ada Moreau"
"""
ROOM = """[[rooms]]
name = "{name}"
building = "House"
capacity = 4
calendar = {calendar}
"""
MEETING = """[[meetings]]
subject = "Private plans of {name}"
organizer = "Ada Moreau"
at = "{at}"
minutes = 30
rooms = ["{name}"]
"""


@dataclass(frozen=True)
class Case:
    """`says` is part of the sentence; `of_account`: the account says it, too."""

    room: str
    says: str
    does: str
    """What the sentence tells the reader to do."""
    settings: dict[str, Any] = field(default_factory=dict)
    password: str = ""
    fault: dict[str, Any] = field(default_factory=dict)
    of_account: bool = True


CASES = (
    Case("nowhere", "has no EWS at this address", "It usually ends in", {"url": "/nothing/here"}),
    Case("refused", "refuses connections on this port", "Check the address", {"url": "https://127.0.0.1:1/EWS"}),
    Case("pin", "shows another certificate than the pinned one", "pin the new one", {"fingerprint": "ab" * 32}),
    Case("authority", "is not trusted", "compare the fingerprint", {"fingerprint": None}),
    Case("password", "refuses the service account's user name or password", "Correct them", password="wrong"),
    Case(
        "right",
        "may not act as right@t.example",
        "Give it the role ApplicationImpersonation",
        {"username": "narrow@t.example"},
        "narrow-password",
        of_account=False,
    ),
    Case("nocalendar", "has no calendar that can be opened", "", of_account=False),
    Case(
        "busy",
        "is busy and asked for a pause",
        "",
        fault={"name": "server_busy", "parameters": {"back_off_ms": 120000}},
    ),
    Case("malformed", "malformed", "", fault={"name": "malformed_xml"}),
    Case("huge", "more than 16 MiB", "Look for an unusually large item", fault={"name": "huge_answer"}),
)
ADA = "ada.moreau@t.example"
FAULTY = [case.room for case in CASES if case.fault]


@dataclass
class Scene:
    world: World
    folder: Path
    server: Program
    url: str

    def calendar(self, room: str) -> dict[str, Any]:
        found = api(self.url, "/v1/calendars?limit=500")["items"]
        return next(one for one in found if one["address"] == f"{room}@t.example")

    def account(self, room: str) -> dict[str, Any]:
        return next(one for one in api(self.url, "/v1/accounts?limit=500")["items"] if one["name"] == room)

    def reason(self, case: Case) -> str:
        """What the API says, once it says it."""

        def look() -> str | None:
            reason = str(self.calendar(case.room)["reason"])
            return reason if case.says in reason else None

        return str(wait_for(look, self.server.alive))

    def page(self) -> str:
        password = self.server.said("First start: sign in as").split(" with ")[1].split(" ")[0]
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar())
        )
        form = urllib.parse.urlencode({"name": "admin", "password": password, "to": "/"}).encode()
        request = urllib.request.Request(f"{self.url}/sign-in", form, {"Origin": self.url})
        with opener.open(request, timeout=30) as answer:
            return html.unescape(answer.read().decode())


def _settings(world: World, case: Case) -> dict[str, Any]:
    settings = world.settings(**case.settings)
    if str(settings["url"]).startswith("/"):
        base = world.ready["exchange"].partition("/EWS")[0]
        settings["url"] = f"{base}{settings['url']}"
    return {name: value for name, value in settings.items() if value is not None}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("trouble")
    file = folder / "world.toml"
    rooms = [*(case.room for case in CASES), "good"]
    parts = [ROOM.format(name=room, calendar=str(room != "nocalendar").lower()) for room in rooms]
    parts += [MEETING.format(name=room, at=f"{8 + n:02}:00") for n, room in enumerate(rooms) if room != "nocalendar"]
    file.write_text(WORLD + "\n".join(parts))
    with sandbox(file, folder / "tls") as world:
        for case in CASES:
            if case.fault:
                world.call("POST", "/faults", {"mailbox": f"{case.room}@t.example", **case.fault})
        wanted = [
            Wanted(case.room, _settings(world, case), case.password or world.password, [f"{case.room}@t.example"])
            for case in CASES
        ]
        wanted.append(Wanted("good", world.settings(), world.password, ["good@t.example", ADA], streams=True))
        made = config(folder / "hub")
        set_up(made, wanted)
        server = serving(made)
        try:
            yield Scene(world, folder / "hub", server, address_of(server))
        finally:
            server.end()


@dataclass(frozen=True)
class Heard:
    """What each place says, taken once everything has gone wrong that will."""

    calendars: dict[str, str]
    accounts: dict[str, str]
    page: str
    log: list[str]


@pytest.fixture(scope="module")
def heard(scene: Scene) -> Heard:
    for case in CASES:
        scene.reason(case)
    made = config(scene.folder)
    return Heard(
        {row["address"]: row["reason"] for row in rows(invoked(made, "calendars", "list", "--json"))},
        {row["name"]: row["reason"] for row in rows(invoked(made, "accounts", "list", "--json"))},
        scene.page(),
        [str(line.get("reason")) for line in scene.server.logs()],
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.room)
def test_a_trouble_is_one_sentence_in_command_line_api_page_and_log(scene: Scene, heard: Heard, case: Case) -> None:
    reason = str(scene.calendar(case.room)["reason"])

    assert case.says in reason
    assert case.does in reason
    assert heard.calendars[f"{case.room}@t.example"] == reason
    assert reason in heard.page
    assert reason in heard.log
    if case.of_account:
        assert scene.account(case.room)["reason"] == heard.accounts[case.room] == reason


def test_the_accounts_beside_those_in_trouble_are_in_step(scene: Scene) -> None:
    wait_for(lambda: scene.calendar("good")["state"] == "in_sync", scene.server.alive)

    assert stored(config(scene.folder), "good@t.example") == scene.world.truth("good@t.example")


def test_an_endless_series_from_1999_is_read_as_far_as_anybody_looks(scene: Scene) -> None:
    endless = {"pattern": "daily"}
    scene.world.act("create", ADA, subject="For ever", start="1999-01-04T06:00", minutes=15, series=endless)

    def in_step() -> bool:
        return stored(config(scene.folder), ADA) == scene.world.truth(ADA)

    wait_for(in_step, scene.server.alive)
    assert len(scene.world.truth(ADA)) > 100


def test_a_meeting_with_5000_attendees_is_kept_whole_and_told_in_part(scene: Scene) -> None:
    guests = [f"guest.number.{n}@elsewhere.example" for n in range(5_000)]
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=1)
    meeting = {"subject": "All hands", "start": noon.isoformat(), "minutes": 30}
    scene.world.act("create", ADA, **meeting, required=guests[1:], rooms=["good@t.example"])
    scene.world.call("POST", "/settle")

    def in_step() -> bool:
        made = config(scene.folder)
        return all(stored(made, one) == scene.world.truth(one) for one in (ADA, "good@t.example"))

    wait_for(in_step, scene.server.alive)

    [space] = [one for one in api(scene.url, "/v1/spaces?limit=500")["items"] if one["name"] == "good@t.example"]
    span = urllib.parse.urlencode({"from": noon.isoformat(), "to": (noon + timedelta(hours=1)).isoformat()})
    [told] = api(scene.url, f"/v1/spaces/{space['id']}/events?{span}")["items"]
    assert (told["attendee_count"], len(told["attendees"])) == (5_000, 500)
    held = _attendees(config(scene.folder), "good@t.example", noon)
    assert {address for address in held if address.startswith("guest")} == set(guests[1:])
    assert "good" in scene.page()


def _attendees(made: Any, address: str, at: datetime) -> list[str]:
    span = Span(at, at + timedelta(minutes=1))

    async def look() -> list[str]:
        async with open_hub(made) as hub:
            [calendar] = await hub.store.read(calendars.find, hub.organization, address)
            found = await hub.store.read(events.in_span, hub.contents, [calendar.id], span)
            return [attendee.party.address for event in found[calendar.id] for attendee in event.attendees]

    return asyncio.run(look())


def test_a_wrong_password_reaches_the_server_once(scene: Scene) -> None:
    scene.reason(next(case for case in CASES if case.room == "password"))
    before = scene.account("password")

    done = invoked(config(scene.folder), "calendars", "pull", "password@t.example")
    time.sleep(1)

    refusals = [line for line in scene.server.logs() if line.get("verdict") == "auth_lost"]
    assert done.exit_code == 0
    assert len(refusals) == 1
    assert scene.account("password") == before


def test_what_was_in_trouble_is_in_step_once_the_trouble_is_over(scene: Scene) -> None:
    for case in CASES:
        if case.fault:
            scene.reason(case)
    for rule in scene.world.call("GET", "/faults")["faults"]:
        scene.world.call("DELETE", f"/faults/{rule['number']}")
    account = invoked(config(scene.folder), "accounts", "credentials", "busy", "--password-file", str(_secret(scene)))
    assert account.exit_code == 0, account.stderr

    for room in FAULTY:
        invoked(config(scene.folder), "calendars", "pull", f"{room}@t.example")
        wait_for(lambda room=room: scene.calendar(room)["state"] == "in_sync", scene.server.alive)
        assert stored(config(scene.folder), f"{room}@t.example") == scene.world.truth(f"{room}@t.example")
        assert scene.account(room)["state"] == "in_sync"


def test_the_log_holds_no_traceback_no_subject_and_no_password(scene: Scene) -> None:
    for case in CASES:
        if not case.fault:
            scene.reason(case)

    log = "".join(scene.server.errors)

    assert "Traceback" not in log
    for secret in ("Private plans", "right-password", "narrow-password", "Moreau"):
        assert secret not in log


def _secret(scene: Scene) -> Path:
    file = scene.folder / "password"
    file.write_text(scene.world.password)
    return file


# The hub's own trouble: configuration and database.


def test_a_second_server_on_one_database_is_refused(scene: Scene) -> None:
    done = kalends(config(scene.folder), "serve")

    assert done.returncode == 75
    assert "Another Kalends (process" in done.stderr
    assert "Stop it first, or give this one another data folder" in done.stderr
    assert "Traceback" not in done.stderr
    scene.server.alive()


@pytest.mark.parametrize(
    ("text", "line", "fix"),
    [
        ('host = "127.0.0.1"\nprot = 8080\n', "line 2", "Did you mean “port”?"),
        ('host = "127.0.0.1"\nport = \n', "line 2", "Mend that line"),
        ("turns_at_once = 5000\n", "turns_at_once", "must be between 1 and 1000"),
        ('database_url = "mysql://x/y"\n', "database_url", "must begin with sqlite:/// or postgresql://"),
    ],
)
def test_a_broken_configuration_file_names_the_line_and_the_fix(tmp_path: Path, text: str, line: str, fix: str) -> None:
    file = tmp_path / "kalends.toml"
    file.write_text(text)

    done = kalends(config(tmp_path / "hub"), "--config", str(file), "config", "check")
    served = kalends(config(tmp_path / "hub"), "--config", str(file), "serve")

    assert (done.returncode, served.returncode) == (EXIT_CONFIG, EXIT_CONFIG)
    for said in (done.stderr, served.stderr):
        assert str(file) in said
        assert line in said
        assert fix in said
        assert len(said.splitlines()) == 1
    assert not (tmp_path / "hub").exists()


def test_a_damaged_database_stops_the_start_with_what_to_do_and_is_left_as_it_is(tmp_path: Path) -> None:
    made = config(tmp_path)
    assert kalends(made, "db", "upgrade").returncode == 0
    file = tmp_path / "kalends.sqlite3"
    broken = file.read_bytes()[:100] + b"\x99" * 8000
    file.write_bytes(broken)

    done = kalends(made, "serve")

    assert done.returncode == 1, "starting it again mends nothing"
    assert "is damaged" in done.stderr
    assert "put the last backup in its place" in done.stderr
    assert "Traceback" not in done.stderr
    assert file.read_bytes() == broken


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    file = tmp_path / "kalends.sqlite3"
    file.write_text("Dear diary, today I was given a database's name.\n" * 100)

    done = kalends(config(tmp_path), "serve")

    assert done.returncode == 1
    assert "is not a Kalends database. Check the path" in done.stderr


def test_a_database_of_a_newer_version_stops_the_start_for_good(tmp_path: Path) -> None:
    made = config(tmp_path)
    assert kalends(made, "db", "upgrade").returncode == 0
    with sqlite3.connect(tmp_path / "kalends.sqlite3") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()

    done = kalends(made, "serve")

    assert done.returncode == EXIT_CONFIG
    assert "written by a newer Kalends" in done.stderr
    assert "Start the newer version again" in done.stderr


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        ("postgresql://127.0.0.1:1/kalends", 75, "can't be reached"),
        ("sqlite:////proc/no/kalends.sqlite3", EXIT_CONFIG, "can't be created"),
    ],
)
def test_only_what_may_mend_by_itself_asks_to_be_tried_later(tmp_path: Path, url: str, code: int, says: str) -> None:
    done = kalends(config(tmp_path, url), "db", "upgrade")

    assert done.returncode == code
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_misspelt_variable_is_said_with_the_nearest_setting(tmp_path: Path) -> None:
    made = config(tmp_path)
    typo = {**variables(made), "KALENDS_PROT": "9", "KALENDS_SANDBOX_CONTROL": "of another program"}
    said = "KALENDS_PROT is no setting and changes nothing. Did you mean “KALENDS_PORT”?"

    doctor = CliRunner().invoke(program, ["doctor"], env=typo)
    checked = CliRunner().invoke(program, ["config", "check"], env=typo)
    server = Program.start("kalends", "serve", env=typo)
    try:
        started = server.said("KALENDS_PROT")
    finally:
        server.end()

    assert f"! configuration: {said}" in doctor.stdout
    assert checked.exit_code == 0
    assert said in checked.stderr.splitlines()
    assert "KALENDS_SANDBOX_CONTROL" not in checked.stderr
    assert json.loads(started)["reason"] == said
    assert "KALENDS_SANDBOX_CONTROL" not in doctor.output + checked.output + "".join(server.errors)


def test_a_missing_key_stops_the_start_and_says_where_it_belongs(tmp_path: Path) -> None:
    made = config(tmp_path)
    settings = {"url": "https://127.0.0.1:1/EWS", "username": "svc"}
    set_up(made, [Wanted("hq", settings, "secret-password", [])])
    key = tmp_path / "secret.key"
    key.rename(tmp_path / "elsewhere")

    done = kalends(made, "serve")
    listed = kalends(made, "accounts", "list")
    (tmp_path / "elsewhere").rename(key)

    assert (done.returncode, listed.returncode) == (EXIT_CONFIG, EXIT_CONFIG)
    assert f"The key file {key} does not exist" in done.stderr
    assert "Put it back from your backup" in done.stderr
    assert kalends(made, "accounts", "list").returncode == 0, "nothing was lost"


# Killed at any moment, it ends in step.


def _changes(world: World, rng: Random, rooms: list[str], until: float) -> None:
    made: list[str] = []
    while time.monotonic() < until:
        today = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        start = today + timedelta(days=rng.randint(1, 80), hours=rng.randint(0, 20))
        if made and rng.random() < 0.4:
            moved = {"meeting": rng.choice(made), "start": start.isoformat()}
            world.act("move", "ada.moreau@t.example", **moved)
        else:
            room = rng.choice(rooms)
            words = {"subject": "Kept", "start": start.isoformat(), "minutes": 15, "rooms": [room]}
            made.append(world.act("create", "ada.moreau@t.example", **words)["uid"])
        world.call("POST", "/settle")
        time.sleep(rng.random() * 0.05)


@pytest.fixture(scope="module")
def kill_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("kill")
    file = folder / "world.toml"
    file.write_text(WORLD + "\n".join(ROOM.format(name=f"room{n}", calendar="true") for n in range(5)))
    with sandbox(file, folder / "tls") as world:
        yield world


@pytest.mark.parametrize("seed", [1])
def test_a_server_killed_during_changes_ends_in_step(tmp_path: Path, kill_world: World, seed: int) -> None:
    made, rng = config(tmp_path), Random(seed)

    _killed_again_and_again(made, kill_world, rng, [("--role", "all")], kills=2)


@pytest.mark.postgres
def test_workers_killed_during_changes_on_postgresql_end_in_step(
    tmp_path: Path, kill_world: World, cluster: Cluster
) -> None:
    url = asyncio.run(cluster.create(template="template0"))
    made = config(tmp_path, url)

    _killed_again_and_again(made, kill_world, Random(3), [("--role", "worker"), ("--role", "web")], kills=1)

    asyncio.run(cluster.drop(url))


def _killed_again_and_again(made: Any, world: World, rng: Random, roles: list[tuple[str, str]], kills: int) -> None:
    """The first role is killed, the others live through it."""
    rooms = [f"room{n}@t.example" for n in range(5)]
    set_up(made, [Wanted("hq", world.settings(), world.password, rooms, streams=True)])
    servers = [serving(made, *role) for role in roles]
    try:
        for _ in range(kills):
            servers[0].said("Kalends is ready")
            _changes(world, rng, rooms, time.monotonic() + 0.3 + rng.random())
            servers[0].end(signal.SIGKILL)
            _changes(world, rng, rooms, time.monotonic() + 0.3)
            leases_end(made)
            servers[0] = serving(made, *roles[0])
        _changes(world, rng, rooms, time.monotonic() + 1)

        def differing() -> list[str]:
            return [room for room in rooms if stored(made, room) != world.truth(room)]

        wait_for(lambda: not differing(), servers[0].alive, seconds=40)
        assert [server.end() for server in servers] == [0] * len(servers)
    finally:
        for server in servers:
            server.end(signal.SIGKILL)
