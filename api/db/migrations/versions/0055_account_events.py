"""Orders of accounts are renewed; they and the days of accounts are told of by events, and X by its webhook of news."""

from alembic import op

from api.db.tenancy import ROW_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0055"
down_revision = "0054"
branch_labels = None
depends_on = None

_COLUMNS = """
alter table rentals
    add column version bigint not null default 0,
    add column updated_at timestamptz not null default now(),
    add column renewing_months bigint check (renewing_months between 1 and 36),
    add column renewals bigint not null default 0;
alter table bd_account_days add column version bigint not null default 0;
alter table bd_accounts add column news_at timestamptz
"""

# what X delivered, to know it again
_DELIVERIES = f"""
create table x_deliveries ({ROW_COLUMNS},
    account_id uuid not null,
    digest bytea not null check (length(digest) = 32),
    constraint uq_x_deliveries_digest unique (organization_id, account_id, digest)
);
"""


def upgrade() -> None:
    """Add the columns, and make the table."""
    op.execute(_COLUMNS)
    op.execute(_DELIVERIES + belongs_to_organization("x_deliveries"))
    op.execute(belongs_to("x_deliveries", "account_id", references="bd_accounts"))
    op.execute(protect("x_deliveries"))


def downgrade() -> None:
    """Drop them."""
    op.execute("drop table x_deliveries")
    op.execute("alter table bd_accounts drop column news_at")
    op.execute("alter table bd_account_days drop column version")
    op.execute("alter table rentals drop column version, drop column updated_at")
    op.execute("alter table rentals drop column renewing_months, drop column renewals")
