"""Imports: jobs that turn files into records, and the problems of their rows."""

from alembic import op

from api.db.tenancy import AGGREGATE_COLUMNS, ROW_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLES = f"""
create table imports ({AGGREGATE_COLUMNS},
    created_by uuid,
    state text not null check (state in ('queued', 'running', 'completed', 'failed')),
    options jsonb not null,
    files jsonb not null,
    progress jsonb not null,
    warnings jsonb not null,
    error text,
    steps_done integer not null default 0,
    attempts integer not null default 0,
    claim uuid,
    started_at timestamptz,
    completed_at timestamptz
);
create index ix_imports_waiting on imports (created_at) where state in ('queued', 'running');

create table import_problems ({ROW_COLUMNS},
    import_id uuid not null,
    file_index integer not null,
    row_number bigint not null,
    field text not null,
    value text not null,
    problem text not null,
    fix text not null
);
create index ix_import_problems_row on import_problems (organization_id, import_id, file_index, row_number);
"""

_RELATIONS = "".join(
    [
        belongs_to_organization("imports"),
        belongs_to("imports", "created_by", references="users"),
        belongs_to("import_problems", "import_id", references="imports", on_delete="cascade"),
    ]
)

_PROTECTION = protect("imports", grants="select, insert, update") + protect(
    "import_problems", grants="select, insert, delete"
)

# the worker claims jobs of all organizations, and becomes sluice_app inside one to do them
_WORKER = """
create policy worker on imports to sluice_worker using (true) with check (true);
grant select (organization_id, id, state, created_at, attempts), update (state, claim, attempts, error, completed_at)
    on imports to sluice_worker;
"""


def upgrade() -> None:
    """Apply."""
    for part in (_TABLES, _RELATIONS, _PROTECTION, _WORKER):
        op.execute(part)


def downgrade() -> None:
    """Drop them."""
    op.execute("drop table import_problems, imports")
