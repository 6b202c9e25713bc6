"""Connections on the build, of either engine, which speak the same SQL where nothing else is said."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import duckdb
import psycopg

from contracts.warehouse import BUILD_SCHEMA
from metrics.publication import is_duckdb, warehouse_folder

_MEMORY_LIMIT = "1GB"


class Connection(Protocol):
    """A DuckDB or PostgreSQL connection on the build."""

    def execute(self, query: Any, /) -> Any:  # noqa: ANN401  # two drivers
        """Run a statement."""
        ...


def build_path(warehouse_url: str) -> Path:
    """The private DuckDB file that dbt writes: out of the way, as whoever opens it stops every refresh meanwhile."""
    return warehouse_folder(warehouse_url) / ".build" / "warehouse.duckdb"


def connect_file(warehouse_url: str) -> duckdb.DuckDBPyConnection:
    """A connection on the DuckDB file, to be closed: no other process can open it meanwhile."""
    # without a configuration, as dbt connects: those of one process share what is open
    file = duckdb.connect(str(build_path(warehouse_url)))
    file.execute(f"set memory_limit = '{_MEMORY_LIMIT}'")
    return file


@contextmanager
def kept_open(warehouse_url: str) -> Iterator[None]:
    """Keep the DuckDB file open between the connections that are made meanwhile.

    To open it, and to write it back as the last one closes, costs some fifty milliseconds, and an update connects
    twenty times.
    """
    if is_duckdb(warehouse_url) and build_path(warehouse_url).exists():
        with connect_file(warehouse_url):
            yield
    else:
        yield


@contextmanager
def open_build(warehouse_url: str) -> Iterator[Connection]:
    """One transaction on the build, in which its marts go by their bare names."""
    if is_duckdb(warehouse_url):
        with connect_file(warehouse_url) as file, transaction(file):
            yield file
    else:
        with psycopg.connect(warehouse_url, options=f"-c search_path={BUILD_SCHEMA}") as server:
            yield server


@contextmanager
def transaction(file: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """A transaction of a DuckDB file."""
    file.execute("begin")
    try:
        yield
    except BaseException:
        file.execute("rollback")
        raise
    file.execute("commit")
