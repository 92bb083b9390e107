"""The store's door: one function is one transaction, on every driver; and what a user meets when the database is in trouble."""

import asyncio
import signal
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from sqlalchemy import Connection, event, func, insert, select, text
from sqlalchemy.exc import IntegrityError

from kalends.store import door
from kalends.store.door import (
    InlineStore,
    SchemaTooNew,
    SqliteStore,
    Store,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreUnreachable,
    open_store,
)
from kalends.store.lock import FileLock
from kalends.store.schema import meta
from postgres import Cluster

pytestmark = pytest.mark.asyncio
# Files are small and local here; what blocks for a moment blocks nobody.
# ruff: noqa: ASYNC240

SOURCE = Path(__file__).parents[2] / "src"


def put(conn: Connection, key: str, value: str = "") -> str:
    conn.execute(insert(meta), {"key": key, "value": value})
    return key


def put_and_fail(conn: Connection, key: str) -> None:
    put(conn, key)
    raise ZeroDivisionError(key)


def keys(conn: Connection) -> list[str]:
    return sorted(conn.execute(select(meta.c.key)).scalars())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "kalends.sqlite3"


@pytest_asyncio.fixture
async def sqlite(file: Path) -> AsyncIterator[SqliteStore]:
    store = await open_store(f"sqlite:///{file}")
    assert isinstance(store, SqliteStore)
    yield store
    await store.aclose()


async def test_scrubbing_keeps_what_was_not_deleted(store: Store) -> None:
    await store.run(put, "kept", "value")
    await store.run(put, "gone", "value")
    await store.run(lambda conn: conn.execute(meta.delete().where(meta.c.key == "gone")) and None)

    scrubbed = await store.scrub()

    assert scrubbed
    assert await store.read(lambda conn: conn.execute(select(meta.c.key)).scalars().all()) == ["kept"]


async def test_what_a_function_did_is_kept_and_what_it_returned_comes_back(store: Store) -> None:
    result = await store.run(put, "a", value="1")

    assert result == "a"
    assert await store.read(keys) == ["a"]


async def test_a_failing_function_keeps_nothing_and_its_own_error_comes_back(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        await store.run(put_and_fail, "a")

    assert await store.read(keys) == []


async def test_the_store_works_on_after_an_error_in_a_statement(store: Store) -> None:
    await store.run(put, "a")

    with pytest.raises(IntegrityError):
        await store.run(put, "a")
    await store.run(put, "b")

    assert await store.read(keys) == ["a", "b"]


async def test_errors_do_not_carry_the_values_of_statements(store: Store) -> None:
    await store.run(put, "secret subject")

    with pytest.raises(IntegrityError) as caught:
        await store.run(put, "secret subject", "private value")

    assert "private value" not in str(caught.value)


async def test_the_reading_door_can_not_write(store: Store) -> None:
    with pytest.raises(StoreReadOnly):
        await store.read(put, "a")
    await store.run(put, "b")

    assert await store.read(keys) == ["b"]


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path / 'k.sqlite3'}")
    await store.aclose()
    await store.aclose()

    with pytest.raises(StoreError, match="shutting down"):
        await store.run(put, "a")


async def test_many_writers_at_once_all_get_their_own_answer(store: Store) -> None:
    results = await asyncio.gather(*(store.run(put, f"k{n:03}") for n in range(200)))

    assert results == [f"k{n:03}" for n in range(200)]
    assert len(await store.read(keys)) == 200


async def test_in_a_group_a_failing_function_loses_only_itself(sqlite: SqliteStore) -> None:
    gate = threading.Event()
    blocked = asyncio.ensure_future(sqlite.run(lambda conn: gate.wait(5)))
    await asyncio.sleep(0.01)
    jobs = [sqlite.run(put_and_fail if n == 5 else put, f"k{n}") for n in range(10)]
    group = asyncio.ensure_future(asyncio.gather(*jobs, return_exceptions=True))
    await asyncio.sleep(0.01)
    before = sqlite.commits
    gate.set()
    await blocked

    outcomes = await group

    assert isinstance(outcomes[5], ZeroDivisionError)
    assert [outcome for n, outcome in enumerate(outcomes) if n != 5] == [f"k{n}" for n in range(10) if n != 5]
    assert await sqlite.read(keys) == sorted(f"k{n}" for n in range(10) if n != 5)
    assert sqlite.commits - before == 2, "the ten jobs shared one commit"


