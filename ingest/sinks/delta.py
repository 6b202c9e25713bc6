"""Raw events in a Delta table: files and a log of commits in a folder, readable by any engine.

The next offset of each partition is an application transaction of the commit that adds the rows. Delta refuses two
concurrent commits with the same application id, but not a later replay: so the stored offset is compared first.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from uuid import UUID

import duckdb
import polars as pl
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import CommitFailedError, DeltaError

from bus.records import Partition
from bus.topics import EVENT_TOPICS, TOPICS
from ingest.sinks.fingerprint import DUCKDB_DAY, DUCKDB_HASH
from ingest.sinks.interface import (
    FRAME_SCHEMA,
    GroupKey,
    GroupSum,
    OffsetConflictError,
    OffsetRange,
    SinkUnavailableError,
)

logger = logging.getLogger(__name__)

_ARROW_SCHEMA = pa.schema(
    [
        pa.field(name, {pl.Int32: pa.int32(), pl.Int64: pa.int64(), pl.String: pa.string()}.get(type(kind)))
        if not isinstance(kind, pl.Datetime)
        else pa.field(name, pa.timestamp("us", "UTC"))
        for name, kind in FRAME_SCHEMA.items()
    ]
)
_CONFIGURATION = {
    "delta.checkpointInterval": "50",
    "delta.logRetentionDuration": "interval 1 days",
    "delta.setTransactionRetentionDuration": "interval 3650 days",  # offsets must outlive any outage
}
#: Files that compaction replaced are kept this long, for readers that opened the table before.
_KEEP_HOURS = 2
_ATTEMPTS = 5

_DISTINCT = f"""
select distinct event_id, organization_id, type, {DUCKDB_DAY} as day, {DUCKDB_HASH} as content_hash from raw
"""


class DeltaSink:
    """A Delta table in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._table = DeltaTable.create(
                str(folder),
                schema=DeltaSchema.from_arrow(_ARROW_SCHEMA),
                mode="ignore",
                configuration=_CONFIGURATION,
            )
        except (DeltaError, OSError) as error:
            raise SinkUnavailableError(f"cannot open {folder}: {error}") from error

    def offsets(self, epoch: UUID) -> dict[Partition, int]:
        """Next offset to load of each partition that has any, within an epoch."""
        self._refresh()
        stored = ((place, self._table.transaction_version(_app_id(epoch, place))) for place in self._places(epoch))
        return {place: offset for place, offset in stored if offset is not None}

    def append(self, rows: pl.DataFrame, *, epoch: UUID, ranges: Mapping[Partition, OffsetRange]) -> None:
        """Add rows and move the offsets, in one commit. Tried again when somebody else's commit was in the way."""
        for attempt in range(_ATTEMPTS):
            self._refresh()
            self._compare(epoch, ranges)
            transactions = [Transaction(_app_id(epoch, place), offsets.next) for place, offsets in ranges.items()]
            try:
                write_deltalake(
                    self._table,
                    rows.select(list(FRAME_SCHEMA)),
                    mode="append",
                    commit_properties=CommitProperties(app_transactions=[*transactions, *self._widened(epoch, ranges)]),
                )
            except CommitFailedError as error:
                logger.info("a commit was in the way: %s", error, extra={"attempt": attempt})
            except (DeltaError, OSError) as error:
                raise SinkUnavailableError(f"cannot write {self._folder}: {error}") from error
            else:
                return
        raise SinkUnavailableError(f"others commit to {self._folder} faster than this loader")

    def _compare(self, epoch: UUID, ranges: Mapping[Partition, OffsetRange]) -> None:
        for place, offsets in ranges.items():
            stored = self._table.transaction_version(_app_id(epoch, place)) or 0
            if stored != offsets.start:
                raise OffsetConflictError(f"{place.topic}-{place.number} is at {stored}, not {offsets.start}")

    def _places(self, epoch: UUID) -> list[Partition]:
        """Partitions that may have an offset: offsets can be asked for by name only, so widths are stored as well."""
        return [
            Partition(topic, number)
            for topic in EVENT_TOPICS
            for number in range(self._table.transaction_version(_width_id(epoch, topic)) or TOPICS[topic][0])
        ]

    def _widened(self, epoch: UUID, places: Iterable[Partition]) -> list[Transaction]:
        """The new width of each topic that has more partitions than was known."""
        known = Counter(place.topic for place in self._places(epoch))
        needed = {place.topic: place.number + 1 for place in sorted(places)}
        return [Transaction(_width_id(epoch, topic), n) for topic, n in needed.items() if n > known[topic]]

    def replace(self, batches: Iterator[pl.DataFrame], *, epoch: UUID | None, offsets: Mapping[Partition, int]) -> None:
        """Put the batches in place of all rows and set the offsets of all of the epoch's partitions."""
        transactions = (
            [Transaction(_app_id(epoch, place), offsets.get(place, 0)) for place in self._places(epoch)]
            if epoch
            else []
        )
        staging = self._stage(batches)
        try:
            for _ in range(_ATTEMPTS):
                self._refresh()
                try:
                    write_deltalake(
                        self._table,
                        staging.to_pyarrow_dataset().scanner().to_reader(),
                        mode="overwrite",
                        commit_properties=CommitProperties(app_transactions=transactions),
                    )
                except CommitFailedError:
                    continue  # the loader was faster: its rows are among ours, or it will load them again
                return
            raise SinkUnavailableError("the loader commits faster than the new rows can be swapped in; stop it")
        except (DeltaError, OSError) as error:
            raise SinkUnavailableError(f"cannot write {self._folder}: {error}") from error
        finally:
            _remove(Path(staging.table_uri.removeprefix("file://")))

    def group_sums(self) -> dict[GroupKey, GroupSum]:
        """Distinct events per group."""
        query = f"select organization_id, type, day, count(*), sum(content_hash) from ({_DISTINCT}) group by 1, 2, 3"
        return {
            GroupKey(UUID(organization_id), kind, day): GroupSum(count, int(total))
            for organization_id, kind, day, count, total in self._query(query)
        }

    def hashes(self, key: GroupKey) -> dict[UUID, set[int]]:
        """Content hash of each event of a group; more than one where copies differ."""
        query = f"select event_id, content_hash from ({_DISTINCT}) where organization_id = ? and type = ? and day = ?"
        found: dict[UUID, set[int]] = {}
        for event_id, content_hash in self._query(query, str(key.organization_id), key.type, key.day):
            found.setdefault(UUID(event_id), set()).add(content_hash)
        return found

    def compact(self) -> None:
        """Merge small files and remove those that nobody reads any more."""
        try:
            self._refresh()
            self._table.optimize.compact()
            self._table.vacuum(retention_hours=_KEEP_HOURS, dry_run=False, enforce_retention_duration=False)
        except (DeltaError, OSError) as error:
            logger.warning("cannot compact the raw table: %s", error)

    def close(self) -> None:
        """Nothing to give up: the table is files."""

    def _refresh(self) -> None:
        try:
            self._table.update_incremental()
        except (DeltaError, OSError) as error:
            raise SinkUnavailableError(f"cannot read {self._folder}: {error}") from error

    def _query(self, query: str, *parameters: object) -> list[tuple]:  # type: ignore[type-arg]  # rows of any shape
        self._refresh()
        files = self._table.file_uris()
        if not files:
            return []
        try:
            with duckdb.connect() as connection:
                connection.read_parquet(files).create_view("raw")
                return connection.execute(query, parameters).fetchall()
        except duckdb.Error as error:
            raise SinkUnavailableError(f"cannot read {self._folder}: {error}") from error

    def _stage(self, batches: Iterator[pl.DataFrame]) -> DeltaTable:
        """Write the batches aside first: the swap is then a plain copy of files, short and repeatable."""
        folder = self._folder.with_name(f"{self._folder.name}.rebuild")
        _remove(folder)
        reader = pa.RecordBatchReader.from_batches(_ARROW_SCHEMA, _arrow_batches(batches))
        try:
            write_deltalake(str(folder), reader, mode="overwrite")
            return DeltaTable(str(folder))
        except (DeltaError, OSError) as error:
            _remove(folder)
            raise SinkUnavailableError(f"cannot write {folder}: {error}") from error


def _app_id(epoch: UUID, place: Partition) -> str:
    return f"{epoch}:{place.topic}-{place.number}"


def _width_id(epoch: UUID, topic: str) -> str:
    return f"{epoch}:{topic}"


def _arrow_batches(frames: Iterator[pl.DataFrame]) -> Iterator[pa.RecordBatch]:
    for frame in frames:
        yield from frame.select(list(FRAME_SCHEMA)).to_arrow().cast(_ARROW_SCHEMA).to_batches()


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True) if folder.exists() else []:
        path.rmdir() if path.is_dir() else path.unlink()
    if folder.exists():
        folder.rmdir()
