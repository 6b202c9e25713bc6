"""No index of pending events in the event log: what is pending is in the outbox."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop it."""
    with op.get_context().autocommit_block():
        op.execute("drop index concurrently if exists ix_event_log_pending")


def downgrade() -> None:
    """Build it again."""
    with op.get_context().autocommit_block():
        op.execute("create index concurrently ix_event_log_pending on event_log (position) where published_at is null")
