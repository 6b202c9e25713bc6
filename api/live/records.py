"""Statements of live updates."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from api.db.statements import compiled
from api.kernel.unit_of_work import UnitOfWork

#: Events of one look, and of one push.
MOST_EVENTS = 2_000
LARGEST_PUSH = 200

#: One process numbers at a time: the order of numbers is that of commits as the next one sees them.
LOCK = compiled(text("select settled_position from live_progress for update"))
# our own transaction's number is above all that are under way; a snapshot's xmax is not, it is above those that ended
HORIZON = compiled(
    text("""
select pg_current_xact_id()::text::bigint as newest,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint as oldest
""")
)
# behind LOCK and HORIZON in one transaction: it sees what was committed before either of them
NUMBER = compiled(
    text(f"""
with seen as materialized (
    (select position, organization_id from event_log where position > :high order by position limit {MOST_EVENTS})
    union all
    select position, organization_id from event_log where position = any(cast(:holes as bigint[]))
), fresh as materialized (
    select * from seen s where not exists (
        select from live_events l where l.organization_id = s.organization_id and l.position = s.position)
), counted as (
    select organization_id, count(*) as number from fresh group by organization_id
), moved as (
    insert into live_sequences as s (organization_id, last) select organization_id, number from counted
    on conflict (organization_id) do update set last = s.last + excluded.last
    returning organization_id, last
), kept as (
    insert into live_events (organization_id, sequence, position)
    select f.organization_id,
           m.last - c.number + row_number() over (partition by f.organization_id order by f.position),
           f.position
    from fresh f join counted c using (organization_id) join moved m using (organization_id)
    returning organization_id
), told as (
    select pg_notify('sluice_work', 'live:' || organization_id) from (select distinct organization_id from kept) o
)
select position, (select count(*) from told) as organizations from seen
"""),
    is_prepared=False,
)
SETTLE = compiled(text("update live_progress set settled_position = greatest(settled_position, :settled)"))
#: What nobody resumes from any more.
FORGET = compiled(text("delete from live_events where numbered_at < clock_timestamp() - interval '24 hours'"))

_STANDING = compiled(
    text("""
select p.stream, coalesce(s.last, 0) as last,
       coalesce((select min(e.sequence) from live_events e where e.organization_id = :organization_id),
                coalesce(s.last, 0) + 1) as first
from live_progress p left join live_sequences s on s.organization_id = :organization_id
""")
)
#: Events after a number, oldest first, with the ids that they name.
EVENTS_AFTER = compiled(
    text(f"""
select l.sequence, e.type, e.aggregate_type, e.aggregate_id, e.aggregate_version, e.occurred_at, e.actor, e.actor_id,
       e.data ->> 'conversation_id' as conversation_id, e.data ->> 'deal_id' as deal_id
from live_events l join event_log e on e.position = l.position and e.organization_id = l.organization_id
where l.organization_id = :organization_id and l.sequence > :after order by l.sequence limit {LARGEST_PUSH}
""")
)
#: Who looks at which conversation, with who looks after it.
PRESENCES = compiled(
    text("""
select p.conversation_id, c.assignee_id, p.user_id, p.is_typing
from conversation_presences p
join conversations c on c.organization_id = p.organization_id and c.id = p.conversation_id
where p.organization_id = :organization_id and p.until > clock_timestamp()
order by p.conversation_id, p.user_id
""")
)


@dataclass(frozen=True)
class Event:
    """One event as it is told of, with its number."""

    sequence: int
    type: str
    aggregate_type: str
    aggregate_id: UUID
    aggregate_version: int
    occurred_at: datetime
    actor: str
    actor_id: UUID | None
    conversation_id: str | None
    deal_id: str | None


@dataclass(frozen=True)
class Standing:
    """How far an organization's numbers go, and from which one on they are kept."""

    stream: UUID
    last: int
    first: int

    def begins_at(self, after: int | None, stream: UUID | None = None) -> tuple[int, bool]:
        """After which number a listener hears on, and whether it has missed what nobody can tell any more."""
        if after is None:
            return self.last, False
        is_known = stream in (None, self.stream) and self.first - 1 <= after <= self.last
        return (after, False) if is_known else (self.last, True)


async def read_standing(unit: UnitOfWork) -> Standing:
    """How far the organization's numbers go."""
    [row] = await unit.fetch(_STANDING)
    return Standing(row.stream, row.last, row.first)


async def read_after(unit: UnitOfWork, after: int) -> list[Event]:
    """The events after a number, as many as one push tells of."""
    return [Event(**row._asdict()) for row in await unit.fetch(EVENTS_AFTER, after=after)]
