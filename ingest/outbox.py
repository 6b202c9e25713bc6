"""The relay's side of `event_log`: which events to publish next, and the note of where each one went.

One PostgreSQL connection does everything. It holds the advisory locks that say which shards of aggregates this relay
may publish, so that a relay which lost its locks has also lost the means to mark rows.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple
from uuid import UUID

import psycopg

#: Aggregates are spread over this many shards; a shard is published by one relay at a time, in order.
SHARDS = 16

_SHARD_LOCKS = 7_221_191  # (this, shard): held for as long as the relay owns the shard
_MEMBER_LOCK = 7_221_192  # (this, 0), shared: one per living relay, so that they can count each other
_GATE_LOCK = 7_221_193  # (this, 0): shared while a batch is under way, exclusive for who needs none to be

# the last byte of a UUIDv7 is random; %% is how psycopg spells the modulo
_SHARD = f"get_byte(uuid_send(e.aggregate_id), 15) %% {SHARDS}"

# the message is the envelope as the contracts spell it; row_to_json keeps the order, so that `data` comes last
_FETCH = f"""
select e.position, e.aggregate_type, e.organization_id::text, e.aggregate_id::text, e.event_id::text, e.type, e.version,
       (select row_to_json(message)::text from (
           select e.event_id as id, e.type, e.version, e.organization_id, e.aggregate_type, e.aggregate_id,
                  e.aggregate_version, e.occurred_at, e.recorded_at, e.actor, e.actor_id, e.causation_id,
                  e.correlation_id, e.depth, e.data
       ) message)
from event_log e
where e.published_at is null and e.parked_reason is null and {_SHARD} = any(%(shards)s)
  and not exists (
      select from event_log p
      where p.parked_reason is not null and p.aggregate_id = e.aggregate_id
        and p.organization_id = e.organization_id and p.position < e.position
  )
order by e.position
limit %(limit)s
"""

_MARK = """
update event_log e
set published_at = clock_timestamp(), published_epoch = %(epoch)s, published_partition = m.partition,
    published_offset = m.record_offset
from unnest(%(positions)s::bigint[], %(partitions)s::int[], %(offsets)s::bigint[])
    m (position, partition, record_offset)
where e.position = m.position and e.published_at is null
"""

_SUMMARY = """
select (select count(*) from (
            select from event_log where published_at is null and parked_reason is null limit 100001
        ) waiting),
       (select extract(epoch from clock_timestamp() - recorded_at)::float8 from event_log
        where published_at is null and parked_reason is null order by position limit 1),
       (select count(*) from event_log where parked_reason is not null)
