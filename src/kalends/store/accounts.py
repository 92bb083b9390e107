"""Accounts: ways into calendar systems, their credentials sealed, their state and why it is so."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from kalends.seal import Seal, key_id
from kalends.store import audit, feed
from kalends.store.feed import News
from kalends.store.schema import accounts

NEW, IN_SYNC, DEGRADED, REAUTHENTICATE, PAUSED = "new", "in_sync", "degraded", "reauthenticate", "paused"
_TABLE = "accounts"
_GET = select(accounts).where(accounts.c.id == bindparam("id"))


@dataclass(frozen=True, slots=True)
class Account:
    id: str
    organization: str
    kind: str
    name: str
    settings: Mapping[str, Any]
    """Address, trust, limits …; no secrets."""
    sealed: bytes = field(repr=False)
    privacy: str
    """Storage mode: P1 or P3."""
    state: str
    reason: str
    """Why it is in this state: a sentence for people."""
    since: datetime
    retry_at: datetime | None
    """A throttled or refused account is left alone until then."""
    created_at: datetime


def add(
    conn: Connection,
    seal: Seal,
    id: str,
    organization: str,
    kind: str,
    name: str,
    settings: Mapping[str, Any],
    credentials: Mapping[str, Any],
    privacy: str,
    now: datetime,
    *,
    actor: str,
) -> None:
    """A new account. Its name is not yet taken in the organization."""
    row = {
        "id": id,
        "organization": organization,
        "kind": kind,
        "name": name,
        "settings": json.dumps(dict(settings), sort_keys=True),
        "sealed": _sealed(seal, id, credentials),
        "privacy": privacy,
        "state": NEW,
        "reason": "It has not been used yet.",
        "since": now,
        "created_at": now,
    }
    conn.execute(insert(accounts), row)
    feed.append(conn, organization, now, [News("account.state", id, NEW)])
    audit.write(conn, organization, now, actor=actor, action="account.added", target=id, why=f"{kind} account “{name}”")


def get(conn: Connection, id: str) -> Account | None:
    row = conn.execute(_GET, {"id": id}).one_or_none()
    return _account(row) if row is not None else None


def by_name(conn: Connection, organization: str, name: str) -> Account | None:
    query = select(accounts).where(accounts.c.organization == organization, accounts.c.name == name)
    row = conn.execute(query).one_or_none()
    return _account(row) if row is not None else None


def list_all(conn: Connection, organization: str) -> list[Account]:
    """Every account of the organization, by name."""
    rows = conn.execute(select(accounts).where(accounts.c.organization == organization))
    return sorted((_account(row) for row in rows), key=lambda account: (account.name, account.id))


def all_ids(conn: Connection) -> frozenset[str]:
    """Of every organization."""
    return frozenset(conn.execute(select(accounts.c.id)).scalars())


def credentials(conn: Connection, seal: Seal, id: str) -> dict[str, Any]:
    """The account's credentials, opened. Raises SealError; KeyError if there is no such account."""
    sealed = conn.execute(select(accounts.c.sealed).where(accounts.c.id == id)).scalar_one_or_none()
    if sealed is None:
        raise KeyError(id)
    opened: dict[str, Any] = json.loads(seal.open(sealed, _TABLE, id))
    return opened


def update_credentials(
    conn: Connection, seal: Seal, id: str, credentials: Mapping[str, Any], now: datetime, *, actor: str
) -> None:
    """The account uses these credentials from now on, and may be used again at once."""
    account = get(conn, id)
    assert account is not None, "only an account that exists gets new credentials"
    _update(conn, id, sealed=_sealed(seal, id, credentials), retry_at=None)
    audit.write(conn, account.organization, now, actor=actor, action="account.credentials", target=id, why="replaced")
    set_state(conn, id, NEW, "Its credentials were replaced and have not been used yet.", now, actor=actor)


def update_settings(conn: Connection, id: str, settings: Mapping[str, Any], now: datetime, *, actor: str) -> None:
    account = get(conn, id)
    assert account is not None, "only an account that exists gets new settings"
    if dict(account.settings) == dict(settings):
        return
    _update(conn, id, settings=json.dumps(dict(settings), sort_keys=True), retry_at=None)
    names = sorted(name for name in {*settings, *account.settings} if settings.get(name) != account.settings.get(name))
    why = f"changed: {', '.join(names)}"
    audit.write(conn, account.organization, now, actor=actor, action="account.settings", target=id, why=why)


