"""The Delta table of raw events as dbt on DuckDB sees it: a dbt-duckdb plugin, named in dbt_project/profiles.yml.

Each connection gets a relation `raw_files`: the files of the table's present version, with the newest `loaded_at` that
the table's log states for each. The macro `raw_events` reads those files alone that may hold something new: a refresh
costs what is new. Before the loader's first commit there are none.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
from dbt.adapters.duckdb.plugins import BasePlugin
from duckdb import DuckDBPyConnection

from orchestration.build.raw_table import read_snapshot

RELATION = "raw_files"

_SCHEMA = pa.schema([("path", pa.string()), ("newest_loaded_at", pa.timestamp("us", tz="UTC"))])


class Plugin(BasePlugin):
    """Registers the list of raw files on every cursor that dbt opens."""

    def initialize(self, config: dict[str, Any]) -> None:
        """Fix the version to read: one build sees one version, however long it takes."""
        self._files = _list_files(str(config.get("table", "")))

    def configure_cursor(self, cursor: DuckDBPyConnection) -> None:
        """Make the relation visible to the cursor."""
        cursor.register(RELATION, self._files)


def _list_files(table: str) -> pa.Table:
    found = read_snapshot(Path(table)) if table else None
    if found is None:
        return _SCHEMA.empty_table()
    paths = [str(Path(table) / path) for path in found.files["path"].to_pylist()]
    known = "max.loaded_at" in found.files.column_names
    newest = found.files["max.loaded_at"].to_pylist() if known else [None] * len(paths)
    return pa.table([paths, newest], schema=_SCHEMA)
