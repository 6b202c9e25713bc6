"""Custom fields of contacts, companies and deals."""

from alembic import op

from api.db.tenancy import AGGREGATE_COLUMNS, ROW_COLUMNS, belongs_to, belongs_to_organization, protect

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_KINDS = ("contacts", "companies", "deals")

_TABLES = f"""
create table custom_fields ({AGGREGATE_COLUMNS},
    record_kind text not null check (record_kind in ('contact', 'company', 'deal')),
    name text not null check (length(name) between 1 and 120),
    type text not null
        check (type in ('text', 'number', 'money', 'date', 'choice', 'choices', 'person', 'link')),
    choices jsonb not null default '[]',
    is_required boolean not null default false,
    is_unique boolean not null default false,
    is_personal boolean not null,
    is_retired boolean not null default false,
    position bigint not null
);
create unique index uq_custom_fields_name on custom_fields (organization_id, record_kind, lower(name))
    where not is_retired;

create table custom_unique_values ({ROW_COLUMNS},
    record_kind text not null,
    record_id uuid not null,
    field_id uuid not null,
    value text not null check (length(value) <= 2000)
);
create unique index uq_custom_unique_values_value on custom_unique_values (organization_id, field_id, md5(value));
create index ix_custom_unique_values_record on custom_unique_values (organization_id, record_id);
"""

_RELATIONS = "".join(
    [
        belongs_to_organization("custom_fields"),
        belongs_to("custom_unique_values", "field_id", references="custom_fields"),
    ]
)
_PROTECTION = protect("custom_fields", grants="select, insert, update") + protect("custom_unique_values")


def upgrade() -> None:
    """Apply."""
    for part in (_TABLES, _RELATIONS, _PROTECTION):
        op.execute(part)
    for table in _KINDS:
        op.execute(f"alter table {table} add column custom jsonb not null default '{{}}'")


def downgrade() -> None:
    """Take it back."""
    for table in _KINDS:
        op.execute(f"alter table {table} drop column custom")
    op.execute("drop table custom_unique_values, custom_fields")
