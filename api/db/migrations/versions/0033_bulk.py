"""Bulk changes, and what became of each deal of one."""

from alembic import op

from api.db.tenancy import AGGREGATE_COLUMNS, ROW_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

_TABLES = f"""
create table bulk_jobs ({AGGREGATE_COLUMNS},
    created_by uuid not null,
    kind text not null check (kind in ('deal')),
    filter jsonb not null,
    action jsonb not null,
    run_rules boolean not null default false,
    total bigint not null,
    state text not null check (state in ('running', 'stopped', 'done', 'undoing', 'undone')),
    completed_at timestamptz
);
create index ix_bulk_jobs_active on bulk_jobs (created_at) where state in ('running', 'undoing');

create table bulk_items ({ROW_COLUMNS},
    job_id uuid not null,
    deal_id uuid not null,
    status text not null check (status in ('waiting', 'done', 'unchanged', 'failed', 'undone', 'left')),
    before jsonb,
    version_after bigint,
    problem text
);
create index ix_bulk_items_job on bulk_items (organization_id, job_id, status, id);
create index ix_bulk_items_deal on bulk_items (organization_id, deal_id);
"""
_RELATIONS = "".join(
    [
        belongs_to_organization("bulk_jobs"),
        belongs_to("bulk_jobs", "created_by", references="users"),
        belongs_to_organization("bulk_items"),
        belongs_to("bulk_items", "job_id", references="bulk_jobs", on_delete="cascade"),
        belongs_to("bulk_items", "deal_id", references="deals"),
    ]
)
# the worker sees of all organizations what is to be done, and does it inside the organization
_WORKER = """
create policy worker on bulk_jobs for select to sluice_worker using (state in ('running', 'undoing'));
grant select (organization_id, id, state, created_at) on bulk_jobs to sluice_worker;
"""


def upgrade() -> None:
    """Apply."""
    for part in (_TABLES, _RELATIONS, protect("bulk_jobs"), protect("bulk_items"), _WORKER):
        op.execute(part)


def downgrade() -> None:
    """Take it back."""
    op.execute("drop table bulk_items, bulk_jobs")
