"""Events from before the outbox enter it, some thousands at a time; nobody waits for it."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# The owner is bound by row-level security like everybody else, and here has to see the events of all organizations.
_OPEN = "create policy owner_fills_outbox on event_log for select to sluice_owner using (true)"
_CLOSE = "drop policy if exists owner_fills_outbox on event_log"

# Newest first, so that the oldest one in the outbox says where an interrupted run goes on. What was published in an
# earlier epoch has reached the warehouse: else it would have become pending again. The topics are those of the
# release that published them.
_FILL = """
do $$
declare
    upper bigint := coalesce((select min(position) - 1 from outbox), (select max(position) from event_log), 0);
    first bigint := coalesce((select min(position) from event_log), 1);
    newest uuid := (select epoch from transport_epoch order by started_at desc limit 1);
begin
    while upper >= first loop
        insert into outbox (position, aggregate_type, aggregate_id, shard, recorded_at, published_at, published_epoch,
                            published_topic, published_partition, published_offset, parked_reason)
        select e.position, e.aggregate_type, e.aggregate_id, get_byte(uuid_send(e.aggregate_id), 15) % 16,
               e.recorded_at, e.published_at, e.published_epoch,
               case when e.published_at is not null then case
                   when e.aggregate_type in ('organization', 'user', 'team') then 'sluice.identity'
                   when e.aggregate_type in ('contact', 'company') then 'sluice.relations'
                   when e.aggregate_type in ('pipeline', 'stage') then 'sluice.pipelines'
                   when e.aggregate_type = 'deal' then 'sluice.deals'
                   else 'sluice.imports'
               end end,
               e.published_partition, e.published_offset, e.parked_reason
        from event_log e
        where e.position > upper - 20000 and e.position <= upper
          and (e.published_at is null or e.published_epoch = newest);
        upper := upper - 20000;
        commit;
    end loop;
end $$
"""


def upgrade() -> None:
    """Fill the outbox; may be run again after an interruption."""
    op.execute(_CLOSE)
    op.execute(_OPEN)
    with op.get_context().autocommit_block():
        op.execute("set statement_timeout = 0")  # each of its batches is short
        op.execute(_FILL)
        op.execute("set statement_timeout = '5s'")
    op.execute(_CLOSE)


def downgrade() -> None:
    """What is in the outbox is no harm to the revision before."""
