"""One warehouse, as what orchestrates it is given it.

A plain object, not Dagster configuration: a warehouse URL holds a password, and Dagster's pages show configuration.
"""

from dataclasses import dataclass
from pathlib import Path

from contracts.settings import OrchestrationSettings, RelayDatabaseSettings, WarehouseSettings
from metrics.status import StatusStore, open_status_store

#: How long a run waits while another one writes the build.
LOCK_SECONDS = 300.0


@dataclass(frozen=True)
class Warehouse:
    """A warehouse, where dbt leaves its artifacts, and the event log to compare with."""

    settings: WarehouseSettings
    dbt_target_path: Path
    event_log_url: str
    lock_seconds: float = LOCK_SECONDS

    @classmethod
    def from_settings(cls) -> "Warehouse":
        """The warehouse that the settings name."""
        return cls(
            settings=WarehouseSettings(),
            dbt_target_path=OrchestrationSettings().dbt_target_path.absolute(),
            event_log_url=RelayDatabaseSettings().database_relay_url.get_secret_value(),
        )

    @property
    def url(self) -> str:
        """The warehouse's URL, password included."""
        return self.settings.warehouse_url.get_secret_value()

    @property
    def status(self) -> StatusStore:
        """Where people read how the warehouse fares."""
        return open_status_store(self.url)