async def test_a_group_whose_commit_fails_tells_everybody_and_keeps_nothing(sqlite: SqliteStore) -> None:
    gate = threading.Event()
    blocked = asyncio.ensure_future(sqlite.run(lambda conn: gate.wait(5)))
    await asyncio.sleep(0.01)
    jobs = asyncio.ensure_future(asyncio.gather(*(sqlite.run(put, f"k{n}") for n in range(3)), return_exceptions=True))
    await asyncio.sleep(0.01)

    @event.listens_for(sqlite._writer, "commit")
    def commit(connection: Connection) -> None:
        if connection.execute(select(func.count()).select_from(meta)).scalar_one():
            raise sqlite3.OperationalError("cannot commit")

    gate.set()
    await blocked
    outcomes = await jobs
    event.remove(sqlite._writer, "commit", commit)

    assert [type(outcome) for outcome in outcomes] == [sqlite3.OperationalError] * 3
    assert await sqlite.read(keys) == []
    assert await sqlite.run(put, "after") == "after"


async def test_a_caller_who_left_before_its_turn_is_not_served(sqlite: SqliteStore) -> None:
    gate = threading.Event()
    blocked = asyncio.ensure_future(sqlite.run(lambda conn: gate.wait(5)))
    await asyncio.sleep(0.01)
    leaver = asyncio.ensure_future(sqlite.run(put, "left"))
    await asyncio.sleep(0.01)

    leaver.cancel()
    await asyncio.sleep(0)
    gate.set()
    await blocked
    await sqlite.run(put, "stayed")

    assert await sqlite.read(keys) == ["stayed"]


async def test_closing_commits_what_was_queued(file: Path) -> None:
    store = await open_store(f"sqlite:///{file}")
    jobs = [asyncio.ensure_future(store.run(put, f"k{n}")) for n in range(5)]
    await asyncio.sleep(0)

    await store.aclose()

    assert await asyncio.gather(*jobs) == [f"k{n}" for n in range(5)]
    again = await open_store(f"sqlite:///{file}")
    assert len(await again.read(keys)) == 5
    await again.aclose()


async def test_a_reader_sees_one_snapshot_beside_the_writer(sqlite: SqliteStore) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def look_twice(conn: Connection) -> tuple[list[str], list[str]]:
        first = keys(conn)
        begun.set()
        go_on.wait(5)
        return first, keys(conn)

    looking = asyncio.ensure_future(sqlite.read(look_twice))
    await asyncio.to_thread(begun.wait, 5)
    await sqlite.run(put, "a")
    go_on.set()

    assert await looking == ([], [])
    assert await sqlite.read(keys) == ["a"]


async def test_every_commit_reaches_the_disk_before_anybody_is_told(sqlite: SqliteStore) -> None:
    pragmas = await sqlite.run(
        lambda conn: [
            conn.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    )

    assert pragmas == ["wal", 2, 1]


CRASHING = """
import asyncio, sys
from kalends.store.door import open_store
from kalends.store.schema import meta
from sqlalchemy import insert

async def write(store, n):
    while True:
        key = f"{n}-{write.count}"
        write.count += 1
        await store.run(lambda conn: conn.execute(insert(meta), {"key": key, "value": ""}) and None)
        print(key, flush=True)

async def main():
    store = await open_store(sys.argv[1])
    write.count = 0
    await asyncio.gather(*(write(store, n) for n in range(8)))

asyncio.run(main())
"""


async def test_after_a_kill_every_acknowledged_commit_is_there_and_nothing_is_torn(file: Path) -> None:
    url = f"sqlite:///{file}"
    command = [sys.executable, "-c", CRASHING, url]
    child = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": str(SOURCE)}
    )
    assert child.stdout is not None
    acknowledged = [(await child.stdout.readline()).decode().strip() for _ in range(300)]

    child.send_signal(signal.SIGKILL)
    acknowledged += (await child.stdout.read()).decode().split("\n")[:-1]  # what it had already said
    await child.wait()
    store = await open_store(url)
    found = await store.read(keys)
    sound = await store.read(lambda conn: conn.exec_driver_sql("PRAGMA integrity_check").scalar_one())
    await store.aclose()

    assert set(acknowledged) <= set(found)
    assert len(found) - len(acknowledged) <= 8, "at most one commit per writer was still to be told"
    assert sound == "ok"


