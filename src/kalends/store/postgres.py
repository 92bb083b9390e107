"""The store's door to PostgreSQL: the same plain functions, run on an asyncpg connection through `run_sync`.

Reads are REPEATABLE READ, READ ONLY: one snapshot for the whole function. Writes are READ COMMITTED; a turn is serialised by
the lock on its due row (`due.hold`), and what the server itself undoes (deadlock, serialization failure) is run again.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import urlsplit

import asyncpg  # type: ignore[import-untyped]  # asyncpg ships no types
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from kalends.store.errors import StoreError, sqlstate, translated

P = ParamSpec("P")
T = TypeVar("T")

CONNECTIONS = 10
WAIT_SECONDS = 10.0
"""For a free connection, and for a new one."""
ATTEMPTS = 5
FIRST_PAUSE_SECONDS = 0.01
UNDONE_BY_SERVER = ("40001", "40P01")  # serialization failure, deadlock
SETTINGS = {
    "application_name": "kalends",
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "30s",  # a forgotten transaction would hold back the feed's readers
    "timezone": "UTC",
}


def place(url: str) -> str:
    """The database in words, without user or password."""
    parts = urlsplit(url)
    return f"PostgreSQL at {parts.hostname or 'the local socket'}{f':{parts.port}' if parts.port else ''}{parts.path}"


async def connect(url: str) -> Any:
    """A plain asyncpg connection; `url` is read as libpq would, `sslmode` and socket folders included."""
    return await asyncpg.connect(url, timeout=WAIT_SECONDS, command_timeout=60, server_settings=SETTINGS)


def postgres_engine(url: str, connections: int = CONNECTIONS) -> AsyncEngine:
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: connect(url),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=WAIT_SECONDS,
        pool_pre_ping=True,
        hide_parameters=True,
    )


class PostgresStore:
    """PostgreSQL, for any number of processes side by side."""

    def __init__(self, engine: AsyncEngine, where: str) -> None:
        self.where = where
        self._engine = engine
        self._reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._closed = False
        self.trouble = ""

    async def run(self, f: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            result = await self._again(self._engine, lambda connection: f(connection, *args, **kwargs))
        except StoreError as error:
            self.trouble = str(error)
            raise
        self.trouble = ""
        return result

    async def read(self, f: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._again(self._reader, lambda connection: f(connection, *args, **kwargs))

    async def erase(self) -> bool:
        """Writes the small table of credentials anew; the space of other deleted rows is given back for use."""
        bare = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        with translated(self.where):
            async with bare.connect() as connection:
                await connection.exec_driver_sql("VACUUM (FULL) accounts")
                await connection.exec_driver_sql("VACUUM")
        return True

    async def aclose(self) -> None:
        self._closed = True
        await self._engine.dispose()

    async def _again(self, engine: AsyncEngine, call: Callable[[Connection], T]) -> T:
        if self._closed:
            raise StoreError("The database is closed: Kalends is shutting down.")
        with translated(self.where):
            for attempt in range(ATTEMPTS):
                try:
                    async with engine.begin() as connection:
                        return await connection.run_sync(call)
                except DBAPIError as error:
                    if attempt == ATTEMPTS - 1 or sqlstate(error.orig) not in UNDONE_BY_SERVER:
                        raise
                await asyncio.sleep(FIRST_PAUSE_SECONDS * 2**attempt)
        raise AssertionError("the last attempt returns or raises")
