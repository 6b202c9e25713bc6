"""Webhooks: where an organization wants its events sent, and each delivery."""

from alembic import op

from api.db.tenancy import AGGREGATE_COLUMNS, ROW_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_TABLES = f"""
create table webhooks ({AGGREGATE_COLUMNS},
    url text not null check (length(url) <= 2000),
    event_types text[] not null,
    sealed bytea not null,
    sealed_before bytea,
    before_until timestamptz,
    state text not null check (state in ('active', 'disabled')),
    reason text,
    first_failed_at timestamptz
);

create table webhook_deliveries ({ROW_COLUMNS},
    webhook_id uuid not null,
    event_id uuid not null,
    event_type text not null,
    body text not null,
    status text not null check (status in ('pending', 'sent', 'failed')),
    attempts bigint not null default 0,
    -- null: over, or the webhook is disabled
    next_attempt_at timestamptz,
    sent_at timestamptz,
    answer_status bigint,
    answer text,
    error text,
    constraint uq_webhook_deliveries_event unique (organization_id, webhook_id, event_id)
);
create index ix_webhook_deliveries_due on webhook_deliveries (next_attempt_at) where next_attempt_at is not null;
create index ix_webhook_deliveries_webhook on webhook_deliveries (organization_id, webhook_id, id);
create index ix_webhook_deliveries_created on webhook_deliveries (created_at);
"""

_RELATIONS = "".join(
    [
        belongs_to_organization("webhooks"),
        belongs_to_organization("webhook_deliveries"),
        belongs_to("webhook_deliveries", "webhook_id", references="webhooks", on_delete="cascade"),
    ]
)

# the worker sees of all organizations which events are wanted and which deliveries are due; what came of one it writes
# inside the organization
_WORKER = """
create policy worker on webhooks for select to sluice_worker using (true);
grant select (organization_id, id, url, state, event_types, sealed, sealed_before, before_until)
    on webhooks to sluice_worker;
create policy worker on webhook_deliveries to sluice_worker using (true) with check (true);
grant select, update (attempts, next_attempt_at), delete on webhook_deliveries to sluice_worker;
"""


def upgrade() -> None:
    """Make the tables."""
    for part in (_TABLES, _RELATIONS, protect("webhooks"), protect("webhook_deliveries"), _WORKER):
        op.execute(part)


def downgrade() -> None:
    """Drop them."""
    op.execute("drop table webhook_deliveries, webhooks")
