"""The event log as the warehouse's repairs read it: in one snapshot, one rewriter of raw at a time, as rows of raw.

Rows that come from PostgreSQL instead of Kafka say so: their epoch is NO_EPOCH, their partition -1, and their offset is
the position in the event log. So what a rebuild writes depends on the events alone, not on how they once travelled.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from bus.records import Partition
from contracts import locks
from contracts.topics import TOPIC_OF_AGGREGATE
from contracts.warehouse import RAW_EVENT_COLUMNS

#: Epoch of rows that were taken from PostgreSQL.
NO_EPOCH = UUID(int=0)

#: Positions whose events need not be in raw: not published, or published behind what it has stored of this epoch.
#: Parameters: those of `stored_offsets`.
IN_FLIGHT = """
select o.position from outbox o
left join unnest(%(topics)s::text[], %(partitions)s::int[], %(offsets)s::bigint[])
    as s (topic, partition, next_offset)
    on s.topic = o.published_topic and s.partition = o.published_partition
where o.published_at is null
   or (o.published_epoch = %(epoch)s and o.published_offset >= coalesce(s.next_offset, 0))
"""

_ROWS_PER_BLOCK = 10_000
_TOPIC = "case e.aggregate_type {} else e.aggregate_type end".format(
    " ".join(f"when '{kind}' then '{topic}'" for kind, topic in TOPIC_OF_AGGREGATE.items())
)
_LOG_COLUMNS = ", ".join(f"e.{name}" for name in list(RAW_EVENT_COLUMNS)[:15])
_COPY = (
    f"copy (select {_LOG_COLUMNS}, '{NO_EPOCH}', {_TOPIC}, -1, e.position, %(loaded_at)s::timestamptz"
    " from event_log e where {}) to stdout (format csv)"
)


class RewriteUnderWayError(RuntimeError):
    """Another rebuild, repair or comparison is at work on the same event log."""


class Block(NamedTuple):
    """Some rows as CSV, in the order of RAW_EVENT_COLUMNS; an empty field is null, an empty text is quoted."""

    content: bytes
    rows: int


@contextmanager
def sole_rewriter(relay_database_url: str, *, timeout_seconds: int = 600) -> Iterator[None]:
    """Hold the right to rewrite raw, or to compare it: a comparison must not see raw of before and offsets of after.

    Raises:
        RewriteUnderWayError: somebody else has it, for longer than `timeout_seconds`.
    """
    with psycopg.connect(relay_database_url, autocommit=True, application_name="sluice-rewrite") as connection:
        connection.execute("select set_config('lock_timeout', %s, false)", (f"{timeout_seconds}s",))
        try:
            connection.execute("select pg_advisory_lock(%s, 0)", (locks.REWRITE_RAW,))
        except psycopg.errors.LockNotAvailable as error:
            raise RewriteUnderWayError("another rebuild, repair or comparison is at work") from error
        yield


@contextmanager
def open_log(relay_database_url: str) -> Iterator[psycopg.Connection]:
    """A connection to the event log whose transactions are read-only snapshots, however long the warehouse takes."""
    options = "-c TimeZone=UTC -c idle_in_transaction_session_timeout=0 -c synchronize_seqscans=off"
    with psycopg.connect(relay_database_url, application_name="sluice-rewrite", options=options) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield connection


def stored_offsets(epoch: UUID | None, offsets: Mapping[Partition, int]) -> dict[str, Any]:
    """Parameters of a statement that asks what lies behind the warehouse's offsets within an epoch."""
    return {
        "epoch": epoch,
        "topics": [place.topic for place in offsets],
        "partitions": [place.number for place in offsets],
        "offsets": list(offsets.values()),
    }


def export_events(
    connection: psycopg.Connection, condition: str, parameters: Mapping[str, Any], *, loaded_at: datetime
) -> Iterator[Block]:
    """The events `e` of the log for which `condition` holds, by COPY. The connection's time zone must be UTC.

    Raises:
        psycopg.Error: the event log cannot be read.
    """
    values = {**parameters, "loaded_at": loaded_at}
    with connection.cursor() as cursor, cursor.copy(_COPY.format(condition), values) as copy:
        rows = iter(copy)
        while block := list(islice(rows, _ROWS_PER_BLOCK)):
            yield Block(b"".join(block), len(block))
