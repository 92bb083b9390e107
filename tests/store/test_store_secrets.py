"""Sealed credentials: readable with the key and nowhere else."""

from pathlib import Path
from random import Random

import pytest
from store_given import ACCOUNT, HOUR, NOW, ORG, SEAL, given_account

from kalends.ids import SeededIds
from kalends.seal import KeyMissing, Seal, SealError, key_id, new_key, open_seal, put_first
from kalends.store import accounts, audit, feed
from kalends.store.door import Store, open_store

NOISE = SeededIds(Random(3)).noise
OLD, NEW = b"o" * 32, b"n" * 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_what_was_sealed_opens_only_in_its_own_place() -> None:
    sealed = SEAL.seal(b"sesame", "accounts", "acc_1")

    assert SEAL.open(sealed, "accounts", "acc_1") == b"sesame"
    with pytest.raises(SealError, match="belongs elsewhere"):
        SEAL.open(sealed, "accounts", "acc_2")
    with pytest.raises(SealError, match="belongs elsewhere"):
        SEAL.open(sealed, "devices", "acc_1")


def test_the_same_secret_is_never_sealed_alike_twice() -> None:
    assert SEAL.seal(b"sesame", "accounts", "a") != SEAL.seal(b"sesame", "accounts", "a")


def test_any_altered_byte_is_noticed() -> None:
    sealed = SEAL.seal(b"sesame", "accounts", "a")

    for n in range(len(sealed)):
        altered = bytearray(sealed)
        altered[n] ^= 1
        with pytest.raises(SealError):
            SEAL.open(bytes(altered), "accounts", "a")


@pytest.mark.parametrize("length", [0, 1, 50, 81, 90])
def test_a_cut_off_value_is_noticed(length: int) -> None:
    sealed = SEAL.seal(b"sesame", "accounts", "a")

    with pytest.raises(SealError):
        SEAL.open(sealed[:length], "accounts", "a")


def test_a_new_key_takes_over_while_the_old_one_still_opens() -> None:
    before = Seal([OLD], NOISE).seal(b"sesame", "accounts", "a")

    after = Seal([NEW, OLD], NOISE).rotate(before, "accounts", "a")

    assert Seal([NEW], NOISE).open(after, "accounts", "a") == b"sesame"
    with pytest.raises(KeyMissing, match="Put the right key file back"):
        Seal([NEW], NOISE).open(before, "accounts", "a")


def test_rotating_under_the_same_key_changes_nothing() -> None:
    sealed = SEAL.seal(b"sesame", "accounts", "a")

    assert SEAL.rotate(sealed, "accounts", "a") == sealed


