"""Addresses of contacts from before `contact_channels` enter it, some thousands at a time; nobody waits for it."""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

_ROWS = """(values ('email', n.email, lower(n.email)),
    ('phone', n.phone, coalesce(nullif(regexp_replace(n.phone, '[^0-9+]', '', 'g'), ''), n.phone))
) as v (kind, value, key)"""
# The owner is bound by row-level security like everybody else, and here has to see the contacts of all organizations.
_OPEN = """
create policy owner_fills on contacts for select to sluice_owner using (true);
create policy owner_fills on contact_channels to sluice_owner using (true) with check (true);
"""
_CLOSE = "drop policy if exists owner_fills on contacts; drop policy if exists owner_fills on contact_channels"
_FILL = f"""
do $$
declare
    last_organization uuid := '00000000-0000-0000-0000-000000000000';
    last_id uuid := '00000000-0000-0000-0000-000000000000';
    seen bigint;
begin
    loop
        with part as materialized (
            select organization_id, id, email, phone from contacts
            where (organization_id, id) > (last_organization, last_id) order by organization_id, id limit 5000
        ), filled as (
            insert into contact_channels (organization_id, id, contact_id, kind, type, value, key, is_primary)
            select n.organization_id, uuidv7(), n.id, v.kind, 'work', v.value, v.key, true
            from part as n cross join lateral {_ROWS} where v.value is not null
            on conflict do nothing
        ), last as (select organization_id, id from part order by organization_id desc, id desc limit 1)
        select l.organization_id, l.id, (select count(*) from part)
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
        op.execute(_FILL)
        op.execute("set statement_timeout = '5s'")
    op.execute(_CLOSE)


def downgrade() -> None:
    """What is in it is no harm to the revision before."""
