"""What meetings say is sealed with the organization's key: one column `content` in place of six plain ones.

A migration has no key, so nothing can be sealed here: the plain text is dropped, and every calendar is read again in full
(its cursor and the known versions are forgotten) once the server runs. When rooms are busy is kept, so doors stay right
meanwhile; titles come back as the calendars are read. The hashes in `bases` go too: they could be guessed.

`events` is made anew and filled, so that no page of the old table outlives this: on PostgreSQL its file is dropped, on
SQLite its pages are overwritten (`secure_delete`).
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

MICROS = sa.BigInteger()
COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_KEPT = (
    "calendar item key uid original_start kind start end first until zone iana master lasting_id show_as sensitivity "
    "is_cancelled response recurrence modified_at"
)
KEPT = ", ".join(f'"{name}"' for name in _KEPT.split())


def upgrade() -> None:
    _content_keys()
    op.execute(f"CREATE TABLE events_kept AS SELECT id, {KEPT} FROM events")  # noqa: S608  # names of this file
    op.drop_table("events")
    _events()
    op.execute(f"INSERT INTO events ({KEPT}, version) SELECT {KEPT}, '' FROM events_kept ORDER BY id")  # noqa: S608
    op.drop_table("events_kept")
    op.execute(sa.update(sa.table("bases", sa.column("digest", sa.LargeBinary()))).values(digest=b""))
    op.execute("UPDATE calendars SET cursor = NULL, reconciled_at = NULL")


def _content_keys() -> None:
    op.create_table(
        "content_keys",
        sa.Column("organization", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["organization"], ["organizations.id"], name="fk_content_keys_organization"),
        sa.PrimaryKeyConstraint("organization", name="pk_content_keys"),
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
        sa.Column("content", sa.LargeBinary()),
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
