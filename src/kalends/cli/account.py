"""The account that a command is about. Neighbours: accounts.py and the modules of its commands."""

from typing import TYPE_CHECKING

from kalends.cli.session import NOT_FOUND, fail

if TYPE_CHECKING:
    from datetime import datetime

    from kalends.app import Hub
    from kalends.store.accounts import Account
    from kalends.store.door import Connection


async def named(hub: "Hub", name: str) -> "Account":
    """The account of this name, or exit 4 with the names there are."""
    from kalends.store import accounts as rows

    found = await hub.store.read(rows.by_name, hub.organization, name)
    if found is None:
        known = ", ".join(f"“{a.name}”" for a in await hub.store.read(rows.list_all, hub.organization))
        fail(NOT_FOUND, f"There is no account “{name}”. {f'There is {known}.' if known else 'There are none yet.'}")
    return found


def try_again(conn: "Connection", account: str, now: "datetime") -> None:
    from kalends.store import calendars, due

    members = calendars.of_account(conn, account)
    due.wake(conn, "stream", sorted({c.stream for c in members if c.stream}), now)
    due.wake(conn, "pull", [c.id for c in members], now)
