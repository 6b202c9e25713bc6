"""Exchange rates: what an organization's base currency cost in others, by day."""

from alembic import op

from api.db.tenancy import AGGREGATE_COLUMNS, belongs_to_organization, protect

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_TABLE = f"""
create table exchange_rate_days ({AGGREGATE_COLUMNS},
    day date not null,
    base text not null check (base ~ '^[A-Z]{{3}}$'),
    rates jsonb not null,
    constraint uq_exchange_rate_days_day unique (organization_id, day)
);
"""


def upgrade() -> None:
    """Make the table."""
    for part in (_TABLE, belongs_to_organization("exchange_rate_days"), protect("exchange_rate_days")):
        op.execute(part)


def downgrade() -> None:
    """Drop it."""
    op.execute("drop table exchange_rate_days")
