"""Makes the database and its roles. Run by whoever may create roles; safe to run again, also to change passwords.

No role here is a superuser or may bypass row-level security. What each role may do to a table is granted by the
migration that makes the table.
"""

from dataclasses import dataclass, fields
from typing import LiteralString

import psycopg
from psycopg import sql

from contracts import locks

OWNER = "sluice_owner"
APP = "sluice_app"
RELAY = "sluice_relay"
WORKER = "sluice_worker"
AUTH = "sluice_auth"
SEARCH = "sluice_search"
BACKUP = "sluice_backup"

#: Extensions that migrations rely on; all of them are "trusted", the database's owner may create them too.
_EXTENSIONS: tuple[LiteralString, ...] = ("pg_trgm", "unaccent", "btree_gin", "btree_gist")


_MEMBERSHIPS: tuple[LiteralString, ...] = (
    # only a transaction that says `SET LOCAL ROLE sluice_auth` sees across organizations
    "grant sluice_auth to sluice_app with inherit false, set true",
    # the function that searches is made by the owner and runs as this role
    "grant sluice_search to sluice_owner with inherit false, set true",
    # a job is claimed as sluice_worker and done as sluice_app, inside one organization
    "grant sluice_app to sluice_worker with inherit false, set true",
)


@dataclass(frozen=True, repr=False)
class RolePasswords:
    """Passwords of the roles that sign in."""

    owner: str
    app: str
    relay: str
    worker: str
    #: None: backups are made by other means, and sluice_backup may not sign in
    backup: str | None = None


def prepare_database(admin_url: str, *, database: str, passwords: RolePasswords) -> None:
    """Make `database`, owned by sluice_owner, and all roles; set the roles' passwords.

    `admin_url` is of a role that may create roles and databases. Idempotent.
    """
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute("select pg_advisory_lock(%s)", (locks.PREPARE_DATABASE,))
        _make_roles(admin, passwords)
        exists = admin.execute("select 1 from pg_database where datname = %s", (database,)).fetchone()
        if exists is None:
            statement = "create database {} owner sluice_owner encoding 'UTF8' template template0"
            admin.execute(sql.SQL(statement).format(sql.Identifier(database)))
        _grant_connect(admin, database)
    with psycopg.connect(admin_url, autocommit=True, dbname=database) as admin:
        for extension in _EXTENSIONS:
            admin.execute(sql.SQL("create extension if not exists {}").format(sql.Identifier(extension)))
        admin.execute("revoke create on schema public from public")
        admin.execute(
            "grant usage on schema public"
            " to sluice_app, sluice_auth, sluice_search, sluice_relay, sluice_worker, sluice_backup"
        )
        admin.execute(
            "alter default privileges for role sluice_owner in schema public revoke all on tables from public"
        )


def _make_roles(admin: psycopg.Connection, passwords: RolePasswords) -> None:
    for field in fields(passwords):
        _make_role(admin, f"sluice_{field.name}", getattr(passwords, field.name))
    for name in (AUTH, SEARCH):
        _make_role(admin, name, None)
    if passwords.backup is not None:
        admin.execute("alter role sluice_backup replication")
    for statement in _MEMBERSHIPS:
        admin.execute(statement)
    row = admin.execute("select rolsuper from pg_roles where rolname = current_user").fetchone()
    if row is not None and not row[0]:
        # an administrator who is no superuser may hand a database only to a role that it belongs to
        admin.execute("grant sluice_owner to current_user")


def _make_role(admin: psycopg.Connection, name: str, password: str | None) -> None:
    role = sql.Identifier(name)
    if admin.execute("select 1 from pg_roles where rolname = %s", (name,)).fetchone() is None:
        admin.execute(sql.SQL("create role {} nosuperuser nobypassrls nocreatedb nocreaterole").format(role))
    if password is None:
        admin.execute(sql.SQL("alter role {} nologin").format(role))
    else:
        admin.execute(sql.SQL("alter role {} login password {}").format(role, sql.Literal(password)))


def _grant_connect(admin: psycopg.Connection, database: str) -> None:
    name = sql.Identifier(database)
    admin.execute(sql.SQL("revoke connect, temporary on database {} from public").format(name))
    statement = "grant connect, temporary on database {} to sluice_app, sluice_relay, sluice_worker, sluice_backup"
    admin.execute(sql.SQL(statement).format(name))
