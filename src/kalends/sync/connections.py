"""Open ways into calendar systems: one provider per account, rebuilt when its settings or credentials change."""

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from kalends.clock import Clock
from kalends.providers.protocol import Provider
from kalends.seal import Seal
from kalends.store import accounts, debugging
from kalends.store.accounts import Account
from kalends.store.debugging import Debugging
from kalends.store.door import Connection, Store
from kalends.sync.circuit import Circuit
from kalends.sync.recording import Recorder

ProviderFactory = Callable[[Mapping[str, Any], Mapping[str, Any]], Provider]
"""Builds a provider from an account's settings and unsealed credentials. Raises Rejected for what can't work."""


@dataclass
class Open:
    """One account in use. `print` tells whether the row it was built from is still the row that stands."""

    account: Account
    provider: Provider
    circuit: Circuit
    print: bytes
    turns: int = 0
    """Pulls running now."""
    users: int = 0
    """Turns of any kind that hold it."""
    is_retired: bool = False
    """Another one has taken its place."""


class Connections:
    def __init__(
        self,
        store: Store,
        seal: Seal,
        factories: Mapping[str, ProviderFactory],
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._store, self._seal, self._factories = store, seal, factories
        self._clock, self._rng = clock, rng
        self._open: dict[str, Open] = {}
        self.recorder = Recorder(store, clock, rng)

    async def of(self, account: Account) -> Open:
        """The open connection of this account. Retires an older one whose settings no longer stand."""
        print_ = _print(account)
        known = self._open.get(account.id)
        if known is not None and known.print == print_:
            known.account = account
            return known
        if known is not None:
            del self._open[account.id]
            known.is_retired = True
            await self._close_unused(known)
        credentials, found = await self._store.read(self._unseal, account.id)
        kept = self._open.get(account.id)
        if kept is None:  # else another turn was quicker: at start all of them come here at once
            provider = self._factories[account.kind](account.settings, credentials)
            kept = self._open[account.id] = Open(account, provider, Circuit(self._clock, self._rng), print_)
            self.recorder.attach(account.id, provider, found)
        return kept

    @asynccontextmanager
    async def using(self, account: Account) -> AsyncIterator[Open]:
        """As `of`, for a turn: the connection is not closed under it when the account changes meanwhile."""
        connection = await self.of(account)
        connection.users += 1
        try:
            yield connection
        finally:
            connection.users -= 1
            await self._close_unused(connection)

    async def keep(self, accounts: frozenset[str]) -> None:
        """Lets go of every account that is not among these, and so of its credentials."""
        for gone in sorted(self._open.keys() - accounts):
            connection = self._open.pop(gone)
            connection.is_retired = True
            await self._close_unused(connection)

    def _unseal(self, conn: Connection, account: str) -> tuple[Mapping[str, Any], Debugging | None]:
        return accounts.credentials(conn, self._seal, account), debugging.get(conn, account)

    async def aclose(self) -> None:
        opened, self._open = self._open, {}
        for connection in opened.values():
            await connection.provider.aclose()
        await self.recorder.flush()

    async def _close_unused(self, connection: Open) -> None:
        if connection.is_retired and not connection.users:
            self.recorder.detach(connection.account.id, connection.provider)
            await connection.provider.aclose()


def _print(account: Account) -> bytes:
    return sha256(repr((account.kind, account.settings, account.sealed)).encode()).digest()
