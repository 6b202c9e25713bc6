"""Makes a warehouse out of a list of events, for tests: events -> raw -> dbt -> published version.

publish_warehouse(duckdb_warehouse(folder), log.events, target_path=folder / "dbt")
"""

import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import polars as pl
from pydantic import SecretStr

from bus.records import Partition
from contracts.settings import WarehouseSettings
from contracts.topics import topic_of
from contracts.warehouse import RAW_EVENT_COLUMNS, Group
from ingest.sinks import open_sink
from ingest.sinks.interface import OffsetRange
from orchestration.build.dbt import OnNode, load_project, require_success
from orchestration.build.parts import Build, Builder, build
from orchestration.publish import publish
from tests.event_history import AnyEvent

EPOCH = UUID("00000000-0000-7000-8000-000000000001")


def duckdb_warehouse(folder: Path) -> WarehouseSettings:
    """Settings of a warehouse in a folder."""
    return WarehouseSettings(warehouse_url=SecretStr(f"duckdb://{folder.resolve()}"))


def copied_warehouse(original: Path, folder: Path) -> WarehouseSettings:
    """Settings of a copy, in a new folder, of a DuckDB warehouse that nobody uses."""
    shutil.copytree(original, folder)
    return duckdb_warehouse(folder)


def postgres_warehouse(url: str) -> WarehouseSettings:
    """Settings of a warehouse in a PostgreSQL database that the URL's role may create schemas in."""
    return WarehouseSettings(warehouse_url=SecretStr(url))


def load_raw(warehouse: WarehouseSettings, events: Iterable[AnyEvent], *, loaded_at: datetime | None = None) -> None:
    """Append events to the raw relation, as the loader would, in one commit. The same event twice makes two rows."""
    sink = open_sink(warehouse)
    try:
        offsets = sink.offsets(EPOCH)
        first = dict(offsets)
        rows = []
        for event in events:
            place = Partition(topic_of(event.aggregate_type), 0)
            offset = offsets.get(place, 0)
            rows.append(_raw_row(event, place=place, offset=offset, loaded_at=loaded_at or datetime.now(UTC)))
            offsets[place] = offset + 1
        frame = pl.DataFrame(rows, schema=_FRAME_SCHEMA, orient="row")
        ranges = {place: OffsetRange(first.get(place, 0), offset) for place, offset in offsets.items()}
        sink.append(frame, epoch=EPOCH, ranges=ranges)
    finally:
        sink.close()


def build_warehouse(warehouse: WarehouseSettings, events: Iterable[AnyEvent], *, target_path: Path) -> Build:
    """Load events and build the marts; nothing is published."""
    load_raw(warehouse, events)
    return build(warehouse, target_path=target_path)


def build_sales(
    warehouse: WarehouseSettings, events: Iterable[AnyEvent] = (), *, target_path: Path, on_node: OnNode | None = None
) -> None:
    """As `build_warehouse`, but of all groups only that of sales and what it reads: half of what building costs.

    Raises:
        DbtError: a model or test failed.
    """
    if events := list(events):
        load_raw(warehouse, events)
    wanted = (Group.EVENTS, Group.SHARED, Group.SALES)
    parts = load_project(warehouse, target_path=target_path).parts.values()
    others = {part for part in parts if part.group not in wanted}
    builder = Builder(warehouse, target_path=target_path, without=others, on_node=on_node)
    require_success([*builder.build_live().nodes, *builder.build_settled().nodes])


def publish_warehouse(
    warehouse: WarehouseSettings,
    events: Iterable[AnyEvent],
    *,
    target_path: Path,
    tests: bool = False,
    now: datetime | None = None,
) -> str:
    """Load events, build the marts and publish them; answers the version's name. Call again with more events to add."""
    load_raw(warehouse, events)
    build(warehouse, target_path=target_path, tests=tests)
    url = warehouse.warehouse_url.get_secret_value()
    return publish(url, manifest_hash="test", now=now or datetime.now(UTC)).version


_POLARS_TYPES: dict[str, pl.DataType] = {
    "string": pl.String(),
    "int32": pl.Int32(),
    "int64": pl.Int64(),
    "timestamp": pl.Datetime("us", "UTC"),
}
_FRAME_SCHEMA = {name: _POLARS_TYPES[kind] for name, (kind, _) in RAW_EVENT_COLUMNS.items()}


def _raw_row(event: AnyEvent, *, place: Partition, offset: int, loaded_at: datetime) -> dict[str, object]:
    message = event.model_dump(mode="json", exclude={"data"})
    return {
        **{name: message.get(name) for name in RAW_EVENT_COLUMNS},
        "event_id": message["id"],
        "data": event.data.model_dump_json(),
        "occurred_at": event.occurred_at,
        "recorded_at": event.recorded_at,
        "epoch": str(EPOCH),
        "topic": place.topic,
        "partition": place.number,
        "offset": offset,
        "loaded_at": loaded_at,
    }
