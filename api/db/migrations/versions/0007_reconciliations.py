"""What the last comparison of PostgreSQL, raw and marts found, per organization."""

from alembic import op

from api.db.tenancy import protect

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TABLE = """
create table reconciliations (
    organization_id uuid primary key,
    checked_at timestamptz not null,
    events bigint not null,
    in_flight bigint not null,
    missing bigint not null,
    extra bigint not null,
    different bigint not null,
    wrong_figures bigint,
    repaired_at timestamptz
);
"""

# written by who compares, for all organizations; each organization reads its own row and no other
_RELAY = """
create policy relay_keeps on reconciliations to sluice_relay using (true) with check (true);
grant select, insert, update on reconciliations to sluice_relay;
"""


def upgrade() -> None:
    """Make the table."""
    op.execute(_TABLE + protect("reconciliations", grants="select") + _RELAY)


def downgrade() -> None:
    """Drop it."""
    op.execute("drop table reconciliations")
