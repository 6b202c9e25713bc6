"""Keeps the raw relation in few files: an asset without rows of its own, materialized by the clock."""

from contextlib import closing

import dagster as dg

from ingest.sinks import open_sink
from ingest.sinks.interface import Compaction
from orchestration.defs.raw import RAW_EVENTS_KEY
from orchestration.resources import Pipeline


@dg.asset(
    key=["raw", "compacted_events"],
    group_name="raw",
    deps=[RAW_EVENTS_KEY],
    description=(
        "The raw relation after its small files were merged and the replaced ones deleted. Loader, refresh and readers"
        " go on meanwhile; no row changes."
    ),
)
def compacted_events(pipeline: dg.ResourceParam[Pipeline]) -> dg.MaterializeResult[None]:
    """Compact the raw relation."""
    with closing(open_sink(pipeline.warehouse)) as sink:
        return dg.MaterializeResult(metadata=_metadata(sink.compact()))


def _metadata(compaction: Compaction | None) -> dict[str, dg.MetadataValue]:
    if compaction is None:
        return {"note": dg.MetadataValue.text("PostgreSQL tidies up by itself.")}
    return {
        "files_before": dg.MetadataValue.int(compaction.files_before),
        "files_after": dg.MetadataValue.int(compaction.files_after),
        "bytes_before": dg.MetadataValue.int(compaction.bytes_before),
        "bytes_after": dg.MetadataValue.int(compaction.bytes_after),
        "files_deleted": dg.MetadataValue.int(compaction.deleted),
    }
