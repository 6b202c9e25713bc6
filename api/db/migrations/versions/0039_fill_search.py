"""Records from before `search_documents` enter it, some thousands at a time; nobody waits for it."""

from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

_READ = ("contacts", "contact_channels", "companies", "deals")
# The owner is bound by row-level security like everybody else, and here has to see the records of all organizations.
_OPEN = "; ".join(
    [
        *(f"create policy owner_fills on {table} for select to sluice_owner using (true)" for table in _READ),
        "create policy owner_fills on search_documents to sluice_owner using (true) with check (true)",
    ]
)
_CLOSE = "; ".join(f"drop policy if exists owner_fills on {table}" for table in (*_READ, "search_documents"))


def _fill(table: str) -> str:
    return f"""
do $$
declare
    last_organization uuid := '00000000-0000-0000-0000-000000000000';
    last_id uuid := '00000000-0000-0000-0000-000000000000';
    seen bigint;
begin
    loop
        with part as materialized (
            select organization_id, id from {table}
            where (organization_id, id) > (last_organization, last_id) order by organization_id, id limit 5000
        ), filled as materialized (
            select organization_id, index_{table}(organization_id, array_agg(id)) from part group by organization_id
        ), last as (select organization_id, id from part order by organization_id desc, id desc limit 1)
        select l.organization_id, l.id, (select count(*) from filled)
            into last_organization, last_id, seen from last as l;
        exit when seen is null;
        commit;
    end loop;
end $$
"""


def upgrade() -> None:
    """Fill it; may be run again after an interruption."""
    op.execute(_CLOSE)
    op.execute(_OPEN)
    with op.get_context().autocommit_block():
        op.execute("set statement_timeout = 0")  # each of its batches is short
        for table in ("contacts", "companies", "deals"):
            op.execute(_fill(table))
        op.execute("set statement_timeout = '5s'")
    op.execute(_CLOSE)


def downgrade() -> None:
    """What is in it is no harm to the revision before."""
