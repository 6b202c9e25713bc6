"""Pairs of contacts or companies that somebody told apart, so that nobody is asked about them again."""

from alembic import op

from api.db.tenancy import ROW_COLUMNS, belongs_to_organization, protect

revision = "0048"
down_revision = "0047"
branch_labels = None
depends_on = None

_TABLE = f"""
create table distinct_pairs ({ROW_COLUMNS},
    kind text not null check (kind in ('contact', 'company')),
    first_id uuid not null,
    second_id uuid not null,
    constraint ck_distinct_pairs_order check (first_id < second_id),
    constraint uq_distinct_pairs_pair unique (organization_id, kind, first_id, second_id)
);
"""


def upgrade() -> None:
    """Make the table."""
    op.execute(_TABLE + belongs_to_organization("distinct_pairs") + protect("distinct_pairs"))


def downgrade() -> None:
    """Drop it."""
    op.execute("drop table distinct_pairs")
