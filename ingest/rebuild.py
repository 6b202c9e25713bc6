"""Makes raw anew from PostgreSQL, while relay and loader keep running, and swaps it in at once.

The snapshot is taken while no relay is between publishing and marking. So every event it shows as published has its
final offset, and every event it shows as pending will be published behind those: the loader goes on exactly there.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import polars as pl
import psycopg

from bus.records import Partition
from contracts.settings import WarehouseSettings
from contracts.topics import topic_of
from contracts.warehouse import RAW_EVENT_COLUMNS
from ingest.outbox import closed_gate, newest_epoch
from ingest.sinks import open_sink
from ingest.sinks.interface import FRAME_SCHEMA

_BATCH = 20_000
_LOG_COLUMNS = tuple(RAW_EVENT_COLUMNS)[:14]

#: Of an event whose partition of the outbox was dropped, nobody knows any more where it went.
_NOWHERE = UUID(int=0)

_POSITIONS = """
select published_topic, published_partition, max(published_offset) + 1 from outbox
where published_epoch = %(epoch)s group by 1, 2
union all
select topic, partition, next_offset from transport_progress where epoch = %(epoch)s
"""

_COUNT = "select (select count(*) from event_log) - (select count(*) from outbox where published_at is null)"

_EVENTS = f"""
select e.event_id::text, e.type, e.version, e.organization_id::text, e.aggregate_type, e.aggregate_id::text,
       e.aggregate_version, e.occurred_at, e.recorded_at, e.actor, e.actor_id::text, e.causation_id::text,
       e.correlation_id::text, e.depth, e.data::text,
       coalesce(o.published_epoch, '{_NOWHERE}')::text, coalesce(o.published_partition, -1),
       coalesce(o.published_offset, -1)
from event_log e left join outbox o on o.position = e.position
where o.position is null or o.published_at is not null
order by e.position
"""

Progress = Callable[[int, int], None]


def rebuild(relay_database_url: str, warehouse_settings: WarehouseSettings, *, progress: Progress | None = None) -> int:
    """Replace the raw relation by what PostgreSQL holds; how many events that is.

    `progress(done, total)` is called now and then. Readers see the old rows until the end, then the new ones. Events
    that wait to be published are not among them: the loader brings them as usual.

    Raises:
        psycopg.Error: PostgreSQL cannot be read, or a relay is stuck in a batch.
        SinkUnavailableError: the warehouse cannot be written; the old rows are still there.
    """
    with closing(open_sink(warehouse_settings)) as sink:
        while True:
            with psycopg.connect(relay_database_url) as snapshot:
                snapshot.execute("set timezone to 'UTC'")
                snapshot.commit()
                epoch, total, offsets = _take_snapshot(relay_database_url, snapshot)
                sink.replace(_frames(snapshot, total, progress), epoch=epoch, offsets=offsets)
                snapshot.commit()
                # an epoch that began meanwhile has offsets which this snapshot could not set
                if newest_epoch(snapshot) == epoch:
                    return total


def _take_snapshot(url: str, snapshot: psycopg.Connection) -> tuple[UUID | None, int, dict[Partition, int]]:
    """Open a repeatable-read transaction on `snapshot` at an instant when no batch is under way."""
    with psycopg.connect(url, autocommit=True) as gatekeeper, closed_gate(gatekeeper):
        snapshot.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        snapshot.read_only = True
        epoch = newest_epoch(snapshot)
    total = snapshot.execute(_COUNT).fetchone()
    offsets: dict[Partition, int] = {}
    for topic, number, offset in snapshot.execute(_POSITIONS, {"epoch": epoch}):
        place = Partition(topic, number)
        offsets[place] = max(offset, offsets.get(place, 0))
    return epoch, total[0] if total else 0, offsets


def _frames(snapshot: psycopg.Connection, total: int, progress: Progress | None) -> Iterator[pl.DataFrame]:
    loaded_at = datetime.now(UTC)
    done = 0
    with snapshot.cursor("rebuild") as cursor:
        cursor.itersize = _BATCH
        cursor.execute(_EVENTS)
        while rows := cursor.fetchmany(_BATCH):
            yield _frame(rows, loaded_at)
            done += len(rows)
            if progress is not None:
                progress(done, total)


def _frame(rows: list[tuple[Any, ...]], loaded_at: datetime) -> pl.DataFrame:
    names = [*_LOG_COLUMNS, "data", "epoch", "partition", "offset"]
    schema = {name: FRAME_SCHEMA[name] for name in names}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    topics = {kind: topic_of(kind).value for kind in frame["aggregate_type"].unique()}
    return frame.with_columns(
        pl.col("aggregate_type").replace_strict(topics, return_dtype=pl.String()).alias("topic"),
        pl.lit(loaded_at, dtype=pl.Datetime("us", "UTC")).alias("loaded_at"),
    ).select(list(FRAME_SCHEMA))
