"""What tests of loaders ask again and again: is raw complete, how many rows has it."""

from contextlib import closing
from typing import Any

from deltalake import DeltaTable

from contracts.settings import WarehouseSettings
from ingest.reconcile import ReconcileReport, reconcile
from ingest.sinks import open_sink
from ingest.sinks.interface import GroupKey, GroupSum
from tests.conftest import Database
from tests.ingest.writers import count

Settings = tuple[Any, Any, WarehouseSettings]


def reconciled(database: Database, settings: Settings) -> ReconcileReport:
    """PostgreSQL beside raw."""
    return reconcile(database.relay_url, settings[2])


def is_complete(database: Database, settings: Settings) -> bool:
    """Whether raw holds exactly the event log, and nothing is on its way. All is compared once there may be enough."""
    if row_count(settings) < count(database.relay_url, "select count(*) from event_log"):
        return False
    report = reconciled(database, settings)
    return report.is_clean and report.in_flight == 0


def row_count(settings: Settings) -> int:
    """Rows of raw, copies included."""
    url = settings[2].warehouse_url.get_secret_value()
    if url.startswith("postgresql"):
        is_there = count(url, "select count(*) from pg_class where oid = to_regclass('raw.events')")
        return count(url, "select count(*) from raw.events") if is_there else 0
    folder = f"{url.removeprefix('duckdb://')}/raw/events"
    return int(DeltaTable(folder).count()) if DeltaTable.is_deltatable(folder) else 0


def content(settings: Settings) -> dict[GroupKey, GroupSum]:
    """Distinct events of raw per group."""
    with closing(open_sink(settings[2])) as sink:
        return sink.group_sums()
