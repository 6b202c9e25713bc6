"""The Delta table of raw events as dbt on DuckDB sees it: a dbt-duckdb plugin, named in dbt_project/profiles.yml.

Each connection gets a relation `raw_events_delta` over the table's present version. DuckDB pushes filters down to the
table's file statistics, so a read with a literal lower bound on `loaded_at` opens new files only. Before the loader's
first commit the relation is empty.
"""

from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from dbt.adapters.duckdb.plugins import BasePlugin
from deltalake import DeltaTable
from duckdb import DuckDBPyConnection

from contracts.warehouse import RAW_EVENT_COLUMNS

RELATION = "raw_events_delta"

_ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


class Plugin(BasePlugin):
    """Registers the raw events on every cursor that dbt opens."""

    def initialize(self, config: dict[str, Any]) -> None:
        """Fix the version to read: one build sees one version, however long it takes."""
        self._events = _open(str(config.get("table", "")))

    def configure_cursor(self, cursor: DuckDBPyConnection) -> None:
        """Make the relation visible to the cursor."""
        cursor.register(RELATION, self._events)


def _open(table: str) -> ds.Dataset | pa.Table:
    if not table or not DeltaTable.is_deltatable(table):
        schema = pa.schema([(name, _ARROW_TYPES[arrow]) for name, (arrow, _) in RAW_EVENT_COLUMNS.items()])
        return schema.empty_table()
    return DeltaTable(table).to_pyarrow_dataset()
