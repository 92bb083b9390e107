"""The tables, once, for SQLite and PostgreSQL. `migrations/` brings a database to this shape; a test holds the two equal.

Instants are BIGINT microseconds (SQLite's own DateTime silently drops the offset). Ids are case-sensitive text. Every
row belongs to an organization, directly or through its calendar.
"""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator

from kalends.model.time import instant, micros


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime, kept as microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        return None if value is None else micros(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        return None if value is None else instant(value)


_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=_NAMES)
_Sequence = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only INTEGER keys up by itself

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

organizations = Table(
    "organizations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
)

content_keys = Table(
    "content_keys",  # one per organization: seals what its meetings say
    metadata,
    Column("organization", ForeignKey("organizations.id"), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # wrapped by the installation's key
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization", ForeignKey("organizations.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("settings", Text, nullable=False),  # JSON without secrets: address, trust, limits
    Column("sealed", LargeBinary, nullable=False),  # credentials, AES-256-GCM
    Column("privacy", Text, nullable=False),  # P0, P1, P2 or P3: `model.privacy.Mode`
    Column("state", Text, nullable=False),  # new, in_sync, degraded, reauthenticate, paused
    Column("reason", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Column("retry_at", Instant),  # a throttled account rests until then
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("organization", "name"),
)

spaces = Table(
    "spaces",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization", ForeignKey("organizations.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),  # room, desk, equipment
    Column("building", Text, nullable=False),
    Column("floor", Text, nullable=False),
    Column("capacity", Integer),
    Column("zone", Text, nullable=False),  # IANA name: the wall clock on its door
    Column("created_at", Instant, nullable=False),
)

calendars = Table(
    "calendars",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization", ForeignKey("organizations.id"), nullable=False),
    Column("account", ForeignKey("accounts.id"), nullable=False),
    Column("address", Text, nullable=False),  # the primary address
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),  # catching_up, in_sync, degraded, held, gone
    Column("reason", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Column("cursor", Text),
    Column("stream", Text),  # the stream group that listens for it
    Column("heard_at", Instant),  # its stream last proved alive
    Column("verified_at", Instant),  # a pull last ended with nothing left to read
    Column("changed_at", Instant),  # a pull last brought something different
    Column("reconciled_at", Instant),  # everything was last read again
    Column("lags", Text, nullable=False),  # the last 64 lags in ms, comma-separated: provider's change → committed here
    Column(
        "removed_in_pull", Integer, nullable=False
    ),  # what the unfinished pull took away so far; the breaker reads it
    Column("items_at_pull", Integer, nullable=False),  # what was there when the pull began
    Column("release_until", Instant),  # an admin allowed large removals until then
    Column(
        "longest", BigInteger, nullable=False, server_default="0"
    ),  # µs of its longest event ever: bounds searches by time
    UniqueConstraint("account", "address"),
    Index(None, "stream"),
)

links = Table(
    "links",
    metadata,
    Column("space", ForeignKey("spaces.id"), primary_key=True),
    Column("calendar", ForeignKey("calendars.id"), primary_key=True),
    Column("rank", Integer, nullable=False),  # the first healthy one wins
    Index(None, "calendar"),
)

events = Table(
    "events",
    metadata,
    Column("id", _Sequence, primary_key=True, autoincrement=True),
    Column("calendar", ForeignKey("calendars.id"), nullable=False),
    Column("item", Text, nullable=False),
    Column("key", Text, nullable=False),  # its name in the feed and the API: made of calendar, uid and original start
    Column("uid", Text, nullable=False),
    Column("original_start", Instant),
    Column("version", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("start", Instant, nullable=False),
    Column("end", Instant, nullable=False),
    Column("first", Date),  # plain dates: an all-day event has no zone
    Column("until", Date),
    Column("zone", Text, nullable=False),
    Column("iana", Text),
    Column("master", Text),
    Column("lasting_id", Text),
    Column("content", LargeBinary),  # subject, place, text and people, sealed (`contents`); NULL where nothing is held
    Column("show_as", Text, nullable=False),
    Column("sensitivity", Text, nullable=False),
    Column("is_cancelled", Boolean, nullable=False),
    Column("response", Text, nullable=False),
    Column("recurrence", Text),
    Column("modified_at", Instant),
    UniqueConstraint("calendar", "item"),
    Index(None, "calendar", "end", "start"),
    Index(None, "key"),
    Index(None, "calendar", "master"),
    sqlite_autoincrement=True,
)

bases = Table(
    "bases",  # the merge base: per provider item, what both sides last agreed on
    metadata,
    Column("calendar", ForeignKey("calendars.id"), primary_key=True),
    Column("item", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # keyed, of the normal form as far as it may be held
)

unreadable = Table(
    "unreadable",
    metadata,
    Column("calendar", ForeignKey("calendars.id"), primary_key=True),
    Column("item", Text, primary_key=True),
    Column("version", Text),
    Column("reason", Text, nullable=False),
    Column("since", Instant, nullable=False),
)

polled = Table(
    "polled",  # calendars that no stream listens for
    metadata,
    Column("calendar", ForeignKey("calendars.id"), primary_key=True),
    Column("reason", Text, nullable=False),  # a sentence for people
)

due = Table(
    "due",
    metadata,
    Column("kind", Text, primary_key=True),  # pull, push, stream, watch, account
    Column("id", Text, primary_key=True),
    Column("lane", Integer, nullable=False),  # 0 news, 1 routine
    Column("due_at", Instant, nullable=False),
    Column("leased_until", Instant, nullable=False),
    Column("token", BigInteger, nullable=False),  # the greatest lease end this row ever had
    Column("failures", Integer, nullable=False),
    Index(None, "kind", "lane", "due_at"),
)

changes = Table(
    "changes",
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column(
        "xid", BigInteger, nullable=False
    ),  # PostgreSQL's transaction id; 0 on SQLite, where commit order is seq order
    Column("organization", ForeignKey("organizations.id"), nullable=False),
    Column("at", Instant, nullable=False),
    Column(
        "kind", Text, nullable=False
    ),  # event.created, event.updated, event.removed, calendar.state, account.state …
    Column("calendar", Text),
    Column("key", Text, nullable=False),  # the row that became different
    Column("version", Text, nullable=False),
    Column("start", Instant),  # of the event, before or after: lets a reader skip what it doesn't show
    Column("end", Instant),
    Index(None, "xid", "seq"),
    sqlite_autoincrement=True,
)

audit = Table(
    "audit",
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column("organization", Text),
    Column("at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("why", Text, nullable=False),
    sqlite_autoincrement=True,
)

users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization", ForeignKey("organizations.id"), nullable=False),
    Column("name", Text, nullable=False, unique=True),
    Column("password", Text, nullable=False),  # argon2id
    Column("role", Text, nullable=False),  # admin
    Column("created_at", Instant, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", LargeBinary, primary_key=True),  # SHA-256 of the cookie's secret
    Column("user", ForeignKey("users.id"), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
)

devices = Table(
    "devices",  # door panels: each bound to one space by a token
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization", ForeignKey("organizations.id"), nullable=False),
    Column("space", ForeignKey("spaces.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("pairing", LargeBinary, unique=True),  # SHA-256 of the one-time pairing secret, until it is used
    Column("pairing_until", Instant),
    Column("token", LargeBinary, unique=True),  # SHA-256 of the device's secret, once paired
    Column("created_at", Instant, nullable=False),
    Column("seen_at", Instant),
    Column("revoked_at", Instant),
)

tokens = Table(
    "tokens",  # for scripts that use the API
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization", ForeignKey("organizations.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),  # SHA-256 of the token
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("seen_at", Instant),
    Column("revoked_at", Instant),
)

debugging = Table(
    "debugging",  # whose conversations are recorded, or were until an hour ago
    metadata,
    Column("account", ForeignKey("accounts.id"), primary_key=True),
    Column("since", Instant, nullable=False),
    Column("until", Instant, nullable=False),
    Column("lost", Integer, nullable=False),  # entries that came too quickly to be kept
)

spoken = Table(
    "spoken",  # what was said to an account's server and by it, masked
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column("account", ForeignKey("accounts.id"), nullable=False),
    Column("at", Instant, nullable=False),
    Column("process", Text, nullable=False),  # whose conversation: numbers are counted in each process
    Column("conversation", Integer, nullable=False),
    Column("kind", Text, nullable=False),  # request, answer, more, failure
    Column("title", Text, nullable=False),
    Column("headers", Text, nullable=False),  # JSON: pairs
    Column("body", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("size", Integer, nullable=False),  # bytes of this row, about
    Index(None, "account", "seq"),
    sqlite_autoincrement=True,
)
