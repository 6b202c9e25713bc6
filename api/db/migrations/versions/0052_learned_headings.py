"""What an organization's headings mean: learned where an import's map says it, proposed the next time."""

from alembic import op

from api.db.tenancy import ROW_COLUMNS, belongs_to_organization, protect

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None

_TABLE = f"""
create table learned_headings ({ROW_COLUMNS},
    entity text not null,
    heading text not null check (length(heading) between 1 and 400),
    column_name text not null,
    confirmed_at timestamptz not null default now(),
    confirmed_by uuid,
    constraint uq_learned_headings_heading unique (organization_id, entity, heading)
);
"""


def upgrade() -> None:
    """Make the table."""
    op.execute(_TABLE + belongs_to_organization("learned_headings") + protect("learned_headings"))


def downgrade() -> None:
    """Drop it."""
    op.execute("drop table learned_headings")
