"""Saved views."""

from alembic import op

from api.db.tenancy import AGGREGATE_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_TABLE = f"""
create table views ({AGGREGATE_COLUMNS},
    name text not null check (length(name) between 1 and 120),
    record_kind text not null check (record_kind in ('contact', 'company', 'deal', 'task')),
    filter jsonb not null default '[]',
    sort text check (length(sort) <= 320),
    columns jsonb not null default '[]',
    owner_id uuid not null,
    team_id uuid,
    is_shared boolean not null default false
);
create index ix_views_owner on views (organization_id, owner_id);
"""
_RELATIONS = "".join(
    [
        belongs_to_organization("views"),
        belongs_to("views", "owner_id", references="users"),
        belongs_to("views", "team_id", references="teams"),
    ]
)


def upgrade() -> None:
    """Apply."""
    for part in (_TABLE, _RELATIONS, protect("views")):
        op.execute(part)


def downgrade() -> None:
    """Take it back."""
    op.execute("drop table views")
