"""Questions to marts made by hand, in memory."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import psycopg
import pytest

from metrics import query
from metrics.duckdb_reader import DuckDBReader, DuckDBSession
from metrics.parameters import read
from metrics.postgres_reader import PostgresReader
from metrics.publication import PublishedVersion, version_at
from metrics.query import Answer
from metrics.registry import CUSTOM, Definition, definition_of
from metrics.rows import CellAddress, Page
from metrics.rows import rows as list_rows
from metrics.session import Reader
from metrics.viewer import Viewer
from runtime.embedded.postgres import EmbeddedPostgres
from tests.conftest import Database
from tests.event_history import BEGINNING, AnyEvent, EventLog
from tests.metrics.marts import fill_duckdb, publish_postgres, rows_of
from tests.metrics.stories import all_events
from tests.warehouse_builder import duckdb_warehouse, postgres_warehouse, publish_warehouse

NOW = BEGINNING + timedelta(days=200)

#: A custom field of deals, for histories that have one.
FIELD = UUID(int=99)


def fitting(definition: Definition, given: dict[str, Any]) -> dict[str, Any]:
    """Of some parameters those that a metric has."""
    names = {"start": "from", "end": "to"}
    return {name: value for name, value in given.items() if names.get(name, name) in definition.parameters}


def splits(definition: Definition) -> list[str]:
    """Every way to split a metric's answers: its dimensions, custom ones by `FIELD`."""
    return [f"{CUSTOM}:{FIELD}" if each == CUSTOM else each for each in definition.dimensions]


class MemoryReader:
    """A reader of one version that lives in memory."""

    def __init__(self, events: Iterable[AnyEvent]) -> None:
        self._connection = duckdb.connect(":memory:")
        fill_duckdb(self._connection, rows_of(list(events)))

    def current(self) -> PublishedVersion:
        return version_at(NOW)

    @contextmanager
    def session(self) -> Iterator[DuckDBSession]:
        yield DuckDBSession(version=self.current(), cursor=self._connection.cursor())

    def close(self) -> None:
        self._connection.close()


class Asker:
    """Asks one organization's warehouse; parameters as a URL would carry them."""

    def __init__(self, reader: Reader, organization_id: UUID, *, now: datetime = NOW) -> None:
        self.reader, self.organization_id, self.now = reader, organization_id, now

    def viewer(self, owner_ids: Iterable[UUID] | None = None) -> Viewer:
        return Viewer(self.organization_id, None if owner_ids is None else frozenset(owner_ids))

    def answer(self, metric: str, *, owner_ids: Iterable[UUID] | None = None, **given: Any) -> Answer:
        definition = definition_of(metric)
        parameters = read(definition, _texts(given))
        return query.answer(self.reader, definition, parameters, viewer=self.viewer(owner_ids), now=self.now)

    def rows(
        self,
        metric: str,
        measure: str,
        *,
        stage_id: UUID | None = None,
        group: str | None = None,
        owner_ids: Iterable[UUID] | None = None,
        limit: int = 1000,
        after: UUID | None = None,
        **given: Any,
    ) -> Page:
        definition = definition_of(metric)
        return list_rows(
            self.reader,
            definition,
            read(definition, _texts(given)),
            CellAddress(measure, str(stage_id) if stage_id else None, group),
            viewer=self.viewer(owner_ids),
            now=self.now,
            limit=limit,
            after=after,
        )

    def entered(self, **given: Any) -> list[int]:
        """The funnel's counts, in the order of its rows."""
        return [row["entered"] for row in self.answer("funnel", **given).rows]


def _texts(given: dict[str, Any]) -> dict[str, str]:
    renamed = {"start": "from", "end": "to"}
    return {renamed.get(name, name): str(value) for name, value in given.items()}


@pytest.fixture
def log() -> EventLog:
    """A log that begins with an organization in Berlin that counts in euros."""
    log = EventLog()
    log.organization()
    return log


@pytest.fixture(params=["duckdb", "postgresql"])
def ask_either(request: pytest.FixtureRequest) -> Iterator[Callable[[EventLog], Asker]]:
    """The same on each engine."""
    if request.param == "duckdb":
        yield lambda log: Asker(MemoryReader(log.events), log.organization_id)
        return
    database: Database = request.getfixturevalue("database")
    reader = PostgresReader(database.admin_url)

    def published(log: EventLog) -> Asker:
        publish_postgres(database.admin_url, log.events, at=datetime.now(UTC))
        return Asker(reader, log.organization_id)

    yield published
    reader.close()


@pytest.fixture(scope="session")
def ask_built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[EventLog], Asker]]:
    """Marts that dbt built, of all stories at once (`tests.metrics.stories`)."""
    folder = tmp_path_factory.mktemp("stories")
    warehouse = duckdb_warehouse(folder / "warehouse")
    publish_warehouse(warehouse, all_events(), target_path=folder / "dbt", tests=True, now=datetime.now(UTC))
    reader = DuckDBReader(folder / "warehouse")
    yield lambda log: Asker(reader, log.organization_id)
    reader.close()


@pytest.fixture(params=["duckdb", pytest.param("postgresql", marks=pytest.mark.slow)])
def ask_built_either(
    request: pytest.FixtureRequest, postgres: EmbeddedPostgres, tmp_path: Path
) -> Iterator[Callable[[EventLog], Asker]]:
    """The same on each engine; a build on PostgreSQL takes long."""
    if request.param == "duckdb":
        yield request.getfixturevalue("ask_built")
        return
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute("drop database if exists warehouse with (force)")
        admin.execute("create database warehouse")
    url = postgres.url(database="warehouse")  # of this name dbt has parsed the project, perhaps
    publish_warehouse(postgres_warehouse(url), all_events(), target_path=tmp_path / "dbt", now=datetime.now(UTC))
    reader = PostgresReader(url)
    yield lambda log: Asker(reader, log.organization_id)
    reader.close()


@pytest.fixture
def ask() -> Callable[[EventLog], Asker]:
    """Marts of a log as it is now."""
    return lambda log: Asker(MemoryReader(log.events), log.organization_id)
