"""Settings from `SLUICE_*` variables: one small class per outside system, each process builds only what it uses.

Where they come from, files of secrets and passwords of URLs among it, is in `contracts.settings_sources`. Those of what
Dagster runs are in `contracts.settings_orchestration`, and imported from here like all others.
"""

import os
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic.dataclasses import dataclass

from contracts.settings_orchestration import AlertSettings as AlertSettings
from contracts.settings_orchestration import OperatorSettings as OperatorSettings
from contracts.settings_orchestration import OrchestrationSettings as OrchestrationSettings
from contracts.settings_orchestration import ScoringSettings as ScoringSettings
from contracts.settings_sources import Names, Secrets, Settings


def _processors() -> int:
    return len(os.sched_getaffinity(0))


class DatabaseSettings(Settings):
    """PostgreSQL as the API and its workers see it: the `sluice_app` role, which owns nothing and obeys RLS."""

    database_url: SecretStr = Field(description="postgresql://sluice_app@host:port/sluice")
    database_password: SecretStr | None = Field(default=None, description="Goes into the URL.")
    database_pool_size: int = Field(default=10, ge=1, description="Connections per API process.")


class OwnerDatabaseSettings(Settings):
    """PostgreSQL as migrations see it: the role that owns the tables and may create roles."""

    database_owner_url: SecretStr = Field(description="postgresql://sluice_owner@host:port/sluice")
    database_owner_password: SecretStr | None = Field(default=None, description="Goes into the URL.")


class RelayDatabaseSettings(Settings):
    """PostgreSQL as the relay, `reconcile` and `rebuild` see it: may read the event log of all organizations."""

    database_relay_url: SecretStr = Field(description="postgresql://sluice_relay@host:port/sluice")
    database_relay_password: SecretStr | None = Field(default=None, description="Goes into the URL.")


class RelaySettings(Settings):
    """How the relay works through the outbox."""

    relay_batch_size: int = Field(default=2_000, ge=1, le=50_000, description="Events between two looks at PostgreSQL.")
    relay_lease_seconds: float = Field(
        default=30.0, ge=2, description="PostgreSQL ends the session of a relay that is silent for longer."
    )
    relay_max_invalid_ratio: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="When more of five minutes' events cannot be published, the relay pauses and parks none of them.",
    )
    outbox_retention_hours: float = Field(
        default=24.0, ge=0, description="How long the outbox keeps where events went, once they are in the warehouse."
    )


class WorkerDatabaseSettings(Settings):
    """PostgreSQL as the job worker sees it: may claim jobs of all organizations, then acts as `sluice_app` in one."""

    database_worker_url: SecretStr = Field(description="postgresql://sluice_worker@host:port/sluice")
    database_worker_password: SecretStr | None = Field(default=None, description="Goes into the URL.")


class WorkerSettings(Settings):
    """How the job worker is watched, and what it passes on."""

    redis_url: SecretStr | None = Field(default=None, description="Where API processes listen for hints, if not here.")
    worker_alive_path: Path | None = Field(default=None, description="A file that a worker touches while it works.")


class KafkaSettings(Settings):
    """The Kafka cluster."""

    kafka_bootstrap_servers: str = Field(default="127.0.0.1:9092", description="host:port, comma separated.")
    kafka_security_protocol: str = Field(default="PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.")
    kafka_sasl_mechanism: str | None = Field(default=None, description="For example SCRAM-SHA-512.")
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_ssl_cafile: Path | None = Field(default=None, description="PEM file; the system's authorities if not given.")
    kafka_ssl_certfile: Path | None = Field(default=None, description="PEM file of the client's own certificate.")
    kafka_ssl_keyfile: Path | None = Field(default=None, description="PEM file of the client certificate's key.")
    kafka_ssl_key_password: SecretStr | None = Field(default=None, description="Of the client certificate's key.")
    kafka_replication_factor: int = Field(default=1, ge=1, description="Of topics that Sluice creates.")
    kafka_min_insync_replicas: int = Field(
        default=1, ge=1, description="Copies that must have a record before it counts as sent; of topics it creates."
    )

    @model_validator(mode="after")
    def _enough_replicas(self) -> Self:
        if self.kafka_min_insync_replicas > self.kafka_replication_factor:
            raise ValueError("SLUICE_KAFKA_MIN_INSYNC_REPLICAS is more than SLUICE_KAFKA_REPLICATION_FACTOR")
        return self


