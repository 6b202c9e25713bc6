"""Tasks."""

from alembic import op

from api.db.tenancy import AGGREGATE_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_TABLES = f"""
create table tasks ({AGGREGATE_COLUMNS},
    title text not null check (length(title) between 1 and 200),
    body text check (length(body) <= 20000),
    due_at timestamptz,
    remind_at timestamptz,
    recurrence text check (length(recurrence) <= 320),
    series_start timestamptz,
    assignee_id uuid,
    created_by uuid,
    deal_id uuid,
    contact_id uuid,
    company_id uuid,
    completed_at timestamptz,
    deleted_at timestamptz
);
create index ix_tasks_assignee on tasks (organization_id, assignee_id, due_at)
    where completed_at is null and deleted_at is null;
create index ix_tasks_deal on tasks (organization_id, deal_id) where deal_id is not null;
create index ix_tasks_contact on tasks (organization_id, contact_id) where contact_id is not null;
create index ix_tasks_company on tasks (organization_id, company_id) where company_id is not null;
"""

_RELATIONS = "".join(
    [
        belongs_to_organization("tasks"),
        belongs_to("tasks", "assignee_id", references="users"),
        belongs_to("tasks", "created_by", references="users"),
        belongs_to("tasks", "deal_id", references="deals"),
        belongs_to("tasks", "contact_id", references="contacts"),
        belongs_to("tasks", "company_id", references="companies"),
    ]
)


def upgrade() -> None:
    """Apply."""
    for part in (_TABLES, _RELATIONS, protect("tasks", grants="select, insert, update")):
        op.execute(part)


def downgrade() -> None:
    """Drop it."""
    op.execute("drop table tasks")
