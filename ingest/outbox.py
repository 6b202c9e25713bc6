"""The relay's side of PostgreSQL: which events to publish next, and the note of where each one went.

One connection does everything. It holds the leases that say which shards of aggregates this relay may publish, so that
a relay which lost its leases has also lost the means to mark rows. The event log itself is only ever read.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import psycopg

from bus.records import Partition
from contracts import locks
from ingest.leases import SILENCE_SECONDS, Leases, Share, session_options

#: Aggregates are spread over this many shards; a shard is published by one relay at a time, in order.
SHARDS = 16

_SHARES = [Share("", number) for number in range(SHARDS)]

#: Why an event is parked that could be published itself, but must not overtake one that cannot.
BEHIND_A_PARKED = "waits for an earlier event of its aggregate"

# The message is the envelope as the contracts spell it; row_to_json keeps the order, so that `data` comes last. The
# outbox is read first and alone: whatever the planner believes of a table that grows and shrinks, it takes its index.
_FETCH = """
with waiting as materialized (
    select position, aggregate_id, exists (
               select from outbox p where p.parked_reason is not null and p.aggregate_id = o.aggregate_id
           ) as is_held
    from outbox o
    where published_at is null and parked_reason is null and shard = any(%(shards)s) and position > %(after)s
    order by position
    limit %(limit)s
)
select w.position, w.is_held, exists (select from outbox where parked_reason is not null), e.aggregate_type,
       e.organization_id::text, e.aggregate_id::text, e.type, e.version,
       (select row_to_json(message)::text from (
           select e.event_id as id, e.type, e.version, e.organization_id, e.aggregate_type, e.aggregate_id,
                  e.aggregate_version, e.occurred_at, e.recorded_at, e.actor, e.actor_id, e.causation_id,
                  e.correlation_id, e.depth, e.data
       ) message)
from waiting w join event_log e on e.position = w.position
order by w.position
"""

_MARK = """
update outbox o
set published_at = clock_timestamp(), published_epoch = %(epoch)s, published_topic = m.topic,
    published_partition = m.partition, published_offset = m.record_offset
from unnest(%(positions)s::bigint[], %(topics)s::text[], %(partitions)s::int[], %(offsets)s::bigint[])
    m (position, topic, partition, record_offset)
where o.position = m.position and o.position between %(first)s and %(last)s
  and o.published_at is null and o.parked_reason is null
"""

_PARK = "update outbox set parked_reason = %s where position = any(%s) and published_at is null"

_SUMMARY = """
select (select count(*) from (
            select from outbox where published_at is null and parked_reason is null limit 100001
        ) waiting),
       (select extract(epoch from clock_timestamp() - recorded_at)::float8 from outbox
        where published_at is null and parked_reason is null order by position limit 1),
       (select count(*) from outbox where parked_reason is not null)