async def test_a_second_server_on_the_same_file_is_refused(file: Path, sqlite: SqliteStore) -> None:
    with pytest.raises(StoreLocked, match=r"already serves .*kalends\.sqlite3\. Stop it first"):
        await open_store(f"sqlite:///{file}")


async def test_a_server_that_starts_while_a_command_opens_the_file_waits_for_it(file: Path) -> None:
    file.parent.mkdir()
    command = FileLock(file)
    command.acquire()
    asyncio.get_running_loop().call_later(0.03, command.release)

    server = await open_store(f"sqlite:///{file}")
    await server.run(put, "served")

    assert await server.read(keys) == ["served"]
    await server.aclose()


async def test_the_command_line_may_work_beside_the_server(file: Path, sqlite: SqliteStore) -> None:
    beside = await open_store(f"sqlite:///{file}", exclusive=False)

    await beside.run(put, "from the command line")
    await sqlite.run(put, "from the server")

    assert await sqlite.read(keys) == ["from the command line", "from the server"]
    await beside.aclose()
    with pytest.raises(StoreLocked):
        await open_store(f"sqlite:///{file}")


async def test_the_lock_ends_with_its_store(file: Path) -> None:
    for _ in range(2):
        store = await open_store(f"sqlite:///{file}")
        await store.aclose()


async def test_files_are_readable_by_their_owner_alone(file: Path, sqlite: SqliteStore) -> None:
    await sqlite.run(put, "a")

    modes = {path.name: path.stat().st_mode & 0o777 for path in file.parent.iterdir()}

    assert set(modes.values()) == {0o600}
    assert file.parent.stat().st_mode & 0o777 == 0o700


async def test_a_file_that_another_program_holds_is_reported_as_locked(
    file: Path, sqlite: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sqlite.run(lambda conn: conn.exec_driver_sql("SELECT 1"))
    sqlite._connection.exec_driver_sql("PRAGMA busy_timeout=10")
    sqlite._connection.rollback()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreLocked, match="locked by another process"):
        await sqlite.run(put, "a")
    other.execute("ROLLBACK")
    other.close()

    assert await sqlite.run(put, "b") == "b"


async def test_a_file_that_is_no_database_is_left_alone(file: Path) -> None:
    file.parent.mkdir()
    file.write_text("These are my holiday notes, and quite long ones." * 50)

    with pytest.raises(StoreDamaged, match="is not a Kalends database"):
        await open_store(f"sqlite:///{file}")

    assert file.read_text().startswith("These are my holiday notes")


async def test_a_damaged_file_is_reported_with_what_to_do(file: Path) -> None:
    store = await open_store(f"sqlite:///{file}")
    await store.run(lambda conn: [put(conn, f"k{n}", "x" * 500) for n in range(200)] and None)
    await store.aclose()
    content = bytearray(file.read_bytes())
    content[4096 * 2 :] = b"\xff" * (len(content) - 4096 * 2)
    file.write_bytes(content)

    async def open_and_read() -> None:
        opened = await open_store(f"sqlite:///{file}")
        try:
            await opened.read(keys)
        finally:
            await opened.aclose()

    with pytest.raises(StoreDamaged, match="is damaged"):
        await open_and_read()


async def test_a_full_disk_is_said_and_nothing_is_lost(sqlite: SqliteStore) -> None:
    await sqlite.run(put, "before")
    pages = await sqlite.run(lambda conn: conn.exec_driver_sql("PRAGMA page_count").scalar_one())
    await sqlite.run(lambda conn: conn.exec_driver_sql(f"PRAGMA max_page_count={pages}").scalar_one() and None)

    with pytest.raises(StoreFull, match="free some space"):
        await sqlite.run(put, "big", "x" * 1_000_000)
    await sqlite.run(lambda conn: conn.exec_driver_sql("PRAGMA max_page_count=1000000").scalar_one() and None)
    await sqlite.run(put, "after")

    assert await sqlite.read(keys) == ["after", "before"]


