"""How much of each day of an account was stored."""

from alembic import op

from api.db.tenancy import ROW_COLUMNS, belongs_to, protect

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_TABLES = f"""
create table bd_account_days ({ROW_COLUMNS},
    account_id uuid not null,
    day date not null,
    provider bigint not null check (provider >= 0),
    stored bigint not null check (stored >= 0),
    missing bigint not null check (missing >= 0),
    filtered jsonb not null,
    failed jsonb not null,
    healed bigint not null default 0 check (healed >= 0),
    checked_at timestamptz not null
);
create unique index uq_bd_account_days_day on bd_account_days (organization_id, account_id, day);
"""


def upgrade() -> None:
    """Apply."""
    op.execute(_TABLES)
    op.execute(belongs_to("bd_account_days", "account_id", references="bd_accounts"))
    op.execute(protect("bd_account_days"))


def downgrade() -> None:
    """Drop it."""
    op.execute("drop table bd_account_days")
