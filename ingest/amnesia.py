"""What to do when the broker has lost its data: begin a new epoch and publish again what the warehouse never got.

All of it happens in one transaction that no batch can overlap: the new epoch's row, the events that go back to
pending, and the marker record. A crash in between leaves the marker and the newest row different, which is again
"the broker lost its data".
"""

import logging
from collections.abc import Callable, Mapping
from uuid import UUID

import psycopg
from uuid_utils.compat import uuid7

from bus.records import Partition
from ingest.epoch import EpochTopic, Marker
from ingest.outbox import closed_gate, newest_epoch

logger = logging.getLogger(__name__)

_REPUBLISH = """
with stored as (
    select * from unnest(%(topics)s::text[], %(partitions)s::int[], %(offsets)s::bigint[])
        as s (topic, partition, next_offset)
)
update outbox o
set published_at = null, published_epoch = null, published_topic = null, published_partition = null,
    published_offset = null
where o.published_epoch = %(epoch)s
  and o.published_offset >= coalesce((
      select s.next_offset from stored s
      where s.topic = o.published_topic and s.partition = o.published_partition
  ), 0)
"""

_BEGIN = "insert into transport_epoch (epoch, started_at, reason) values (%s, clock_timestamp(), %s)"

_FIRST = "first"
_LOST = "the broker lost its data"

StoredOffsets = Callable[[UUID], Mapping[Partition, int]]


def establish_epoch(connection: psycopg.Connection, topic: EpochTopic, stored_offsets: StoredOffsets) -> Marker:
    """The epoch of the broker's present data; a new one where the broker's marker is not that of the newest epoch.

    `stored_offsets` answers with the warehouse's next offsets within an epoch.
    """
    marker = topic.read()
    if marker is not None and marker.epoch == newest_epoch(connection):
        return marker
    with closed_gate(connection):
        newest = newest_epoch(connection)
        marker = topic.read()  # again: another relay may have been faster
        if marker is not None and marker.epoch == newest:
            return marker
        epoch = UUID(str(uuid7()))
        republished = 0 if newest is None else _republish(connection, newest, stored_offsets(newest))
        connection.execute(_BEGIN, (epoch, _FIRST if newest is None else _LOST))
        marker = topic.write(epoch)
    logger.warning(
        "the broker is empty or other topics: a new epoch begins",
        extra={"epoch": str(epoch), "previous_epoch": str(newest), "republished": republished},
    )
    return marker


def offset_columns(offsets: Mapping[Partition, int]) -> dict[str, list[str] | list[int]]:
    """Parameters `topics`, `partitions` and `offsets` of a statement that unnests them."""
    return {
        "topics": [place.topic for place in offsets],
        "partitions": [place.number for place in offsets],
        "offsets": list(offsets.values()),
    }


def _republish(connection: psycopg.Connection, epoch: UUID, offsets: Mapping[Partition, int]) -> int:
    return connection.execute(_REPUBLISH, {"epoch": epoch, **offset_columns(offsets)}).rowcount
