"""Receipts of erasures, and flags of features. Who is erased may be taken out of what else was only ever added."""

from alembic import op

from api.db.tenancy import ROW_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

_TABLES = f"""
create table erasures ({ROW_COLUMNS},
    contact_id uuid not null,
    erased_by uuid,
    erased_at timestamptz not null,
    receipt jsonb not null
);
create table feature_flags ({ROW_COLUMNS},
    flag text not null check (length(flag) between 1 and 60),
    is_on boolean not null,
    updated_at timestamptz not null default now(),
    constraint uq_feature_flags_flag unique (organization_id, flag)
);
"""
_RELATIONS = "".join(
    [
        belongs_to_organization("erasures"),
        belongs_to_organization("feature_flags"),
        belongs_to("erasures", "erased_by", references="users"),
    ]
)
_PROTECTION = protect("erasures", grants="select, insert") + protect("feature_flags", grants="select, insert, update")


# what an import could not read may name whom an erasure has to strike out
_STRIKING = "grant update (value, problem) on import_problems to sluice_app;"


def upgrade() -> None:
    """Make the tables."""
    op.execute(_TABLES + _RELATIONS + _PROTECTION + _STRIKING)


def downgrade() -> None:
    """Drop them."""
    op.execute("revoke update (value, problem) on import_problems from sluice_app")
    op.execute("drop table feature_flags, erasures")
