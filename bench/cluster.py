"""A PostgreSQL cluster of the benchmark's own, as durable as a fresh Debian one, gone afterwards."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PORT = 5499
"""Only names the socket: nothing listens on the network."""


class NoPostgres(Exception):
    """PostgreSQL is not installed: on Debian, apt-get install postgresql."""


@contextmanager
def cluster() -> Iterator[str]:
    """The URL of an empty database. Raises NoPostgres."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda path: int(path.parent.name))
    if programs is None:
        raise NoPostgres(NoPostgres.__doc__)
    folder = Path(tempfile.mkdtemp(prefix="kalends-bench-pg-", dir="/tmp"))  # socket paths end at 107 bytes
    as_user: list[str | Path] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        as_user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    control = [*as_user, programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log"]
    try:
        _call([*as_user, programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8"])
        _call([*control, "-o", f"-c listen_addresses='' -c shared_buffers=256MB -p {PORT} -k {folder}", "start"])
        try:
            yield f"postgresql://postgres@/postgres?host={folder}&port={PORT}"
        finally:
            _call([*control, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _call(command: list[str | Path]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/tmp", timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"{command[-1]} failed: {done.stdout}{done.stderr}")
