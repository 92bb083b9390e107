"""Which calendars are polled because no stream can listen for them, and why."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "polled",
        sa.Column("calendar", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["calendar"], ["calendars.id"], name="fk_polled_calendar"),
        sa.PrimaryKeyConstraint("calendar", name="pk_polled"),
    )
