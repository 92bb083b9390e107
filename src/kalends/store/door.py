"""The store's door: the only asynchronous way to the database.

A store function is plain and synchronous, `f(connection, …)`, and is one transaction: `await store.run(f, …)` commits what it
did, or keeps nothing and raises what it raised. Three drivers run the same functions: InlineStore (no threads: simulation and
tests), SqliteStore (embedded) and PostgresStore (many processes). Functions may run twice when PostgreSQL undid the first
try, so they do nothing but talk to the database.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection

from kalends.store.errors import (
    SchemaTooNew,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreRefused,
    StoreUnreachable,
    translated,
)
from kalends.store.lock import FileLock
from kalends.store.migrate import check_schema, upgrade
from kalends.store.postgres import PostgresStore, place, postgres_engine
from kalends.store.schema import metadata
from kalends.store.sqlite import InlineStore, SqliteStore, sqlite_engine

__all__ = [
    "Connection",
    "InlineStore",
    "PostgresStore",
    "SchemaTooNew",
    "SqliteStore",
    "Store",
    "StoreDamaged",
    "StoreError",
    "StoreFull",
    "StoreLocked",
    "StoreReadOnly",
    "StoreRefused",
    "StoreUnreachable",
    "inline_store",
    "open_store",
]

LOCK_TRIES = 10
LOCK_WAIT_SECONDS = 0.1

P = ParamSpec("P")
T = TypeVar("T")


class Store(Protocol):
    where: str
    """The database in words, without its password."""
    trouble: str
    """Why nothing could be written when somebody last tried, in a sentence; empty when it could."""

    async def run(self, f: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `f` in one transaction. A cancelled caller can't know whether it was committed."""
        ...

    async def read(self, f: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `f` on one snapshot, where writing is refused."""
        ...

    async def scrub(self) -> bool:
        """What was erased is overwritten in the log too; False: not yet, or not by this process. Ask again later."""
        ...

    async def aclose(self) -> None: ...


async def open_store(url: str, *, exclusive: bool = True) -> Store:
    """The store at `url` (`sqlite:///FILE` or `postgresql://…`), its tables brought up to date. Raises StoreError.

    On SQLite the server is the only one that opens it `exclusive`; the command line, which may run beside a server, opens it
    without, and then the tables are brought up to date only when no server runs.
    """
    if url.startswith("sqlite:///"):
        return await _open_sqlite(_made(url.removeprefix("sqlite:///")), exclusive)
    if url.startswith(("postgresql://", "postgres://")):
        return await _open_postgres(url)
    raise StoreError("The database URL must begin with sqlite:/// or postgresql://. Correct KALENDS_DATABASE_URL.")


def inline_store(path: Path | None = None) -> InlineStore:
    """A fresh or existing database without threads, its tables made straight from the schema."""
    store = InlineStore(path)
    with store.engine.begin() as connection:
        metadata.create_all(connection)
    return store


def _made(file: str) -> Path:
    """The database's file, made where there is none yet, for nobody else's eyes."""
    path = Path(file).absolute()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise StoreRefused(
            f"The database {path} can't be created: {error.strerror}. Check the folder and this user's right to write it."
        ) from error
    return path


async def _open_sqlite(path: Path, exclusive: bool) -> SqliteStore:
    lock = FileLock(path)
    try:
        await _locked(lock, LOCK_TRIES if exclusive else 1)
    except StoreLocked:
        if exclusive:
            raise
        _prepare_sqlite(path, may_upgrade=False)
        return SqliteStore(path, checkpoints=False)
    try:
        _prepare_sqlite(path, may_upgrade=True)
        if not exclusive:
            lock.release()
        return SqliteStore(path, lock=lock, checkpoints=exclusive)
    except BaseException:
        lock.release()
        raise


async def _locked(lock: FileLock, tries: int) -> None:
    """A command has the lock for a moment while it opens the database; only a server keeps it."""
    for _ in range(tries - 1):
        with suppress(StoreLocked):
            lock.acquire()
            return
        await asyncio.sleep(LOCK_WAIT_SECONDS)
    lock.acquire()


def _prepare_sqlite(path: Path, *, may_upgrade: bool) -> None:
    engine = sqlite_engine(path, checkpoints=may_upgrade)
    try:
        with translated(str(path)), engine.begin() as connection:
            upgrade(connection) if may_upgrade else check_schema(connection)
    finally:
        engine.dispose()


async def _open_postgres(url: str) -> PostgresStore:
    engine = postgres_engine(url)
    try:
        with translated(place(url)):
            async with engine.begin() as connection:
                await connection.run_sync(upgrade)
    except BaseException:
        await engine.dispose()
        raise
    return PostgresStore(engine, place(url))