def test_a_key_is_made_at_first_start_for_its_owner_alone(folder: Path) -> None:
    first = open_seal(folder / "secret.key", NOISE, may_create=True)
    second = open_seal(folder / "secret.key", NOISE, may_create=False)

    assert second.open(first.seal(b"x", "t", "r"), "t", "r") == b"x"
    assert (folder / "secret.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == ["secret.key"]


def test_a_new_key_comes_first_and_the_old_ones_stay(folder: Path) -> None:
    file = folder / "secret.key"
    old = open_seal(file, NOISE, may_create=True).seal(b"x", "t", "r")
    before = file.read_text()

    put_first(file, new_key(NOISE))

    assert file.read_text().endswith(before)
    assert open_seal(file, NOISE, may_create=False).open(old, "t", "r") == b"x"
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == ["secret.key"]


def test_a_running_process_finds_a_key_that_was_put_into_its_file_meanwhile(folder: Path) -> None:
    file = folder / "secret.key"
    running = open_seal(file, NOISE, may_create=True)
    put_first(file, new_key(NOISE))
    sealed = open_seal(file, NOISE, may_create=False).seal(b"x", "t", "r")

    assert running.open(sealed, "t", "r") == b"x"
    assert key_id(running.seal(b"y", "t", "r")) == key_id(sealed), "and seals with it from now on"


def test_a_missing_key_is_never_replaced_where_it_is_needed(folder: Path) -> None:
    with pytest.raises(KeyMissing, match="Put it back from your backup"):
        open_seal(folder / "secret.key", NOISE, may_create=False)

    assert not folder.exists()


@pytest.mark.parametrize("content", ["", "short", "ÿ", new_key(NOISE) + "\nrubbish", new_key(NOISE)[:-8]])
def test_a_key_file_that_holds_something_else_is_refused(folder: Path, content: str) -> None:
    folder.mkdir()
    (folder / "secret.key").write_text(content)

    with pytest.raises(SealError, match="key file"):
        open_seal(folder / "secret.key", NOISE, may_create=True)

    assert (folder / "secret.key").read_text() == content


@pytest.mark.asyncio
async def test_credentials_come_back_as_they_were_given(store: Store) -> None:
    await store.run(given_account)

    assert await store.read(accounts.credentials, SEAL, ACCOUNT) == {"username": "svc", "password": "sesame-open"}
    assert "sesame" not in repr(await store.read(accounts.get, ACCOUNT))


@pytest.mark.asyncio
async def test_no_secret_is_in_the_database_files(folder: Path) -> None:
    store = await open_store(f"sqlite:///{folder / 'k.sqlite3'}")
    await store.run(given_account)
    secrets = {"username": "svc", "password": "another-one"}
    await store.run(accounts.update_credentials, SEAL, ACCOUNT, secrets, NOW, actor="cli:root")

    files = {path.name: path.read_bytes() for path in folder.iterdir()}  # noqa: ASYNC240
    await store.aclose()

    assert set(files) >= {"k.sqlite3", "k.sqlite3-wal"}
    for content in files.values():
        assert b"sesame-open" not in content
        assert b"another-one" not in content


@pytest.mark.asyncio
async def test_which_keys_are_needed_is_known_without_opening_anything(store: Store) -> None:
    await store.run(given_account)
    needed = await store.read(accounts.sealing_keys)

    SEAL.require(needed)
    with pytest.raises(KeyMissing):
        Seal([NEW], NOISE).require(needed)


@pytest.mark.asyncio
async def test_rotation_reseals_every_account(store: Store) -> None:
    await store.run(given_account)
    both = Seal([NEW, b"k" * 32], NOISE)

    first = await store.run(accounts.rotate, both, NOW, actor="cli:root")
    second = await store.run(accounts.rotate, both, NOW, actor="cli:root")

    assert (first, second) == (1, 0)
    opened = await store.read(accounts.credentials, Seal([NEW], NOISE), ACCOUNT)
    assert opened["password"] == "sesame-open"


@pytest.mark.asyncio
async def test_an_accounts_state_is_told_once_with_its_reason(store: Store) -> None:
    await store.run(given_account)
    since = NOW + HOUR

    first = await store.run(accounts.set_state, ACCOUNT, "reauthenticate", "The password was refused.", since)
    second = await store.run(accounts.set_state, ACCOUNT, "reauthenticate", "The password was refused.", since + HOUR)

    account = await store.read(accounts.get, ACCOUNT)
    batch = await store.read(feed.after, ORG, None)
    entries = await store.read(audit.list_entries, ORG, 10, ACCOUNT)
    assert account is not None
    assert (first, second, account.state, account.since) == (True, False, "reauthenticate", since)
    assert [(change.kind, change.version) for change in batch.changes] == [
        ("account.state", "new"),
        ("account.state", "reauthenticate"),
    ]
    assert entries[0].why == "reauthenticate: The password was refused."


@pytest.mark.asyncio
async def test_new_credentials_may_be_tried_at_once(store: Store) -> None:
    await store.run(given_account)
    await store.run(accounts.set_state, ACCOUNT, "reauthenticate", "The password was refused.", NOW)
    await store.run(accounts.rest_until, ACCOUNT, NOW + HOUR)

    await store.run(accounts.update_credentials, SEAL, ACCOUNT, {"password": "new"}, NOW, actor="cli:root")

    account = await store.read(accounts.get, ACCOUNT)
    assert account is not None
    assert (account.state, account.retry_at) == ("new", None)


@pytest.mark.asyncio
async def test_an_account_recovers_but_a_paused_one_stays_paused(store: Store) -> None:
    await store.run(given_account)
    await store.run(accounts.set_state, ACCOUNT, "degraded", "No answer.", NOW)
    await store.run(accounts.recovered, ACCOUNT, NOW)
    recovered = await store.read(accounts.get, ACCOUNT)
    await store.run(accounts.set_state, ACCOUNT, "paused", "An admin paused it.", NOW, actor="user:ada")
    await store.run(accounts.recovered, ACCOUNT, NOW)
    paused = await store.read(accounts.get, ACCOUNT)

    assert recovered is not None
    assert paused is not None
    assert (recovered.state, paused.state) == ("in_sync", "paused")


@pytest.mark.asyncio
async def test_settings_hold_no_secret_and_changes_name_only_keys(store: Store) -> None:
    await store.run(given_account)

    await store.run(accounts.update_settings, ACCOUNT, {"url": "https://new.test"}, NOW, actor="cli:root")

    account = await store.read(accounts.by_name, ORG, "HQ")
    [entry, *_] = await store.read(audit.list_entries, ORG, 1, ACCOUNT)
    assert account is not None
    assert account.settings == {"url": "https://new.test"}
    assert entry.why == "changed: url"
    assert [found.id for found in await store.read(accounts.list_all, ORG)] == [ACCOUNT]
