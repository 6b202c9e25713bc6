"""Organizations that asked to be deleted, and what forgets them: the rows of every table, in batches.

The row stays when all else is gone: it is the receipt, without a word of whom, and says what is to be forgotten again
after a restore.
"""

from alembic import op

from api.db.tenancy import protect

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None

# who is to be told, and which people may belong nowhere afterwards, is kept until both are done
_TABLE = """
create table organization_deletions (
    organization_id uuid primary key,
    asked_by uuid not null,
    asked_at timestamptz not null default clock_timestamp(),
    due_at timestamptz not null,
    began_at timestamptz,
    finished_at timestamptz,
    warehouse_forgot_at timestamptz,
    removed jsonb not null default '{}',
    owners text[] not null default '{}',
    people uuid[] not null default '{}'
);
"""

# the app asks and cancels; only the worker begins, and only the relay's role says what the warehouse did
_ROLES = """
create policy worker on organization_deletions to sluice_worker using (true) with check (true);
grant select, update (began_at, finished_at, removed, owners, people) on organization_deletions to sluice_worker;
create policy relay on organization_deletions to sluice_relay using (true) with check (true);
grant select, update (warehouse_forgot_at) on organization_deletions to sluice_relay;
create policy not_begun on organization_deletions as restrictive for delete to sluice_app using (began_at is null);
grant delete on people to sluice_auth;
"""

# The owner's rights, for one organization, and only once its deletion has begun: what the app may only add to goes too.
# An event goes once it is published; of rows that refer to their like, those go first that nobody refers to.
_FORGET = """
create function forget_rows(in_organization_id uuid, in_table text, in_most integer) returns integer
language plpgsql security definer set search_path = pg_catalog, public as $$
declare
    removed_now integer;
    only_those text;
begin
    perform set_config('sluice.organization_id', in_organization_id::text, true);
    perform set_config('sluice.bin', 'open', true);
    if not exists (
        select from public.organization_deletions
        where organization_id = in_organization_id and began_at is not null and finished_at is null
    ) then
        raise exception 'the deletion of organization % has not begun', in_organization_id;
    end if;
    select coalesce(string_agg(format(
        ' and not exists (select from public.%1$I as c where c.organization_id = t.organization_id and c.%2$I = t.id)',
        in_table, a.attname), ''), '')
    into only_those
    from pg_constraint as k
    join pg_attribute as a on a.attrelid = k.conrelid and a.attnum = any (k.conkey) and a.attname <> 'organization_id'
    where k.contype = 'f' and k.conrelid = k.confrelid
        and k.conrelid = to_regclass(format('public.%I', in_table));
    if in_table = 'event_log' then
        only_those := ' and not exists (select from public.outbox as o where o.position = t.position'
            ' and o.published_at is null and o.parked_reason is null)';
    elsif in_table = 'organizations' then
        only_those := ' and not exists (select from public.event_log as e where e.organization_id = t.organization_id)';
    end if;
    execute format(
        'delete from public.%1$I where ctid = any (array('
        'select t.ctid from public.%1$I as t where t.organization_id = $1%2$s limit $2))', in_table, only_those)
        using in_organization_id, in_most;
    get diagnostics removed_now = row_count;
    if removed_now > 0 then
        update public.organization_deletions
        set removed = removed || jsonb_build_object(
            in_table, coalesce((removed ->> in_table)::bigint, 0) + removed_now)
        where organization_id = in_organization_id;
    end if;
    return removed_now;
end $$;
revoke execute on function forget_rows from public;
grant execute on function forget_rows to sluice_worker;
"""


def upgrade() -> None:
    """Make the table and the function."""
    op.execute(_TABLE)
    op.execute(protect("organization_deletions", grants="select, insert, delete"))
    op.execute(_ROLES)
    op.execute(_FORGET)


def downgrade() -> None:
    """Drop both, with the receipts."""
    op.execute("drop function forget_rows")
    op.execute("revoke delete on people from sluice_auth")
    op.execute("drop table organization_deletions")
