"""The statements of `store.due`, sent by the drivers alone: what the databases themselves take."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kalends.store.postgres import connect

LEASE_US = 120_000_000
HOUR_US = 3_600_000_000
SLACK_US = 5_000_000
_COLUMNS = ("kind", "id", "lane", "due_at", "leased_until", "token", "failures")
_RIPE = "SELECT id, due_at, token, failures FROM due WHERE kind={} AND lane={} AND due_at<={} AND leased_until<={}"
_BOUND = " AND due_at>={}"
_HELD = " FROM due WHERE kind={} AND id={} AND leased_until={}"


def _rows(count: int) -> Iterator[tuple[object, ...]]:
    """All due in the routine lane, a millisecond apart, the last of them just now."""
    first = time.time_ns() // 1000 - count * 1000
    return (("pull", f"cal_{number:07}", 1, first + number * 1000, 0, 0, 0) for number in range(count))


def fill_sqlite(file: Path, count: int) -> None:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT INTO due VALUES (?, ?, ?, ?, ?, ?, ?)", _rows(count))
    connection.execute("COMMIT")
    connection.close()


async def fill_postgres(url: str, count: int) -> None:
    connection = await connect(url)
    await connection.copy_records_to_table("due", records=_rows(count), columns=_COLUMNS)
    await connection.execute("ANALYZE due")
    await connection.close()


class BareSqlite:
    def __init__(self, file: Path) -> None:
        self._connection = sqlite3.connect(file, isolation_level=None, cached_statements=512)
        self._connection.execute("PRAGMA synchronous=FULL")
        self._bound = 0

    async def work(self, batch: int) -> int:
        ask, now = self._connection.execute, time.time_ns() // 1000
        ask("BEGIN IMMEDIATE")
        ripe = _RIPE.format("?", "?", "?", "?")
        news = ask(ripe + " ORDER BY due_at LIMIT ?", ("pull", 0, now, now, batch - batch // 5)).fetchall()
        left = ("pull", 1, now, now, self._bound - SLACK_US, batch - len(news))
        taken = news + ask(f"{ripe}{_BOUND.format('?')} ORDER BY due_at LIMIT ?", left).fetchall()
        end = now + LEASE_US
        self._connection.executemany(
            "UPDATE due SET due_at=?, leased_until=?, token=? WHERE kind=? AND id=?",
            [(end, end, end, "pull", row[0]) for row in taken],
        )
        ask("COMMIT")
        self._bound = max([self._bound, *(row[1] for row in taken)])
        ask("BEGIN IMMEDIATE")
        for row in taken:
            ask("SELECT due_at" + _HELD.format("?", "?", "?"), ("pull", row[0], end)).fetchone()
            ask(
                "UPDATE due SET due_at=?, lane=?, leased_until=?, failures=? WHERE kind=? AND id=? AND leased_until=?",
                (now + HOUR_US, 1, 0, 0, "pull", row[0], end),
            )
        ask("COMMIT")
        await asyncio.sleep(0)
        return len(taken)

    def close(self) -> None:
        self._connection.close()


class BarePostgres:
    def __init__(self, connections: list[Any]) -> None:
        self._free: asyncio.Queue[Any] = asyncio.Queue(len(connections))
        for connection in connections:
            self._free.put_nowait(connection)
        self._bound = 0

    @classmethod
    async def opened(cls, url: str, connections: int) -> "BarePostgres":
        return cls([await connect(url) for _ in range(connections)])

    async def work(self, batch: int) -> int:
        connection = await self._free.get()
        try:
            taken, end = await self._claim(connection, batch)
            await self._finish(connection, taken, end)
        finally:
            self._free.put_nowait(connection)
        return len(taken)

    async def _claim(self, connection: Any, batch: int) -> tuple[list[Any], int]:
        ripe, order = _RIPE.format("$1", "$2", "$3", "$4"), " ORDER BY due_at LIMIT {} FOR UPDATE SKIP LOCKED"
        async with connection.transaction():
            now = await self._now(connection)
            news = await connection.fetch(ripe + order.format("$5"), "pull", 0, now, now, batch - batch // 5)
            left = batch - len(news)
            bounded = ripe + _BOUND.format("$5") + order.format("$6")
            taken = news + await connection.fetch(bounded, "pull", 1, now, now, self._bound - SLACK_US, left)
            end = now + LEASE_US
            await connection.executemany(
                "UPDATE due SET due_at=$1, leased_until=$2, token=$3 WHERE kind=$4 AND id=$5",
                [(end, end, end, "pull", row["id"]) for row in taken],
            )
        self._bound = max([self._bound, *(row["due_at"] for row in taken)])
        return taken, end

    async def _finish(self, connection: Any, taken: list[Any], end: int) -> None:
        async with connection.transaction():
            for row in taken:
                held = "SELECT due_at" + _HELD.format("$1", "$2", "$3") + " FOR UPDATE"
                await connection.fetchval(held, "pull", row["id"], end)
                now = await self._now(connection)
                await connection.execute(
                    "UPDATE due SET due_at=$1, lane=$2, leased_until=$3, failures=$4 "
                    "WHERE kind=$5 AND id=$6 AND leased_until=$7",
                    *(now + HOUR_US, 1, 0, 0, "pull", row["id"], end),
                )

    async def _now(self, connection: Any) -> int:
        now: int = await connection.fetchval("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
        return now

    async def aclose(self) -> None:
        while not self._free.empty():
            await self._free.get_nowait().close()
