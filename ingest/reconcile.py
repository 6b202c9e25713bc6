"""Compares PostgreSQL with raw: every published event exactly there, with the same content; repairs what differs.

Groups (organization, type, day of recording) are compared by count and sum of hashes first; only groups that differ
are opened. One snapshot of PostgreSQL is taken before anything of the warehouse is read, and what it knows nothing of
is asked for once more at the end: so what arrives meanwhile is in flight, not an error.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Any
from uuid import UUID

import psycopg

from contracts.settings import WarehouseSettings
from ingest.epoch import note_repaired
from ingest.event_log import IN_FLIGHT, export_events, open_log, sole_rewriter, stored_offsets
from ingest.outbox import newest_epoch
from ingest.rebuild import replace_raw
from ingest.sinks import open_sink
from ingest.sinks.fingerprint import POSTGRES_DAY, POSTGRES_HASH
from ingest.sinks.interface import GroupKey, GroupSum, RawSink

#: Event ids of each kind of difference and group that a report names; counts are always complete.
NAMED_IDS = 1_000

#: With more differences than these raw is made anew as a whole, which is faster.
REPAIRED_ONE_BY_ONE = 5_000
_IDS_PER_COMMIT = 500
_LISTED_GROUPS = 10

_EVENTS = f"""
with waiting as (select position as waiting_position from ({IN_FLIGHT}) w),
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

_KNOWN = "select event_id from event_log where event_id = any(%s)"


@dataclass
class Difference:
    """A group in which PostgreSQL and raw do not agree, with the event ids."""

    organization_id: UUID
    type: str
    day: str
    missing: list[UUID]
    extra: list[UUID]
    different: list[UUID]

    def as_dict(self) -> dict[str, Any]:
        """As JSON can carry it: counts, and the first ids of each kind."""
        kinds = {"missing": self.missing, "extra": self.extra, "different": self.different}
        return {
            "organization_id": str(self.organization_id),
            "type": self.type,
            "day": self.day,
            **{kind: len(ids) for kind, ids in kinds.items()},
            "event_ids": {kind: [str(one) for one in ids[:NAMED_IDS]] for kind, ids in kinds.items()},
        }


@dataclass
class Counts:
    """How events fared. `events`: in PostgreSQL, those in flight included, which are on their way to raw; `extra`: in
    raw alone; `different`: their content is another in raw, or copies differ."""

    events: int = 0
    in_flight: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0


@dataclass
class ReconcileReport(Counts):
    """What was compared and what differs. `repaired`: the differences were removed after they had been found."""

    groups: int = 0
    differences: list[Difference] = field(default_factory=list)
    organizations: dict[UUID, Counts] = field(default_factory=dict)
    repaired: bool = False

    @property
    def is_clean(self) -> bool:
        """Whether raw held what it should."""
        return not self.differences

    def count(self, organization_id: UUID, **amounts: int) -> None:
        """Count events of an organization."""
        for counts in (self, self.organizations.setdefault(organization_id, Counts())):
            for name, amount in amounts.items():
                setattr(counts, name, getattr(counts, name) + amount)

    def add(self, found: Difference) -> None:
        """Take a difference up, if it is one."""
        if found.missing or found.extra or found.different:
            self.differences.append(found)
            self.count(
                found.organization_id,
                missing=len(found.missing),
                extra=len(found.extra),
                different=len(found.different),
            )

    def __str__(self) -> str:
        head = (
            f"{self.events:,} events in {self.groups:,} groups, {self.in_flight:,} in flight: "
            f"{self.missing:,} missing, {self.extra:,} extra, {self.different:,} different"
        )
        lines = [
            f"  {group.organization_id} {group.type} {group.day}: {len(group.missing)} missing,"
            f" {len(group.extra)} extra, {len(group.different)} different"
            for group in self.differences[:_LISTED_GROUPS]
        ]
        if len(self.differences) > len(lines):
            lines.append(f"  and {len(self.differences) - len(lines)} more groups (--json names all of them)")
        if self.repaired:
            lines.append("  repaired: raw now holds what PostgreSQL holds; the next refresh builds the marts anew")
        return "\n".join([head, *lines])

    def as_dict(self) -> dict[str, Any]:
        """Everything, as JSON can carry it; of each group and kind up to NAMED_IDS event ids."""
        totals = ("groups", "events", "in_flight", "missing", "extra", "different", "is_clean", "repaired")
        return {
            **{name: getattr(self, name) for name in totals},
            "named_ids_per_group_and_kind": NAMED_IDS,
            "organizations": {str(key): asdict(one) for key, one in sorted(self.organizations.items())},
            "differences": [one.as_dict() for one in self.differences],
        }


