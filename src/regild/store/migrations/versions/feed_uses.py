"""Remember which release files each generation's newest plan was made from."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and its index."""
    op.create_table(
        "feed_uses",
        sa.Column("generation_id", sa.Integer(), nullable=False),
        sa.Column("uri", sa.String(length=500), nullable=False),
        sa.Column("suite", sa.String(length=200), nullable=False),
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(
            ["generation_id"], ["generations.id"], name=op.f("fk_feed_uses_generation_id")
        ),
        sa.PrimaryKeyConstraint("generation_id", "uri", "suite", name=op.f("pk_feed_uses")),
    )
    op.create_index(op.f("ix_feed_uses_uri_suite"), "feed_uses", ["uri", "suite"], unique=False)


def downgrade() -> None:
    """Forget them; they are found again by planning."""
    op.drop_table("feed_uses")
