"""The migrations and `schema.py` say the same, on both engines."""

from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from kalends.store.door import StoreError, inline_store, open_store
from kalends.store.migrate import check_schema, status, upgrade
from kalends.store.schema import metadata
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