#: Funnels of fifty organizations with a million deals take no longer with it than without a limit. Without one DuckDB
#: keeps all that it has read, which the page cache has as well.
FIGURES_MEMORY_LIMIT = "256MB"


class WarehouseSettings(Settings):
    """The warehouse: `duckdb:///absolute/folder` (Delta tables and published DuckDB files in it) or `postgresql://…`."""

    warehouse_url: SecretStr = Field(description="duckdb:///absolute/folder, or postgresql://user@host:port/warehouse")
    warehouse_password: SecretStr | None = Field(default=None, description="Goes into a PostgreSQL warehouse's URL.")
    warehouse_memory_limit: str = Field(
        default="2GB",
        pattern=r"^\d+(\.\d+)? ?[KMGT]i?B$",
        description="How much memory DuckDB may take to build the marts; what does not fit is put on disk.",
    )
    figures_memory_limit: str = Field(
        default=FIGURES_MEMORY_LIMIT,
        pattern=r"^\d+(\.\d+)? ?[KMGT]i?B$",
        description="The same of each process that answers from the published marts; what it has read counts as well.",
    )
    warehouse_kept_days: int = Field(
        default=7,
        ge=0,
        description="The version of the figures with which a day (UTC) ended can be asked by name for so many days.",
    )

    @field_validator("warehouse_url")
    @classmethod
    def _is_known(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(("duckdb:///", "postgresql://", "postgres://")):
            raise ValueError("begin with duckdb:/// and an absolute folder, or with postgresql://")
        return url


class BackupSettings(Settings):
    """Base backups and the archive of write-ahead log: PostgreSQL as the `sluice_backup` role, which may replicate."""

    database_backup_url: SecretStr = Field(description="postgresql://sluice_backup@host:port/sluice")
    database_backup_password: SecretStr | None = Field(default=None, description="Goes into the URL.")
    backup_path: Path = Field(default=Path(".sluice/backups"), description="Best on another disk than PostgreSQL's.")
    backup_keep: int = Field(default=7, ge=1, description="Base backups to keep; older ones go with their log.")
    backup_every_hours: float = Field(
        default=24, ge=0, description="How often `archive` makes a base backup; 0 leaves it to `sluice backup`."
    )


class AiSettings(Settings):
    """The language model that drafts: any endpoint that speaks OpenAI's API. Without a key there are no drafts."""

    openai_api_key: SecretStr | None = Field(default=None, description="Key of the endpoint; unset: no drafts.")
    openai_base_url: str = Field(default="https://api.openai.com/v1", description="Where the API answers.")
    openai_model: str = Field(default="gpt-5-mini", description="The model that is asked.")
    openai_fallback_model: str = Field(default="", description="The model that is asked where the first one fails.")
    openai_seconds: float = Field(default=60.0, gt=0, description="How long an answer may take.")
    openai_input_price: int = Field(default=250_000, ge=0, description="Micro-dollars for a million tokens read.")
    openai_output_price: int = Field(default=2_000_000, ge=0, description="Micro-dollars for a million tokens written.")
    ai_monthly_budget: int = Field(
        default=20_000_000, ge=0, description="Micro-dollars that an organization may spend in a calendar month (UTC)."
    )
    ai_redacts: bool = Field(default=True, description="Whether names, addresses and numbers of people stay here.")
    ai_link_hosts: str = Field(
        default="", description="Hosts, with commas between, that links in drafts may lead to; others are taken out."
    )

    @property
    def is_ai_on(self) -> bool:
        """Whether there is a model to ask."""
        return self.openai_api_key is not None


class BillingSettings(Settings):
    """Stripe. Without a key there is no billing, and everything is allowed."""

    stripe_secret_key: SecretStr | None = Field(default=None, description="sk_live_… or sk_test_…; unset: no billing.")
    stripe_webhook_secrets: SecretStr | None = Field(
        default=None, description="whsec_…; two of them, with a comma between, while one replaces the other."
    )
    stripe_api_url: str = Field(default="https://api.stripe.com", description="Where Stripe's API answers.")
    billing_return_url: str = Field(
        default="http://127.0.0.1:8501/plan", description="Page to which Stripe sends people back."
    )
    billing_grace_days: int = Field(
        default=14, ge=0, description="How long a plan goes on after its first payment that failed."
    )
    billing_trial_days: int = Field(default=14, ge=0, description="How long a first subscription costs nothing.")
    billing_automatic_tax: bool = Field(default=False, description="Have Stripe Tax reckon taxes; set up there first.")

    @property
    def is_billing_on(self) -> bool:
        """Whether anything is sold here."""
        return self.stripe_secret_key is not None


class FileSettings(Settings):
    """Where uploaded files lie: shared by the API and its worker."""

    files_path: Path = Field(
        default=Path(".sluice/files"), description="Files of records, and of imports with their error files."
    )
    files_keep_days: int = Field(
        default=7, ge=1, description="How long an import's files stay after its end; its error file needs them."
    )


class AttachmentSettings(Settings):
    """What is asked of files that people attach to records."""

    file_max_bytes: int = Field(
        default=25 * 1024 * 1024, ge=1, le=512 * 1024 * 1024, description="How large a file may be."
    )
    storage_max_bytes: int = Field(
        default=20 * 1024**3, ge=1, description="How much the files of one organization may take together."
    )
    file_scan_command: str | None = Field(
        default=None, description="A program that is given a file's path: 0 lets it in, 1 refuses it. Unset: no scan."
    )
    file_clamd: str | None = Field(
        default=None, pattern=r"^[^:\s]+:\d{1,5}$", description="host:port of ClamAV's daemon, instead of a program."
    )


class SecretSettings(Settings):
    """The key from which all others are derived: those of signatures, and of what is sealed in the database."""

    secret_key: SecretStr = Field(min_length=32, description="Signs tokens and cursors; the same on every API process.")
    secret_keys_before: Secrets = Field(
        default=(), description="Earlier values of SLUICE_SECRET_KEY, comma separated: what they sealed still opens."
    )


class OutreachSettings(Settings):
    """What people who are written to find of us."""

    api_public_url: str = Field(
        default="http://127.0.0.1:8000", description="Where everybody finds the API: the way out of a mail leads there."
    )


class MailSettings(Settings):
    """The server that takes the mail which Sluice writes itself. Without one, links come from the command line."""

    smtp_host: str | None = None
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="starttls (port 587), tls (port 465), or none for a server on this machine."
    )
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_sender: str = Field(default="Sluice <sluice@localhost>", description="From whom the mail is.")


