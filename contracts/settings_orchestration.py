"""Settings of what Dagster runs: the refresh, its pages, scores, and whom it tells."""

from pathlib import Path

from pydantic import Field, SecretStr

from contracts.settings_sources import Names, Secrets, Settings


class OrchestrationSettings(Settings):
    """Dagster and the continuous refresh."""

    dagster_home: Path = Field(default=Path(".sluice/dagster"), description="Dagster's own storage.")
    dagster_host: str = "127.0.0.1"
    dagster_port: int = Field(default=3000, ge=1, le=65535)
    dbt_target_path: Path = Field(default=Path(".sluice/dbt"), description="dbt's artifacts and logs.")
    refresh_poll_seconds: float = Field(default=0.3, gt=0, description="How often to look for new raw events.")
    settled_seconds: float = Field(
        default=300, gt=0, description="How often daily and historical marts are built, when events came."
    )


class OperatorSettings(Settings):
    """Who may open Dagster's pages, and by which names the server is reached."""

    dagster_token: SecretStr = Field(min_length=16, description="What operators sign in with, and programs as Bearer.")
    dagster_hosts: Names = Field(
        default=(),
        description="Names (with their port, where it is not usual) besides 127.0.0.1 and localhost, comma separated.",
    )


class ScoringSettings(Settings):
    """Whose deals are scored by the clock."""

    api_url: str = "http://127.0.0.1:8000"
    scores_keys: Secrets = Field(
        default=(),
        description="Keys of services of an administrator's role, one per organization, comma separated, with the"
        " scopes me:read, organization:read, pipelines:read, scores:read and scores:write: whoever has one gets models"
        " trained by night, and changed deals scored within seconds.",
    )


class AlertSettings(Settings):
    """Whom Dagster tells of checks that fail and of figures that are late. Mail goes by the server of SLUICE_SMTP_*."""

    alert_mail: str | None = Field(default=None, description="Address of the operators.")
    alert_webhook_url: SecretStr | None = Field(default=None, description="Takes a POST of JSON with `text`.")

    @property
    def is_anybody_told(self) -> bool:
        """Whether there is a way to tell."""
        return self.alert_mail is not None or self.alert_webhook_url is not None
