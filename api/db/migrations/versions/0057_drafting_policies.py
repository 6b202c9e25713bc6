"""What an organization wants of its drafts: how much they may cost, whether people are hidden, where links may lead."""

from alembic import op

from api.db.tenancy import ROW_COLUMNS, belongs_to_organization, protect

revision = "0057"
down_revision = "0056"
branch_labels = None
depends_on = None

_TABLE = f"""
create table drafting_policies ({ROW_COLUMNS},
    monthly_budget bigint check (monthly_budget >= 0),
    hides_people boolean,
    link_hosts text[] not null default '{{}}',
    constraint uq_drafting_policies_organization unique (organization_id)
);
"""


def upgrade() -> None:
    """Make the table."""
    grants = "select, insert, update"
    op.execute(_TABLE + belongs_to_organization("drafting_policies") + protect("drafting_policies", grants=grants))


def downgrade() -> None:
    """Drop it."""
    op.execute("drop table drafting_policies")
