"""Consumers that act: how far each is, and the events that it has consumed, in the transaction of their effect."""

from alembic import op

from api.db.tenancy import belongs_to_organization, protect

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# about processes, not about an organization. Everything up to settled_position is consumed or parked; what was recorded
# before `since` the consumer never sees; who has another token has lost its lease
_CONSUMERS = """
create table consumers (
    consumer text primary key,
    token uuid not null,
    since timestamptz not null default clock_timestamp(),
    settled_position bigint not null,
    updated_at timestamptz not null default clock_timestamp()
);
grant select, insert, update on consumers to sluice_worker;
grant select on consumers to sluice_app;
"""

# consumed: consumed_at. Parked: parked_reason. Neither: a parked one that is to be tried again
_CONSUMED = """
create table consumed_events (
    organization_id uuid not null,
    consumer text not null,
    event_id uuid not null,
    aggregate_id uuid not null,
    position bigint not null,
    consumed_at timestamptz,
    parked_reason text,
    primary key (organization_id, consumer, event_id)
);
create index ix_consumed_events_open on consumed_events (organization_id, consumer, aggregate_id)
    where consumed_at is null;
create index ix_consumed_events_position on consumed_events (consumer, position);
"""

# the worker looks for events of all organizations, and becomes sluice_app inside one to act on them
_WORKER = """
create policy worker on consumed_events to sluice_worker using (true) with check (true);
grant select, insert, update, delete on consumed_events to sluice_worker;
create policy worker_reads on event_log for select to sluice_worker using (true);
grant select on event_log to sluice_worker;

-- an operator lists and releases what is parked by the relay's role
create policy operator on consumed_events to sluice_relay using (true) with check (true);
grant select, update (parked_reason) on consumed_events to sluice_relay;

grant select on sequence event_log_position_seq to sluice_worker;
grant select on outbox, transport_epoch, transport_progress to sluice_worker;
"""


def upgrade() -> None:
    """Make both tables, and let the worker look at the event log."""
    op.execute(_CONSUMERS)
    op.execute(_CONSUMED)
    op.execute(belongs_to_organization("consumed_events"))
    op.execute(protect("consumed_events", grants="select, insert, update"))
    op.execute(_WORKER)


def downgrade() -> None:
    """Drop them."""
    op.execute("revoke select on outbox, transport_epoch, transport_progress from sluice_worker")
    op.execute("revoke select on event_log from sluice_worker")
    op.execute("revoke select on sequence event_log_position_seq from sluice_worker")
    op.execute("drop policy worker_reads on event_log")
    op.execute("drop table consumed_events, consumers")