def reconcile(
    relay_database_url: str, warehouse_settings: WarehouseSettings, *, repair: bool = False
) -> ReconcileReport:
    """Compare the event log with the raw relation; with `repair`, put right what differs.

    The report says what was found before the repair. Missing events are added from PostgreSQL, extra ones removed,
    different ones replaced, beside a running relay and loader. A repair that was interrupted is finished by the next.

    Raises:
        psycopg.Error: PostgreSQL cannot be read.
        RewriteUnderWayError: a rebuild or another comparison is at work.
        SinkUnavailableError: the warehouse cannot be read, or not be written.
    """
    with sole_rewriter(relay_database_url), closing(open_sink(warehouse_settings)) as sink:
        with open_log(relay_database_url) as log:
            report = _compare(log, sink)
        if repair and not report.is_clean:
            _repair(relay_database_url, sink, report)
            report.repaired = True
        if repair:
            with psycopg.connect(relay_database_url, autocommit=True) as connection:
                note_repaired(connection)
        return report


def _compare(log: psycopg.Connection, sink: RawSink) -> ReconcileReport:
    epoch = newest_epoch(log)  # the snapshot begins here
    # offsets before rows: rows that arrive in between are in raw and in flight, which is no difference
    parameters = stored_offsets(epoch, {} if epoch is None else sink.offsets(epoch))
    raw = sink.group_sums()
    report = ReconcileReport()
    suspects = list(_compare_sums(log.execute(_SUMS, parameters), raw, report))
    found = [_open_group(key, log, sink, parameters) for key in suspects]
    surplus = list(chain.from_iterable(difference.extra for difference in found))
    known = _known(log, surplus)
    log.commit()
    # what PostgreSQL has learned since the snapshot is no surplus at all
    learned = _known(log, surplus) - known
    log.commit()
    for difference in found:
        # an event that PostgreSQL knows in another group has a copy in raw whose type, day or organization is wrong
        difference.different += [event_id for event_id in difference.extra if event_id in known]
        difference.extra = [event_id for event_id in difference.extra if event_id not in known | learned]
        report.add(difference)
    return report


def _known(log: psycopg.Connection, event_ids: list[UUID]) -> set[UUID]:
    return {row[0] for row in log.execute(_KNOWN, (event_ids,))} if event_ids else set()


def _compare_sums(
    rows: Iterable[tuple[Any, ...]], raw: dict[GroupKey, GroupSum], report: ReconcileReport
) -> Iterator[GroupKey]:
    unseen = dict(raw)
    for organization_id, kind, day, settled, hash_sum, in_flight in rows:
        key = GroupKey(organization_id, kind, day)
        report.count(organization_id, events=settled + in_flight, in_flight=in_flight)
        report.groups += 1
        if unseen.pop(key, GroupSum(0, 0)) != GroupSum(settled, int(hash_sum)):
            yield key
    report.groups += len(unseen)
    yield from unseen


def _open_group(key: GroupKey, log: psycopg.Connection, sink: RawSink, parameters: dict[str, Any]) -> Difference:
    found = sink.hashes(key)
    rows = log.execute(_GROUP, {**parameters, **key._asdict()}).fetchall()
    known = {event_id for event_id, _, _ in rows}
    return Difference(
        key.organization_id,
        key.type,
        key.day.isoformat(),
        missing=[event_id for event_id, _, is_in_flight in rows if not is_in_flight and event_id not in found],
        extra=[event_id for event_id in found if event_id not in known],
        different=[event_id for event_id, content, _ in rows if event_id in found and found[event_id] != {content}],
    )


def _repair(relay_database_url: str, sink: RawSink, report: ReconcileReport) -> None:
    # an event that is wrong in two groups (its day or type was changed) is in both: once is enough
    wrong = list(dict.fromkeys(chain.from_iterable(d.missing + d.different + d.extra for d in report.differences)))
    if len(wrong) > REPAIRED_ONE_BY_ONE:
        replace_raw(relay_database_url, sink)
        return
    for start in range(0, len(wrong), _IDS_PER_COMMIT):
        some = wrong[start : start + _IDS_PER_COMMIT]
        with open_log(relay_database_url) as log:
            sink.amend(some, _blocks_of(log, some))


def _blocks_of(log: psycopg.Connection, event_ids: Sequence[UUID]) -> Iterator[bytes]:
    """The events as PostgreSQL has them; those it does not know are the extra ones, and have no row."""
    condition = "e.event_id = any(%(ids)s::uuid[])"
    for block in export_events(log, condition, {"ids": event_ids}, loaded_at=datetime.now(UTC)):
        yield block.content
