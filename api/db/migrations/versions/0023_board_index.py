"""An index of a stage's deals in the order of lists: a board asks for the newest fifty of each stage."""

from api.db.indexes import build_index, drop_index

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build it."""
    build_index("ix_deals_board", "deals (organization_id, stage_id, id) where deleted_at is null")


def downgrade() -> None:
    """Drop it."""
    drop_index("ix_deals_board")
