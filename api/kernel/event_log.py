"""The one door to the event log. Call it inside the transaction that changes the rows.

Lock the aggregate's row first (`api.kernel.rows.lock`), then append: so the log's order is the order of the changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from api.kernel.context import Context
from contracts.events.envelope import Event

#: Rows per statement of the bulk path: large enough to amortise the round trip, small enough for the parser.
_CHUNK = 2_000

# one reading of the clock per statement, after the aggregate was locked; a fact without a date of its own occurred now
_INSERT = text("""
insert into event_log (
    event_id, organization_id, type, version, aggregate_type, aggregate_id, aggregate_version,
    occurred_at, recorded_at, actor, actor_id, causation_id, correlation_id, depth, data
)
select e.event_id, :organization_id, e.type, e.version, e.aggregate_type, e.aggregate_id, e.aggregate_version,
    coalesce(e.occurred_at, clock.now), coalesce(cast(:recorded_at as timestamptz), clock.now),
    coalesce(e.actor, :actor), case when e.actor is null then :actor_id else e.actor_id end,
    :causation_id, :correlation_id, :depth, e.data
from (select clock_timestamp() as now) as clock,
    rows from (jsonb_to_recordset(cast(:events as jsonb)) as (
        event_id uuid, type text, version integer, aggregate_type text, aggregate_id uuid, aggregate_version bigint,
        occurred_at timestamptz, actor text, actor_id uuid, data jsonb
    )) with ordinality as e (
        event_id, type, version, aggregate_type, aggregate_id, aggregate_version, occurred_at, actor, actor_id, data,
        ordinality
    )
order by e.ordinality
returning event_id, occurred_at, recorded_at
""")


class Versioned(Protocol):
    """An aggregate's row: `Aggregate` and everything shaped like it."""

    version: int

    @property
    def id(self) -> UUID:
        """The aggregate's id."""


@dataclass(frozen=True)
class Recorded:
    """What the log says of an appended event."""

    event_id: UUID
    occurred_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, kw_only=True)
class NewEvent:
    """One event for the bulk path. The caller numbers the versions of each aggregate: 1, 2, 3, …"""

    event: Event
    aggregate_id: UUID
    aggregate_version: int
    occurred_at: datetime | None = None
    #: Who did it, where that is not the context's actor (an imported history knows its own users).
    actor: str | None = None
    actor_id: UUID | None = None
    event_id: UUID = field(default_factory=uuid7)


async def append(
    session: AsyncSession,
    event: Event,
    *,
    context: Context,
    aggregate: Versioned,
    occurred_at: datetime | None = None,
) -> Recorded:
    """Append one event of `aggregate` and raise the aggregate's `version` by one.

    `occurred_at` defaults to the database's clock. Answers the event's id and both instants, for rows that store them.
    """
    aggregate.version = (aggregate.version or 0) + 1
    new = NewEvent(event=event, aggregate_id=aggregate.id, aggregate_version=aggregate.version, occurred_at=occurred_at)
    [recorded] = await append_many(session, [new], context=context)
    return recorded


async def append_many(session: AsyncSession, events: Sequence[NewEvent], *, context: Context) -> list[Recorded]:
    """Append events in the given order, many per round trip. The caller has set the aggregates' versions itself."""
    recorded: list[Recorded] = []
    for start in range(0, len(events), _CHUNK):
        chunk = [_as_row(new) for new in events[start : start + _CHUNK]]
        result = await session.execute(_INSERT, _parameters(context, chunk))
        by_id = {row.event_id: Recorded(row.event_id, row.occurred_at, row.recorded_at) for row in result}
        recorded += [by_id[new.event_id] for new in events[start : start + _CHUNK]]
    return recorded


def _as_row(new: NewEvent) -> dict[str, Any]:
    return {
        "event_id": new.event_id,
        "type": new.event.type,
        "version": new.event.version,
        "aggregate_type": new.event.aggregate_type,
        "aggregate_id": new.aggregate_id,
        "aggregate_version": new.aggregate_version,
        "occurred_at": new.occurred_at,
        "actor": new.actor,
        "actor_id": new.actor_id,
        "data": new.event.model_dump(mode="json"),
    }


def _parameters(context: Context, rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "organization_id": context.organization_id,
        "recorded_at": context.recorded_at,
        "actor": context.actor.value,
        "actor_id": context.actor_id,
        "causation_id": context.causation_id,
        "correlation_id": context.correlation_id,
        "depth": context.depth,
        "events": to_json(rows).decode(),
    }
