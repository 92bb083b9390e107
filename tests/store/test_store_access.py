"""Users, sessions, panels and tokens: who may come in, for how long, and who no longer."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection, select
from store_given import HOUR, NOW, ORG

from kalends.store import access, audit, organizations, spaces
from kalends.store.door import Store
from kalends.store.schema import metadata

pytestmark = pytest.mark.asyncio

IDLE = timedelta(minutes=30)
MINUTE = timedelta(minutes=1)


def given_people_and_rooms(conn: Connection) -> None:
    organizations.ensure_default(conn, ORG, "Aurora", "local", NOW)
    access.add_user(conn, "usr_1", ORG, "ada", "argon-hash", "admin", NOW, actor="cli:root")
    spaces.add(conn, "spc_1", ORG, "Aula", NOW, actor="cli:root")
    access.add_device(conn, "dev_1", ORG, "spc_1", "Door", "pairing-secret", NOW, actor="user:ada")
    access.add_token(conn, "tok_1", ORG, "export", "token-secret", NOW, actor="user:ada", expires_at=NOW + HOUR)
    access.begin_session(conn, "cookie-secret", "usr_1", NOW, 12 * HOUR)


async def test_a_session_belongs_to_its_user(store: Store) -> None:
    await store.run(given_people_and_rooms)

    session = await store.read(access.session, "cookie-secret", NOW + MINUTE, IDLE)

    assert session is not None
    assert session.user == await store.read(access.user_by_name, "ada")
    assert (session.user.name, session.expires_at) == ("ada", NOW + 12 * HOUR)
    assert await store.read(access.session, "another", NOW, IDLE) is None


async def test_a_session_ends_when_it_is_idle_too_long_or_too_old(store: Store) -> None:
    await store.run(given_people_and_rooms)

    idle = await store.read(access.session, "cookie-secret", NOW + IDLE, IDLE)
    await store.run(access.touch_session, "cookie-secret", NOW + IDLE)
    awake = await store.read(access.session, "cookie-secret", NOW + IDLE + MINUTE, IDLE)
    await store.run(access.touch_session, "cookie-secret", NOW + 12 * HOUR)
    old = await store.read(access.session, "cookie-secret", NOW + 12 * HOUR, IDLE)

    assert idle is None
    assert awake is not None
    assert old is None


async def test_signing_out_ends_the_session(store: Store) -> None:
    await store.run(given_people_and_rooms)
    await store.run(access.begin_session, "second", "usr_1", NOW, HOUR)

    await store.run(access.end_session, "second")

    assert await store.read(access.session, "second", NOW, IDLE) is None


async def test_sessions_that_ran_out_are_swept_at_the_next_sign_in(store: Store) -> None:
    await store.run(given_people_and_rooms)
    await store.run(access.begin_session, "short", "usr_1", NOW, HOUR)

    await store.run(access.begin_session, "later", "usr_1", NOW + 2 * HOUR, HOUR)

    assert await store.read(access.session, "short", NOW, IDLE) is None, "also for a clock that was set back"
    assert await store.read(access.session, "later", NOW + 2 * HOUR, IDLE) is not None


async def test_a_new_password_ends_every_session(store: Store) -> None:
    await store.run(given_people_and_rooms)

    await store.run(access.set_password, "usr_1", "new-hash", NOW, actor="user:ada")

    user = await store.read(access.user_by_name, "ada")
    assert user is not None
    assert user.password == "new-hash"
    assert await store.read(access.session, "cookie-secret", NOW, IDLE) is None
    assert [found.name for found in await store.read(access.list_users, ORG)] == ["ada"]


async def test_a_panel_pairs_once(store: Store) -> None:
    await store.run(given_people_and_rooms)

    paired = await store.run(access.pair, "pairing-secret", "panel-token", NOW + MINUTE)
    again = await store.run(access.pair, "pairing-secret", "thief-token", NOW + MINUTE)

    assert paired is not None
    assert (paired.id, paired.space, paired.is_paired) == ("dev_1", "spc_1", True)
    assert again is None
    assert await store.read(access.device_by_token, "panel-token") == paired
    assert await store.read(access.device_by_token, "thief-token") is None


async def test_a_pairing_secret_lasts_ten_minutes(store: Store) -> None:
    await store.run(given_people_and_rooms)

    late = await store.run(access.pair, "pairing-secret", "panel-token", NOW + 10 * MINUTE)

    assert late is None


@pytest.mark.parametrize("is_paired", [False, True])
async def test_a_revoked_panel_is_shut_out_for_good(store: Store, is_paired: bool) -> None:
    await store.run(given_people_and_rooms)
    if is_paired:
        await store.run(access.pair, "pairing-secret", "panel-token", NOW)

    first = await store.run(access.revoke_device, "dev_1", NOW, actor="user:ada")
    second = await store.run(access.revoke_device, "dev_1", NOW, actor="user:ada")

    assert (first, second) == (True, False)
    assert await store.read(access.device_by_token, "panel-token") is None
    assert await store.run(access.pair, "pairing-secret", "panel-token", NOW) is None
    [device] = await store.read(access.list_devices, ORG)
    assert device.revoked_at == NOW


async def test_a_panel_was_seen(store: Store) -> None:
    await store.run(given_people_and_rooms)

    await store.run(access.see_device, "dev_1", NOW + HOUR)

    device = await store.read(access.get_device, "dev_1")
    assert device is not None
    assert device.seen_at == NOW + HOUR


async def test_a_token_works_until_it_runs_out_or_is_revoked(store: Store) -> None:
    await store.run(given_people_and_rooms)

    good = await store.read(access.token, "token-secret", NOW)
    expired = await store.read(access.token, "token-secret", NOW + HOUR)
    await store.run(access.see_token, "tok_1", NOW)
    revoked = await store.run(access.revoke_token, "tok_1", NOW, actor="user:ada")
    after = await store.read(access.token, "token-secret", NOW)

    assert good is not None
    assert (good.name, expired, revoked, after) == ("export", None, True, None)
    assert not await store.run(access.revoke_token, "tok_1", NOW, actor="user:ada")
    assert [(token.id, token.seen_at) for token in await store.read(access.list_tokens, ORG)] == [("tok_1", NOW)]


async def test_no_secret_is_stored(store: Store) -> None:
    await store.run(given_people_and_rooms)
    await store.run(access.pair, "pairing-secret", "panel-token", NOW)

    def everything(conn: Connection) -> str:
        return repr([tuple(row) for table in metadata.sorted_tables for row in conn.execute(select(table))])

    content = await store.read(everything)

    assert "-secret" not in content
    assert "panel-token" not in content


async def test_who_let_whom_in_is_audited(store: Store) -> None:
    await store.run(given_people_and_rooms)
    await store.run(access.pair, "pairing-secret", "panel-token", NOW)

    entries = await store.read(audit.list_entries, ORG)

    assert [(entry.action, entry.actor) for entry in entries[:3]] == [
        ("device.paired", "device:dev_1"),
        ("token.added", "user:ada"),
        ("device.added", "user:ada"),
    ]
