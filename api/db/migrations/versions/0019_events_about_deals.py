"""A quick way to the events that speak about a deal without being its own: what rules look at beside its history."""

from api.db.indexes import build_index, drop_index

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Build it."""
    build_index(
        "ix_event_log_about_deal",
        "event_log (organization_id, (data ->> 'deal_id')) where data ->> 'deal_id' is not null",
    )


def downgrade() -> None:
    """Drop it."""
    drop_index("ix_event_log_about_deal")
