"""What to do when the broker has lost its data: begin a new epoch and publish again what the warehouse never got.

The same when PostgreSQL was restored: then the broker knows events of a future that is no more, and positions repeat.
The server's identity and timeline, stored with the epoch, tell so however it was restored.

All of it happens in one transaction that no batch can overlap: the new epoch's row, the events that go back to
pending, and the marker record. A crash in between leaves the marker and the newest row different, which is again
"the broker lost its data".
"""

import logging
from collections.abc import Callable, Mapping
from typing import TypeGuard
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

_SERVER = """
(select system_identifier from pg_control_system()) || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)
"""

_BEGIN = f"""
insert into transport_epoch (epoch, started_at, reason, server) values (%s, clock_timestamp(), %s, {_SERVER})
"""

# an epoch of a release that did not ask for the server is taken to be this one's
_IS_SAME_SERVER = f"""
select coalesce(server = {_SERVER}, true) from transport_epoch order by started_at desc limit 1
"""
_ADOPT = f"update transport_epoch set server = {_SERVER} where epoch = %s and server is null"

_FIRST = "first"
_LOST = "the broker lost its data"
_RESTORED = "restored"

#: What people are told until the warehouse has forgotten what PostgreSQL no longer holds.
RESTORED_NOTICE = "PostgreSQL was restored: run ./sluice reconcile --repair"

StoredOffsets = Callable[[UUID], Mapping[Partition, int]]


def establish_epoch(connection: psycopg.Connection, topic: EpochTopic, stored_offsets: StoredOffsets) -> Marker:
    """The epoch of the broker's present data; a new one where the broker's marker is not that of the newest epoch.

    `stored_offsets` answers with the warehouse's next offsets within an epoch.
    """
    marker = topic.read()
    if _is_current(marker, connection):
        return marker
    with closed_gate(connection):
        marker = topic.read()  # again: another relay may have been faster
        if _is_current(marker, connection):
            return marker
        newest = newest_epoch(connection)
        reason = _reason(connection, newest)
        epoch = UUID(str(uuid7()))
        republished = 0 if newest is None else _republish(connection, newest, stored_offsets(newest))
        connection.execute(_BEGIN, (epoch, reason))
        marker = topic.write(epoch)
    logger.warning(
        RESTORED_NOTICE if reason == _RESTORED else "the broker is empty or other topics: a new epoch begins",
        extra={"epoch": str(epoch), "previous_epoch": str(newest), "republished": republished},
    )
    return marker


def begin_restored_epoch(connection: psycopg.Connection) -> UUID:
    """Note that PostgreSQL was restored: whatever the broker holds belongs to an epoch that is over."""
    epoch = UUID(str(uuid7()))
    with closed_gate(connection):
        connection.execute(_BEGIN, (epoch, _RESTORED))
    return epoch


def note_repaired(connection: psycopg.Connection) -> None:
    """Note that the warehouse holds what PostgreSQL holds, and nothing of before its restore."""
    connection.execute(
        "update transport_epoch set repaired_at = clock_timestamp() where reason = %s and repaired_at is null",
        (_RESTORED,),
    )


def needs_repair(connection: psycopg.Connection) -> bool:
    """Whether PostgreSQL was restored and nobody has cut the warehouse back since."""
    row = connection.execute(
        "select exists (select from transport_epoch where reason = %s and repaired_at is null)", (_RESTORED,)
    ).fetchone()
    return bool(row and row[0])


def _is_current(marker: Marker | None, connection: psycopg.Connection) -> TypeGuard[Marker]:
    newest = newest_epoch(connection)
    if marker is None or marker.epoch != newest or not _is_same_server(connection):
        return False
    connection.execute(_ADOPT, (newest,))
    return True


def _is_same_server(connection: psycopg.Connection) -> bool:
    row = connection.execute(_IS_SAME_SERVER).fetchone()
    return bool(row is None or row[0])


def _reason(connection: psycopg.Connection, newest: UUID | None) -> str:
    if newest is None:
        return _FIRST
    return _LOST if _is_same_server(connection) else _RESTORED


def offset_columns(offsets: Mapping[Partition, int]) -> dict[str, list[str] | list[int]]:
    """Parameters `topics`, `partitions` and `offsets` of a statement that unnests them."""
    return {
        "topics": [place.topic for place in offsets],
        "partitions": [place.number for place in offsets],
        "offsets": list(offsets.values()),
    }


def _republish(connection: psycopg.Connection, epoch: UUID, offsets: Mapping[Partition, int]) -> int:
    return connection.execute(_REPUBLISH, {"epoch": epoch, **offset_columns(offsets)}).rowcount
