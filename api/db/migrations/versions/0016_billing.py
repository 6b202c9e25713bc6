"""Billing: customers, subscriptions, invoices, what they entitle to, and what Stripe delivered."""

from alembic import op

from api.db.tenancy import AGGREGATE_COLUMNS, ROW_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_TABLES = f"""
create table billing_customers ({ROW_COLUMNS},
    provider_customer_id text not null,
    constraint uq_billing_customers_organization_id unique (organization_id)
);
create index ix_billing_customers_provider_customer_id on billing_customers (provider_customer_id);

create table subscriptions ({AGGREGATE_COLUMNS},
    provider_subscription_id text not null,
    provider_item_id text not null,
    plan text not null,
    status text not null,
    interval text not null check (interval in ('month', 'year')),
    seats bigint not null check (seats >= 0),
    monthly_minor bigint not null,
    currency text not null,
    started_at timestamptz not null,
    trial_ends_at timestamptz,
    period_ends_at timestamptz,
    cancels_at timestamptz,
    ended_at timestamptz,
    past_due_since timestamptz,
    looked_at timestamptz not null,
    constraint uq_subscriptions_provider_subscription_id unique (organization_id, provider_subscription_id)
);

create table invoices ({AGGREGATE_COLUMNS},
    provider_invoice_id text not null,
    subscription_id uuid,
    number text,
    status text not null,
    total_minor bigint not null,
    tax_minor bigint not null,
    paid_minor bigint not null,
    currency text not null,
    seats bigint not null,
    payment_attempts bigint not null,
    issued_at timestamptz not null,
    page_url text,
    pdf_url text,
    lines jsonb not null,
    looked_at timestamptz not null,
    constraint uq_invoices_provider_invoice_id unique (organization_id, provider_invoice_id)
);

create table entitlements ({ROW_COLUMNS},
    limits jsonb not null,
    fallback jsonb not null,
    falls_back_at timestamptz
);

create table stripe_events (
    event_id text primary key,
    type text not null,
    object_id text not null,
    customer_id text,
    body bytea not null,
    received_at timestamptz not null default clock_timestamp(),
    due_at timestamptz not null default clock_timestamp(),
    attempts bigint not null default 0,
    done_at timestamptz,
    problem text
);
create index ix_stripe_events_due on stripe_events (due_at) where done_at is null;
"""

_TENANT_TABLES = ("billing_customers", "subscriptions", "invoices", "entitlements")
_RELATIONS = "".join(map(belongs_to_organization, _TENANT_TABLES)) + belongs_to(
    "invoices", "subscription_id", references="subscriptions"
)
_PROTECTION = "".join(protect(table, grants="select, insert, update") for table in _TENANT_TABLES)

# an event's organization is known by its customer; only then is there a tenant to be in. The API stores deliveries and
# reads none; the worker's transaction of the effect, as sluice_app, says that one is done
_DELIVERIES = """
create policy worker on billing_customers for select to sluice_worker using (true);
grant select (organization_id, provider_customer_id) on billing_customers to sluice_worker;
grant select, update, delete on stripe_events to sluice_worker;
grant insert (event_id, type, object_id, customer_id, body), select (event_id), update (done_at, problem)
    on stripe_events to sluice_app;
"""


def upgrade() -> None:
    """Apply."""
    for part in (_TABLES, _RELATIONS, _PROTECTION, _DELIVERIES):
        op.execute(part)


def downgrade() -> None:
    """Drop them."""
    op.execute("drop table stripe_events, entitlements, invoices, subscriptions, billing_customers")
