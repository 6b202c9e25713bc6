"""The recycle bin, tags, and what stages ask of deals."""

from alembic import op

from api.db.bootstrap import APP
from api.db.tenancy import ROW_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

_TABLES = f"""
create table tags ({ROW_COLUMNS},
    name text not null check (length(name) between 1 and 60)
);
create unique index uq_tags_name on tags (organization_id, lower(name));

create table record_tags ({ROW_COLUMNS},
    record_kind text not null check (record_kind in ('deal', 'contact', 'company')),
    record_id uuid not null,
    tag_id uuid not null,
    constraint uq_record_tags_record unique (organization_id, record_kind, record_id, tag_id)
);
create index ix_record_tags_tag on record_tags (organization_id, tag_id);
"""
_RELATIONS = "".join(
    [
        belongs_to_organization("tags"),
        belongs_to_organization("record_tags"),
        belongs_to("record_tags", "tag_id", references="tags", on_delete="cascade"),
    ]
)
_COLUMNS = """
alter table stages
    add column entry_fields jsonb not null default '[]', add column exit_fields jsonb not null default '[]';
alter table deals add column purged_at timestamptz;
"""
_GRANTS = f"grant delete on tasks, activities to {APP}"
# the worker sees of all organizations whose time in the bin is over, and takes it out inside the organization
_WORKER = """
create policy worker on deals for select to sluice_worker
    using (purged_at is null and deleted_at < now() - interval '90 days');
create policy worker on tasks for select to sluice_worker using (deleted_at < now() - interval '90 days');
create policy worker on activities for select to sluice_worker using (deleted_at < now() - interval '90 days');
grant select (organization_id, deleted_at, purged_at) on deals to sluice_worker;
grant select (organization_id, deleted_at) on tasks to sluice_worker;
grant select (organization_id, deleted_at) on activities to sluice_worker;
"""
_BINS = ("deals", "tasks", "activities")


def upgrade() -> None:
    """Apply."""
    for part in (_TABLES, _RELATIONS, protect("tags"), protect("record_tags"), _COLUMNS, _GRANTS, _WORKER):
        op.execute(part)


def downgrade() -> None:
    """Take it back."""
    for table in _BINS:
        op.execute(f"drop policy worker on {table}")
    op.execute("revoke select (organization_id, deleted_at, purged_at) on deals from sluice_worker")
    op.execute("revoke select (organization_id, deleted_at) on tasks from sluice_worker")
    op.execute("revoke select (organization_id, deleted_at) on activities from sluice_worker")
    op.execute(f"revoke delete on tasks, activities from {APP}")
    op.execute("alter table deals drop column purged_at")
    op.execute("alter table stages drop column entry_fields, drop column exit_fields")
    op.execute("drop table record_tags, tags")
