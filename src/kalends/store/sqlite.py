"""The store's door to SQLite: one writer thread that commits its queue as a group, and a few readers beside it.

Why a thread of our own: a commit with `synchronous=FULL` waits for the disk, and sixty-four transactions that wait
together cost one such wait. Each job of a group has its savepoint, so a failing one loses only itself; nobody is told of
success before the group's COMMIT has returned.

The writer is also the only checkpointer. SQLite up to 3.51.2 can damage a database when two connections write and
checkpoint in the same instant (https://sqlite.org/wal.html#walresetbug), so readers open the file read-only, and a second
process beside the server (`exclusive=False`, the command line) never checkpoints by itself.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool, StaticPool

from kalends.store.errors import StoreError, StoreLocked, translated
from kalends.store.lock import FileLock

P = ParamSpec("P")
T = TypeVar("T")

GROUP = 64
"""Jobs that share one COMMIT at most."""
READERS = 4
WAITING = 1024
"""Callers that may wait at a door before others wait outside, without taking memory in its queue."""
BUSY_SECONDS = 5.0
WAL_LIMIT_BYTES = 64 * 1024 * 1024
READ_ONLY = "kalends_read_only"


def sqlite_engine(path: Path | None, *, reads: bool = False, checkpoints: bool = True, durable: bool = True) -> Engine:
    """An engine on one file (None: in memory). Transactions begin IMMEDIATE, or deferred on a connection that reads."""

    def connect() -> sqlite3.Connection:
        mode = "?mode=ro" if reads else ""
        name = f"file:{quote(str(path))}{mode}" if path else ":memory:"
        return sqlite3.connect(
            name, BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=True, cached_statements=512
        )

    pool: dict[str, Any] = (
        {"poolclass": QueuePool, "pool_size": READERS, "max_overflow": 0} if reads else {"poolclass": StaticPool}
    )
    engine = create_engine("sqlite://", creator=connect, hide_parameters=True, **pool)
    pragmas = ["foreign_keys=ON", f"synchronous={'FULL' if durable else 'OFF'}", "temp_store=MEMORY"]
    if reads:
        pragmas = ["query_only=ON", "temp_store=MEMORY"]
    elif path is not None:
        pragmas += ["journal_mode=WAL", f"journal_size_limit={WAL_LIMIT_BYTES}"]
        pragmas += [] if checkpoints else ["wal_autocheckpoint=0"]

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        only_reads = reads or connection.get_execution_options().get(READ_ONLY)
        connection.exec_driver_sql("BEGIN" if only_reads else "BEGIN IMMEDIATE")

    return engine


@dataclass(frozen=True, slots=True)
class _Job:
    call: Callable[[Connection], Any]
    future: "Future[Any]"
    is_bare: bool = False
    """Outside of any transaction, behind those of its group."""


class SqliteStore:
    """The embedded database in production. Give it a file that `migrate` has brought up to date."""

    def __init__(self, path: Path, *, lock: FileLock | None = None, checkpoints: bool = True) -> None:
        self.where = str(path)
        self._lock = lock
        self._writer = sqlite_engine(path, checkpoints=checkpoints)
        self._readers = sqlite_engine(path, reads=True)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._write_slots = asyncio.Semaphore(WAITING)
        self._read_slots = asyncio.Semaphore(WAITING)
        self._reading = ThreadPoolExecutor(READERS, thread_name_prefix="kalends-read")
        self._closed = False
        self.commits = 0
        self.trouble = ""
        with translated(self.where):
            self._connection = self._writer.connect()
        self._thread = threading.Thread(target=self._write, name="kalends-write", daemon=True)
        self._thread.start()

    async def run(self, f: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._write_slots:
            self._check_open()
            future: Future[T] = Future()
            self._jobs.put(_Job(lambda connection: f(connection, *args, **kwargs), future))
            return await asyncio.wrap_future(future)

    async def read(self, f: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._read_slots:
            self._check_open()
            call = partial(self._read, lambda connection: f(connection, *args, **kwargs))
            return await asyncio.get_running_loop().run_in_executor(self._reading, call)

    async def erase(self) -> bool:
        """Writes the file anew and empties the log: deleting a row leaves its bytes in both."""
        if self._lock is None:
            return False  # a server has the file, and is its only checkpointer
        held = self._lock.is_held
        if not held:
            try:
                self._lock.acquire()
            except StoreLocked:
                return False
        try:
            async with self._write_slots:
                self._check_open()
                future: Future[bool] = Future()
                self._jobs.put(_Job(_wipe, future, is_bare=True))
                return await asyncio.wrap_future(future)
        finally:
            if not held:
                self._lock.release()

    async def aclose(self) -> None:
        """Commits what is queued, then closes the readers before the writer, whose last checkpoint empties the log."""
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._reading.shutdown)
        self._readers.dispose()
        self._connection.close()
        self._writer.dispose()
        if self._lock is not None:
            self._lock.release()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("The database is closed: Kalends is shutting down.")

    def _read(self, call: Callable[[Connection], T]) -> T:
        with translated(self.where), self._readers.begin() as connection:
            return call(connection)

    def _write(self) -> None:
        while (job := self._jobs.get()) is not None:
            group, ends = [job], False
            while len(group) < GROUP and not ends:
                try:
                    following = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    ends = True
                else:
                    group.append(following)
            self._commit([job for job in group if job.future.set_running_or_notify_cancel()])
            if ends:
                return

    def _commit(self, group: list[_Job]) -> None:
        jobs = [job for job in group if not job.is_bare]
        if jobs:
            self._commit_together(jobs)
        for job in group:
            if job.is_bare:
                self._run_bare(job)

    def _run_bare(self, job: _Job) -> None:
        try:
            with translated(self.where):
                result = job.call(self._connection)
        except BaseException as error:  # noqa: BLE001  # the caller must hear of it
            job.future.set_exception(error)
        else:
            job.future.set_result(result)

    def _commit_together(self, jobs: list[_Job]) -> None:
        before = self._changes()
        try:
            with translated(self.where), self._connection.begin():
                outcomes = [self._one(job, alone=len(jobs) == 1) for job in jobs]
        except BaseException as error:  # noqa: BLE001  # every caller must hear of it; nobody else will tell them
            _roll_back(self._connection)
            outcomes = [(None, error)] * len(jobs)
        self.commits += 1
        self._note([error for _, error in outcomes], self._changes() > before)
        for job, (result, failure) in zip(jobs, outcomes, strict=True):
            if failure is None:
                job.future.set_result(result)
            else:
                job.future.set_exception(failure)

    def _note(self, errors: list[BaseException | None], has_written: bool) -> None:
        """A full disk lets transactions through that wrote nothing: those prove nothing."""
        trouble = next((str(error) for error in errors if isinstance(error, StoreError)), "")
        if trouble or has_written:
            self.trouble = trouble

    def _changes(self) -> int:
        return _driver(self._connection).total_changes

    def _one(self, job: _Job, *, alone: bool) -> tuple[Any, BaseException | None]:
        """One job of a group. Its failure is an outcome; only what took the whole transaction along is raised."""
        if alone:
            return job.call(self._connection), None
        try:
            with translated(self.where), self._connection.begin_nested():
                return job.call(self._connection), None
        except Exception as error:
            if not _driver(self._connection).in_transaction:
                raise  # a full disk or a failing one rolls everything back, and with it the jobs before this one
            return None, error


def _wipe(connection: Connection) -> bool:
    """False when a reader kept the log from being emptied."""
    driver = _driver(connection)
    try:
        driver.execute("VACUUM")
        [(busy, _, _)] = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        raise DBAPIError.instance("VACUUM", None, error, sqlite3.Error) from error
    return not busy


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _roll_back(connection: Connection) -> None:
    """After a COMMIT that failed, SQLite may still be in the transaction although SQLAlchemy thinks it over."""
    connection.rollback()
    _driver(connection).rollback()


class InlineStore:
    """SQLite without threads, for the simulation and tests: in memory, or on a file without waiting for the disk."""

    def __init__(self, path: Path | None = None) -> None:
        self.where = str(path or "the database in memory")
        self.trouble = ""
        self.engine = sqlite_engine(path, durable=False)
        self._connection = self.engine.connect()

    async def run(self, f: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        await asyncio.sleep(0)
        try:
            with translated(self.where), self._connection.begin():
                result = f(self._connection, *args, **kwargs)
        except BaseException:
            _roll_back(self._connection)
            raise
        await asyncio.sleep(0)
        return result

    async def read(self, f: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        await asyncio.sleep(0)
        driver = _driver(self._connection)
        driver.execute("PRAGMA query_only=ON")
        self._connection.execution_options(**{READ_ONLY: True})
        try:
            with translated(self.where), self._connection.begin():
                result = f(self._connection, *args, **kwargs)
        finally:
            self._connection.execution_options(**{READ_ONLY: False})
            driver.execute("PRAGMA query_only=OFF")
        await asyncio.sleep(0)
        return result

    async def erase(self) -> bool:
        return _wipe(self._connection)

    async def aclose(self) -> None:
        self._connection.close()
        self.engine.dispose()
