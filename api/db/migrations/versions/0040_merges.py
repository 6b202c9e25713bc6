"""Contacts and companies that were merged into others: what they were, and what went with them."""

from alembic import op

from api.db.tenancy import ROW_COLUMNS, belongs_to_organization, protect

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

# A merged record's row is gone, so that nothing can show or name it by mistake; `merged` is all that it was. `moved`
# are ids of rows by table, `dropped` rows that the survivor had already.
_TABLE = f"""
create table merged_records ({ROW_COLUMNS},
    kind text not null check (kind in ('contact', 'company')),
    merged_id uuid not null,
    survivor_id uuid not null,
    external_id text,
    merged jsonb not null,
    moved jsonb not null,
    dropped jsonb not null,
    survivor_before jsonb not null,
    survivor_after jsonb not null,
    merged_by uuid,
    undone_at timestamptz
);
create unique index uq_merged_records_merged on merged_records (organization_id, merged_id) where undone_at is null;
create index ix_merged_records_survivor on merged_records (organization_id, survivor_id) where undone_at is null;
create index ix_merged_records_external_id on merged_records (organization_id, kind, external_id)
    where undone_at is null and external_id is not null;
"""


def upgrade() -> None:
    """Apply."""
    op.execute(_TABLE)
    op.execute(belongs_to_organization("merged_records"))
    op.execute(protect("merged_records", grants="select, insert, update"))
    op.execute("grant delete on contacts, companies to sluice_app")


def downgrade() -> None:
    """Take it back; what is merged stays so."""
    op.execute("revoke delete on contacts, companies from sluice_app")
    op.execute("drop table merged_records")
