"""Sets a fresh hub up for the demonstration: an admin, the account, and every room of its room lists."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kalends.app import Hub
from kalends.demo.sandbox import ZONE
from kalends.first_start import ensure_admin
from kalends.store import access, accounts
from kalends.sync.directory import Linked, Linker, rooms_of

_ACCOUNT = "Exchange at Halden"


@dataclass(frozen=True, slots=True)
class SetUp:
    """What was made. `token` reads the API."""

    password: str
    token: str
    rooms: list[Linked]


async def set_up(hub: Hub, ready: Mapping[str, Any]) -> SetUp:
    """`ready` is what the sandbox said: the address, the certificate to pin, the service account."""
    password, token, now = await ensure_admin(hub), f"kal_{hub.ids.secret()}", hub.clock.now()
    assert password is not None, "the demo's hub is fresh"
    await hub.store.run(access.add_token, hub.ids.new("tok"), hub.organization, "demo", token, now, actor="demo")
    settings = {
        "url": ready["exchange"],
        "username": ready["accounts"][0]["user"],
        "fingerprint": ready["certificate"]["sha256"],
    }
    credentials = {"password": ready["accounts"][0]["password"]}
    id_ = hub.ids.new("acc")
    args = (hub.seal, id_, hub.organization, "exchange", _ACCOUNT, settings, credentials, "P3", now)
    await hub.store.run(accounts.add, *args, actor="demo")
    account = await hub.store.read(accounts.get, id_)
    assert account is not None
    connections = hub.connections()
    try:
        provider = (await connections.of(account)).provider
        linker = Linker(hub.store, hub.clock, hub.ids, account, provider, ZONE, "demo")
        return SetUp(password, token, await linker.link(await rooms_of(provider)))
    finally:
        await connections.aclose()
