"""The seam for secrets at rest: credentials are sealed before they reach the store, and opened only to be used.

Each sealed value has its own data key, and that key is wrapped by the installation's key (AES-256-GCM both times), so the
installation's key can be changed without touching what is sealed. Table and row id go into the seal as associated data: a
sealed value copied to another row does not open. The key file holds one key per line, base64; the first seals, all open.

    b"K1" │ key id 8 │ nonce 12 │ wrapped data key 48 │ nonce 12 │ ciphertext and tag
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Noise = Callable[[int], bytes]
"""So many fresh random bytes: `Ids.noise`."""

KEY_BYTES = 32
_FORMAT = b"K1"
_ID_BYTES = 8
_NONCE_BYTES = 12
_WRAPPED_BYTES = KEY_BYTES + 16
_WRAP_AT = len(_FORMAT) + _ID_BYTES
_SECRET_AT = _WRAP_AT + _NONCE_BYTES + _WRAPPED_BYTES


class SealError(Exception):
    """Something sealed can't be opened, or the key can't be used. The message says what to do."""


class KeyMissing(SealError):
    """There are sealed credentials, but not the key they were sealed with. The start stops here (exit 78)."""


class Seal:
    """Seals with the first key, opens with any. `reread` is asked for the keys again when one is missing: it may be new."""

    def __init__(
        self, keys: Collection[bytes], noise: Noise, reread: Callable[[], Collection[bytes]] | None = None
    ) -> None:
        self._noise, self._reread = noise, reread
        self._learn(keys)

    def _learn(self, keys: Collection[bytes]) -> None:
        assert keys, "a seal has a key"
        assert all(len(key) == KEY_BYTES for key in keys), "keys are 256 bits"
        self._keys = {_id_of(key): key for key in keys}
        self._current = next(iter(self._keys))

    def seal(self, secret: bytes, table: str, row: str) -> bytes:
        """`secret`, readable only with the key and only as of this row."""
        data_key, nonce = self._noise(KEY_BYTES), self._noise(_NONCE_BYTES)
        return self._wrap(data_key, table, row) + nonce + AESGCM(data_key).encrypt(nonce, secret, _place(table, row))

    def open(self, sealed: bytes, table: str, row: str) -> bytes:
        """What was sealed. Raises KeyMissing, or SealError where it was tampered with or belongs to another row."""
        data_key = self._unwrap(sealed, table, row)
        body = sealed[_SECRET_AT:]
        try:
            return AESGCM(data_key).decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], _place(table, row))
        except (InvalidTag, ValueError) as error:
            raise _broken(table, row) from error

    def rotate(self, sealed: bytes, table: str, row: str) -> bytes:
        """The same secret under the first key; unchanged if it already is. Only its data key is wrapped anew."""
        if key_id(sealed) == self._current:
            return sealed
        return self._wrap(self._unwrap(sealed, table, row), table, row) + sealed[_SECRET_AT:]

    def require(self, key_ids: Collection[str]) -> None:
        """Raises KeyMissing unless there is a key for each id."""
        if self._reread is not None and not self._keys.keys() >= set(key_ids):
            self._learn(self._reread())
        missing = sorted(set(key_ids) - set(self._keys))
        if missing:
            raise KeyMissing(
                f"The key file does not hold the key that the stored credentials were sealed with (key {missing[0]}). "
                "Put the right key file back (KALENDS_SECRET_KEY_FILE, or secret.key in the data folder)."
            )

    def _wrap(self, data_key: bytes, table: str, row: str) -> bytes:
        nonce = self._noise(_NONCE_BYTES)
        wrapped = AESGCM(self._keys[self._current]).encrypt(nonce, data_key, _place(table, row))
        return _FORMAT + bytes.fromhex(self._current) + nonce + wrapped

    def _unwrap(self, sealed: bytes, table: str, row: str) -> bytes:
        self.require([key_id(sealed)])
        nonce, wrapped = sealed[_WRAP_AT : _WRAP_AT + _NONCE_BYTES], sealed[_WRAP_AT + _NONCE_BYTES : _SECRET_AT]
        try:
            return AESGCM(self._keys[key_id(sealed)]).decrypt(nonce, wrapped, _place(table, row))
        except (InvalidTag, ValueError) as error:
            raise _broken(table, row) from error


def key_id(sealed: bytes) -> str:
    """Which key a sealed value needs."""
    if not sealed.startswith(_FORMAT) or len(sealed) < _SECRET_AT:
        raise SealError("A stored credential is damaged. Enter the account's credentials again.")
    return sealed[len(_FORMAT) : _WRAP_AT].hex()


def open_seal(file: Path, noise: Noise, *, may_create: bool) -> Seal:
    """The seal with the keys in `file`, which is made if `may_create`: no key was named, and nothing is sealed yet."""
    if may_create and not os.path.exists(file):  # False also where it may not be looked at; then making it says why
        _create(file, noise)
    return Seal(_read(file), noise, lambda: _read(file))


def _read(file: Path) -> list[bytes]:
    try:
        return _keys(file, file.read_text(encoding="ascii"))
    except FileNotFoundError:
        raise KeyMissing(
            f"The key file {file} does not exist. Stored credentials can't be opened without it. "
            "Put it back from your backup, or name the right file in KALENDS_SECRET_KEY_FILE. "
            f"A new installation makes one: openssl rand -base64 32 > {file}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SealError(
            f"The key file {file} can't be read. Check that it is the right file and this user may read it."
        ) from error


def new_key(noise: Noise) -> str:
    """A line for a key file."""
    return base64.b64encode(noise(KEY_BYTES)).decode()


def put_first(file: Path, key: str) -> None:
    """`key` seals from now on, and the keys that were in `file` stay behind it. Whole or not at all, and on the disk."""
    draft = file.with_name(f"{file.name}.{os.getpid()}.new")
    try:
        known = file.stat()
        _write(draft, f"{key}\n{file.read_text(encoding='ascii')}")
        os.chown(draft, known.st_uid, known.st_gid)
        draft.replace(file)
        _sync_folder(file.parent)
    except OSError as error:
        raise SealError(
            f"The key file {file} can't be changed ({error.strerror}). Run this as the file's owner, where it may be written."
        ) from error
    finally:
        with suppress(OSError):
            draft.unlink()


def _keys(file: Path, text: str) -> list[bytes]:
    keys: list[bytes] = []
    for line in text.split():
        with suppress(binascii.Error):
            keys.append(base64.b64decode(line, validate=True))
    if not keys or len(keys) != len(text.split()) or any(len(key) != KEY_BYTES for key in keys):
        raise SealError(
            f"The key file {file} is not usable: each line must be 32 bytes in base64. Put the right file back."
        )
    return keys


def _create(file: Path, noise: Noise) -> None:
    """Written beside and linked into place, so that a crash never leaves half a key and no other start overwrites it."""
    draft = file.with_name(f"{file.name}.{os.getpid()}.new")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(draft, new_key(noise) + "\n")
        with suppress(FileExistsError):  # another process was first: its key counts
            os.link(draft, file)
        _sync_folder(file.parent)
    except OSError as error:
        raise SealError(
            f"The key file {file} can't be made ({error.strerror}). Make its folder writable for this user."
        ) from error
    finally:
        with suppress(OSError):
            draft.unlink()


def _write(draft: Path, text: str) -> None:
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _id_of(key: bytes) -> str:
    return hashlib.sha256(b"kalends key id" + key).digest()[:_ID_BYTES].hex()


def _place(table: str, row: str) -> bytes:
    return f"{table}/{row}".encode()


def _broken(table: str, row: str) -> SealError:
    mending = "Enter its credentials again." if table == "accounts" else "Restore the database from a backup."
    return SealError(f"The sealed value of {table} {row} was altered or belongs elsewhere. {mending}")
