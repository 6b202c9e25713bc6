"""Opens the reader of published versions that a warehouse's URL asks for."""

from contracts.settings import FIGURES_MEMORY_LIMIT
from metrics.duckdb_reader import DuckDBReader
from metrics.postgres_reader import PostgresReader
from metrics.publication import is_duckdb, warehouse_folder
from metrics.session import VersionedReader


def open_reader(warehouse_url: str, *, memory_limit: str = FIGURES_MEMORY_LIMIT) -> VersionedReader:
    """A reader of the warehouse at `duckdb:///folder` or `postgresql://…`, whose server has limits of its own."""
    if is_duckdb(warehouse_url):
        return DuckDBReader(warehouse_folder(warehouse_url), memory_limit=memory_limit)
    return PostgresReader(warehouse_url)
