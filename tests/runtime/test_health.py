"""Health checks tell a process that works from one that stands still."""

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

from api import worker
from api.kernel.database import Database
from runtime.health import ailment
from tests.conftest import Database as MigratedDatabase


class TestWorker:
    @pytest.fixture
    def alive(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        path = tmp_path / "alive"
        monkeypatch.setenv("SLUICE_WORKER_ALIVE_PATH", str(path))
        return path

    def test_is_well_while_its_loop_turns(
        self, alive: Path, database: MigratedDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SLUICE_DATABASE_WORKER_URL", database.worker_url)
        assert ailment("worker") == "has not begun"
        stop = threading.Event()

        async def work(_database: Database, told: threading.Event) -> None:
            await asyncio.sleep(0.1)
            told.set()

        asyncio.run(worker._work([work], stop))
        assert alive.exists()
        assert ailment("worker") is None

    def test_is_not_once_it_stands_still(self, alive: Path) -> None:
        alive.touch()
        os.utime(alive, times=(time.time() - 120,) * 2)
        assert "has stood still since" in str(ailment("worker"))


def test_a_name_that_is_none_is_answered_with_those_there_are() -> None:
    assert "relay, loader, api, worker" in str(ailment("no such process"))
