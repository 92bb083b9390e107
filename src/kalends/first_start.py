"""The first admin: made when nobody can sign in yet, its password shown once and stored nowhere."""

import asyncio

from kalends.app import Hub
from kalends.features.access import password_hash
from kalends.store import access
from kalends.store.door import Connection

ADMIN = "admin"


async def ensure_admin(hub: Hub) -> str | None:
    """The password of a new user `admin` if there was no user at all; None if there was."""
    if await hub.store.read(access.list_users, hub.organization):
        return None
    password = _sayable(hub)
    hashed = await asyncio.to_thread(password_hash, password, hub.ids)

    def add(conn: Connection) -> bool:
        if access.list_users(conn, hub.organization):
            return False  # another process was first
        args = (hub.ids.new("usr"), hub.organization, ADMIN, hashed, "admin", hub.clock.now())
        access.add_user(conn, *args, actor="first start")
        return True

    return password if await hub.store.run(add) else None


def _sayable(hub: Hub) -> str:
    """80 random bits that can be read aloud: four groups of four letters."""
    letters = hub.ids.new("x").removeprefix("x_")
    return "-".join(letters[n : n + 4] for n in range(0, 16, 4))
