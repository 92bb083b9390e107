"""Fixtures for every test: the PostgreSQL cluster, and a store on each engine."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from kalends.store.door import PostgresStore, Store, inline_store, open_store
from postgres import Cluster, running_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """PostgreSQL for this run, started when the first test asks for it."""
    with running_cluster() as running:
        yield running


@pytest_asyncio.fixture
async def inline() -> AsyncIterator[Store]:
    """A fresh store in memory, without threads."""
    store = inline_store()
    yield store
    await store.aclose()


@pytest.fixture(params=["inline", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> str | Cluster:
    """The driver that a test's store runs on; the cluster itself for PostgreSQL."""
    if request.param == "postgres":
        cluster: Cluster = request.getfixturevalue("cluster")
        return cluster
    return str(request.param)


@pytest_asyncio.fixture
async def store(engine: str | Cluster, tmp_path: Path) -> AsyncIterator[Store]:
    """A fresh store: each test that takes it runs on every driver."""
    if isinstance(engine, Cluster):
        async for fresh in fresh_postgres(engine):
            yield fresh
        return
    opened = inline_store() if engine == "inline" else await open_store(f"sqlite:///{tmp_path / 'kalends.sqlite3'}")
    yield opened
    await opened.aclose()


@pytest_asyncio.fixture
async def postgres(cluster: Cluster) -> AsyncIterator[PostgresStore]:
    """A fresh store on PostgreSQL."""
    async for opened in fresh_postgres(cluster):
        yield opened


async def fresh_postgres(cluster: Cluster) -> AsyncIterator[PostgresStore]:
    url = await cluster.create()
    opened = await open_store(url)
    assert isinstance(opened, PostgresStore)
    yield opened
    await opened.aclose()
    await cluster.drop(url)
