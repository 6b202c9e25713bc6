"""Statements of consumers that act: the lease, what is left to consume, the claim of one event, what is set aside.

The event log is the truth. `settled_position` is a place in it before which nothing is left, and no transaction is
still to commit; only behind it are rows of `consumed_events` kept, and looked for.
"""

from sqlalchemy import text

from api.db.statements import Bound, compiled
from contracts import locks

_LEASE = f"{locks.CONSUMERS}, hashtext(:consumer)"
_GATE = f"{locks.CONSUMER_GATE}, hashtext(:consumer)"
_TYPES = "(cast(:types as text[]) is null or {}.type = any(cast(:types as text[])))"

#: Of the connection that holds the lease: whose process stands still loses it.
WATCHED = compiled(text("select set_config('idle_session_timeout', '20s', false)"))
TRY_LEASE = compiled(text(f"select pg_try_advisory_lock({_LEASE}) as is_held"))

BEGIN, COMMIT, ROLLBACK = (compiled(text(word)) for word in ("begin", "commit", "rollback"))
#: Nobody is between claiming and committing while a lease goes over.
CLOSE_GATE = compiled(text(f"select pg_advisory_xact_lock({_GATE})"))
ENTER_GATE = compiled(text(f"select pg_advisory_xact_lock_shared({_GATE})"))
#: A consumer that is new begins with what is recorded from now on.
REGISTER = compiled(
    text("""
insert into consumers as c (consumer, token, settled_position)
values (:consumer, :token, coalesce((select max(position) from event_log), 0))
on conflict (consumer) do update set token = excluded.token, updated_at = clock_timestamp()
returning c.since, c.settled_position
""")
)

# Each part is a predicate of its own, so that it is read in the order of its index and only as far as is asked for.
# What is consumed is looked up event by event: an anti-join, planned while there was little, compared all with all.
_RECORDED = f"""
from event_log e
where e.position > (select settled_position from consumers where consumer = :consumer)
  and e.recorded_at >= (select since from consumers where consumer = :consumer) and {_TYPES.format("e")}
  and (
    select d.event_id from consumed_events d
    where d.organization_id = e.organization_id and d.consumer = :consumer and d.event_id = e.event_id
      and (d.consumed_at is not null or d.parked_reason is not null)
  ) is null
"""
_RELEASED = """
from consumed_events d where d.consumer = :consumer and d.consumed_at is null and d.parked_reason is null
"""
_GLIMPSE = "e.position, e.event_id as id, e.type, e.organization_id, e.occurred_at"
#: The oldest events that are left behind a position, in the order of the log: what says whether they are worth being
#: read.
LEFT = compiled(
    text(f"""
(select {_GLIMPSE} {_RECORDED} and e.position > :after order by e.position limit :most)
union
(
    select {_GLIMPSE} from (
        select d.position {_RELEASED} and d.position > :after order by d.position limit :most
    ) as released join event_log e on e.position = released.position
)
order by position limit :most
""")
)
#: Events whole, in the order of the log.
WHOLE = compiled(
    text("""
select e.event_id as id, e.type, e.version, e.organization_id, e.aggregate_type, e.aggregate_id, e.aggregate_version,
       e.occurred_at, e.recorded_at, e.actor, e.actor_id, e.causation_id, e.correlation_id, e.depth, e.data
from event_log e where e.position = any(cast(:positions as bigint[])) order by e.position
""")
)

