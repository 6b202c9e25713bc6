"""The API over a warehouse that a test publishes when it likes."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from contracts.events.registry import parse
from tests.conftest import Database
from tests.event_history import AnyEvent
from tests.factories import Api, start_api
from tests.metrics.marts import publish_duckdb
from tests.warehouse_builder import duckdb_warehouse

_COLUMNS = (
    "event_id, organization_id, type, version, aggregate_type, aggregate_id, aggregate_version, occurred_at,"
    " recorded_at, actor, actor_id, causation_id, correlation_id, depth, data"
)


def logged_events(database: Database) -> list[AnyEvent]:
    """What the event log holds, in order."""
    with psycopg.connect(database.relay_url) as connection:
        found = connection.execute(f"select {_COLUMNS} from event_log order by position").fetchall()
    names = ["id", *_COLUMNS.replace(" ", "").split(",")[1:]]
    return [parse(dict(zip(names, row, strict=True))) for row in found]


@pytest_asyncio.fixture
async def api(database: Database, tmp_path: Path) -> AsyncIterator[Api]:
    started = await start_api(database, warehouse=duckdb_warehouse(tmp_path))
    yield started
    await started.close()
    started.app.state.services.figures.close()


@pytest.fixture
def refresh(database: Database, tmp_path: Path) -> Callable[[], None]:
    """Publish everything that the event log holds now."""
    return lambda: publish_duckdb(tmp_path, logged_events(database), at=datetime.now(UTC))
