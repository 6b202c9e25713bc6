"""An index of a stage's deals in the order of lists: a board asks for the newest fifty of each stage."""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build it."""
    with op.get_context().autocommit_block():
        op.execute(
            "create index concurrently if not exists ix_deals_board on deals (organization_id, stage_id, id)"
            " where deleted_at is null"
        )


def downgrade() -> None:
    """Drop it."""
    with op.get_context().autocommit_block():
        op.execute("drop index concurrently if exists ix_deals_board")
