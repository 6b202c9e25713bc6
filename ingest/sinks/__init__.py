"""Where raw events end up: one module per warehouse, both with the interface `RawSink` (see `interface`).

The rows and the offset to read next are one commit. So the sink alone knows what was loaded, and whoever loads
compares its own idea of the offsets with the sink's in that same commit.
"""

from pathlib import Path
from urllib.parse import urlsplit

from contracts.settings import WarehouseSettings
from contracts.warehouse import RAW_EVENTS
from ingest.sinks.delta import DeltaSink
from ingest.sinks.interface import RawSink
from ingest.sinks.postgres import PostgresSink


def open_sink(settings: WarehouseSettings) -> RawSink:
    """The sink that the settings name; made if it does not exist.

    Raises:
        SinkUnavailableError: it cannot be reached or written.
        ValueError: the URL is of neither kind.
    """
    url = settings.warehouse_url.get_secret_value()
    parts = urlsplit(url)
    if parts.scheme == "duckdb":
        if not parts.path.startswith("/"):
            raise ValueError("SLUICE_WAREHOUSE_URL must name an absolute folder: duckdb:///absolute/folder")
        return DeltaSink(Path(parts.path) / "raw" / RAW_EVENTS)
    if parts.scheme in {"postgresql", "postgres"}:
        return PostgresSink(url)
    raise ValueError("SLUICE_WAREHOUSE_URL must begin with duckdb:/// or postgresql://")
