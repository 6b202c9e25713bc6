"""No index of pending events in the event log: what is pending is in the outbox."""

from api.db.indexes import build_index, drop_index

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop it."""
    drop_index("ix_event_log_pending")


def downgrade() -> None:
    """Build it again."""
    build_index("ix_event_log_pending", "event_log (position) where published_at is null")
