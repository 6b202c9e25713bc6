"""One warehouse, as what orchestrates it is given it.

A plain object, not Dagster configuration: a warehouse URL holds a password, and Dagster's pages show configuration.
"""

from dataclasses import dataclass
from pathlib import Path

from contracts.settings import OrchestrationSettings, RelayDatabaseSettings, WarehouseSettings
from metrics.status import StatusStore, open_status_store
from orchestration.build.mart_quality import MartQuality

#: How long a run waits while another one writes the build.
LOCK_SECONDS = 300.0


@dataclass(frozen=True)
class Warehouse:
    """A warehouse, where dbt leaves its artifacts, and the event log to compare with.

    `quality` judges builds before they are published; without it the models' own tests do alone.
    """

    settings: WarehouseSettings
    dbt_target_path: Path
    event_log_url: str
    lock_seconds: float = LOCK_SECONDS
    quality: MartQuality | None = None

    @classmethod
    def from_settings(cls) -> "Warehouse":
        """The warehouse that the settings name."""
        settings = OrchestrationSettings()
        return cls(
            settings=WarehouseSettings(),
            dbt_target_path=settings.dbt_target_path.absolute(),
            quality=MartQuality(settings.dagster_home.absolute() / "quality"),
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
