"""How far raw is, and when it was rewritten: cheap enough to ask several times a second, exact enough to name what a
build has read.

DuckDB warehouse: the Delta table's version and the statistics in its log. PostgreSQL warehouse: the loader's offsets
and what it counted.
A look reads no event.
"""

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import polars as pl
import psycopg

from contracts.warehouse import RAW_EVENTS, RAW_GENERATION, RAW_SCHEMA
from metrics.publication import is_duckdb, warehouse_folder
from orchestration.build.raw_table import read_snapshot


@dataclass(frozen=True)
class RawState:
    """Raw at one moment. `version` differs whenever rows were added or removed.

    `generation` moves when raw was rewritten from PostgreSQL (rebuilt or repaired), and is part of the version.
    """

    version: str
    row_count: int
    recorded_through: datetime | None
    generation: int = 0


class RawWatch(Protocol):
    """Tells whether raw changed, at the price of a look."""

    def version(self) -> str | None:
        """The present version; None while there is no raw relation."""
        ...

    def state(self) -> RawState | None:
        """The present version with its row count and newest `recorded_at`; None while there is no raw relation."""
        ...

    def count_rows(self) -> int:
        """Rows there are now, counted one by one where a state has but the loader's own count of them."""
        ...

    def close(self) -> None:
        """Give up connections."""
        ...


def watch_raw(warehouse_url: str) -> RawWatch:
    """The watch of a warehouse (`duckdb:///folder` or `postgresql://…`)."""
    if is_duckdb(warehouse_url):
        return DeltaWatch(raw_path(warehouse_url))
    return PostgresWatch(warehouse_url)


def read_raw_state(warehouse_url: str) -> RawState | None:
    """How far raw is now; None while there is no raw relation."""
    with closing(watch_raw(warehouse_url)) as watch:
        return watch.state()


def read_version(warehouse_url: str) -> str | None:
    """The version of raw now; None while there is no raw relation."""
    with closing(watch_raw(warehouse_url)) as watch:
        return watch.version()


def generation_of(version: str | None) -> int:
    """When raw was last rewritten, as its version says: microseconds of Unix time, 0 for never."""
    return int(version.split("-")[0]) if version and "-" in version else 0


def _named(generation: int, version: object) -> str:
    return f"{generation}-{version}" if generation else str(version)


def raw_path(warehouse_url: str) -> Path:
    """Folder of the Delta table that the loader writes."""
    return warehouse_folder(warehouse_url) / "raw" / RAW_EVENTS


class DeltaWatch:
    """Watches a Delta table on a local disk."""

    def __init__(self, table: Path) -> None:
        self._table = table

    def version(self) -> str | None:
        """The Delta version."""
        found = read_snapshot(self._table)
        return _named(found.generation, found.version) if found else None

    def state(self) -> RawState | None:
        """Row count and newest `recorded_at` from the log's file statistics."""
        found = read_snapshot(self._table)
        if found is None:
            return None
        files = pl.DataFrame(found.files)
        newest = files["max.recorded_at"].max() if "max.recorded_at" in files.columns else None
        return RawState(
            version=_named(found.generation, found.version),
            generation=found.generation,
            row_count=int(files["num_records"].sum()) if files.height else 0,
            recorded_through=_aware(newest),
        )

    def count_rows(self) -> int:
        """As the log's statistics say, which belong to the files."""
        state = self.state()
        return state.row_count if state else 0

    def close(self) -> None:
        """Nothing to give up: the process keeps the table for whoever looks next."""


class PostgresWatch:
    """Watches raw in a PostgreSQL warehouse over one connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None

    def version(self) -> str | None:
        """The generation, and a digest of the loader's offsets, which move in the transaction that adds rows."""
        row = self._fetch(
            "select md5(string_agg(offsets::text, ' ' order by offsets::text))"
            f" from {RAW_SCHEMA}.loader_offsets offsets"
        )
        generation = self._read_generation()
        if row is None or not (row[0] or generation):
            return None
        return _named(generation, row[0] or "unmoved")  # rebuilt before the loader's first commit

    def state(self) -> RawState | None:
        """As `version`, with what the loader counted in the same commits."""
        version = self.version()
        row = self._fetch(f"select row_count, recorded_through from {RAW_SCHEMA}.{RAW_GENERATION}") if version else None
        if row is None:
            return None
        return RawState(str(version), row_count=row[0], recorded_through=row[1], generation=generation_of(version))

    def count_rows(self) -> int:
        """Read all of raw: a loader of an older release adds rows that it does not count."""
        row = self._fetch(f"select count(*) from {RAW_SCHEMA}.{RAW_EVENTS}")
        return int(row[0]) if row else 0

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read_generation(self) -> int:
        row = self._fetch(f"select generation from {RAW_SCHEMA}.{RAW_GENERATION}")
        return int(row[0]) if row else 0

    def _fetch(self, query: str) -> tuple[Any, ...] | None:
        try:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(self._url, autocommit=True)
            return self._connection.execute(query).fetchone()
        except psycopg.errors.UndefinedTable:
            return None
        except psycopg.OperationalError:
            self.close()
            raise


def _aware(moment: object) -> datetime | None:
    if not isinstance(moment, datetime):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
