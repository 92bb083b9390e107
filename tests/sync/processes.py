"""The programs themselves, as processes on this machine: a sandbox, a server, and the command line."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from kalends.app import Hub, open_hub
from kalends.cli import kalends as program
from kalends.config import Config
from kalends.model.time import Span
from kalends.store import access, accounts, calendars, due, events, spaces
from kalends.store.door import Connection

SOURCE = Path(__file__).parents[2] / "src"
TOKEN = "kal_" + "t" * 43
WAIT_SECONDS = 60.0


def environment(**values: str) -> dict[str, str]:
    """Ours without any KALENDS_ variable of this machine, and `values` as such variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KALENDS_")}
    return {**kept, "PYTHONPATH": str(SOURCE), **{f"KALENDS_{name.upper()}": value for name, value in values.items()}}


@dataclass
class Program:
    """A running process whose error stream is kept line by line."""

    process: "subprocess.Popen[str]"
    errors: list[str] = field(default_factory=list)

    @classmethod
    def start(cls, *arguments: str, env: dict[str, str]) -> "Program":
        command = [sys.executable, "-m", *arguments]
        program = cls(
            subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
        )
        threading.Thread(target=program._keep_errors, daemon=True).start()
        return program

    def _keep_errors(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors.append(line)

    def said(self, words: str) -> str:
        """The line with these words, once it was said."""
        return wait_for(lambda: next((line for line in list(self.errors) if words in line), None), self.alive)

    def alive(self) -> None:
        assert self.process.poll() is None, f"it ended with {self.process.returncode}: {''.join(self.errors)}"

    def logs(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in list(self.errors) if line.startswith("{")]

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)


def wait_for(look: Any, check: Any = lambda: None, seconds: float = WAIT_SECONDS) -> Any:
    """What `look` returns once that is something."""
    until = time.monotonic() + seconds
    while not (found := look()):
        check()
        assert time.monotonic() < until, f"not within {seconds:g} s"
        time.sleep(0.05)
    return found


@dataclass
class World:
    """A sandbox in a process of its own."""

    ready: dict[str, Any]
    program: Program

    def call(self, method: str, path: str, body: Any = None) -> Any:
        return _json(method, f"{self.ready['control']}{path}", body, {})

    def act(self, verb: str, mailbox: str, **words: Any) -> dict[str, Any]:
        item: dict[str, Any] = self.call("POST", "/act", {"verb": verb, "mailbox": mailbox, **words})["item"]
        return item

    def settings(self, **changed: Any) -> dict[str, Any]:
        one = self.ready["accounts"][0]
        pin = self.ready["certificate"]["sha256"]
        return {"url": self.ready["exchange"], "username": one["user"], "fingerprint": pin, **changed}

    @property
    def password(self) -> str:
        return str(self.ready["accounts"][0]["password"])

    def truth(self, address: str) -> list[tuple[str, str, str]]:
        """UID, start and end of what really takes place around now."""
        now = datetime.now(UTC)
        span = {"from": (now - timedelta(days=5)).isoformat(), "to": (now + timedelta(days=100)).isoformat()}
        query = urllib.parse.urlencode({"mailbox": address, **span})
        [mailbox] = self.call("GET", f"/truth?{query}")["mailboxes"]
        return sorted((one["uid"], one["start"], one["end"]) for one in mailbox["occurrences"])


@contextmanager
def sandbox(world_file: Path | str, folder: Path) -> Iterator[World]:
    arguments = ("serve", "--world", str(world_file), "--tls", "self-signed", "--tls-folder", str(folder))
    program = Program.start("kalends_sandbox", *arguments, env=environment())
    try:
        assert program.process.stdout is not None
        line = program.process.stdout.readline()
        assert line, "".join(program.errors)
        yield World(json.loads(line), program)
    finally:
        program.end()


def config(folder: Path, url: str = "") -> Config:
    return Config(data_folder=folder, database_url=url)


