"""Migrations: they apply twice, go up and down, lint clean, and the models say what the database has."""

import importlib
import pkgutil
import subprocess
import threading
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine

from api import models
from api.db.bootstrap import prepare_database
from api.db.indexes import build_index
from api.db.migrate import downgrade, revisions, upgrade
from api.db.urls import sqlalchemy_url
from api.models.base import Base
from runtime.embedded.postgres import EmbeddedPostgres
from tests.conftest import PASSWORDS, Database
from tests.eventually import eventually
from tests.lint_migrations import findings, hurried_builds, lint

_TIMEOUTS = "set lock_timeout = '300ms'; set statement_timeout = '5s';\n"


def _schema(postgres: EmbeddedPostgres, database: Database) -> list[str]:
    """Everything in the database's schemas but the rows."""
    argv = [
        str(postgres.programs / "pg_dump"),
        "--schema-only",
        "--restrict-key=same",
        f"--dbname={database.admin_url}",
    ]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()


def test_bootstrap_and_migrations_may_run_again(postgres: EmbeddedPostgres, database: Database) -> None:
    before = _schema(postgres, database)
    prepare_database(database.admin_url, database=database.name, passwords=PASSWORDS)
    upgrade(database.owner_url)
    assert _schema(postgres, database) == before


@pytest.mark.parametrize("apart", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_f5_each_migration_goes_down_and_up_again_and_leaves_no_trace(
    postgres: EmbeddedPostgres, database: Database, apart: int
) -> None:
    schemas = {"head": _schema(postgres, database)}
    steps = ["base", *revisions()]
    looked_at = {*steps[::apart], *steps[-4:]}  # a look takes longer than a migration
    for revision in steps[-2::-1]:
        downgrade(database.owner_url, revision)
        if revision in looked_at:
            schemas[revision] = _schema(postgres, database)
    assert "sessions" not in "".join(schemas["base"])
    for revision in steps[1:-1]:
        upgrade(database.owner_url, revision)
        if revision in looked_at:
            assert _schema(postgres, database) == schemas[revision], revision
    upgrade(database.owner_url)
    assert _schema(postgres, database) == schemas["head"]


@pytest.mark.parametrize("revision", revisions())
def test_f5_the_sql_of_each_migration_lints_clean(revision: str) -> None:
    assert lint(revision) == ""


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("create index ix on event_log (type);", "require-concurrent-index-creation"),
        ("alter table deals add column score bigint not null;", "adding-required-field"),
        ("alter table deals rename column title to name;", "renaming-column"),
        ("alter table deals alter column amount_minor type numeric;", "changing-column-type"),
        ("alter table deals add constraint c check (amount_minor > 0);", "constraint-missing-not-valid"),
    ],
)
def test_f5_what_would_block_or_break_the_version_before_is_found(statement: str, rule: str) -> None:
    assert rule in findings(_TIMEOUTS + statement)


def test_f5_an_index_built_in_a_hurry_is_found() -> None:
    build = "create index concurrently if not exists ix on event_log (type);\n"
    assert "under a timeout" in hurried_builds(_TIMEOUTS + build)
    assert not hurried_builds(_TIMEOUTS + "set statement_timeout = 0;\n" + build)


def test_f5_a_migration_waits_for_a_lock_in_short_turns_until_it_has_it(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    *_, before, newest = revisions()
    downgrade(database.owner_url, before)
    with psycopg.connect(database.admin_url) as holder:
        holder.execute("lock table alembic_version, event_log")
        upgrading = threading.Thread(target=upgrade, args=(database.owner_url,))
        upgrading.start()
        eventually(lambda: "trying again" in caplog.text, what="the migration lets go")
        assert upgrading.is_alive()
        holder.rollback()
    upgrading.join(60)
    assert _revision(database) == newest


def test_f5_an_index_is_built_anew_that_was_interrupted_and_waits_for_who_was_there_before(database: Database) -> None:
    def build() -> None:
        hurry = {"options": "-c lock_timeout=300ms -c statement_timeout=400ms"}
        engine = create_engine(sqlalchemy_url(database.owner_url), connect_args=hurry)
        with engine.connect() as connection, Operations.context(MigrationContext.configure(connection)):
            build_index("ix_deals_board", "deals (organization_id, stage_id, id) where deleted_at is null")
        engine.dispose()

    query = "select indisvalid from pg_index where indexrelid = 'ix_deals_board'::regclass"
    waiting = "select count(*) from pg_stat_activity where query ilike 'create index%' and wait_event = 'virtualxid'"
    with psycopg.connect(database.admin_url, autocommit=True) as admin, psycopg.connect(database.app_url) as reader:
        admin.execute("update pg_index set indisvalid = false where indexrelid = 'ix_deals_board'::regclass")
        reader.execute("set transaction isolation level repeatable read")
        reader.execute("select now()")
        building = threading.Thread(target=build)
        building.start()
        eventually(lambda: admin.execute(waiting).fetchone() == (1,), what="the build waits for the reader")
        building.join(0.6)  # longer than anything else of a migration may take
        assert building.is_alive()
        reader.rollback()
        building.join(60)
        assert admin.execute(query).fetchone() == (True,)


def _revision(database: Database) -> str:
    with psycopg.connect(database.admin_url) as connection:
        row = connection.execute("select version_num from alembic_version").fetchone()
    assert row is not None
    return str(row[0])


def _columns_only(_object: Any, _name: str | None, kind: str, _reflected: bool, other: Any) -> bool:
    """Indexes and foreign keys are the migrations' affair; tables without a model are read by plain SQL."""
    return kind == "column" or (kind == "table" and other is not None)


def test_models_have_the_columns_that_migrations_made(database: Database) -> None:
    for module in pkgutil.iter_modules(models.__path__):
        importlib.import_module(f"api.models.{module.name}")
    engine = create_engine(sqlalchemy_url(database.owner_url))
    with engine.connect() as connection:
        options = {"compare_type": True, "include_object": _columns_only}
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, Base.metadata)
    engine.dispose()
    assert len(Base.metadata.tables) >= 15
    assert differences == []
