"""Warehouses of both kinds, empty, each of its test's own."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from contracts.settings import WarehouseSettings
from runtime.embedded.postgres import EmbeddedPostgres
from tests.warehouse_builder import duckdb_warehouse, postgres_warehouse

_names = itertools.count(1)


@pytest.fixture(scope="session")
def target_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where dbt leaves its artifacts; shared, so that the project is parsed once."""
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture(scope="session")
def new_warehouse(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], WarehouseSettings]]:
    """Makes an empty warehouse of a kind: `duckdb` or `postgres`."""
    made = []

    def make(kind: str) -> WarehouseSettings:
        if kind == "duckdb":
            return duckdb_warehouse(tmp_path_factory.mktemp("warehouse"))
        name = f"warehouse_{os.getpid()}_{next(_names)}"
        with psycopg.connect(postgres.url(), autocommit=True) as admin:
            admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        made.append(name)
        return postgres_warehouse(postgres.url(database=name))

    yield make
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        for name in made:
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest, new_warehouse: Callable[[str], WarehouseSettings]) -> WarehouseSettings:
    """An empty warehouse, once of each kind."""
    return new_warehouse(request.param)