def unverified_reason(settings: Mapping[str, Any]) -> str:
    """Why an account whose server's certificate is not checked is degraded; empty when it is checked."""
    host = settings.get("unverified")
    if not host:
        return ""
    return (
        f"The certificate of {host} is not verified: anybody on the way can pose as it and misuse the account's "
        "sign-in. Pin its certificate: kalends accounts change NAME --pin …, or check it again: kalends accounts trust "
        "NAME --verified."
    )


def trust(conn: Connection, id: str, unverified: str | None, now: datetime, *, actor: str) -> None:
    """The certificate of this host is not checked, in place of any pin or authority; None: it is checked."""
    account = get(conn, id)
    assert account is not None, "only an account that exists trusts"
    dropped = {"unverified"} if unverified is None else {"authority_pem", "fingerprint"}
    settings = {name: value for name, value in account.settings.items() if name not in dropped}
    if unverified is not None:
        settings["unverified"] = unverified
    update_settings(conn, id, settings, now, actor=actor)
    if unverified is not None:
        why = f"the certificate of {unverified} is not verified"
        audit.write(conn, account.organization, now, actor=actor, action="account.unverified", target=id, why=why)
        set_state(conn, id, DEGRADED, unverified_reason(settings), now, actor=actor)
    elif "unverified" in account.settings:
        why = "the server's certificate is verified"
        audit.write(conn, account.organization, now, actor=actor, action="account.verified", target=id, why=why)
        set_state(
            conn, id, NEW, "Its server's certificate is verified again, and was not needed yet.", now, actor=actor
        )


def set_state(conn: Connection, id: str, state: str, reason: str, now: datetime, *, actor: str = audit.SYNC) -> bool:
    """The account has this state and reason; returns whether that is new."""
    old = get(conn, id)
    if old is None or (old.state, old.reason) == (state, reason):
        return False
    _update(conn, id, state=state, reason=reason, since=old.since if old.state == state else now)
    feed.append(conn, old.organization, now, [News("account.state", id, state)])
    audit.write(conn, old.organization, now, actor=actor, action="account.state", target=id, why=f"{state}: {reason}")
    return True


def recovered(conn: Connection, id: str, now: datetime) -> None:
    """The provider answered as it should: the account is in sync, unless an admin paused it or trusts blindly."""
    account = get(conn, id)
    if account is None or account.state == PAUSED:
        return
    unverified = unverified_reason(account.settings)
    if account.state == IN_SYNC and not unverified:
        return
    if account.state == REAUTHENTICATE:  # a pause that the server asked for still stands
        _update(conn, id, retry_at=None)
    if unverified:
        set_state(conn, id, DEGRADED, unverified, now)
    else:
        set_state(conn, id, IN_SYNC, "Its server answers and accepts the sign-in.", now)


def rest_until(conn: Connection, id: str, until: datetime | None) -> None:
    """Nobody uses the account until then; None: at once again."""
    _update(conn, id, retry_at=until)


def sealing_keys(conn: Connection) -> list[str]:
    """Ids of the keys that stored credentials need; empty when nothing is sealed."""
    return sorted({key_id(sealed) for sealed in conn.execute(select(accounts.c.sealed)).scalars()})


def rotate(conn: Connection, seal: Seal, now: datetime, *, actor: str) -> int:
    """Everything is sealed under the first key; returns how many were not."""
    count = 0
    for row in conn.execute(select(accounts.c.id, accounts.c.organization, accounts.c.sealed).with_for_update()).all():
        sealed = seal.rotate(row.sealed, _TABLE, row.id)
        if sealed == row.sealed:
            continue
        _update(conn, row.id, sealed=sealed)
        why = "sealed under the new key"
        audit.write(conn, row.organization, now, actor=actor, action="account.resealed", target=row.id, why=why)
        count += 1
    return count


def _sealed(seal: Seal, id: str, credentials: Mapping[str, Any]) -> bytes:
    return seal.seal(json.dumps(dict(credentials)).encode(), _TABLE, id)


def _update(conn: Connection, id: str, **values: object) -> None:
    conn.execute(update(accounts).where(accounts.c.id == id).values(**values))


def _account(row: Row[Any]) -> Account:
    values = dict(row._mapping)
    return Account(**{**values, "settings": json.loads(values["settings"])})