@dataclass(frozen=True, kw_only=True)
class OidcProvider:
    """An OpenID provider that people may sign in by."""

    key: str = Field(pattern="^[a-z0-9-]{1,40}$", description="Its name in addresses, as `google`.")
    issuer: str = Field(pattern="^https?://", max_length=500)
    client_id: str = Field(min_length=1)
    client_secret: SecretStr
    label: str = Field(min_length=1, max_length=80, description="What the button says.")

    @field_validator("issuer")
    @classmethod
    def _is_safe(cls, issuer: str) -> str:
        host = urlsplit(issuer).hostname or ""
        if not issuer.startswith("https://") and host not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError("an issuer that is not on this machine needs https")
        return issuer


class ApiSettings(FileSettings, AttachmentSettings, SecretSettings):
    """How the API serves and signs."""

    oidc_providers: list[OidcProvider] = Field(
        default=[],
        description='Providers to sign in by, as JSON: [{"key": "google", "issuer": "https://accounts.google.com",'
        ' "client_id": "…", "client_secret": "…", "label": "Google"}].',
    )
    oidc_redirects: Names = Field(
        default=(),
        description="Where browsers may come back to, comma separated, beside /sso/return of SLUICE_PUBLIC_URL.",
    )

    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8000, ge=1, le=65535)
    api_workers: int = Field(default_factory=_processors, ge=1, description="As many as processors, if not given.")
    api_drain_seconds: float = Field(
        default=1.0, ge=0, le=60, description="How long /readyz says no before a stopping process refuses connections."
    )
    public_url: str = Field(
        default="http://127.0.0.1:8501", description="Where people find the dashboards: links in mails lead there."
    )
    trusted_proxies: int = Field(
        default=0, ge=0, le=9, description="Proxies before the API: so many last entries of X-Forwarded-For count."
    )
    metrics_token: SecretStr | None = Field(
        default=None, description="Lets whoever sends it as Bearer read /metrics; without one, only this machine may."
    )
    limits_are_on: bool = Field(default=True, description="Whether anybody can ask too often.")
    limit_account_per_minute: int = Field(default=3_000, ge=1, description="Requests of one person or key.")
    limit_organization_per_minute: int = Field(default=12_000, ge=1, description="Requests of one organization.")
    redis_url: SecretStr | None = Field(
        default=None, description="Limits are kept there instead of in PostgreSQL, and hints heard from there."
    )
    access_token_seconds: int = Field(default=900, ge=60)
    refresh_token_seconds: int = Field(default=30 * 86400, ge=3600, description="Absolute life of a sign-in.")
    refresh_grace_seconds: int = Field(
        default=30, ge=0, le=300, description="How long a lost answer to a refresh may be asked for again."
    )
    password_hash_memory_kib: int = Field(
        default=47_104, ge=8, description="Cost of one argon2id hash; tests lower it."
    )
    password_hash_concurrency: int = Field(default=2, ge=1, le=16, description="Hashes at once, per API process.")