async def test_a_folder_that_can_not_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreUnreachable, match="can't be created"):
        await open_store(f"sqlite:///{tmp_path / 'file' / 'kalends.sqlite3'}")


async def test_an_unknown_kind_of_url_is_refused() -> None:
    with pytest.raises(StoreError, match="must begin with sqlite:/// or postgresql://"):
        await open_store("mysql://localhost/kalends")


async def test_tables_of_a_newer_program_are_refused(file: Path) -> None:
    store = await open_store(f"sqlite:///{file}")
    await store.run(lambda conn: conn.execute(text("UPDATE alembic_version SET version_num = '9999'")) and None)
    await store.aclose()

    with pytest.raises(SchemaTooNew, match=r"written by a newer Kalends .*revision 9999"):
        await open_store(f"sqlite:///{file}")


async def test_the_simulations_store_keeps_its_file(tmp_path: Path) -> None:
    first = door.inline_store(tmp_path / "k.sqlite3")
    await first.run(put, "a")
    await first.aclose()

    second: InlineStore = door.inline_store(tmp_path / "k.sqlite3")

    assert await second.read(keys) == ["a"]
    await second.aclose()


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"password": "wrong"}, "refused the password"),
        ({"path": "/nowhere", "password": "right"}, "has no database of that name"),
        ({"port": 1, "password": "right"}, "can't be reached"),
    ],
    ids=["password", "database", "port"],
)
async def test_what_is_wrong_with_a_postgresql_url_is_said(
    cluster: Cluster, change: dict[str, Any], sentence: str
) -> None:
    if cluster.guarded_url is None:
        pytest.skip("KALENDS_TEST_DATABASE_URL names a server whose rules these tests do not make")
    parts = urlsplit(cluster.guarded_url)
    netloc = f"guarded:{change['password']}@{parts.hostname}:{change.get('port', parts.port)}"
    url = parts._replace(netloc=netloc, path=change.get("path", parts.path)).geturl()

    with pytest.raises(StoreUnreachable, match=sentence) as caught:
        await open_store(url)

    assert change["password"] not in str(caught.value)


@pytest.mark.postgres
async def test_processes_that_start_together_migrate_an_empty_database_once(cluster: Cluster) -> None:
    url = await cluster.create("template0")

    stores = await asyncio.gather(*(open_store(url) for _ in range(4)))

    await stores[0].run(put, "a")
    assert await stores[3].read(keys) == ["a"]
    for store in stores:
        await store.aclose()
    await cluster.drop(url)


@pytest.mark.postgres
async def test_a_deadlock_is_resolved_by_running_again(postgres: Store) -> None:
    await postgres.run(lambda conn: [put(conn, key) for key in "ab"] and None)
    met = asyncio.Barrier(2)
    tries = 0

    async def write(first: str, second: str) -> None:
        def both(conn: Connection) -> None:
            nonlocal tries
            tries += 1
            conn.execute(text("UPDATE meta SET value = value || '.' WHERE key = :key"), {"key": first})
            conn.execute(text("SELECT pg_sleep(0.05)"))
            conn.execute(text("UPDATE meta SET value = value || '.' WHERE key = :key"), {"key": second})

        await met.wait()
        await postgres.run(both)

    await asyncio.gather(write("a", "b"), write("b", "a"))

    values = await postgres.read(lambda conn: list(conn.execute(select(meta.c.value)).scalars()))
    assert values == ["..", ".."]
    assert tries == 3


@pytest.mark.postgres
async def test_the_store_goes_on_after_its_connections_were_cut(cluster: Cluster, postgres: Store) -> None:
    await postgres.run(put, "a")
    name = await postgres.read(lambda conn: conn.execute(text("SELECT current_database()")).scalar_one())

    await cluster.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    await postgres.run(put, "b")

    assert await postgres.read(keys) == ["a", "b"]