def variables(made: Config, **more: str) -> dict[str, str]:
    said = {"data_folder": str(made.data_folder), "log_format": "json", "port": "0", **more}
    return environment(**said, **({"database_url": made.database_url} if made.database_url else {}))


def serving(made: Config, *arguments: str) -> Program:
    return Program.start("kalends", "serve", *arguments, env=variables(made))


def address_of(server: Program) -> str:
    return server.said("Kalends is ready at").split(" at ")[1].strip().rstrip(".")


def kalends(made: Config, *arguments: str, given: str | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "kalends", *arguments]
    return subprocess.run(
        command, env=variables(made), input=given, capture_output=True, text=True, timeout=60, check=False
    )


def rows(done: "subprocess.CompletedProcess[str] | Result") -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def api(url: str, path: str) -> Any:
    return _json("GET", f"{url}{path}", None, {"Authorization": f"Bearer {TOKEN}"})


def _json(method: str, url: str, body: Any, headers: dict[str, str]) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        return json.load(answer)


@dataclass(frozen=True)
class Wanted:
    """An account to be made, with the calendars that it is told to reach."""

    name: str
    settings: dict[str, Any]
    password: str
    addresses: Sequence[str]
    streams: bool = False


def set_up(made: Config, wanted: Sequence[Wanted]) -> None:
    """Accounts and calendars straight into the store, whether or not their server would have them."""

    async def work() -> None:
        async with open_hub(made) as hub:
            now = hub.clock.now()
            await hub.store.run(access.add_token, "tok_1", hub.organization, "tests", TOKEN, now, actor="tests")
            for one in wanted:
                await hub.store.run(_add, hub, one)

    asyncio.run(work())


def _add(conn: Connection, hub: Hub, one: Wanted) -> None:
    now, id_ = hub.clock.now(), hub.ids.new("acc")
    given = (one.settings, {"password": one.password}, "P3", now)
    accounts.add(conn, hub.seal, id_, hub.organization, "exchange", one.name, *given, actor="tests")
    for address in one.addresses:
        calendar, space = hub.ids.new("cal"), hub.ids.new("spc")
        calendars.add(conn, calendar, hub.organization, id_, address, address, now)
        spaces.add(conn, space, hub.organization, address, now, actor="tests", building="", zone="UTC")
        spaces.link(conn, space, calendar, 0, now, actor="tests")
        due.ensure(conn, "pull", [calendar], now, lane=due.NEWS)
    if one.streams:
        due.ensure(conn, "stream", calendars.assign_stream(conn, id_, 200), now)


def stored(made: Config, address: str) -> list[tuple[str, str, str]]:
    """What the store holds of a calendar around now, as `World.truth` tells it."""

    async def work() -> list[tuple[str, str, str]]:
        async with open_hub(made) as hub:
            return await _held(hub, address)

    return asyncio.run(work())


async def _held(hub: Hub, address: str) -> list[tuple[str, str, str]]:
    [calendar] = await hub.store.read(calendars.find, hub.organization, address)
    now = datetime.now(UTC)
    span = Span(now - timedelta(days=5), now + timedelta(days=100))
    found = (await hub.store.read(events.in_span, hub.contents, [calendar.id], span))[calendar.id]
    return sorted((event.uid, _instant(event.span.start), _instant(event.span.end)) for event in found)


def _instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def leases_end(made: Config) -> None:
    """The minutes pass for which a killed worker's leases still stand. Only while no worker runs."""

    async def work() -> None:
        async with open_hub(made) as hub:
            await hub.store.run(due.break_leases, hub.clock.now())

    asyncio.run(work())


def invoked(made: Config, *arguments: str) -> Result:
    """The command line in this very process: what it says and its exit code, without a start-up for each call."""
    said = {name: value for name, value in variables(made).items() if name.startswith("KALENDS_")}
    return CliRunner().invoke(program, list(arguments), env=said)
