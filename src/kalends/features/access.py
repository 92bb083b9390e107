"""Who may come in: signing in, sessions, paired panels and tokens. The secrets themselves are stored nowhere.

Guessing is made slow for whoever guesses and for nobody else (`guesses.py`): a right password from another address still
works at once.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil

import structlog
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from kalends.clock import Clock
from kalends.features.guesses import Guesses
from kalends.ids import Ids
from kalends.store import access
from kalends.store.access import Device
from kalends.store.door import Connection, Store, StoreError

IDLE = timedelta(minutes=30)
ABSOLUTE = timedelta(hours=12)
TOUCH_EVERY = timedelta(minutes=1)
PAIRING = timedelta(minutes=10)
CODE_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: no letter is mistaken for another or for a digit."""
CODE_LENGTH = 10
"""50 bits: with the pause after each wrong guess, ten minutes are worth a few dozen tries."""
HASHES_AT_ONCE = 2
"""Each holds 64 MiB for a tenth of a second."""

log = structlog.get_logger()


class Who(StrEnum):
    ANYBODY = "anybody"
    ADMIN = "admin"
    DEVICE = "device"
    PROGRAM = "program"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks. `secret` is what their cookie holds; it never leaves the process."""

    who: Who = Who.ANYBODY
    id: str = ""
    """User, device or token id."""
    name: str = ""
    space: str = ""
    """For a device: the one space it may show."""
    secret: str = ""


NOBODY = Identity()


@dataclass(frozen=True, slots=True)
class Presented:
    """What a request shows to say who it is; empty where it shows nothing."""

    session: str = ""
    device: str = ""
    token: str = ""


@dataclass(eq=False)
class Refused(Exception):
    """The sign-in or pairing was refused. `wait_seconds` above 0: come back then."""

    reason: str
    wait_seconds: int = 0

    def __str__(self) -> str:
        return self.reason


def password_hash(password: str, ids: Ids) -> str:
    """As users keep it: argon2id. Takes a tenth of a second and 64 MiB."""
    return PasswordHasher().hash(password, salt=ids.noise(16))


class Doorkeeper:
    """Knows who is who. One per process."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, organization: str) -> None:
        self._store, self._clock, self._ids, self._organization = store, clock, ids, organization
        self._guesses = Guesses(clock)
        self._hashing = asyncio.Semaphore(HASHES_AT_ONCE)
        self._nobody: str | None = None

    async def who(self, shown: Presented, touch: bool = True) -> Identity:
        """The strongest of what is shown counts. `touch`: the visit keeps the session alive and is noted."""
        if shown.session and (identity := await self._admin(shown.session, touch)):
            return identity
        if shown.device and (identity := await self._device(shown.device, touch)):
            return identity
        if shown.token and (identity := await self._program(shown.token, touch)):
            return identity
        return NOBODY

    async def sign_in(self, name: str, password: str, peer: str) -> str:
        """The secret of a fresh session. Raises Refused, with the same words and in the same time whatever was wrong."""
        keys = (f"{name}\0{peer}", f"\0{peer}")
        self._hold_off(keys)
        user = await self._store.read(access.user_by_name, name)
        known = user if user is not None and user.organization == self._organization else None
        is_right = await self._matches(known.password if known else await self._decoy(), password)
        if known is None or not is_right:
            self._miss(keys)
            log.info("access.refused", what="sign-in")
            raise Refused("User or password is wrong.")
        self._guesses.succeeded(keys[0])
        secret = self._ids.secret()
        lasts = self._clock.stretch(ABSOLUTE)
        await self._store.run(access.begin_session, secret, known.id, self._clock.now(), lasts)
        log.info("access.signed_in", user=known.id)
        return secret

    async def sign_out(self, secret: str) -> None:
        if secret:
            await self._store.run(access.end_session, secret)

    async def panels(self, space: str) -> list[Device]:
        """Those of the space that were not revoked and either are paired or still may be."""
        now = self._clock.now()
        found = await self._store.read(access.list_devices, self._organization)
        return [
            d
            for d in found
            if d.space == space
            and d.revoked_at is None
            and (d.is_paired or (d.pairing_until is not None and d.pairing_until > now))
        ]

    async def offer_pairing(self, space: str, name: str, actor: str, lasts: timedelta = PAIRING) -> str:
        """A fresh code for a panel of the space: it works once, and only for a while."""
        code = "".join(CODE_LETTERS[byte & 31] for byte in self._ids.noise(CODE_LENGTH))
        now = self._clock.now()
        until = now + self._clock.stretch(lasts)
        new, who = self._ids.new("dev"), f"user:{actor}"
        await self._store.run(
            access.add_device, new, self._organization, space, f"Panel of {name}", code, now, actor=who, until=until
        )
        return f"{code[:5]}-{code[5:]}"

    async def pair(self, code: str, peer: str) -> tuple[str, str]:
        """The space to show and the panel's secret from now on. Raises Refused."""
        keys = (f"pair\0{peer}",)
        self._hold_off(keys)
        secret = self._ids.secret()
        device = await self._store.run(access.pair, _plain(code), secret, self._clock.now())
        if device is None or device.organization != self._organization:
            self._miss(keys)
            raise Refused("This code is wrong, was used already or is too old. Make a new one on the room's page.")
        return device.space, secret

    async def revoke(self, space: str, device: str, actor: str) -> None:
        """The panel is shut out. A panel of another space is left alone."""
        if any(panel.id == device for panel in await self.panels(space)):
            await self._store.run(access.revoke_device, device, self._clock.now(), actor=f"user:{actor}")

    async def _admin(self, secret: str, touch: bool) -> Identity | None:
        now = self._clock.now()
        session = await self._store.read(access.session, secret, now, self._clock.stretch(IDLE))
        if session is None or session.user.role != "admin" or session.user.organization != self._organization:
            return None
        if touch and self._is_long_ago(session.seen_at, now):
            await self._note(access.touch_session, secret, now)
        return Identity(Who.ADMIN, session.user.id, session.user.name, secret=secret)

    async def _device(self, secret: str, touch: bool) -> Identity | None:
        now = self._clock.now()
        device = await self._store.read(access.device_by_token, secret)
        if device is None or device.organization != self._organization:
            return None
        if touch and self._is_long_ago(device.seen_at, now):
            await self._note(access.see_device, device.id, now)
        return Identity(Who.DEVICE, device.id, space=device.space, secret=secret)

    async def _program(self, secret: str, touch: bool) -> Identity | None:
        now = self._clock.now()
        token = await self._store.read(access.token, secret, now)
        if token is None or token.organization != self._organization:
            return None
        if touch and self._is_long_ago(token.seen_at, now):
            await self._note(access.see_token, token.id, now)
        return Identity(Who.PROGRAM, token.id, secret=secret)

    async def _note(self, seen: Callable[[Connection, str, datetime], None], whom: str, now: datetime) -> None:
        """When somebody was seen is not worth a refusal: a full disk must not take the doors' panels along."""
        with suppress(StoreError):
            await self._store.run(seen, whom, now)

    def _is_long_ago(self, seen_at: datetime | None, now: datetime) -> bool:
        return seen_at is None or now - seen_at >= self._clock.stretch(TOUCH_EVERY)

    def _hold_off(self, keys: tuple[str, ...]) -> None:
        wait = max(self._guesses.wait_seconds(key) for key in keys)
        if wait > 0:
            raise Refused(f"Too many wrong tries. Wait {ceil(wait)} seconds, then try again.", ceil(wait))

    def _miss(self, keys: tuple[str, ...]) -> None:
        for key in keys:
            self._guesses.failed(key)

    async def _decoy(self) -> str:
        """What an unknown user's password is compared with, so that a name can't be found out by its time."""
        if self._nobody is None:
            self._nobody = await asyncio.to_thread(password_hash, self._ids.secret(), self._ids)
        return self._nobody

    async def _matches(self, hashed: str, password: str) -> bool:
        async with self._hashing:
            return await asyncio.to_thread(_verify, hashed, password)


def _verify(hashed: str, password: str) -> bool:
    try:
        return PasswordHasher().verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


def _plain(code: str) -> str:
    """The code as it was made, however it was typed."""
    letters = code.upper().replace("O", "0").replace("I", "1").replace("L", "1")
    return "".join(letter for letter in letters if letter in CODE_LETTERS)
