"""Live updates: a number per organization for each event, given once it is committed; who looks at a conversation."""

from alembic import op

from api.db.tenancy import belongs_to, belongs_to_organization, protect

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None

# about the log, not about an organization: all events up to settled_position have their numbers
_PROGRESS = """
create table live_progress (
    is_only boolean primary key default true check (is_only),
    stream uuid not null default gen_random_uuid(),
    settled_position bigint not null
);
insert into live_progress (settled_position) select coalesce(max(position), 0) from event_log;
grant select, update (settled_position) on live_progress to sluice_worker;
grant select on live_progress to sluice_app;
"""

_SEQUENCES = """
create table live_sequences (
    organization_id uuid primary key,
    last bigint not null
);
create table live_events (
    organization_id uuid not null,
    sequence bigint not null,
    position bigint not null,
    numbered_at timestamptz not null default clock_timestamp(),
    primary key (organization_id, sequence),
    unique (organization_id, position)
);
create index ix_live_events_numbered_at on live_events using brin (numbered_at);
"""

# the worker numbers events of all organizations
_WORKER = """
create policy worker on live_sequences to sluice_worker using (true) with check (true);
create policy worker on live_events to sluice_worker using (true) with check (true);
grant select, insert, update on live_sequences to sluice_worker;
grant select, insert, delete on live_events to sluice_worker;
"""

# leases of seconds: nothing is lost where they are
_PRESENCES = """
create unlogged table conversation_presences (
    organization_id uuid not null,
    conversation_id uuid not null,
    user_id uuid not null,
    is_typing boolean not null,
    until timestamptz not null,
    primary key (organization_id, conversation_id, user_id)
);
"""


def upgrade() -> None:
    """Make the tables."""
    op.execute(_PROGRESS)
    op.execute(_SEQUENCES)
    op.execute(_PRESENCES)
    for table, grants in (
        ("live_sequences", "select"),
        ("live_events", "select"),
        ("conversation_presences", "select, insert, update, delete"),
    ):
        op.execute(belongs_to_organization(table))
        op.execute(protect(table, grants=grants))
    op.execute(belongs_to("conversation_presences", "conversation_id", references="conversations", on_delete="cascade"))
    op.execute(belongs_to("conversation_presences", "user_id", references="users", on_delete="cascade"))
    op.execute(_WORKER)


def downgrade() -> None:
    """Drop them."""
    op.execute("drop table conversation_presences, live_events, live_sequences, live_progress")
