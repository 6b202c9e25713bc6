"""Where raw events end up: one module per warehouse, both with the interface `RawSink` (see `interface`).

The rows and the offset to read next are one commit. So the sink alone knows what was loaded, and whoever loads
compares its own idea of the offsets with the sink's in that same commit.
"""

from contracts.settings import WarehouseSettings
from contracts.warehouse import RAW_EVENTS, duckdb_folder
from ingest.sinks.delta import DeltaSink
from ingest.sinks.interface import RawSink
from ingest.sinks.postgres import PostgresSink


def open_sink(settings: WarehouseSettings) -> RawSink:
    """The sink that the settings name; made if it does not exist.

    Raises:
        SinkUnavailableError: it cannot be reached or written.
    """
    url = settings.warehouse_url.get_secret_value()
    folder = duckdb_folder(url)
    return PostgresSink(url) if folder is None else DeltaSink(folder / "raw" / RAW_EVENTS)
