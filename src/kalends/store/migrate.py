"""Brings a database's tables to the shape of this program, and refuses one that a newer program made.

Only one process may do so at a time: on SQLite the caller holds the file's lock, on PostgreSQL an advisory lock is taken.
"""

from pathlib import Path
from typing import NamedTuple

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from kalends.store.errors import SchemaTooNew, StoreError

FOLDER = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = 5_418_263_201  # any number nobody else in this database uses


class Status(NamedTuple):
    current: str | None
    """The revision of the tables; None for an empty database."""
    newest: str
    """The revision this program wants."""


def status(conn: Connection) -> Status:
    newest = _scripts().get_current_head()
    assert newest is not None, "there is at least one migration"
    return Status(MigrationContext.configure(conn).get_current_revision(), newest)


def upgrade(conn: Connection) -> Status:
    """The tables have the shape this program wants; returns what they were before. Raises SchemaTooNew."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    before = status(conn)
    if before.current == before.newest:
        return before
    _refuse_newer(before)
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = conn
    command.upgrade(config, "head")
    return before


def check_schema(conn: Connection) -> None:
    """Raises if the tables are not exactly what this program wants, and changes nothing."""
    found = status(conn)
    if found.current == found.newest:
        return
    _refuse_newer(found)
    raise StoreError(
        "The running server is older than this program, so the tables do not fit yet. Restart the server with this version."
    )


def _refuse_newer(found: Status) -> None:
    known = {script.revision for script in _scripts().walk_revisions()}
    if found.current is not None and found.current not in known:
        raise SchemaTooNew(
            f"The database was written by a newer Kalends (its tables are at revision {found.current}, this program knows "
            f"up to {found.newest}). Start the newer version again, or restore the backup made before the upgrade."
        )


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(FOLDER))
