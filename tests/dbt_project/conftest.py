"""Warehouses of both kinds, empty, each of its test's own."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from contracts.settings import WarehouseSettings
from orchestration.build.parts import build
from runtime.embedded.postgres import EmbeddedPostgres
from tests.event_history import BEGINNING, AnyEvent, EventLog, days
from tests.lead_history import lead_history
from tests.random_history import random_history
from tests.warehouse_builder import build_warehouse, copied_warehouse, duckdb_warehouse, postgres_warehouse


def _goal_history() -> list[AnyEvent]:
    """A goal, and deals with scores that are due: what is held against it."""
    log = EventLog(UUID(int=8))
    log.organization()
    log.set_goal(5_000, "EUR", starts_on=date(2026, 1, 1), months=3, at=BEGINNING)
    pipeline = log.pipeline()
    for number in range(6):
        deal = log.deal(
            pipeline, at=BEGINNING, amount_minor=(number - 1) * 333 + 1, close_date=date(2026, 1 + number % 2, 20)
        )
        for again in range(number):
            at = BEGINNING + days(number + again)
            log.score(deal, (again + 1) / 7, at=at, recorded=at + days([0, 9, 2][again % 3]))
        if number % 3 == 0:
            log.win(deal, at=BEGINNING + days(12))
    log.deal(pipeline, at=BEGINNING + days(30))  # the days before are over
    return log.events


#: A history with something of everything.
HISTORY = [*random_history(7), *lead_history(), *_goal_history()]


@pytest.fixture(scope="session")
def target_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where dbt leaves its artifacts; shared, so that the project is parsed once."""
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture(scope="session")
def new_warehouse(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], WarehouseSettings]]:
    """Makes an empty warehouse of a kind: `duckdb` or `postgres`. There is one of the latter at a time: dbt parses the
    project for each name of a database.
    """
    name = "warehouse"

    def make(kind: str) -> WarehouseSettings:
        if kind == "duckdb":
            return duckdb_warehouse(tmp_path_factory.mktemp("warehouse"))
        with psycopg.connect(postgres.url(), autocommit=True) as admin:
            admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
            admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        return postgres_warehouse(postgres.url(database=name))

    yield make
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def built_warehouse(
    postgres: EmbeddedPostgres,
    new_warehouse: Callable[[str], WarehouseSettings],
    tmp_path_factory: pytest.TempPathFactory,
    target_path: Path,
) -> Callable[[str], WarehouseSettings]:
    """Makes a warehouse of a kind that was built while raw was empty: a copy, as a first build takes long."""
    empty = tmp_path_factory.mktemp("empty")
    kept: set[str] = set()

    def make(kind: str) -> WarehouseSettings:
        if kind not in kept:
            kept.add(kind)
            build(duckdb_warehouse(empty) if kind == "duckdb" else new_warehouse(kind), target_path=target_path)
            if kind == "postgres":
                with psycopg.connect(postgres.url(), autocommit=True) as admin:
                    admin.execute("alter database warehouse rename to built_warehouse")
        if kind == "duckdb":
            return copied_warehouse(empty, tmp_path_factory.mktemp("built") / "warehouse")
        with psycopg.connect(postgres.url(), autocommit=True) as admin:
            admin.execute("drop database if exists warehouse with (force)")
            admin.execute("create database warehouse template built_warehouse")
        return postgres_warehouse(postgres.url(database="warehouse"))

    return make


@pytest.fixture(scope="session")
def whole_warehouse(new_warehouse: Callable[[str], WarehouseSettings], target_path: Path) -> WarehouseSettings:
    """A DuckDB warehouse of the whole of `HISTORY`, built at once; to be read."""
    made = new_warehouse("duckdb")
    build_warehouse(made, HISTORY, target_path=target_path)
    return made


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest, new_warehouse: Callable[[str], WarehouseSettings]) -> WarehouseSettings:
    """An empty warehouse, once of each kind."""
    return new_warehouse(request.param)
