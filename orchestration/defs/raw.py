"""Raw events as Dagster sees them: an asset that the loader writes and Dagster only observes."""

import warnings

import dagster as dg

from orchestration.raw_state import RawState, read_raw_state
from orchestration.resources import Pipeline

RAW_EVENTS_KEY = dg.AssetKey(["raw", "events"])


def _observe(pipeline: dg.ResourceParam[Pipeline]) -> dg.ObserveResult:
    """Look at raw: its version, how many rows it has, and how far it reaches."""
    state = read_raw_state(pipeline.url)
    if state is None:
        return dg.ObserveResult(data_version=dg.DataVersion("none"), metadata={"dagster/row_count": 0})
    return dg.ObserveResult(data_version=dg.DataVersion(state.version), metadata=describe(state))


with warnings.catch_warnings():
    # Dagster calls observation beta; its version is pinned, and the warning would greet every start
    warnings.simplefilter("ignore", dg.BetaWarning)
    raw_events = dg.observable_source_asset(
        key=RAW_EVENTS_KEY,
        group_name="raw",
        description="Every event the loader took from Kafka, at least once. Its data version is that of the relation.",
    )(_observe)


def describe(state: RawState) -> dict[str, dg.MetadataValue]:
    """What Dagster shows of a state of raw."""
    shown: dict[str, dg.MetadataValue] = {
        "dagster/row_count": dg.MetadataValue.int(state.row_count),
        "version": dg.MetadataValue.text(state.version),
    }
    if state.recorded_through is not None:
        shown["recorded_through"] = dg.MetadataValue.timestamp(state.recorded_through)
    return shown
