"""Warehouses to publish: a tiny hand-made build for what needs no models, and a real one made by dbt."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from psycopg import sql

from orchestration.build.parts import build
from orchestration.instance import open_instance
from orchestration.refresh import Refresher
from orchestration.warehouse import Warehouse
from runtime.embedded.postgres import EmbeddedPostgres
from tests.event_history import EventLog
from tests.event_history import Pipeline as LoggedPipeline
from tests.warehouse_builder import copied_warehouse, duckdb_warehouse, load_raw


@pytest.fixture
def warehouse_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """URL of an empty database to keep a warehouse in."""
    name = "warehouse"  # always the same: dbt parses the project for each name of a database
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        # that of another folder's tests may be there still: its fixture lives as long as the session
        admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        yield postgres.url(database=name)
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@dataclass
class Installation:
    """A DuckDB warehouse with a refresh loop's parts, and a log of events that go into it."""

    warehouse: Warehouse
    instance: dg.DagsterInstance
    refresher: Refresher
    log: EventLog
    _loaded: int = 0

    @property
    def url(self) -> str:
        """The warehouse's URL."""
        return self.warehouse.url

    def new_deal(self) -> None:
        """A deal begins now and reaches raw."""
        self.log.deal(self.log_pipeline, at=datetime.now(UTC) - timedelta(seconds=1))
        self.load()

    @cached_property
    def log_pipeline(self) -> LoggedPipeline:
        """The pipeline that the log's deals run through."""
        return self.log.pipeline(at=datetime.now(UTC) - timedelta(days=3))

    def load(self) -> None:
        """Put the log's new events into raw, as the loader would."""
        load_raw(self.warehouse.settings, self.log.events[self._loaded :])
        self._loaded = len(self.log.events)


@pytest.fixture(scope="session")
def dbt_target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dbt's artifacts, shared by all tests so that the project is parsed once."""
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """Dagster's record, shared by all tests: making one takes seconds."""
    with open_instance(tmp_path_factory.mktemp("dagster")) as shared:
        yield shared


@pytest.fixture(scope="session")
def empty_warehouse(tmp_path_factory: pytest.TempPathFactory, dbt_target: Path) -> Path:
    """A warehouse that was built while raw was empty, to be copied: a first build takes longer than a test."""
    folder = tmp_path_factory.mktemp("empty")
    build(duckdb_warehouse(folder), target_path=dbt_target)
    return folder


def _installation(folder: Path, dbt_target: Path, instance: dg.DagsterInstance, log: EventLog) -> Installation:
    warehouse = Warehouse(settings=duckdb_warehouse(folder), dbt_target_path=dbt_target, event_log_url="")
    return Installation(warehouse, instance, Refresher.over(warehouse, instance), log, _loaded=len(log.events))


@pytest.fixture
def make_installation(
    tmp_path: Path, dbt_target: Path, instance: dg.DagsterInstance, empty_warehouse: Path
) -> Callable[[], Installation]:
    """Makes an installation over a folder of the test's own."""

    def make() -> Installation:
        folder = tmp_path / "warehouse"
        if not folder.exists():
            copied_warehouse(empty_warehouse, folder)
        return _installation(folder, dbt_target, instance, EventLog())

    return make


@pytest.fixture
def installation(make_installation: Callable[[], Installation]) -> Installation:
    """An installation with one organization, a pipeline and two deals, not yet refreshed."""
    made = make_installation()
    _tell(made.log)
    made.load()
    return made


def _tell(log: EventLog) -> LoggedPipeline:
    start = datetime.now(UTC) - timedelta(days=3)
    log.organization(at=start)
    pipeline = log.pipeline(at=start)
    for hour in (1, 2):
        log.deal(pipeline, at=start + timedelta(hours=hour))
    return pipeline


@pytest.fixture(scope="session")
def refreshed_warehouse(
    tmp_path_factory: pytest.TempPathFactory, dbt_target: Path, instance: dg.DagsterInstance, empty_warehouse: Path
) -> tuple[Path, EventLog, LoggedPipeline]:
    """What `installation` holds, refreshed and published, to be copied: what comes next is then an increment."""
    folder = tmp_path_factory.mktemp("refreshed") / "warehouse"
    log = EventLog()
    pipeline = _tell(log)
    load_raw(copied_warehouse(empty_warehouse, folder), log.events)
    assert _installation(folder, dbt_target, instance, log).refresher.refresh_if_due() is True
    return folder, log, pipeline


@pytest.fixture
def refreshed(
    tmp_path: Path,
    dbt_target: Path,
    instance: dg.DagsterInstance,
    refreshed_warehouse: tuple[Path, EventLog, LoggedPipeline],
) -> Installation:
    """What `installation` is, refreshed by its refresher, of which Dagster is told nothing."""
    original, log, pipeline = refreshed_warehouse
    copied_warehouse(original, tmp_path / "warehouse")
    told, its_pipeline = deepcopy((log, pipeline))
    made = _installation(tmp_path / "warehouse", dbt_target, instance, told)
    made.log_pipeline = its_pipeline
    made.refresher._done = made.refresher.watch.state()
    assert made.refresher.refresh_if_due() is not False
    return made