"""

# what cannot be published, and what a consumer that acts (`api.edge.consumer`) could not handle
_PARKED = """
select o.position, o.aggregate_type, o.aggregate_id, e.type, e.version, o.recorded_at, o.parked_reason, 'relay'
from outbox o join event_log e on e.position = o.position
where o.parked_reason is not null
union all
select e.position, e.aggregate_type, e.aggregate_id, e.type, e.version, e.recorded_at, c.parked_reason, c.consumer
from consumed_events c join event_log e on e.position = c.position
where c.parked_reason is not null
order by 1
"""


class PendingEvent(NamedTuple):
    """An event that is not published yet, with its message as text.

    `is_held`: its aggregate has a parked event. `is_any_parked`: some aggregate has one, and it may be released soon.
    """

    position: int
    is_held: bool
    is_any_parked: bool
    aggregate_type: str
    organization_id: str
    aggregate_id: str
    type: str
    version: int
    message: str


class Published(NamedTuple):
    """Where an event went."""

    position: int
    topic: str
    partition: int
    offset: int


class ParkedEvent(NamedTuple):
    """An event that was set aside, why and by whom."""

    position: int
    aggregate_type: str
    aggregate_id: UUID
    type: str
    version: int
    recorded_at: datetime
    reason: str
    consumer: str = "relay"


@dataclass(frozen=True)
class Backlog:
    """What waits in the outbox. `pending` counts up to 100,001."""

    pending: int
    oldest_seconds: float
    parked: int


class Outbox:
    """An open connection to the outbox, as `sluice_relay`."""

    def __init__(self, url: str, *, silence_seconds: float = SILENCE_SECONDS) -> None:
        options = f"-c TimeZone=UTC {session_options(silence_seconds)}"
        self.connection = psycopg.connect(
            url, autocommit=True, connect_timeout=5, application_name="sluice-relay", options=options
        )
        self.connection.prepare_threshold = 2
        try:
            self.connection.execute("listen sluice_events")
            self._leases = Leases(self.connection, share_class=locks.RELAY_SHARDS, member_class=locks.RELAYS)
        except psycopg.Error:
            self.connection.close()
            raise

    @property
    def shards(self) -> set[int]:
        """The shards that this relay owns."""
        return {share.number for share in self._leases.held}

    def close(self) -> None:
        """Close the connection; its leases are free at once."""
        self.connection.close()

    def wait(self, seconds: float) -> None:
        """Wait for a hint that there are new events, or for `seconds`."""
        for _ in self.connection.notifies(timeout=seconds, stop_after=1):
            pass

    def balance_shards(self) -> None:
        """Take or give back shards, so that all living relays have equally many. Only between batches."""
        self._leases.balance(_SHARES)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """A transaction in which a batch is read, published and marked, while no epoch can begin."""
        with self.connection.transaction():
            self.connection.execute("select pg_advisory_xact_lock_shared(%s, 0)", (locks.RELAY_GATE,))
            yield

    def pending(self, *, limit: int, after: int = 0) -> list[PendingEvent]:
        """The oldest events to publish behind position `after`, in order, of the shards this relay owns."""
        parameters = {"shards": sorted(self.shards), "limit": limit, "after": after}
        return [PendingEvent(*row) for row in self.connection.execute(_FETCH, parameters)]

    def mark(self, epoch: UUID, published: Sequence[Published]) -> None:
        """Note where events went."""
        if not published:
            return
        positions, topics, partitions, offsets = (list(column) for column in zip(*published, strict=True))
        self.connection.execute(
            _MARK,
            {
                "epoch": epoch,
                "positions": positions,
                "topics": topics,
                "partitions": partitions,
                "offsets": offsets,
                "first": min(positions),
                "last": max(positions),
            },
        )

    def park(self, positions: Sequence[int], reason: str) -> None:
        """Set events aside; later events of their aggregates will wait for them."""
        self.connection.execute(_PARK, (reason, list(positions)))

    def newest_epoch(self) -> UUID | None:
        """The epoch that was begun last."""
        return newest_epoch(self.connection)

    def backlog(self) -> Backlog:
        """What waits."""
        row = self.connection.execute(_SUMMARY).fetchone()
        pending, oldest, parked = row or (0, None, 0)
        return Backlog(pending, float(oldest or 0.0), parked)

    def extend(self) -> None:
        """Make partitions for events to come, before they come. Where a lock is taken, the next turn will do."""
        self._patiently("select extend_outbox()")

    def has_expired(self, before: datetime) -> bool:
        """Whether the oldest event here was published before `before`: only then can there be anything to drop."""
        row = self.connection.execute("select published_at from outbox order by position limit 1").fetchone()
        return row is not None and row[0] is not None and row[0] < before

    def shrink(self, *, before: datetime, epoch: UUID, confirmed: Mapping[Partition, int]) -> int:
        """Drop partitions whose events were all published before `before` and have reached the warehouse.

        `confirmed` holds the warehouse's next offsets within `epoch`. How many partitions went.
        """
        offsets = [
            {"epoch": str(epoch), "topic": place.topic, "partition": place.number, "next_offset": offset}
            for place, offset in confirmed.items()
        ]
        return self._patiently("select shrink_outbox(%s, %s::jsonb)", before, json.dumps(offsets))

    def _patiently(self, query: str, *parameters: object) -> int:
        try:
            row = self.connection.execute(query, parameters).fetchone()
        except psycopg.errors.LockNotAvailable:
            return 0
        return int(row[0]) if row else 0


def newest_epoch(connection: psycopg.Connection) -> UUID | None:
    """The epoch that was begun last, by any relay."""
    row = connection.execute("select epoch from transport_epoch order by started_at desc limit 1").fetchone()
    return row[0] if row else None


@contextmanager
def closed_gate(connection: psycopg.Connection, *, timeout_seconds: int = 90) -> Iterator[None]:
    """A transaction during which no batch is between publishing and marking, in any relay."""
    with connection.transaction():
        connection.execute("select set_config('lock_timeout', %s, true)", (f"{timeout_seconds}s",))
        connection.execute("select pg_advisory_xact_lock(%s, 0)", (locks.RELAY_GATE,))
        yield


def list_parked(connection: psycopg.Connection) -> list[ParkedEvent]:
    """Events that were set aside, oldest first."""
    return [ParkedEvent(*row) for row in connection.execute(_PARKED)]


def release_parked(connection: psycopg.Connection, aggregate_id: UUID | None = None) -> int:
    """Let parked events (all, or one aggregate's) be tried again, in order; how many there are."""
    return sum(
        connection.execute(
            f"update {table} set parked_reason = null"
            " where parked_reason is not null and (%(id)s::uuid is null or aggregate_id = %(id)s::uuid)",
            {"id": aggregate_id},
        ).rowcount
        for table in ("outbox", "consumed_events")
    )


def release_readable(connection: psycopg.Connection, readable: Sequence[tuple[str, int]]) -> int:
    """Release the aggregates whose oldest parked event is of a type and version that is now known; how many events.

    After an upgrade that learnt the type, nobody has to remember what the older release parked.
    """
    types, versions = [item[0] for item in readable], [item[1] for item in readable]
    return connection.execute(_RELEASE_READABLE, {"types": types, "versions": versions}).rowcount


_RELEASE_READABLE = """
with oldest as (
    select distinct on (o.aggregate_id) o.aggregate_id, e.type, e.version, o.parked_reason
    from outbox o join event_log e on e.position = o.position
    where o.parked_reason is not null order by o.aggregate_id, o.position
)
update outbox o set parked_reason = null
from oldest join unnest(%(types)s::text[], %(versions)s::int[]) k (type, version)
    on k.type = oldest.type and k.version = oldest.version
where o.parked_reason is not null and o.aggregate_id = oldest.aggregate_id
  and oldest.parked_reason like 'unknown event type%%'
"""
