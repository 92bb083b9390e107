"""The migrations and `schema.py` say the same, on both engines."""

from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from kalends.store.door import StoreError, inline_store, open_store
from kalends.store.migrate import FOLDER, check_schema, status, upgrade
from kalends.store.postgres import postgres_engine
from kalends.store.schema import metadata
from kalends.store.sqlite import sqlite_engine
from postgres import Cluster

pytestmark = pytest.mark.asyncio


def differences(conn: Connection) -> list[Any]:
    context = MigrationContext.configure(conn, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, metadata))


async def test_a_migrated_sqlite_file_has_the_tables_of_the_schema(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:///{tmp_path / 'k.sqlite3'}")

    found = await store.read(differences)
    await store.aclose()

    assert found == []


async def test_sqlite_tables_are_the_same_to_the_letter_however_they_were_made(tmp_path: Path) -> None:
    def tables(conn: Connection) -> dict[str, str]:
        rows = conn.execute(
            text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'alembic_version'")
        )
        return {name: " ".join(sorted(line.strip(" ,\t") for line in sql.split("\n"))) for name, sql in rows}

    migrated, made = await open_store(f"sqlite:///{tmp_path / 'k.sqlite3'}"), inline_store()

    assert await migrated.read(tables) == await made.read(tables)
    await migrated.aclose()
    await made.aclose()


@pytest.mark.postgres
async def test_a_migrated_postgresql_database_has_the_tables_of_the_schema(cluster: Cluster) -> None:
    url = await cluster.create("template0")
    store = await open_store(url)

    found = await store.read(differences)
    await store.aclose()
    await cluster.drop(url)

    assert found == []


async def test_the_status_tells_what_is_there_and_what_is_wanted(tmp_path: Path) -> None:
    store = inline_store()

    before = await store.run(status)
    await store.aclose()
    migrated = await open_store(f"sqlite:///{tmp_path / 'k.sqlite3'}")
    after = await migrated.read(status)
    again = await migrated.run(upgrade)
    await migrated.aclose()

    assert before.current is None
    assert after.current == after.newest == before.newest == again.current


async def test_a_command_beside_an_older_server_is_told_to_wait() -> None:
    store = inline_store()

    with pytest.raises(StoreError, match="Restart the server"):
        await store.read(check_schema)

    await store.aclose()


OLD_ROWS = """
INSERT INTO organizations (id, name, region, created_at) VALUES ('org', 'Aurora', 'local', 1);
INSERT INTO accounts (id, organization, kind, name, settings, sealed, privacy, state, reason, since, created_at)
  VALUES ('acc', 'org', 'exchange', 'HQ', '{}', 'x', 'P3', 'in_sync', '', 1, 1);
INSERT INTO calendars (id, organization, account, address, name, state, reason, since, cursor, reconciled_at, lags,
  removed_in_pull, items_at_pull) VALUES ('cal', 'org', 'acc', 'a@x', 'A', 'in_sync', '', 1, 'c1', 1, '', 0, 0);
INSERT INTO events (calendar, item, key, uid, version, kind, start, "end", zone, subject, location, description,
  organizer_name, organizer_address, attendees, show_as, sensitivity, is_cancelled, response)
  VALUES ('cal', 'item-Å', 'evt_1', 'uid-1', 'v7', 'single', 100, 200, 'UTC', 'Zanzibar takeover', 'Vault', 'Papers',
  'Ada Example', 'ada@x', '[]', 'busy', 'normal', false, 'none');
INSERT INTO bases (calendar, item, version, digest) VALUES ('cal', 'item-Å', 'v7', 'guessable');
"""


def first_tables(conn: Connection) -> None:
    """As version 0001 made and filled them."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = conn
    command.upgrade(config, "0001")
    for statement in OLD_ROWS.split(";\n"):
        if statement.strip():
            conn.execute(text(statement))


def kept(conn: Connection) -> tuple[Any, ...]:
    event = conn.execute(text('SELECT item, uid, start, "end", show_as, version, content FROM events')).one()
    calendar = conn.execute(text("SELECT cursor, reconciled_at FROM calendars")).one()
    return *event, *calendar, bytes(conn.execute(text("SELECT digest FROM bases")).scalar_one())


KEPT = ("item-Å", "uid-1", 100, 200, "busy", "", None, None, None, b"")


async def test_an_upgrade_keeps_when_rooms_are_busy_and_drops_what_was_readable(tmp_path: Path) -> None:
    file = tmp_path / "k.sqlite3"
    engine = sqlite_engine(file)
    with engine.begin() as conn:
        first_tables(conn)
    engine.dispose()
    before = file.read_bytes()

    store = await open_store(f"sqlite:///{file}")
    found = await store.read(kept)
    await store.aclose()

    assert found == KEPT
    after = b"".join(path.read_bytes() for path in tmp_path.iterdir())  # noqa: ASYNC240
    words = [b"Zanzibar", b"Vault", b"Ada Example", b"guessable"]
    assert [word in before for word in words] == [True] * 4
    assert [word in after for word in words] == [False] * 4


@pytest.mark.postgres
async def test_an_upgrade_on_postgresql_keeps_the_same(cluster: Cluster) -> None:
    url = await cluster.create("template0")
    engine = postgres_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(first_tables)
    await engine.dispose()

    store = await open_store(url)
    found = await store.read(kept)
    differs = await store.read(differences)
    await store.aclose()
    await cluster.drop(url)

    assert found == KEPT
    assert differs == []
