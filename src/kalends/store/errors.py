"""What can go wrong with the database, as sentences for the person who runs Kalends.

    StoreError
    ├── StoreLocked        another process holds the SQLite file
    ├── StoreDamaged       the file is not a database, or a broken one
    ├── StoreFull          no room left on the disk
    ├── StoreUnreachable   no connection, time-out, too many connections, a disk that fails
    │   └── StoreRefused   no such database, wrong password, no right to it: mends only when somebody mends it
    ├── StoreReadOnly      the reading door was used to write, or the file may not be written
    └── SchemaTooNew       the tables were made by a newer Kalends

`translated` turns the drivers' exceptions into these. Exceptions of store functions (LeaseLost, BadCursor …) and our own
mistakes (IntegrityError, ProgrammingError) pass through as they are.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg  # type: ignore[import-untyped]  # asyncpg ships no types
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree


class StoreError(Exception):
    """The database could not be used. The message says why and what to do."""


class StoreLocked(StoreError):
    """Another process uses the database."""


class StoreDamaged(StoreError):
    """The database file is damaged."""


class StoreFull(StoreError):
    """There is no room left for the database."""


class StoreUnreachable(StoreError):
    """The database can't be reached."""


class StoreRefused(StoreUnreachable):
    """The database is not there, or does not let this user in."""


class StoreReadOnly(StoreError):
    """Something tried to write where only reading is allowed."""


class SchemaTooNew(StoreError):
    """The database was written by a newer Kalends."""


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Raises the StoreError that fits a driver's exception. `where` names the database without its password."""
    try:
        yield
    except DBAPIError as error:
        trouble = _of_sqlite(str(error.orig), where) or _of_postgres(error.orig, where)
        if trouble is None and error.connection_invalidated:
            trouble = _lost(where)
        if trouble is None:
            raise
        raise trouble from error
    except NoConnectionFree as error:
        raise StoreUnreachable(
            f"All connections to {where} were busy for too long. The database is slow or overloaded; look at its load."
        ) from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        trouble = _of_postgres(error, where)
        if trouble is None:
            raise
        raise trouble from error


_SQLITE = (
    (
        "database is locked",
        StoreLocked,
        "The database {where} is locked by another process. Stop the other program that uses this file, then try again.",
    ),
    (
        "database or disk is full",
        StoreFull,
        "The disk that holds {where} is full. Nothing was lost: free some space and Kalends goes on by itself.",
    ),
    (
        "file is not a database",
        StoreDamaged,
        "{where} is not a Kalends database. Check the path; if it is right, put a backup in its place.",
    ),
    (
        "malformed",
        StoreDamaged,
        "The database {where} is damaged. Stop Kalends, keep a copy of the file, and put the last backup in its place.",
    ),
    (
        "unable to open database file",
        StoreRefused,
        "The database {where} can't be opened. Check that its folder exists and that this user may read and write it.",
    ),
    (
        "disk I/O error",
        StoreUnreachable,
        "Reading or writing {where} failed on the disk itself. Check the disk and the system log.",
    ),
    (
        "attempt to write a readonly database",
        StoreReadOnly,
        "{where} may only be read here. If this is the server, give its user the right to write the file and its folder.",
    ),
)


def _of_sqlite(text: str, where: str) -> StoreError | None:
    for part, situation, sentence in _SQLITE:
        if part in text:
            return situation(sentence.format(where=where))
    return None


_POSTGRES = {
    "28P01": (StoreRefused, "{where} refused the password. Correct it in KALENDS_DATABASE_URL."),
    "28000": (
        StoreRefused,
        "{where} refused this user. Check the user in KALENDS_DATABASE_URL and the server's pg_hba.conf.",
    ),
    "3D000": (
        StoreRefused,
        "{where} has no database of that name. Create it with createdb, or correct KALENDS_DATABASE_URL.",
    ),
    "42501": (
        StoreRefused,
        "{where} does not allow this user to do what Kalends needs. Make the user owner of the database.",
    ),
    "53100": (
        StoreFull,
        "The disk of {where} is full. Nothing was lost: free some space and Kalends goes on by itself.",
    ),
    "53300": (
        StoreUnreachable,
        "{where} has no connection left. Raise its max_connections, or run fewer Kalends processes.",
    ),
    "57P01": (StoreUnreachable, "{where} is shutting down. Kalends goes on by itself when it is back."),
    "57P03": (StoreUnreachable, "{where} is still starting. Kalends goes on by itself when it is ready."),
    "57014": (
        StoreUnreachable,
        "{where} took too long for one statement. Look at its load and at long-running transactions.",
    ),
    "25006": (
        StoreReadOnly,
        "{where} may only be read here. If this is the server, connect to the primary, not to a replica.",
    ),
}


def _of_postgres(error: BaseException | None, where: str) -> StoreError | None:
    known = _POSTGRES.get(sqlstate(error))
    if known is not None:
        return known[0](known[1].format(where=where))
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return StoreUnreachable(
            f"{where} did not answer in time. Check that it runs and that the network lets it through."
        )
    if isinstance(error, OSError | asyncpg.InterfaceError) or sqlstate(error).startswith("08"):
        return _lost(where)
    return None


def _lost(where: str) -> StoreError:
    return StoreUnreachable(
        f"{where} can't be reached. Check that it runs, and host and port in KALENDS_DATABASE_URL. Kalends keeps trying."
    )


def sqlstate(error: BaseException | None) -> str:
    """PostgreSQL's five-character code, empty where there is none."""
    return str(getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or "")
