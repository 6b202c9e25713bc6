"""What Dagster's runs are given: the warehouse, and the right to write its build.

Plain objects, not Dagster configuration: a warehouse URL holds a password, and Dagster's pages show configuration.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from contracts.settings import OrchestrationSettings, RelayDatabaseSettings, WarehouseSettings
from metrics.status import StatusStore, open_status_store
from orchestration.build_lock import build_lock
from orchestration.report import RefreshReport

#: How long a run waits while another one writes the build.
TURN_SECONDS = 300.0


@dataclass(frozen=True)
class Pipeline:
    """One warehouse, where dbt leaves its artifacts, and the event log to compare with."""

    warehouse: WarehouseSettings
    dbt_target_path: Path
    event_log_url: str
    turn_seconds: float = TURN_SECONDS

    @classmethod
    def from_settings(cls) -> "Pipeline":
        """The pipeline that the settings name."""
        return cls(
            warehouse=WarehouseSettings(),
            dbt_target_path=OrchestrationSettings().dbt_target_path.absolute(),
            event_log_url=RelayDatabaseSettings().database_relay_url.get_secret_value(),
        )

    @property
    def url(self) -> str:
        """The warehouse's URL, password included."""
        return self.warehouse.warehouse_url.get_secret_value()

    @property
    def status(self) -> StatusStore:
        """Where people read how the pipeline fares."""
        return open_status_store(self.url)


def turn_resource(pipeline: Pipeline) -> dg.ResourceDefinition:
    """The right to write the build, held from a run's first step to its last, with the report of what came of it."""

    @dg.resource(description="Holds the build lock during the run and reports the run's outcome.")
    def turn(context: dg.InitResourceContext) -> Iterator[RefreshReport]:
        holder = f"Dagster run {context.run.run_id}" if context.run else "Dagster"
        with build_lock(pipeline.url, holder=holder, wait_seconds=pipeline.turn_seconds):
            report = RefreshReport(pipeline.status, started_at=datetime.now(UTC))
            report.start()
            try:
                yield report
            finally:
                report.close()

    return turn
