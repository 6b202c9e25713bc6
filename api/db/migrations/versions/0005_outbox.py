"""The outbox: where each event went. Apart from the event log, which from now on is never changed."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

#: Positions per partition, and how many partitions stand ready for events to come.
_PARTITION_POSITIONS = 1_000_000
_PARTITIONS_AHEAD = 4

# No primary key: positions come from event_log alone, and an index of all rows would cost each event twice. An event
# that was published leaves both partial indexes, so that noting it is one write to the table.
_TABLES = """
create schema outbox_partitions;

create table outbox (
    position bigint not null,
    aggregate_type text not null,
    aggregate_id uuid not null,
    -- squawk-ignore prefer-bigint-over-smallint -- there are 16
    shard smallint not null,
    recorded_at timestamptz not null,
    published_at timestamptz,
    published_epoch uuid,
    published_topic text,
    -- squawk-ignore prefer-bigint-over-int -- as wide as in Kafka
    published_partition integer,
    published_offset bigint,
    parked_reason text
) partition by range (position);
create index ix_outbox_pending on outbox (position) where published_at is null and parked_reason is null;
create index ix_outbox_parked on outbox (aggregate_id) where parked_reason is not null;
grant select, update on outbox to sluice_relay;

-- takes what no other partition does, should none have been made in time; its rows are published, but never dropped
create table outbox_partitions.outbox_rest partition of outbox default;

-- what dropped partitions said: everything before next_offset was published there
create table transport_progress (
    epoch uuid not null,
    topic text not null,
    -- squawk-ignore prefer-bigint-over-int -- as wide as in Kafka
    partition integer not null,
    next_offset bigint not null,
    primary key (epoch, topic, partition)
);
grant select on transport_progress to sluice_relay;

alter table transport_epoch add column reason text;
"""

# Partitions appear and go without anybody waiting long: a lock that is not there soon is asked for at the next turn.
_UPKEEP = f"""
create function extend_outbox(in_positions bigint default {_PARTITION_POSITIONS},
                              in_ahead integer default {_PARTITIONS_AHEAD})
returns integer language plpgsql security definer set search_path = pg_catalog, public set lock_timeout = '200ms' as $$
declare
    newest bigint := coalesce(pg_sequence_last_value(pg_get_serial_sequence('public.event_log', 'position')), 0);
    upper bigint;
    made integer := 0;
    name text;
begin
    perform pg_advisory_xact_lock({7_221_195}, 0);
    select coalesce(max((regexp_match(c.relname, '_(\\d+)$'))[1]::bigint), 0) into upper
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'public.outbox'::regclass and c.relname ~ '_\\d+$';
    while upper < newest + in_positions * in_ahead loop
        if exists (select from outbox_partitions.outbox_rest
                   where position > upper and position <= upper + in_positions) then
            upper := upper + in_positions;
            continue;
        end if;
        name := 'outbox_' || (upper + in_positions)::text;
        execute format('create table outbox_partitions.%I (like public.outbox including all,'
            ' check (position > %s and position <= %s))'
            ' with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000)',
            name, upper, upper + in_positions);
        execute format('alter table public.outbox attach partition outbox_partitions.%I for values from (%s) to (%s)',
            name, upper + 1, upper + in_positions + 1);
        upper := upper + in_positions;
        made := made + 1;
    end loop;
    return made;
end $$;

-- Drops partitions of which every event was published before `in_before` and has reached the warehouse: in_confirmed
-- holds the warehouse's next offsets, [{{"epoch":…, "topic":…, "partition":…, "next_offset":…}}, …].
create function shrink_outbox(in_before timestamptz, in_confirmed jsonb)
returns integer language plpgsql security definer set search_path = pg_catalog, public set lock_timeout = '200ms' as $$
declare
    part record;
    newest uuid := (select epoch from public.transport_epoch order by started_at desc limit 1);
    is_done boolean;
    dropped integer := 0;
