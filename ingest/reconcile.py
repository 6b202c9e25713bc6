"""Compares PostgreSQL with raw: every published event exactly there, with the same content.

Groups (organization, type, day of recording) are compared by count and sum of hashes first; only groups that differ
are opened. Raw is read before PostgreSQL, so what arrives meanwhile is in flight, not an error.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from contracts.settings import WarehouseSettings
from ingest.amnesia import offset_columns
from ingest.outbox import newest_epoch
from ingest.sinks import open_sink
from ingest.sinks.fingerprint import POSTGRES_DAY, POSTGRES_HASH
from ingest.sinks.interface import GroupKey, GroupSum, RawSink

#: An event is in flight when it is not published, or published behind what the warehouse has stored of this epoch.
_EVENTS = f"""
with stored as (
    select * from unnest(%(topics)s::text[], %(partitions)s::int[], %(offsets)s::bigint[])
        as s (topic, partition, next_offset)
),
waiting as (
    select position as waiting_position from outbox o
    where o.published_at is null or (
        o.published_epoch = %(epoch)s and o.published_offset >= coalesce((
            select s.next_offset from stored s
            where s.topic = o.published_topic and s.partition = o.published_partition
        ), 0)
    )
),
events as (
    select event_id, organization_id, type, {POSTGRES_DAY} as day, {POSTGRES_HASH} as content_hash,
           waiting_position is not null as is_in_flight
    from event_log left join waiting on waiting_position = position
)
"""

_SUMS = f"""{_EVENTS}
select organization_id, type, day, count(*) filter (where not is_in_flight),
       coalesce(sum(content_hash) filter (where not is_in_flight), 0), count(*) filter (where is_in_flight)
from events group by 1, 2, 3
"""

_GROUP = f"""{_EVENTS}
select event_id, content_hash, is_in_flight from events
where organization_id = %(organization_id)s and type = %(type)s and day = %(day)s
"""


_LISTED_GROUPS = 10


@dataclass
class Difference:
    """A group in which PostgreSQL and raw do not agree, with some of the event ids."""

    organization_id: UUID
    type: str
    day: str
    missing: int
    extra: int
    different: int
    examples: dict[str, list[UUID]]


@dataclass
class ReconcileReport:
    """What was compared and what differs. In flight: on its way to raw, neither there nor missing."""

    groups: int = 0
    events: int = 0
    in_flight: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether raw holds what it should."""
        return not self.differences

    def __str__(self) -> str:
        head = (
            f"{self.events:,} events in {self.groups:,} groups, {self.in_flight:,} in flight: "
            f"{self.missing:,} missing, {self.extra:,} extra, {self.different:,} different"
        )
        lines = [
            f"  {group.organization_id} {group.type} {group.day}: {group.missing} missing, {group.extra} extra,"
            f" {group.different} different"
            for group in self.differences[:_LISTED_GROUPS]
        ]
        unlisted = len(self.differences) - len(lines)
        return "\n".join([head, *lines, *([f"  and {unlisted} more groups"] if unlisted else [])])

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON can carry it."""
        content = {**asdict(self), "is_clean": self.is_clean}
        for difference in content["differences"]:
            difference["organization_id"] = str(difference["organization_id"])
            difference["examples"] = {kind: [str(i) for i in ids] for kind, ids in difference["examples"].items()}
        return content


def reconcile(relay_database_url: str, warehouse_settings: WarehouseSettings, *, examples: int = 5) -> ReconcileReport:
    """Compare the event log with the raw relation; up to `examples` event ids for each kind of difference.

    Raises:
        psycopg.Error: PostgreSQL cannot be read.
        SinkUnavailableError: the warehouse cannot be read.
    """
    with closing(open_sink(warehouse_settings)) as sink, psycopg.connect(relay_database_url) as connection:
        connection.execute("set timezone to 'UTC'")
        epoch = newest_epoch(connection)
        connection.commit()
        # offsets before rows: rows that arrive in between are in raw and in flight, which is no difference
        stored = {} if epoch is None else sink.offsets(epoch)
        raw = sink.group_sums()
        parameters = {"epoch": epoch, **offset_columns(stored)}
        report = ReconcileReport()
        suspects = list(_compare_sums(connection.execute(_SUMS, parameters), raw, report))
        for key in suspects:
            difference = _open_group(key, connection, sink, parameters, examples)
            if difference is not None:
                report.differences.append(difference)
                report.missing += difference.missing
                report.extra += difference.extra
                report.different += difference.different
        return report


def _compare_sums(
    rows: Iterable[tuple[Any, ...]], raw: dict[GroupKey, GroupSum], report: ReconcileReport
) -> Iterator[GroupKey]:
    unseen = dict(raw)
    for organization_id, kind, day, settled, hash_sum, in_flight in rows:
        key = GroupKey(organization_id, kind, day)
        report.groups += 1
        report.events += settled + in_flight
        report.in_flight += in_flight
        if unseen.pop(key, GroupSum(0, 0)) != GroupSum(settled, int(hash_sum)):
            yield key
    report.groups += len(unseen)
    yield from unseen


def _open_group(
    key: GroupKey, connection: psycopg.Connection, sink: RawSink, parameters: dict[str, Any], examples: int
) -> Difference | None:
    found = sink.hashes(key)
    rows = connection.execute(_GROUP, {**parameters, **key._asdict()}).fetchall()
    known = {event_id for event_id, _, _ in rows}
    missing = [event_id for event_id, _, is_in_flight in rows if not is_in_flight and event_id not in found]
    different = [event_id for event_id, content, _ in rows if event_id in found and found[event_id] != {content}]
    extra = [event_id for event_id in found if event_id not in known]
    if not (missing or different or extra):
        return None
    return Difference(
        key.organization_id,
        key.type,
        key.day.isoformat(),
        len(missing),
        len(extra),
        len(different),
        {"missing": missing[:examples], "extra": extra[:examples], "different": different[:examples]},
    )
