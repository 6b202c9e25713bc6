"""What the relay and the loader say about themselves, and a quick way to find parked events."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# about processes, not about an organization: it holds no tenant's data, so it has no organization_id
_STATUS = """
create table process_status (
    process text primary key,
    state text not null,
    detail jsonb not null default '{}',
    updated_at timestamptz not null default clock_timestamp()
);
grant select, insert, update, delete on process_status to sluice_relay;
grant select on process_status to sluice_app, sluice_worker;
"""

# a parked event holds back the later events of its aggregate: every batch of the relay asks for them
_PARKED = """
create index ix_event_log_parked on event_log (aggregate_id) where parked_reason is not null;
"""


def upgrade() -> None:
    """Make the table and the index."""
    op.execute(_STATUS)
    op.execute(_PARKED)


def downgrade() -> None:
    """Drop both."""
    op.execute("drop index ix_event_log_parked")
    op.execute("drop table process_status")
