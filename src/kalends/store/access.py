"""Who may come in: users and their sessions, paired devices, and tokens for scripts.

Secrets are never stored, only their SHA-256: they are long and random, so nothing slower is needed (passwords are another
matter: `users.password` is an argon2id hash that the caller made). Whoever leaves is shut out in the same transaction.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, update

from kalends.store import audit
from kalends.store.schema import devices, sessions, tokens, users


@dataclass(frozen=True, slots=True)
class User:
    id: str
    organization: str
    name: str
    password: str
    """argon2id hash."""
    role: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    user: User
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Device:
    """A door panel, bound to one space. Paired once it has used its pairing secret."""

    id: str
    organization: str
    space: str
    name: str
    is_paired: bool
    pairing_until: datetime | None
    created_at: datetime
    seen_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Token:
    id: str
    organization: str
    name: str
    created_at: datetime
    expires_at: datetime | None
    seen_at: datetime | None
    revoked_at: datetime | None


def hash_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def add_user(
    conn: Connection, id: str, organization: str, name: str, password: str, role: str, now: datetime, *, actor: str
) -> None:
    """A new user. The name is not yet taken."""
    row = {"id": id, "organization": organization, "name": name, "password": password, "role": role, "created_at": now}
    conn.execute(insert(users), row)
    audit.write(conn, organization, now, actor=actor, action="user.added", target=id, why=role)


def user_by_name(conn: Connection, name: str) -> User | None:
    row = conn.execute(select(users).where(users.c.name == name)).one_or_none()
    return User(**row._mapping) if row is not None else None


def list_users(conn: Connection, organization: str) -> list[User]:
    rows = conn.execute(select(users).where(users.c.organization == organization))
    return sorted((User(**row._mapping) for row in rows), key=lambda user: user.name)


def set_password(conn: Connection, user: str, password: str, now: datetime, *, actor: str) -> None:
    """The user signs in with this from now on; every session of theirs has ended."""
    organization = conn.execute(select(users.c.organization).where(users.c.id == user)).scalar_one()
    conn.execute(update(users).where(users.c.id == user).values(password=password))
    conn.execute(delete(sessions).where(sessions.c.user == user))
    audit.write(conn, organization, now, actor=actor, action="user.password", target=user, why="replaced")


def begin_session(conn: Connection, secret: str, user: str, now: datetime, lasts: timedelta) -> None:
    """`secret` stands for the user until `lasts` is over; what ran out before is swept away."""
    conn.execute(delete(sessions).where(sessions.c.expires_at <= now))
    row = {"id": hash_of(secret), "user": user, "created_at": now, "seen_at": now, "expires_at": now + lasts}
    conn.execute(insert(sessions), row)


def session(conn: Connection, secret: str, now: datetime, idle: timedelta) -> Session | None:
    """The session of `secret`, unless it has run out or was not used for `idle`."""
    s = sessions.c
    query = (
        select(users, s.created_at.label("begun_at"), s.seen_at, s.expires_at)
        .join(users, users.c.id == s.user)
        .where(s.id == hash_of(secret), s.expires_at > now, s.seen_at > now - idle)
    )
    row = conn.execute(query).one_or_none()
    if row is None:
        return None
    user = User(row.id, row.organization, row.name, row.password, row.role, row.created_at)
    return Session(user, row.begun_at, row.seen_at, row.expires_at)


def touch_session(conn: Connection, secret: str, now: datetime) -> None:
    """The session was used just now."""
    conn.execute(update(sessions).where(sessions.c.id == hash_of(secret)).values(seen_at=now))


def end_session(conn: Connection, secret: str) -> None:
    conn.execute(delete(sessions).where(sessions.c.id == hash_of(secret)))


def add_device(
    conn: Connection,
    id: str,
    organization: str,
    space: str,
    name: str,
    pairing_secret: str,
    now: datetime,
    *,
    actor: str,
    until: datetime | None = None,
) -> None:
    """A panel that may pair once with `pairing_secret`, within ten minutes unless told otherwise."""
    row = {
        "id": id,
        "organization": organization,
        "space": space,
        "name": name,
        "pairing": hash_of(pairing_secret),
        "pairing_until": until or now + timedelta(minutes=10),
        "created_at": now,
    }
    conn.execute(insert(devices), row)
    audit.write(conn, organization, now, actor=actor, action="device.added", target=id, why=f"to show space {space}")


def pair(conn: Connection, pairing_secret: str, token: str, now: datetime) -> Device | None:
    """The device of `pairing_secret` is known by `token` from now on. None if the secret is unknown, used or too old."""
    d = devices.c
    usable = and_(d.pairing == hash_of(pairing_secret), d.pairing_until > now, d.revoked_at.is_(None))
    values = {"pairing": None, "pairing_until": None, "token": hash_of(token), "seen_at": now}
    id = conn.execute(update(devices).where(usable).values(**values).returning(d.id)).scalar_one_or_none()
    if id is None:
        return None
    paired = get_device(conn, id)
    assert paired is not None
    audit.write(
        conn,
        paired.organization,
        now,
        actor=f"device:{id}",
        action="device.paired",
        target=id,
        why="pairing secret used",
    )
    return paired


def get_device(conn: Connection, id: str) -> Device | None:
    return next(iter(_devices(conn, devices.c.id == id)), None)


def device_by_token(conn: Connection, token: str) -> Device | None:
    """The paired device of `token`, unless it was revoked."""
    here = and_(devices.c.token == hash_of(token), devices.c.revoked_at.is_(None))
    return next(iter(_devices(conn, here)), None)


def list_devices(conn: Connection, organization: str) -> list[Device]:
    """Every device, the oldest first."""
    return _devices(conn, devices.c.organization == organization)


def see_device(conn: Connection, id: str, now: datetime) -> None:
    conn.execute(update(devices).where(devices.c.id == id).values(seen_at=now))


def revoke_device(conn: Connection, id: str, now: datetime, *, actor: str) -> bool:
    """The device is shut out; False if it was already, or does not exist."""
    values = {"revoked_at": now, "token": None, "pairing": None, "pairing_until": None}
    here = and_(devices.c.id == id, devices.c.revoked_at.is_(None))
    query = update(devices).where(here).values(**values).returning(devices.c.organization)
    organization = conn.execute(query).scalar_one_or_none()
    if organization is None:
        return False
    audit.write(conn, organization, now, actor=actor, action="device.revoked", target=id, why="shut out")
    return True


def add_token(
    conn: Connection,
    id: str,
    organization: str,
    name: str,
    secret: str,
    now: datetime,
    *,
    actor: str,
    expires_at: datetime | None = None,
) -> None:
    """Whoever shows `secret` may read the API."""
    row = {
        "id": id,
        "organization": organization,
        "name": name,
        "hash": hash_of(secret),
        "created_at": now,
        "expires_at": expires_at,
    }
    conn.execute(insert(tokens), row)
    audit.write(conn, organization, now, actor=actor, action="token.added", target=id, why=f"“{name}”")


def token(conn: Connection, secret: str, now: datetime) -> Token | None:
    """The token of `secret`, unless it was revoked or has run out."""
    t = tokens.c
    usable = and_(t.hash == hash_of(secret), t.revoked_at.is_(None), or_(t.expires_at.is_(None), t.expires_at > now))
    return next(iter(_tokens(conn, usable)), None)


def list_tokens(conn: Connection, organization: str) -> list[Token]:
    """Every token, the oldest first."""
    return _tokens(conn, tokens.c.organization == organization)


def see_token(conn: Connection, id: str, now: datetime) -> None:
    conn.execute(update(tokens).where(tokens.c.id == id).values(seen_at=now))


def revoke_token(conn: Connection, id: str, now: datetime, *, actor: str) -> bool:
    """The token means nothing any more; False if it did not before, or does not exist."""
    here = and_(tokens.c.id == id, tokens.c.revoked_at.is_(None))
    query = update(tokens).where(here).values(revoked_at=now).returning(tokens.c.organization)
    organization = conn.execute(query).scalar_one_or_none()
    if organization is None:
        return False
    audit.write(conn, organization, now, actor=actor, action="token.revoked", target=id, why="shut out")
    return True


def _devices(conn: Connection, here: ColumnElement[bool]) -> list[Device]:
    d = devices.c
    is_paired = d.token.is_not(None).label("is_paired")
    query = select(
        d.id, d.organization, d.space, d.name, is_paired, d.pairing_until, d.created_at, d.seen_at, d.revoked_at
    )
    rows = conn.execute(query.where(here).order_by(d.created_at, d.id))
    return [Device(**row._mapping) for row in rows]


def _tokens(conn: Connection, here: ColumnElement[bool]) -> list[Token]:
    columns = [tokens.c[name] for name in Token.__dataclass_fields__]
    rows = conn.execute(select(*columns).where(here).order_by(tokens.c.created_at, tokens.c.id))
    return [Token(**row._mapping) for row in rows]
