"""A quick way to the events that speak about a deal without being its own: what rules look at beside its history."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_INDEX = """
create index concurrently if not exists ix_event_log_about_deal on event_log (organization_id, (data ->> 'deal_id'))
    where data ->> 'deal_id' is not null
"""


def upgrade() -> None:
    """Build it."""
    with op.get_context().autocommit_block():
        op.execute(_INDEX)


def downgrade() -> None:
    """Drop it."""
    with op.get_context().autocommit_block():
        op.execute("drop index concurrently if exists ix_event_log_about_deal")
