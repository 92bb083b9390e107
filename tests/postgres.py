"""A PostgreSQL cluster of the tests' own: made for one run, on a socket and a free loopback port, gone afterwards.

`KALENDS_TEST_DATABASE_URL` names another server to use; its user must be allowed to create databases. Where there is no
PostgreSQL at all, tests that need it are skipped with the reason, and fail instead when `CI` is set.
"""

import asyncio
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from kalends.store.migrate import upgrade
from kalends.store.postgres import connect, postgres_engine

TEMPLATE = "kalends_template"
SETTINGS = {
    "fsync": "off",  # nobody keeps this data
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "80",
    "shared_buffers": "32MB",
    "listen_addresses": "127.0.0.1",
}


@dataclass
class Cluster:
    url: str
    """Of its maintenance database; the user may create databases."""
    guarded_url: str | None = None
    """On loopback, for a user whose password is asked."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def database_url(self, name: str) -> str:
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(path=f"/{name}"))

    async def create(self, template: str = TEMPLATE) -> str:
        """The URL of a fresh database: a copy of the migrated template, or of `template0` for an empty one."""
        name = f"kalends_test_{os.getpid()}_{next(self._numbers)}"
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.database_url(name)

    async def drop(self, url: str) -> None:
        await self.execute(f"DROP DATABASE IF EXISTS {urlsplit(url).path[1:]} WITH (FORCE)")

    async def execute(self, statement: str) -> None:
        connection = await connect(self.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def prepare(self) -> None:
        """Makes the template that the tests' databases are copies of."""
        await self.execute(f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)")
        await self.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
        engine = postgres_engine(self.database_url(TEMPLATE), connections=1)
        try:
            async with engine.begin() as connection:
                await connection.run_sync(upgrade)
        finally:
            await engine.dispose()


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A cluster that is ready for use. Skips the test where none can be had."""
    if url := os.environ.get("KALENDS_TEST_DATABASE_URL"):
        cluster = Cluster(url)
        asyncio.run(cluster.prepare())
        yield cluster
        return
    programs = _programs()
    if programs is None:
        _leave_out("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="kalends-pg-", dir="/tmp"))  # socket paths end at 107 bytes
    try:
        yield from _serve(programs, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _serve(programs: Path, folder: Path) -> Iterator[Cluster]:
    as_user: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        as_user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres", "postgres")
    data, port = folder / "data", _free_port()
    _call([*as_user, programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"])
    rules = data / "pg_hba.conf"
    rules.write_text("host all guarded 127.0.0.1/32 scram-sha-256\n" + rules.read_text())
    options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
    server = [*as_user, programs / "pg_ctl", "-D", data, "-w", "-t", "60", "-l", folder / "log"]
    _call([*server, "-o", f"{options} -p {port} -k {folder}", "start"])
    try:
        cluster = Cluster(f"postgresql://postgres@/postgres?host={folder}&port={port}")
        cluster.guarded_url = f"postgresql://guarded:right@127.0.0.1:{port}/postgres"
        asyncio.run(cluster.prepare())
        asyncio.run(cluster.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'"))
        yield cluster
    finally:
        _call([*server, "-m", "immediate", "stop"])


def _programs() -> Path | None:
    if found := shutil.which("initdb"):
        return Path(found).parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda path: int(path.parent.name))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _call(command: list[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/tmp", timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"{command[-1]} failed: {done.stdout}{done.stderr}")


def _leave_out(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; with CI set, nothing is left out")
    pytest.skip(reason)