begin
    for part in
        select c.oid::regclass as name, (regexp_match(c.relname, '_(\\d+)$'))[1]::bigint as upper
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'public.outbox'::regclass and c.relname ~ '_\\d+$'
        order by 2
    loop
        exit when part.upper > coalesce(
            pg_sequence_last_value(pg_get_serial_sequence('public.event_log', 'position')), 0);
        execute format('select not exists (select from %1$s where published_at is null or published_at >= $1)'
            ' and not exists (select from %1$s p where p.published_epoch = $2 and p.published_offset >= coalesce(('
            '     select (c ->> ''next_offset'')::bigint from jsonb_array_elements($3) c'
            '     where (c ->> ''epoch'')::uuid = p.published_epoch and c ->> ''topic'' = p.published_topic'
            '       and (c ->> ''partition'')::integer = p.published_partition), 0))', part.name)
            into is_done using in_before, newest, in_confirmed;
        exit when not is_done;
        execute format('insert into public.transport_progress as t (epoch, topic, partition, next_offset)'
            ' select published_epoch, published_topic, published_partition, max(published_offset) + 1 from %s'
            ' group by 1, 2, 3 on conflict (epoch, topic, partition) do update'
            ' set next_offset = greatest(t.next_offset, excluded.next_offset)', part.name);
        execute format('drop table %s', part.name);
        dropped := dropped + 1;
    end loop;
    return dropped;
end $$;

revoke execute on function extend_outbox, shrink_outbox from public;
grant execute on function extend_outbox, shrink_outbox to sluice_relay;
"""

# The app may write events and nothing else, so the row here is written by the owner. As a trigger, it also serves
# processes of the release before, which know nothing of an outbox.
_ENQUEUE = """
create function enqueue_events() returns trigger language plpgsql
security definer set search_path = pg_catalog, public as $$
begin
    insert into public.outbox (position, aggregate_type, aggregate_id, shard, recorded_at)
    select e.position, e.aggregate_type, e.aggregate_id, get_byte(uuid_send(e.aggregate_id), 15) % 16, e.recorded_at
    from new_events e;
    return null;
end $$;
revoke execute on function enqueue_events from public;
create trigger enqueue_events after insert on event_log referencing new table as new_events
    for each statement execute function enqueue_events();
"""

# Going back, the event log is told where events went, so that the relay of the release before sends none of them again.
# An event without a row in the outbox was published. Nobody waits: the relay has to be stopped, the API need not be.
_OPEN = """
drop policy if exists owner_drains_outbox on event_log;
create policy owner_drains_outbox on event_log to sluice_owner using (true) with check (true);
"""
_DRAIN = """
do $$
declare
    upper bigint := coalesce((select max(position) from event_log), 0);
    first bigint := coalesce((select min(position) from event_log), 1);
begin
    while upper >= first loop
        update event_log e
        set published_at = case when d.is_in_outbox then d.published_at else clock_timestamp() end,
            published_epoch = d.published_epoch, published_partition = d.published_partition,
            published_offset = d.published_offset, parked_reason = d.parked_reason
        from (
            select l.position, o.position is not null as is_in_outbox, o.published_at, o.published_epoch,
                   o.published_partition, o.published_offset, o.parked_reason
            from event_log l
            left join outbox o on o.position = l.position and o.position > upper - 20000 and o.position <= upper
            where l.position > upper - 20000 and l.position <= upper
              and (o.position is not null or l.published_at is null)
        ) d
        where e.position = d.position
          and (e.published_at, e.published_epoch, e.published_offset, e.parked_reason)
              is distinct from (d.published_at, d.published_epoch, d.published_offset, d.parked_reason);
        commit;
        upper := upper - 20000;
    end loop;
end $$
"""
_BACK = """
drop trigger enqueue_events on event_log;
drop function enqueue_events;
drop function extend_outbox;
drop function shrink_outbox;
drop policy owner_drains_outbox on event_log;
drop table outbox;
drop schema outbox_partitions;
drop table transport_progress;
alter table transport_epoch drop column reason;
"""


def upgrade() -> None:
    """Make the outbox and let every new event enter it."""
    op.execute(_TABLES)
    op.execute(_UPKEEP)
    op.execute("select extend_outbox()")
    op.execute(_ENQUEUE)


def downgrade() -> None:
    """Note in the event log where events went, and drop the outbox."""
    with op.get_context().autocommit_block():
        op.execute(_OPEN)
        op.execute("set statement_timeout = 0")  # each of its batches is short
        op.execute(_DRAIN)
        op.execute("set statement_timeout = '5s'")
    op.execute(_BACK)
