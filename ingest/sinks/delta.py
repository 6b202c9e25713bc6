"""Raw events in a Delta table: files and a log of commits in a folder, readable by any engine.

The next offset of each partition is an application transaction of the commit that adds the rows. Delta refuses two
concurrent commits with the same application id, but not a later replay: so the stored offset is compared first.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import duckdb
import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import CommitFailedError, DeltaError

from bus.records import Partition
from bus.topics import TOPICS
from contracts.topics import EVENT_TOPICS
from contracts.warehouse import RAW_GENERATION
from ingest.sinks.compaction import KEEP_HOURS, compact, list_files, plan_merges
from ingest.sinks.delta_files import ARROW_SCHEMA, read_blocks, write_aside
from ingest.sinks.fingerprint import DUCKDB_DAY, DUCKDB_HASH
from ingest.sinks.interface import (
    FRAME_SCHEMA,
    Compaction,
    GroupKey,
    GroupSum,
    OffsetConflictError,
    OffsetRange,
    SinkUnavailableError,
    next_generation,
)

logger = logging.getLogger(__name__)

_CONFIGURATION = {
    "delta.checkpointInterval": "50",
    # each commit lists the log's files, one more for every commit before: a day of them makes it two seconds longer
    "delta.logRetentionDuration": "interval 10 minutes",
    # a checkpoint names the files that were merged away, so that they are kept for readers; not for a week
    "delta.deletedFileRetentionDuration": f"interval {KEEP_HOURS} hours",
    "delta.setTransactionRetentionDuration": "interval 3650 days",  # offsets must outlive any outage
}
_ATTEMPTS = 20
#: A table that was brought up to date file by file commits ever more slowly: after a thousand of them a quarter of a
#: second, after one that was opened since a twentieth.
_REOPEN_COMMITS = 25
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)

_DISTINCT = f"""
select distinct event_id, organization_id, type, {DUCKDB_DAY} as day, {DUCKDB_HASH} as content_hash from raw
"""


class DeltaSink:
    """A Delta table in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._commits = 0
        self._widths: dict[str, int] = {}  # as last read: looking for one that is not there takes milliseconds
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._table = DeltaTable.create(
                str(folder),
                schema=DeltaSchema.from_arrow(ARROW_SCHEMA),
                mode="ignore",
                configuration=_CONFIGURATION,
            )
            self._configure()
        except (DeltaError, OSError) as error:
            raise SinkUnavailableError(f"cannot open {folder}: {error}") from error

    def _configure(self) -> None:
        """Give a table of an older release the properties of this one."""
        if _CONFIGURATION.items() <= self._table.metadata().configuration.items():
            return
        with suppress(CommitFailedError):  # somebody else was faster, with the same properties
            self._table.alter.set_table_properties(_CONFIGURATION)

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
                self._commits += 1
                return
        raise SinkUnavailableError(f"others commit to {self._folder} faster than this loader")

    def _compare(self, epoch: UUID, ranges: Mapping[Partition, OffsetRange]) -> None:
        for place, offsets in ranges.items():
            stored = self._table.transaction_version(_app_id(epoch, place)) or 0
            if stored != offsets.start:
                raise OffsetConflictError(f"{place.topic}-{place.number} is at {stored}, not {offsets.start}")

    def _places(self, epoch: UUID) -> list[Partition]:
        """Partitions that may have an offset: offsets can be asked for by name only, so widths are stored as well."""
        return [Partition(topic, number) for topic in EVENT_TOPICS for number in range(self._width(epoch, topic))]

    def _width(self, epoch: UUID, topic: str) -> int:
        name = _width_id(epoch, topic)
        self._widths[name] = self._table.transaction_version(name) or TOPICS[topic][0]
        return self._widths[name]

    def _widened(self, epoch: UUID, places: Iterable[Partition]) -> list[Transaction]:
        """The new width of each topic that has more partitions than was known."""
        needed = {place.topic: place.number + 1 for place in sorted(places)}
        return [
            Transaction(_width_id(epoch, topic), width)
            for topic, width in needed.items()
            if width > self._widths.get(_width_id(epoch, topic), 0) and width > self._width(epoch, topic)
        ]

    def replace(self, blocks: Iterator[bytes], *, epoch: UUID | None, offsets: Mapping[Partition, int]) -> None:
        """Put the rows of the blocks in place of all rows and set the offsets of all of the epoch's partitions."""
        moved = []
        if epoch is not None:
            self._refresh()
            places = [*self._places(epoch), *offsets]
            moved = [Transaction(_app_id(epoch, place), offsets.get(place, 0)) for place in dict.fromkeys(places)]
            moved += self._widened(epoch, offsets)
        files = write_aside(self._folder, read_blocks(blocks))
        try:
            self._rewrite(lambda properties: files.swap_in(self._table, properties), moved)
        finally:
            files.discard()

    def amend(self, event_ids: Collection[UUID], blocks: Iterator[bytes]) -> None:
        """Remove all rows of the events named and add the rows of the blocks, in one commit."""
        names = ", ".join(f"'{event_id}'" for event_id in event_ids)
        rows = read_blocks(blocks).read_all()  # few, and written again after a conflict
        self._rewrite(
            lambda properties: write_deltalake(
                self._table, rows, mode="overwrite", predicate=f"event_id in ({names})", commit_properties=properties
            ),
            [],
        )

    def forget(self, organization_ids: Collection[UUID]) -> int:
        """Remove all rows of some organizations, in one commit. Their old files go with the next compactions."""
        names = ", ".join(f"'{one}'" for one in organization_ids)
        those = f"organization_id in ({names})"
        counted = self._query(f"select count(*) from raw where {those}")
        if not counted or not counted[0][0]:
            return 0
        self._rewrite(lambda properties: self._delete(those, properties), [])
        return int(counted[0][0])

    def _delete(self, predicate: str, properties: CommitProperties) -> None:
        self._table.delete(predicate, commit_properties=properties)

    def generation(self) -> int:
        """When raw was last rewritten."""
        self._refresh()
        return self._table.transaction_version(RAW_GENERATION) or 0

    def holds_nothing(self) -> bool:
        """Whether there is no row."""
        self._refresh()
        return not self._table.file_uris()

    def is_gone(self) -> bool:
        """Whether somebody removed the folder."""
        return not (self._folder / "_delta_log").is_dir()

    def _rewrite(self, commit: Callable[[CommitProperties], None], transactions: list[Transaction]) -> None:
        """Commit a rewrite over the newest version, again where somebody else was faster."""
        for _ in range(_ATTEMPTS):
            generation = Transaction(RAW_GENERATION, next_generation(self.generation()))
            try:
                commit(CommitProperties(app_transactions=[*transactions, generation]))
            except CommitFailedError:
                continue  # the loader's rows are among ours, or stay, or it will load them again
            except (DeltaError, OSError) as error:
                raise SinkUnavailableError(f"cannot write {self._folder}: {error}") from error
            return
        raise SinkUnavailableError("the loader commits faster than raw can be rewritten; stop it for a moment")

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

    def recorded_since(self, loaded_at: datetime) -> dict[UUID, datetime]:
        """Oldest `recorded_at` among the rows loaded at an instant or later, of each organization that has any."""
        since = (loaded_at - _UNIX) // timedelta(microseconds=1)
        oldest = "select organization_id, epoch_us(min(recorded_at)) from raw where epoch_us(loaded_at) >= ? group by 1"
        rows = self._query(oldest, since)
        return {UUID(organization_id): _UNIX + timedelta(microseconds=at) for organization_id, at in rows}

    def compact(self) -> Compaction:
        """Merge settled small files and remove those that nobody reads any more."""
        try:
            return compact(self._table, self._folder)
        except (DeltaError, OSError) as error:
            raise SinkUnavailableError(f"cannot compact {self._folder}: {error}") from error

    def has_small_files(self) -> bool:
        """Whether enough settled files are small."""
        try:
            return bool(plan_merges(list_files(self._table)))
        except (DeltaError, OSError) as error:
            raise SinkUnavailableError(f"cannot read {self._folder}: {error}") from error

    def close(self) -> None:
        """Nothing to give up: the table is files."""

    def _refresh(self) -> None:
        try:
            if self._commits >= _REOPEN_COMMITS:
                self._table, self._commits = DeltaTable(str(self._folder)), 0
            self._table.update_incremental()
        except (DeltaError, OSError) as error:
            raise SinkUnavailableError(f"cannot read {self._folder}: {error}") from error

    @property
    def _limits(self) -> dict[str, str | bool | int | float | list[str]]:
        """What a comparison may take: millions of distinct events go to disk, beside the table."""
        return {"memory_limit": "1GB", "temp_directory": str(self._folder.with_name(f"{self._folder.name}.spill"))}

    def _query(self, query: str, *parameters: object) -> list[tuple]:  # type: ignore[type-arg]  # rows of any shape
        self._refresh()
        files = self._table.file_uris()
        if not files:
            return []
        try:
            with duckdb.connect(config=self._limits) as connection:
                connection.execute("set enable_progress_bar = false")  # it would go to standard output
                connection.read_parquet(files).create_view("raw")
                return connection.execute(query, parameters).fetchall()
        except duckdb.Error as error:
            raise SinkUnavailableError(f"cannot read {self._folder}: {error}") from error


def _app_id(epoch: UUID, place: Partition) -> str:
    return f"{epoch}:{place.topic}-{place.number}"


def _width_id(epoch: UUID, topic: str) -> str:
    return f"{epoch}:{topic}"
