"""How complete the installation's channels are, for operators: counts by channel, and nothing of any organization."""

from alembic import op

revision = "0064"
down_revision = "0061"
branch_labels = None
depends_on = None

# What a bot and LinkedIn have can be listed by nobody, so nothing of theirs is compared. The owner's function adds up
# over all organizations, of which these policies let it read two tables.
_UP = """
create policy figures on bd_accounts for select to sluice_owner using (true);
create policy figures on bd_account_days for select to sluice_owner using (true);
create function channel_completeness() returns table (channel text, missing bigint, failed bigint, overdue bigint)
language sql stable security definer set search_path = pg_catalog, public as $$
    select a.channel, coalesce(sum(d.missing), 0)::bigint, coalesce(sum(d.failed), 0)::bigint,
        count(*) filter (
            where coalesce(d.checked_at, a.connected_at, a.created_at) < clock_timestamp() - interval '10 minutes'
        )
    from public.bd_accounts as a
    left join lateral (
        select sum(one.missing) as missing, max(one.checked_at) as checked_at,
            sum((select sum(counted.value::bigint) from jsonb_each_text(one.failed) as counted)) as failed
        from public.bd_account_days as one
        where one.organization_id = a.organization_id and one.account_id = a.id and one.day > current_date - 8
    ) as d on true
    where a.state = 'active' and a.channel <> 'linkedin' and a.settings ->> 'business_bot' is distinct from 'true'
    group by a.channel
$$;
revoke all on function channel_completeness from public;
grant execute on function channel_completeness to sluice_app;
"""
_DOWN = """
drop function channel_completeness;
drop policy figures on bd_account_days;
drop policy figures on bd_accounts;
"""


def upgrade() -> None:
    """Make the function, and let its owner read."""
    op.execute(_UP)


def downgrade() -> None:
    """Drop both."""
    op.execute(_DOWN)
