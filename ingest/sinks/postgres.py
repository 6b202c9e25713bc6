"""Raw events in a PostgreSQL warehouse: rows by COPY, the next offsets beside them in the same transaction."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

import polars as pl
import psycopg
from psycopg import sql

from bus.records import Partition
from contracts import locks
from contracts.warehouse import RAW_EVENT_COLUMNS, RAW_EVENTS, RAW_GENERATION, RAW_SCHEMA
from ingest.sinks.fingerprint import POSTGRES_DAY, POSTGRES_HASH
from ingest.sinks.interface import (
    GroupKey,
    GroupSum,
    OffsetConflictError,
    OffsetRange,
    SinkUnavailableError,
    next_generation,
)

_NOT_NULL = frozenset(RAW_EVENT_COLUMNS) - {"actor_id", "causation_id"}
_COLUMNS = sql.SQL(", ").join(
    sql.SQL("{} {} {}").format(
        sql.Identifier(name),
        sql.SQL(kind),
        sql.SQL("not null" if name in _NOT_NULL else ""),
    )
    for name, (_, kind) in RAW_EVENT_COLUMNS.items()
)
_NAMES = sql.SQL(", ").join(map(sql.Identifier, RAW_EVENT_COLUMNS))
_TABLE = sql.Identifier(RAW_SCHEMA, RAW_EVENTS)
_OFFSETS = sql.Identifier(RAW_SCHEMA, "loader_offsets")
_GENERATION = sql.Identifier(RAW_SCHEMA, RAW_GENERATION)
_STAGING = sql.Identifier("rewritten_events")
_SET_UP = sql.SQL("""
create schema if not exists {schema};
create table if not exists {events} ({columns});
create index if not exists ix_raw_events_loaded_at on {events} using brin (loaded_at);
create table if not exists {offsets} (
    epoch uuid not null, topic text not null, partition integer not null, next_offset bigint not null,
    primary key (epoch, topic, partition)
);
create table if not exists {state} (
    only_row boolean primary key default true check (only_row), generation bigint not null
);
alter table {state} add row_count bigint, add recorded_through timestamptz;
""")
_COPY = sql.SQL("copy {} ({}) from stdin (format csv)")
_TIMESTAMP = "%Y-%m-%d %H:%M:%S%.6f+00"

_DISTINCT = sql.SQL(
    f"select distinct event_id, organization_id, type, {POSTGRES_DAY} as day, {POSTGRES_HASH} as content_hash from {{}}"
).format(_TABLE)


class PostgresSink:
    """The raw schema of a PostgreSQL warehouse. Reconnects by itself after an outage."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection | None = None
        with self._transaction() as connection:
            # two processes that open a new warehouse at once must not both make its tables
            connection.execute("select pg_advisory_xact_lock(%s)", (locks.SET_UP_RAW,))
            self._set_up(connection)

    def offsets(self, epoch: UUID) -> dict[Partition, int]:
        """Next offset to load of each partition that has any, within an epoch."""
        query = sql.SQL("select topic, partition, next_offset from {} where epoch = %s").format(_OFFSETS)
        with self._transaction() as connection:
            return {Partition(topic, number): offset for topic, number, offset in connection.execute(query, (epoch,))}

    def append(self, rows: pl.DataFrame, *, epoch: UUID, ranges: Mapping[Partition, OffsetRange]) -> None:
        """Add rows and move the offsets, in one transaction."""
        places = sorted(ranges)
        with self._transaction() as connection:
            _claim_offsets(connection, epoch, places)
            for place, offset in _locked_offsets(connection, epoch).items():
                if place in ranges and offset != ranges[place].start:
                    raise OffsetConflictError(f"{place.topic}-{place.number} is at {offset}, not {ranges[place].start}")
            _copy(connection, _TABLE, rows)
            _set_offsets(connection, epoch, {place: ranges[place].next for place in places})
            _count_in(connection, rows)

    def replace(self, blocks: Iterator[bytes], *, epoch: UUID | None, offsets: Mapping[Partition, int]) -> None:
        """Put the rows of the blocks in place of all rows and set the offsets of all of the epoch's partitions."""
        with self._transaction() as connection:
            _stage(connection, blocks)
            # from here on readers and the loader wait, until the commit shows them the new rows
            connection.execute(sql.SQL("lock table {}, {} in access exclusive mode").format(_OFFSETS, _TABLE))
            connection.execute(sql.SQL("truncate {}").format(_TABLE))
            connection.execute(sql.SQL("insert into {} select * from {}").format(_TABLE, _STAGING))
            if epoch is not None:
                reset = sql.SQL("update {} set next_offset = 0 where epoch = %s").format(_OFFSETS)
                connection.execute(reset, (epoch,))
                _claim_offsets(connection, epoch, sorted(offsets))
                _set_offsets(connection, epoch, offsets)
            _begin_generation(connection)

    def amend(self, event_ids: Collection[UUID], blocks: Iterator[bytes]) -> None:
        """Remove all rows of the events named and add the rows of the blocks, in one transaction."""
        with self._transaction() as connection:
            _stage(connection, blocks)
            remove = sql.SQL("delete from {} where event_id = any(%s)").format(_TABLE)
            connection.execute(remove, (list(event_ids),))
            connection.execute(sql.SQL("insert into {} select * from {}").format(_TABLE, _STAGING))
            _begin_generation(connection)

    def forget(self, organization_ids: Collection[UUID]) -> int:
        """Remove all rows of some organizations, in one transaction."""
        with self._transaction() as connection:
            remove = sql.SQL("delete from {} where organization_id = any(%s)").format(_TABLE)
            removed = connection.execute(remove, (list(organization_ids),)).rowcount
            if removed:
                _begin_generation(connection)
        return removed

    def generation(self) -> int:
        """When raw was last rewritten."""
        with self._transaction() as connection:
            return _read_generation(connection)

    def holds_nothing(self) -> bool:
        """Whether there is no row."""
        with self._transaction() as connection:
            row = connection.execute(f"select not exists (select from {RAW_SCHEMA}.{RAW_EVENTS})").fetchone()
            return bool(row and row[0])

    def is_gone(self) -> bool:
        """Whether somebody dropped the table."""
        with self._transaction() as connection:
            row = connection.execute(f"select to_regclass('{RAW_SCHEMA}.{RAW_EVENTS}') is null").fetchone()
            return bool(row and row[0])

    def group_sums(self) -> dict[GroupKey, GroupSum]:
        """Distinct events per group."""
        query = sql.SQL(
            "select organization_id, type, day, count(*), sum(content_hash) from ({}) d group by 1, 2, 3"
        ).format(_DISTINCT)
        with self._transaction() as connection:
            return {
                GroupKey(organization_id, kind, day): GroupSum(count, int(total))
                for organization_id, kind, day, count, total in connection.execute(query)
            }

    def hashes(self, key: GroupKey) -> dict[UUID, set[int]]:
        """Content hash of each event of a group; more than one where copies differ."""
        query = sql.SQL(
            "select event_id, content_hash from ({}) d where organization_id = %s and type = %s and day = %s"
        ).format(_DISTINCT)
        found: dict[UUID, set[int]] = {}
        with self._transaction() as connection:
            for event_id, content_hash in connection.execute(query, tuple(key)):
                found.setdefault(event_id, set()).add(content_hash)
        return found

    def recorded_since(self, loaded_at: datetime) -> dict[UUID, datetime]:
        """Oldest `recorded_at` among the rows loaded at an instant or later, of each organization that has any."""
        query = sql.SQL("select organization_id, min(recorded_at) from {} where loaded_at >= %s group by 1")
        with self._transaction() as connection:
            return dict(connection.execute(query.format(_TABLE), (loaded_at,)).fetchall())

    def compact(self) -> None:
        """PostgreSQL tidies up by itself."""

    def has_small_files(self) -> bool:
        """There are none of ours."""
        return False

    def close(self) -> None:
        """Give up the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection]:
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(
                    self._url,
                    autocommit=True,
                    connect_timeout=5,
                    application_name="sluice-loader",
                    options="-c TimeZone=UTC",
                )
            with self._connection.transaction():
                yield self._connection
        except psycopg.Error as error:
            self.close()
            raise SinkUnavailableError(f"PostgreSQL warehouse: {error}") from error

    def _set_up(self, connection: psycopg.Connection) -> None:
        """Make what is missing. Nothing is locked where nothing is: a loader starts while raw is being amended."""
        if _has_counts(connection):
            return
        names = {"schema": sql.Identifier(RAW_SCHEMA), "events": _TABLE, "offsets": _OFFSETS, "state": _GENERATION}
        connection.execute(_SET_UP.format(columns=_COLUMNS, **names))
        _count_anew(connection, generation=_read_generation(connection))


def _claim_offsets(connection: psycopg.Connection, epoch: UUID, places: list[Partition]) -> None:
    query = sql.SQL(
        "insert into {} (epoch, topic, partition, next_offset) select %s, t, p, 0 from unnest(%s::text[], %s::int[])"
        " as places (t, p) on conflict do nothing"
    ).format(_OFFSETS)
    connection.execute(query, (epoch, [place.topic for place in places], [place.number for place in places]))


def _locked_offsets(connection: psycopg.Connection, epoch: UUID) -> dict[Partition, int]:
    query = sql.SQL(
        "select topic, partition, next_offset from {} where epoch = %s order by topic, partition for update"
    ).format(_OFFSETS)
    return {Partition(topic, number): offset for topic, number, offset in connection.execute(query, (epoch,))}


def _set_offsets(connection: psycopg.Connection, epoch: UUID, offsets: Mapping[Partition, int]) -> None:
    query = sql.SQL(
        "update {} o set next_offset = n.next_offset"
        " from unnest(%s::text[], %s::int[], %s::bigint[]) as n (topic, partition, next_offset)"
        " where o.epoch = %s and o.topic = n.topic and o.partition = n.partition"
    ).format(_OFFSETS)
    places = list(offsets)
    connection.execute(
        query,
        (
            [place.topic for place in places],
            [place.number for place in places],
            [offsets[place] for place in places],
            epoch,
        ),
    )


def _copy(connection: psycopg.Connection, table: sql.Identifier, rows: pl.DataFrame) -> None:
    if rows.is_empty():
        return
    content = rows.select(list(RAW_EVENT_COLUMNS)).write_csv(include_header=False, datetime_format=_TIMESTAMP)
    with connection.cursor() as cursor, cursor.copy(_COPY.format(table, _NAMES)) as copy:
        copy.write(content)


def _stage(connection: psycopg.Connection, blocks: Iterator[bytes]) -> None:
    """Take the rows in aside: the raw table is touched only when all of them are there."""
    connection.execute(sql.SQL("create temporary table {} ({}) on commit drop").format(_STAGING, _COLUMNS))
    with connection.cursor() as cursor, cursor.copy(_COPY.format(_STAGING, _NAMES)) as copy:
        for block in blocks:
            copy.write(block)


def _read_generation(connection: psycopg.Connection) -> int:
    row = connection.execute(sql.SQL("select generation from {}").format(_GENERATION)).fetchone()
    return row[0] if row else 0


def _has_counts(connection: psycopg.Connection) -> bool:
    """Whether the tables are complete: a warehouse of an older release has its rows counted once."""
    query = "select from pg_attribute where attrelid = to_regclass(%s) and attname = 'row_count' and not attisdropped"
    return connection.execute(query, (f"{RAW_SCHEMA}.{RAW_GENERATION}",)).fetchone() is not None


def _begin_generation(connection: psycopg.Connection) -> None:
    # held before rows are counted: those that a loader adds meanwhile are counted in after this commit
    connection.execute(sql.SQL("select from {} for update").format(_GENERATION))
    _count_anew(connection, generation=next_generation(_read_generation(connection)))


def _count_anew(connection: psycopg.Connection, *, generation: int) -> None:
    query = sql.SQL(
        "insert into {} (generation, row_count, recorded_through) select %s, count(*), max(recorded_at) from {}"
        " on conflict (only_row) do update set generation = excluded.generation, row_count = excluded.row_count,"
        " recorded_through = excluded.recorded_through"
    )
    connection.execute(query.format(_GENERATION, _TABLE), (generation,))


def _count_in(connection: psycopg.Connection, rows: pl.DataFrame) -> None:
    query = sql.SQL("update {} set row_count = row_count + %s, recorded_through = greatest(recorded_through, %s)")
    if not rows.is_empty():
        connection.execute(query.format(_GENERATION), (rows.height, rows["recorded_at"].max()))
