"""`sluice migrate`: roles, database and tables on a PostgreSQL of one's own, before anything else starts there."""

from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql
from pydantic import Field, SecretStr
from rich.console import Console

from api.db.bootstrap import RolePasswords, prepare_database
from api.db.migrate import upgrade
from contracts.settings import (
    BackupSettings,
    DatabaseSettings,
    OwnerDatabaseSettings,
    RelayDatabaseSettings,
    WarehouseSettings,
    WorkerDatabaseSettings,
)


class _BackupRoleSettings(BackupSettings):
    """The backup role is optional: a managed PostgreSQL is backed up by who manages it."""

    database_backup_url: SecretStr | None = None  # type: ignore[assignment]


class AdminDatabaseSettings(OwnerDatabaseSettings):
    """PostgreSQL as the one who may create roles and databases; used by `sluice migrate` alone."""

    database_admin_url: SecretStr = Field(description="postgresql://postgres@host:port/postgres")
    database_admin_password: SecretStr | None = Field(default=None, description="Goes into the URL.")


def _password(url: SecretStr) -> str:
    return unquote(urlsplit(url.get_secret_value()).password or "")


def prepare_warehouse(admin_url: SecretStr, warehouse_url: SecretStr) -> None:
    """Make the role and the database of a PostgreSQL warehouse; nothing to do for DuckDB. Idempotent."""
    url = urlsplit(warehouse_url.get_secret_value())
    if not url.scheme.startswith("postgres"):
        return
    role, database = unquote(url.username or ""), url.path.lstrip("/")
    with psycopg.connect(admin_url.get_secret_value(), autocommit=True) as admin:
        if admin.execute("select 1 from pg_roles where rolname = %s", [role]).fetchone() is None:
            admin.execute(sql.SQL("create role {}").format(sql.Identifier(role)))
        password = sql.Literal(_password(warehouse_url))
        admin.execute(sql.SQL("alter role {} login password {}").format(sql.Identifier(role), password))
        if admin.execute("select 1 from pg_database where datname = %s", [database]).fetchone() is None:
            statement = sql.SQL("create database {} owner {} encoding 'UTF8' template template0")
            admin.execute(statement.format(sql.Identifier(database), sql.Identifier(role)))


def migrate() -> None:
    """Make roles, database and tables, or bring them up to date (SLUICE_DATABASE_ADMIN_URL and the role URLs)."""
    admin = AdminDatabaseSettings()
    backup_url = _BackupRoleSettings().database_backup_url
    owner_url = admin.database_owner_url
    prepare_database(
        admin.database_admin_url.get_secret_value(),
        database=urlsplit(owner_url.get_secret_value()).path.lstrip("/"),
        passwords=RolePasswords(
            owner=_password(owner_url),
            app=_password(DatabaseSettings().database_url),
            relay=_password(RelayDatabaseSettings().database_relay_url),
            worker=_password(WorkerDatabaseSettings().database_worker_url),
            backup=_password(backup_url) if backup_url else None,
        ),
    )
    upgrade(owner_url.get_secret_value())
    prepare_warehouse(admin.database_admin_url, WarehouseSettings().warehouse_url)
    Console().print("the schema is up to date")
