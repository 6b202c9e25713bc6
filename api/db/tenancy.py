"""SQL that every tenant table needs, for use in migrations.

A tenant table has `organization_id`, a primary key that begins with it, row-level security ENABLEd and FORCEd, and
foreign keys to other tenant tables that carry `organization_id` along.
"""

from api.db.bootstrap import APP

#: The organization of the present transaction; null, and so no row at all, where none was set. The sub-select makes
#: PostgreSQL evaluate it once per statement instead of once per row.
CURRENT_ORGANIZATION = "(select nullif(current_setting('sluice.organization_id', true), '')::uuid)"

#: Columns of an aggregate: a row whose changes are events. `version` is the number of its newest event.
AGGREGATE_COLUMNS = """
    organization_id uuid not null,
    id uuid not null,
    version bigint not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (organization_id, id)"""

#: Columns of any other tenant row.
ROW_COLUMNS = """
    organization_id uuid not null,
    id uuid not null,
    created_at timestamptz not null default now(),
    primary key (organization_id, id)"""


def protect(table: str, *, grants: str = "select, insert, update, delete", column: str = "organization_id") -> str:
    """Statements that shut a table to everybody but sluice_app inside the row's own organization."""
    return f"""
alter table {table} enable row level security;
alter table {table} force row level security;
create policy tenant on {table}
    using ({column} = {CURRENT_ORGANIZATION})
    with check ({column} = {CURRENT_ORGANIZATION});
grant {grants} on {table} to {APP};
"""


def belongs_to(table: str, column: str, *, references: str, on_delete: str = "no action") -> str:
    """Statement for a composite foreign key `(organization_id, column)` to another tenant table's `(…, id)`."""
    return f"""
alter table {table} add constraint fk_{table}_{column}
    foreign key (organization_id, {column}) references {references} (organization_id, id) on delete {on_delete};
"""


def belongs_to_organization(table: str) -> str:
    """Statement for the foreign key from a tenant table to its organization."""
    return f"""
alter table {table} add constraint fk_{table}_organization
    foreign key (organization_id) references organizations (organization_id);
"""
