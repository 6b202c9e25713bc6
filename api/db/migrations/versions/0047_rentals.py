"""The ledger of accounts that organizations buy or rent."""

from alembic import op

from api.db.tenancy import ROW_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None

_RENTALS = f"""
create table rentals ({ROW_COLUMNS},
    offer_id text not null check (length(offer_id) between 1 and 200),
    channel text not null check (channel in ('email', 'telegram', 'x', 'linkedin')),
    title text not null check (length(title) <= 200),
    kind text not null check (kind in ('purchase', 'rent')),
    price_minor bigint not null check (price_minor >= 0),
    currency text not null check (length(currency) = 3),
    months bigint check (months between 1 and 36),
    user_id uuid,
    state text not null check (state in ('ordered', 'reserved', 'paid', 'active', 'returning', 'returned',
        'cancelling', 'cancelled')),
    payment_id text,
    account_id uuid,
    failure text,
    handed_over_at timestamptz,
    ends_at timestamptz,
    handed_back_at timestamptz,
    next_attempt_at timestamptz,
    attempts bigint not null
);
create index ix_rentals_due on rentals (next_attempt_at) where next_attempt_at is not null;
"""

# the worker looks what is due, and acts on it as sluice_app inside its organization
_WORKER = """
create policy worker on rentals to sluice_worker using (true) with check (true);
grant select (organization_id, id, next_attempt_at, attempts), update (next_attempt_at, attempts) on rentals
    to sluice_worker;
"""


def upgrade() -> None:
    """Make it."""
    op.execute(_RENTALS)
    op.execute(belongs_to_organization("rentals"))
    op.execute(belongs_to("rentals", "user_id", references="users"))
    op.execute(belongs_to("rentals", "account_id", references="bd_accounts"))
    op.execute(protect("rentals", grants="select, insert, update"))
    op.execute(_WORKER)


def downgrade() -> None:
    """Drop it."""
    op.execute("drop table rentals")
