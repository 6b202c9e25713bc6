"""Makes raw anew from PostgreSQL, while relay and loader keep running, and swaps it in at once.

The snapshot is taken while no relay is between publishing and marking. So every event it shows as published has its
final offset, and every event it shows as pending will be published behind those: the loader goes on exactly there.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from uuid import UUID

import psycopg

from bus.records import Partition
from contracts.settings import WarehouseSettings
from ingest.event_log import export_events, open_log, sole_rewriter
from ingest.outbox import closed_gate, newest_epoch
from ingest.sinks import open_sink
from ingest.sinks.interface import RawSink

# what dropped partitions of the outbox said is in transport_progress
_POSITIONS = """
select published_topic, published_partition, max(published_offset) + 1 from outbox
where published_epoch = %(epoch)s group by 1, 2
union all
select topic, partition, next_offset from transport_progress where epoch = %(epoch)s
"""

_COUNT = "select (select count(*) from event_log) - (select count(*) from outbox where published_at is null)"

#: No row in the outbox: published and in the warehouse long ago.
_IS_PUBLISHED = "not exists (select from outbox o where o.position = e.position and o.published_at is null)"

# an event that waits, or was published in this epoch, is brought by the loader
_LACKS = """
select exists (
    select from event_log e
    where not exists (
        select from outbox o
        where o.position = e.position and (o.published_at is null or o.published_epoch = %(epoch)s)
    )
)
"""

Progress = Callable[[int, int], None]


def rebuild(relay_database_url: str, warehouse_settings: WarehouseSettings, *, progress: Progress | None = None) -> int:
    """Replace the raw relation by what PostgreSQL holds; how many events that is.

    `progress(done, total)` is called now and then. Readers see the old rows until the end, then the new ones. Events
    that wait to be published are not among them: the loader brings them as usual. The marts follow with the next
    refresh, which builds them anew.

    Raises:
        psycopg.Error: PostgreSQL cannot be read, or a relay is stuck in a batch.
        RewriteUnderWayError: another rebuild or repair is at work.
        SinkUnavailableError: the warehouse cannot be written; the old rows are still there.
    """
    with sole_rewriter(relay_database_url), closing(open_sink(warehouse_settings)) as sink:
        return replace_raw(relay_database_url, sink, progress=progress)


def replace_raw(relay_database_url: str, sink: RawSink, *, progress: Progress | None = None) -> int:
    """As `rebuild`, for who is the sole rewriter already."""
    while True:
        with open_log(relay_database_url) as snapshot:
            epoch, total, offsets = _take_snapshot(relay_database_url, snapshot)
            sink.replace(_blocks(snapshot, total, progress), epoch=epoch, offsets=offsets)
            snapshot.commit()
            # an epoch that began meanwhile has offsets which this snapshot could not set
            if newest_epoch(snapshot) == epoch:
                return total


def lacks_history(relay_database_url: str, sink: RawSink, epoch: UUID) -> bool:
    """Whether raw is empty though events were published that the broker's present epoch will not bring again: the
    warehouse is new or was removed, and only PostgreSQL has them.
    """
    if not sink.holds_nothing():
        return False
    with psycopg.connect(relay_database_url, autocommit=True, connect_timeout=5) as connection:
        row = connection.execute(_LACKS, {"epoch": epoch}).fetchone()
    return bool(row and row[0])


def _take_snapshot(url: str, snapshot: psycopg.Connection) -> tuple[UUID | None, int, dict[Partition, int]]:
    """Open a repeatable-read transaction on `snapshot` at an instant when no batch is under way."""
    with psycopg.connect(url, autocommit=True) as gatekeeper, closed_gate(gatekeeper):
        epoch = newest_epoch(snapshot)
    total = snapshot.execute(_COUNT).fetchone()
    offsets: dict[Partition, int] = {}
    for topic, number, offset in snapshot.execute(_POSITIONS, {"epoch": epoch}):
        place = Partition(topic, number)
        offsets[place] = max(offset, offsets.get(place, 0))
    return epoch, total[0] if total else 0, offsets


def _blocks(snapshot: psycopg.Connection, total: int, progress: Progress | None) -> Iterator[bytes]:
    done = 0
    for block in export_events(snapshot, _IS_PUBLISHED, {}, loaded_at=datetime.now(UTC)):
        yield block.content
        done += block.rows
        if progress is not None:
            progress(done, total)
