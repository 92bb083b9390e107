"""Protocol debugging: for which accounts it is on, and what was heard."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

MICROS = sa.BigInteger()
COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "debugging",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("since", MICROS, nullable=False),
        sa.Column("until", MICROS, nullable=False),
        sa.Column("lost", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"], name="fk_debugging_account"),
        sa.PrimaryKeyConstraint("account", name="pk_debugging"),
    )
    op.create_table(
        "spoken",
        sa.Column("seq", COUNTER, autoincrement=True, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("at", MICROS, nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("conversation", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"], name="fk_spoken_account"),
        sa.PrimaryKeyConstraint("seq", name="pk_spoken"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_spoken_account_seq", "spoken", ["account", "seq"])
