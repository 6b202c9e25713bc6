"""`sluice migrate`: roles, database and tables on a PostgreSQL of one's own, before anything else starts there."""

from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr
from rich.console import Console

from api.db.bootstrap import RolePasswords, prepare_database
from api.db.migrate import upgrade
from contracts.settings import (
    DatabaseSettings,
    OwnerDatabaseSettings,
    RelayDatabaseSettings,
    WorkerDatabaseSettings,
)


class AdminDatabaseSettings(OwnerDatabaseSettings):
    """PostgreSQL as the one who may create roles and databases; used by `sluice migrate` alone."""

    database_admin_url: SecretStr = Field(description="postgresql://postgres:…@host:port/postgres")


def _password(url: SecretStr) -> str:
    return unquote(urlsplit(url.get_secret_value()).password or "")


def migrate() -> None:
    """Make roles, database and tables, or bring them up to date (SLUICE_DATABASE_ADMIN_URL and the role URLs)."""
    admin = AdminDatabaseSettings()
    owner_url = admin.database_owner_url
    prepare_database(
        admin.database_admin_url.get_secret_value(),
        database=urlsplit(owner_url.get_secret_value()).path.lstrip("/"),
        passwords=RolePasswords(
            owner=_password(owner_url),
            app=_password(DatabaseSettings().database_url),
            relay=_password(RelayDatabaseSettings().database_relay_url),
            worker=_password(WorkerDatabaseSettings().database_worker_url),
        ),
    )
    upgrade(owner_url.get_secret_value())
    Console().print("the schema is up to date")