"""


class PendingEvent(NamedTuple):
    """An event that is not published yet, with its message as text."""

    position: int
    aggregate_type: str
    organization_id: str
    aggregate_id: str
    event_id: str
    type: str
    version: int
    message: str


@dataclass(frozen=True)
class Published:
    """Where an event went."""

    position: int
    partition: int
    offset: int


@dataclass(frozen=True)
class Backlog:
    """What waits in the outbox. `pending` counts up to 100,001."""

    pending: int
    oldest_seconds: float
    parked: int


class Outbox:
    """An open connection to the event log, as `sluice_relay`."""

    def __init__(self, url: str, *, zombie_seconds: int = 60) -> None:
        # a relay that was stopped in the middle of a batch loses its connection, and with it its locks
        options = f"-c TimeZone=UTC -c idle_in_transaction_session_timeout={zombie_seconds}s"
        self.connection = psycopg.connect(
            url, autocommit=True, connect_timeout=5, application_name="sluice-relay", options=options
        )
        self.connection.prepare_threshold = 2
        self.shards: set[int] = set()
        try:
            self.connection.execute("listen sluice_events")
            self.connection.execute("select pg_advisory_lock_shared(%s, 0)", (_MEMBER_LOCK,))
        except psycopg.Error:
            self.connection.close()
            raise

    def close(self) -> None:
        """Close the connection; its locks are free at once."""
        self.connection.close()

    def wait(self, seconds: float) -> None:
        """Wait for a hint that there are new events, or for `seconds`."""
        for _ in self.connection.notifies(timeout=seconds, stop_after=1):
            pass

    def balance_shards(self) -> None:
        """Take or give back shards, so that all living relays have equally many. Only between batches."""
        row = self.connection.execute(
            "select count(distinct pid) from pg_locks where locktype = 'advisory' and classid = %s and objid = 0"
            " and database = (select oid from pg_database where datname = current_database()) and granted",
            (_MEMBER_LOCK,),
        ).fetchone()
        members = max(1, row[0] if row else 1)
        share = ceil(SHARDS / members)
        while len(self.shards) > share:
            shard = self.shards.pop()
            self.connection.execute("select pg_advisory_unlock(%s, %s)", (_SHARD_LOCKS, shard))
        for shard in range(SHARDS):
            if len(self.shards) >= share:
                break
            if shard not in self.shards and self._try_lock(shard):
                self.shards.add(shard)

    def _try_lock(self, shard: int) -> bool:
        row = self.connection.execute("select pg_try_advisory_lock(%s, %s)", (_SHARD_LOCKS, shard)).fetchone()
        return bool(row and row[0])

    @contextmanager
    def batch(self) -> Iterator[None]:
        """A transaction in which a batch is read, published and marked, while no epoch can begin."""
        with self.connection.transaction():
            self.connection.execute("select pg_advisory_xact_lock_shared(%s, 0)", (_GATE_LOCK,))
            yield

    def pending(self, *, limit: int) -> list[PendingEvent]:
        """The oldest events to publish, in order, of the shards this relay owns."""
        parameters = {"shards": sorted(self.shards), "limit": limit}
        return [PendingEvent(*row) for row in self.connection.execute(_FETCH, parameters)]

    def mark(self, epoch: UUID, published: Sequence[Published]) -> None:
        """Note where events went."""
        if published:
            self.connection.execute(
                _MARK,
                {
                    "epoch": epoch,
                    "positions": [item.position for item in published],
                    "partitions": [item.partition for item in published],
                    "offsets": [item.offset for item in published],
                },
            )

    def park(self, position: int, reason: str) -> None:
        """Set an event aside that can never be published as it is; later events of its aggregate wait for it."""
        self.connection.execute("update event_log set parked_reason = %s where position = %s", (reason, position))

    def newest_epoch(self) -> UUID | None:
        """The epoch that was begun last."""
        return newest_epoch(self.connection)

    def backlog(self) -> Backlog:
        """What waits."""
        row = self.connection.execute(_SUMMARY).fetchone()
        pending, oldest, parked = row or (0, None, 0)
        return Backlog(pending, float(oldest or 0.0), parked)


def newest_epoch(connection: psycopg.Connection) -> UUID | None:
    """The epoch that was begun last, by any relay."""
    row = connection.execute("select epoch from transport_epoch order by started_at desc limit 1").fetchone()
    return row[0] if row else None


@contextmanager
def closed_gate(connection: psycopg.Connection, *, timeout_seconds: int = 90) -> Iterator[None]:
    """A transaction during which no batch is between publishing and marking, in any relay."""
    with connection.transaction():
        connection.execute("select set_config('lock_timeout', %s, true)", (f"{timeout_seconds}s",))
        connection.execute("select pg_advisory_xact_lock(%s, 0)", (_GATE_LOCK,))
        yield


def release_parked(connection: psycopg.Connection, aggregate_id: UUID | None = None) -> int:
    """Let parked events (all, or one aggregate's) be tried again; how many there are."""
    return connection.execute(
        "update event_log set parked_reason = null"
        " where parked_reason is not null and (%(id)s::uuid is null or aggregate_id = %(id)s::uuid)",
        {"id": aggregate_id},
    ).rowcount