# an event may be claimed once, by who holds the lease, in its place: nothing of its aggregate is left before it
CLAIM = compiled(
    text(f"""
insert into consumed_events as mine (organization_id, consumer, event_id, aggregate_id, position, consumed_at)
select e.organization_id, c.consumer, e.event_id, e.aggregate_id, e.position, clock_timestamp()
from event_log e join consumers c on c.consumer = :consumer
where e.organization_id = :organization_id and e.event_id = :event_id and c.token = :token
  and (e.position > c.settled_position or exists (
    select from consumed_events d where d.organization_id = e.organization_id and d.consumer = c.consumer
      and d.event_id = e.event_id))
  and not exists (
    select from event_log p
    where p.organization_id = e.organization_id and p.aggregate_id = e.aggregate_id
      and p.aggregate_version < e.aggregate_version and p.position > c.settled_position and p.recorded_at >= c.since
      and {_TYPES.format("p")}
      and not exists (
        select from consumed_events d where d.organization_id = p.organization_id and d.consumer = c.consumer
          and d.event_id = p.event_id and d.consumed_at is not null))
  and not exists (
    select from consumed_events d where d.organization_id = e.organization_id and d.consumer = c.consumer
      and d.aggregate_id = e.aggregate_id and d.consumed_at is null and d.position < e.position)
on conflict (organization_id, consumer, event_id) do update set consumed_at = excluded.consumed_at
where mine.consumed_at is null and mine.parked_reason is null
returning mine.position
""")
)
#: Why an event could not be claimed.
STANDING = compiled(
    text("""
select c.token = :token as is_ours, e.position is not null as is_known,
       coalesce(d.consumed_at is not null or d.parked_reason is not null or e.position <= c.settled_position, false)
           as is_over,
       exists (select from consumed_events h where h.organization_id = e.organization_id and h.consumer = c.consumer
               and h.aggregate_id = e.aggregate_id and h.parked_reason is not null and h.position < e.position)
           as is_held
from consumers c
left join event_log e on e.organization_id = :organization_id and e.event_id = :event_id
left join consumed_events d
    on d.organization_id = :organization_id and d.consumer = c.consumer and d.event_id = :event_id
where c.consumer = :consumer
""")
)
_SET_ASIDE = """
insert into consumed_events as mine
    (organization_id, consumer, event_id, aggregate_id, position, consumed_at, parked_reason)
select e.organization_id, c.consumer, e.event_id, e.aggregate_id, e.position, {at}, {reason}
from event_log e join consumers c on c.consumer = :consumer
where {which} and c.token = :token
  and (e.position > c.settled_position or exists (
    select from consumed_events d where d.organization_id = e.organization_id and d.consumer = c.consumer
      and d.event_id = e.event_id))
on conflict (organization_id, consumer, event_id)
do update set consumed_at = excluded.consumed_at, parked_reason = excluded.parked_reason
where mine.consumed_at is null and mine.parked_reason is null
"""
PARK = compiled(
    text(
        _SET_ASIDE.format(
            at="null",
            reason="cast(:reason as text)",
            which="e.organization_id = :organization_id and e.event_id = :event_id",
        )
    )
)
#: Events that are none of the consumer's business, of any organization.
PASS_OVER = compiled(
    text(_SET_ASIDE.format(at="clock_timestamp()", reason="null", which="e.event_id = any(cast(:event_ids as uuid[]))"))
)

# our own transaction is above all that are under way; a snapshot's xmax is above those that have ended alone
HORIZON = compiled(
    text("""
select coalesce(pg_sequence_last_value(pg_get_serial_sequence('public.event_log', 'position')), 0) as position,
       pg_current_xact_id()::text::bigint as newest,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint as oldest
""")
)
SETTLE = compiled(
    text(f"""
update consumers set settled_position = :position, updated_at = clock_timestamp()
where consumer = :consumer and token = :token and settled_position < :position
  and not exists (select {_RECORDED} and e.position <= :position)
  and not exists (select {_RELEASED} and d.position <= :position)
""")
)
FORGET = compiled(
    text("""
delete from consumed_events d using consumers c
where c.consumer = :consumer and d.consumer = c.consumer and d.position <= c.settled_position
  and d.consumed_at is not null
""")
)


def entering_gate(consumer: str) -> Bound:
    """What a transaction begins with that claims an event."""
    return ENTER_GATE.bind(consumer=consumer)
