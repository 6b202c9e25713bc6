"""Whatever is asked, and whatever file is sent: no answer of 5xx, no traceback, no value that is stored as another."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import psycopg
import pytest

from api.imports.worker import work
from api.kernel.database import Database as Pool
from tests.api.metrics.conftest import logged_events
from tests.conftest import SHARED_DATA, Database
from tests.eventually import eventually
from tests.metrics.marts import publish_duckdb
from tests.schema.attack import Attack, differs, samples
from tests.schema.serving import served
from tests.warehouse_builder import duckdb_warehouse

_GOOD = b"external_id,title,stage,amount,created_at\nD-1,Ofen,New,12.50,2026-01-05\nD-2,Herd,Won,7,2026-01-06\n"


@contextmanager
def _importing(database: Database, folder: Path) -> Iterator[None]:
    """A worker that does what imports are queued, until there are none."""
    stop = threading.Event()

    async def run() -> None:
        pool = Pool(database.worker_url, pool_size=2, statement_timeout_ms=60_000)
        await work(pool, files_path=folder, stop=stop)
        await pool.close()

    worker = threading.Thread(target=asyncio.run, args=(run(),))
    worker.start()
    try:
        yield
        eventually(lambda: not _imports(database, "state in ('queued', 'running')"), seconds=300)
    finally:
        stop.set()
        worker.join(60)


def _imports(database: Database, condition: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database.admin_url) as connection:
        return connection.execute(f"select id, state, error from imports where {condition}".encode()).fetchall()


@pytest.mark.parametrize("requests", [250, pytest.param(20_000, marks=pytest.mark.slow)])
def test_random_requests_and_files_break_nothing(
    make_database: Callable[[], Database], tmp_path: Path, caplog: pytest.LogCaptureFixture, requests: int
) -> None:
    database = make_database()
    caplog.set_level(logging.ERROR)
    with served(database, warehouse=duckdb_warehouse(tmp_path), files_path=tmp_path / "files") as api:
        publish_duckdb(tmp_path, logged_events(database), at=datetime.now(UTC))
        attack = Attack(api.url, Random(requests), samples=[_GOOD, *samples(SHARED_DATA / "import_reports")])
        with _importing(database, tmp_path / "files"):
            attack.run(requests)
    print(attack.statuses, f"{len(attack.sent)} operations")
    assert attack.found == []
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
    assert _imports(database, "error like '%internal%'") == []


def test_a_value_that_became_another_is_told_from_one_that_is_written_in_another_way() -> None:
    same = [("2026-01-05T10:00:00+01:00", "2026-01-05T09:00:00Z"), (" A  B", "a b"), (1, 1.0), ("x", None), ([], "x")]
    others = [("2026-01-05", "2026-01-04"), ("A", "B"), (2**63, 2**62), (True, False)]
    assert [differs(sent, kept) for sent, kept in [*same, *others]] == [False] * len(same) + [True] * len(others)
