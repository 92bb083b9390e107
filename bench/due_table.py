"""The work table with a million rows: claims and finishes per second through the store's door, beside the bare SQL.

One round claims a batch in one transaction and finishes each row of it in a second one, durably. The bare loop sends the
same statements with the driver alone (stdlib sqlite3; asyncpg) over the same file or server, in turns with ours.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from sqlalchemy import Connection

from bench.bare_due import BarePostgres, BareSqlite, fill_postgres, fill_sqlite
from bench.cluster import NoPostgres, cluster
from bench.figures import Figure, Tell
from kalends.store import due
from kalends.store.door import Store, open_store
from kalends.store.due import Lease

BATCHES = (1, 10, 100)
LEASE = timedelta(minutes=2)
Work = Callable[[int], Awaitable[int]]
"""Claims and finishes one batch; how many rows there were."""


async def measure(quick: bool, tell: Tell) -> AsyncIterator[Figure]:
    rows = 50_000 if quick else 1_000_000  # never all of them are claimed
    with tempfile.TemporaryDirectory(prefix="kalends-bench-") as folder:
        file = Path(folder) / "due.sqlite3"
        store = await open_store(f"sqlite:///{file}")
        tell(f"SQLite: {rows} rows …")
        fill_sqlite(file, rows)
        bare = BareSqlite(file)
        async for figure in _compare("sqlite", store, bare.work, 1, rows, quick, tell):
            yield figure
        bare.close()
        await store.aclose()
    try:
        with cluster() as url:
            store = await open_store(url)
            tell(f"PostgreSQL: {rows} rows …")
            await fill_postgres(url, rows)
            postgres = await BarePostgres.opened(url, 4)
            async for figure in _compare("postgresql", store, postgres.work, 4, rows, quick, tell):
                yield figure
            await postgres.aclose()
            await store.aclose()
    except NoPostgres as error:
        tell(f"left out: {error}")


async def _compare(
    engine: str, store: Store, bare: Work, workers: int, rows: int, quick: bool, tell: Tell
) -> AsyncIterator[Figure]:
    rounds, seconds = (1, 0.2) if quick else (5, 2.0)
    for batch in BATCHES:
        samples: list[tuple[float, float]] = []
        for _ in range(rounds):
            claimers = [Claimer(store) for _ in range(workers)]
            ours = await _rate([claimer.work for claimer in claimers], batch, seconds)
            samples.append((ours, await _rate([bare] * workers, batch, seconds)))
        tell(f"{engine}, batch {batch}: {samples[-1][0]:.0f}/s, bare {samples[-1][1]:.0f}/s")
        yield Figure(
            f"due_{engine}_batch_{batch}",
            median(one for one, _ in samples),
            "claims+finishes/s",
            [one for one, _ in samples],
            peer="bare SQL: the same statements through the driver alone",
            peer_value=median(two for _, two in samples),
            details={"rows": rows, "workers": workers, "batch": batch},
        )


async def _rate(workers: list[Work], batch: int, seconds: float) -> float:
    began = time.monotonic()

    async def run(work: Work) -> int:
        done = 0
        while time.monotonic() - began < seconds:
            done += await work(batch)
        return done

    counts = await asyncio.gather(*(run(work) for work in workers))
    return sum(counts) / (time.monotonic() - began)


class Claimer:
    """As `sync.worker` claims: the scan bounded below by what was claimed last."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._since: due.Since = {}

    async def work(self, batch: int) -> int:
        leases = await self._store.run(due.claim, ["pull"], datetime.now(UTC), LEASE, batch, self._since)
        self._since = due.since_after(self._since, leases)
        await self._store.run(_finish, leases)
        return len(leases)


def _finish(conn: Connection, leases: list[Lease]) -> None:
    now = datetime.now(UTC)
    for lease in leases:
        due.finish(conn, lease, now, timedelta(hours=1), timedelta(0))
