"""What the marts must say, counted from the event log alone: few figures, by other means than the models'.

Marts lag behind, and may still be compared to the cent: each organization is counted as it was known just before its
oldest event that need not be in them yet. Bitemporal marts can say what was known then; they are asked the same.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from contracts.settings import WarehouseSettings
from ingest.amnesia import offset_columns
from ingest.outbox import newest_epoch
from ingest.rewriting import open_log
from ingest.sinks import open_sink

_WAITING = """
with stored as (
    select * from unnest(%(topics)s::text[], %(partitions)s::int[], %(offsets)s::bigint[])
        as s (topic, partition, next_offset)
)
select e.organization_id, min(e.recorded_at)
from outbox o join event_log e on e.position = o.position
where o.published_at is null or (
    o.published_epoch = %(epoch)s and o.published_offset >= coalesce((
        select s.next_offset from stored s
        where s.topic = o.published_topic and s.partition = o.published_partition
    ), 0)
)
group by 1
"""

_HORIZON = "unnest(%(organizations)s::uuid[], %(instants)s::timestamptz[]) as h (organization_id, known_before)"
_IS_KNOWN = "(h.known_before is null or e.recorded_at < h.known_before)"

_EVENTS = f"""
select e.organization_id, count(*) filter (where {_IS_KNOWN}), count(*)
from event_log e left join {_HORIZON} on h.organization_id = e.organization_id group by 1
"""

# the last fact in the order of (occurred_at, aggregate_version) is what holds
_DEALS = f"""
with deals as (
    select e.organization_id,
           count(*) filter (where e.type = any(%(entering)s)) as entries,
           (array_agg(case e.type when 'deal.closed' then e.data ->> 'outcome' else 'open' end
                      order by e.occurred_at desc, e.aggregate_version desc)
               filter (where e.type = any(%(entering)s)))[1] as status,
           (array_agg(e.data order by e.occurred_at desc, e.aggregate_version desc)
               filter (where e.type in ('deal.created', 'deal.amount.changed')))[1] as priced
    from event_log e left join {_HORIZON} on h.organization_id = e.organization_id
    where e.aggregate_type = 'deal' and {_IS_KNOWN}
    group by e.organization_id, e.aggregate_id
    having bool_or(e.type = 'deal.created') and not bool_or(e.type = 'deal.deleted')
)
select organization_id, status, priced ->> 'currency', count(*), sum(entries),
       coalesce(sum((priced ->> 'amount_minor')::bigint), 0)
from deals group by 1, 2, 3
"""

_ENTERING = ["deal.created", "deal.stage.changed", "deal.closed", "deal.reopened"]


@dataclass
class OrganizationFigures:
    """What was known of one organization before its horizon."""

    events: int = 0
    #: With the events that need not be in the marts yet.
    events_at_most: int = 0
    #: What is counted -> how much of it: deals by status, amounts by currency in minor units, stage entries.
    figures: dict[str, int] = field(default_factory=dict)

    def add(self, figure: str, amount: int) -> None:
        """Count something."""
        self.figures[figure] = self.figures.get(figure, 0) + amount

    def add_deals(self, *, status: str, currency: str | None, deals: int, entries: int, amount_minor: int) -> None:
        """Count deals of one status and currency; the figures' names are those that people read."""
        self.add(f"{status} deals", deals)
        self.add(f"amount of {status} deals, {currency}, in minor units", amount_minor)
        self.add("stage entries", entries)


@dataclass
class LogSnapshot:
    """The event log at one moment. `horizon`: organizations not all of whose events need be in the marts yet, with the
    instant before which they must be."""

    horizon: dict[UUID, datetime]
    _log: psycopg.Connection

    def count(self) -> dict[UUID, OrganizationFigures]:
        """The figures of each organization, as known before its horizon. Takes as long as a look at every event."""
        parameters: dict[str, Any] = {
            "organizations": list(self.horizon),
            "instants": list(self.horizon.values()),
            "entering": _ENTERING,
        }
        found: dict[UUID, OrganizationFigures] = {}
        for organization_id, events, at_most in self._log.execute(_EVENTS, parameters):
            found[organization_id] = OrganizationFigures(events, at_most)
        for organization_id, status, currency, deals, entries, amount in self._log.execute(_DEALS, parameters):
            found[organization_id].add_deals(
                status=status, currency=currency, deals=deals, entries=int(entries), amount_minor=int(amount)
            )
        return found


@contextmanager
def open_snapshot(
    relay_database_url: str, warehouse_settings: WarehouseSettings, *, unread_since: Callable[[], datetime | None]
) -> Iterator[LogSnapshot]:
    """A snapshot of the log, and how far the marts must have it.

    `unread_since` is asked after the snapshot was taken and the warehouse's offsets were read: rows of raw that were
    loaded at that instant or later need not be in the marts; None means that the marts hold all of raw.

    Raises:
        psycopg.Error: PostgreSQL cannot be read.
        SinkUnavailableError: the warehouse cannot be read.
    """
    with closing(open_sink(warehouse_settings)) as sink, open_log(relay_database_url) as log:
        epoch = newest_epoch(log)  # the snapshot begins here
        stored = {} if epoch is None else sink.offsets(epoch)
        instant = unread_since()
        horizon = {} if instant is None else sink.recorded_since(instant)
        for organization_id, waiting_at in log.execute(_WAITING, {"epoch": epoch, **offset_columns(stored)}):
            horizon[organization_id] = min(waiting_at, horizon.get(organization_id, waiting_at))
        yield LogSnapshot(horizon, log)
