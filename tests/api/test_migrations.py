"""Migrations: they apply twice, lint clean, and the models say what the database has."""

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from api import models
from api.db.base import Base
from api.db.bootstrap import prepare_database
from api.db.migrate import render_sql, upgrade
from api.db.urls import sqlalchemy_url
from tests.conftest import PASSWORDS, Database

_LINT_EXCEPTIONS = (
    "prefer-bigint-over-int",  # counts that a person could make stay small
    "prefer-bigint-over-smallint",  # weekdays, months and HTTP statuses more so
    "prefer-text-field",  # Alembic's own table
)


def test_bootstrap_and_migrations_may_run_again(database: Database) -> None:
    prepare_database(database.admin_url, database=database.name, passwords=PASSWORDS)
    upgrade(database.owner_url)


def test_the_sql_of_all_migrations_lints_clean(tmp_path: Path) -> None:
    script = tmp_path / "migrations.sql"
    script.write_text(render_sql())
    squawk = Path(sys.executable).with_name("squawk")
    arguments = ["--pg-version=18", "--reporter=gcc", f"--exclude={','.join(_LINT_EXCEPTIONS)}", str(script)]
    found = subprocess.run([str(squawk), *arguments], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


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
