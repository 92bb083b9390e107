"""The first tables: organizations, accounts, calendars, events, the work table, the feed and those who may look."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

MICROS = sa.BigInteger()
COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _audit()
    _due()
    _meta()
    _organizations()
    _accounts()
    _changes()
    _spaces()
    _tokens()
    _users()
    _calendars()
    _devices()
    _sessions()
    _bases()
    _events()
    _links()
    _unreadable()


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", COUNTER, autoincrement=True, nullable=False),
        sa.Column("organization", sa.Text()),
        sa.Column("at", MICROS, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit"),
        sqlite_autoincrement=True,
    )


def _due() -> None:
    op.create_table(
        "due",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("lane", sa.Integer(), nullable=False),
        sa.Column("due_at", MICROS, nullable=False),
        sa.Column("leased_until", MICROS, nullable=False),
        sa.Column("token", MICROS, nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "id", name="pk_due"),
    )
    op.create_index("ix_due_kind_lane_due_at", "due", ["kind", "lane", "due_at"])


def _meta() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_meta"),
    )


def _organizations() -> None:
    op.create_table(
        "organizations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("created_at", MICROS, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organizations"),
    )


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("privacy", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", MICROS, nullable=False),
        sa.Column("retry_at", MICROS),
        sa.Column("created_at", MICROS, nullable=False),
        sa.ForeignKeyConstraint(["organization"], ["organizations.id"], name="fk_accounts_organization"),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
        sa.UniqueConstraint("organization", "name", name="uq_accounts_organization_name"),
    )


def _changes() -> None:
    op.create_table(
        "changes",
        sa.Column("seq", COUNTER, autoincrement=True, nullable=False),
        sa.Column("xid", MICROS, nullable=False),
        sa.Column("organization", sa.Text(), nullable=False),
        sa.Column("at", MICROS, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("calendar", sa.Text()),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("start", MICROS),
        sa.Column("end", MICROS),
        sa.ForeignKeyConstraint(["organization"], ["organizations.id"], name="fk_changes_organization"),
        sa.PrimaryKeyConstraint("seq", name="pk_changes"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_changes_xid_seq", "changes", ["xid", "seq"])


def _spaces() -> None:
    op.create_table(
        "spaces",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("building", sa.Text(), nullable=False),
        sa.Column("floor", sa.Text(), nullable=False),
        sa.Column("capacity", sa.Integer()),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("created_at", MICROS, nullable=False),
        sa.ForeignKeyConstraint(["organization"], ["organizations.id"], name="fk_spaces_organization"),
        sa.PrimaryKeyConstraint("id", name="pk_spaces"),
    )


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", MICROS, nullable=False),
        sa.Column("expires_at", MICROS),
        sa.Column("seen_at", MICROS),
        sa.Column("revoked_at", MICROS),
        sa.ForeignKeyConstraint(["organization"], ["organizations.id"], name="fk_tokens_organization"),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("hash", name="uq_tokens_hash"),
    )


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", MICROS, nullable=False),
        sa.ForeignKeyConstraint(["organization"], ["organizations.id"], name="fk_users_organization"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
    )


def _calendars() -> None:
    op.create_table(
        "calendars",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", MICROS, nullable=False),
        sa.Column("cursor", sa.Text()),
        sa.Column("stream", sa.Text()),
        sa.Column("heard_at", MICROS),
        sa.Column("verified_at", MICROS),
        sa.Column("changed_at", MICROS),
        sa.Column("reconciled_at", MICROS),
        sa.Column("lags", sa.Text(), nullable=False),
        sa.Column("removed_in_pull", sa.Integer(), nullable=False),
        sa.Column("items_at_pull", sa.Integer(), nullable=False),
        sa.Column("release_until", MICROS),
        sa.Column("longest", MICROS, server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"], name="fk_calendars_account"),
        sa.ForeignKeyConstraint(["organization"], ["organizations.id"], name="fk_calendars_organization"),
        sa.PrimaryKeyConstraint("id", name="pk_calendars"),
        sa.UniqueConstraint("account", "address", name="uq_calendars_account_address"),
    )
    op.create_index("ix_calendars_stream", "calendars", ["stream"])


def _devices() -> None:
    op.create_table(
        "devices",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization", sa.Text(), nullable=False),
        sa.Column("space", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("pairing", sa.LargeBinary()),
        sa.Column("pairing_until", MICROS),
        sa.Column("token", sa.LargeBinary()),
        sa.Column("created_at", MICROS, nullable=False),
        sa.Column("seen_at", MICROS),
        sa.Column("revoked_at", MICROS),
        sa.ForeignKeyConstraint(["organization"], ["organizations.id"], name="fk_devices_organization"),
        sa.ForeignKeyConstraint(["space"], ["spaces.id"], name="fk_devices_space"),
        sa.PrimaryKeyConstraint("id", name="pk_devices"),
        sa.UniqueConstraint("pairing", name="uq_devices_pairing"),
        sa.UniqueConstraint("token", name="uq_devices_token"),
    )


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("created_at", MICROS, nullable=False),
        sa.Column("seen_at", MICROS, nullable=False),
        sa.Column("expires_at", MICROS, nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name="fk_sessions_user"),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
    )


def _bases() -> None:
    op.create_table(
        "bases",
        sa.Column("calendar", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["calendar"], ["calendars.id"], name="fk_bases_calendar"),
        sa.PrimaryKeyConstraint("calendar", "item", name="pk_bases"),
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", COUNTER, autoincrement=True, nullable=False),
        sa.Column("calendar", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("original_start", MICROS),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("start", MICROS, nullable=False),
        sa.Column("end", MICROS, nullable=False),
        sa.Column("first", sa.Date()),
        sa.Column("until", sa.Date()),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("iana", sa.Text()),
        sa.Column("master", sa.Text()),
        sa.Column("lasting_id", sa.Text()),
        sa.Column("subject", sa.Text()),
        sa.Column("location", sa.Text()),
        sa.Column("description", sa.Text()),
        sa.Column("organizer_name", sa.Text()),
        sa.Column("organizer_address", sa.Text()),
        sa.Column("attendees", sa.Text(), nullable=False),
        sa.Column("show_as", sa.Text(), nullable=False),
        sa.Column("sensitivity", sa.Text(), nullable=False),
        sa.Column("is_cancelled", sa.Boolean(), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.Column("recurrence", sa.Text()),
        sa.Column("modified_at", MICROS),
        sa.ForeignKeyConstraint(["calendar"], ["calendars.id"], name="fk_events_calendar"),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.UniqueConstraint("calendar", "item", name="uq_events_calendar_item"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_calendar_end_start", "events", ["calendar", "end", "start"])
    op.create_index("ix_events_calendar_master", "events", ["calendar", "master"])
    op.create_index("ix_events_key", "events", ["key"])


def _links() -> None:
    op.create_table(
        "links",
        sa.Column("space", sa.Text(), nullable=False),
        sa.Column("calendar", sa.Text(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["calendar"], ["calendars.id"], name="fk_links_calendar"),
        sa.ForeignKeyConstraint(["space"], ["spaces.id"], name="fk_links_space"),
        sa.PrimaryKeyConstraint("space", "calendar", name="pk_links"),
    )
    op.create_index("ix_links_calendar", "links", ["calendar"])


def _unreadable() -> None:
    op.create_table(
        "unreadable",
        sa.Column("calendar", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("version", sa.Text()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", MICROS, nullable=False),
        sa.ForeignKeyConstraint(["calendar"], ["calendars.id"], name="fk_unreadable_calendar"),
        sa.PrimaryKeyConstraint("calendar", "item", name="pk_unreadable"),
    )