class ChannelSettings(Settings):
    """How connectors of channels find the API, and whose accounts they connect."""

    api_url: str = "http://127.0.0.1:8000"
    channels_keys: Secrets = Field(
        default=(),
        description="Keys of services, one per organization, comma separated; each has the scopes accounts:read,"
        " accounts:write and channels:write, and for the files of messages files:read and files:write.",
    )

    telegram_api_id: int | None = Field(default=None, description="Of my.telegram.org; without it no Telegram.")
    telegram_api_hash: SecretStr | None = Field(default=None, description="Beside telegram_api_id.")
    telegram_data_centre: str | None = Field(
        default=None, pattern=r"^\d+:[^:]+:\d+$", description="number:host:port of another one than Telegram's own."
    )
    x_api_url: str = Field(default="https://api.x.com", description="Where X's API answers.")
    google_token_url: str = Field(
        default="https://oauth2.googleapis.com/token", description="Where Google renews access to mailboxes."
    )
    microsoft_token_url: str = Field(
        default="https://login.microsoftonline.com/common/oauth2/v2.0/token", description="Where Microsoft does."
    )
    linkedin_api_url: str = Field(default="https://api.linkedin.com", description="Where LinkedIn's API answers.")


class RentalSettings(Settings):
    """Who sells and lets accounts; nobody, if not given."""

    rental_url: str | None = Field(default=None, description="Where whoever sells and lets accounts answers.")
    rental_token: SecretStr | None = Field(default=None, description="What we say to them who we are.")


class DashboardSettings(Settings):
    """How the dashboards find the API."""

    api_url: str = "http://127.0.0.1:8000"
    public_url: str = Field(default="http://127.0.0.1:8501", description="Where browsers find the dashboards.")
    dashboards_host: str = "127.0.0.1"
    dashboards_port: int = Field(default=8501, ge=1, le=65535)


class OutgoingSettings(Settings):
    """Where connections may go that people of an organization name: webhooks, and the servers of mailboxes."""

    outgoing_allow: Names = Field(
        default=(),
        description="Networks to reach though they are not public, comma separated: 10.1.0.0/16, 127.0.0.1/32.",
    )
