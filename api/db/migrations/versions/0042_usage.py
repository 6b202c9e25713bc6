"""Reports of use to Stripe's meters; what discounts and credit notes take off invoices; how deliveries were signed."""

from alembic import op

from api.db.tenancy import ROW_COLUMNS, belongs_to_organization, protect

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

_TABLES = f"""
create table usage_reports ({ROW_COLUMNS},
    meter text not null check (meter in ('ai_drafts', 'bd_accounts')),
    starts_at timestamptz not null,
    quantity bigint not null check (quantity >= 0),
    sent_at timestamptz,
    constraint uq_usage_reports_meter unique (organization_id, meter, starts_at)
);
"""
_COLUMNS = """
alter table invoices
    add column discount_minor bigint not null default 0, add column credited_minor bigint not null default 0;
alter table stripe_events add column signature text, add column api_version text;
grant insert (signature, api_version) on stripe_events to sluice_app;
"""


def upgrade() -> None:
    """Make them."""
    op.execute(_TABLES + belongs_to_organization("usage_reports"))
    op.execute(protect("usage_reports", grants="select, insert, update"))
    op.execute(_COLUMNS)


def downgrade() -> None:
    """Drop them."""
    op.execute("alter table stripe_events drop column signature, drop column api_version")
    op.execute("alter table invoices drop column discount_minor, drop column credited_minor")
    op.execute("drop table usage_reports")
