"""Health checks tell a process that works from one that stands still."""

import asyncio
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from api import worker
from api.kernel.database import Database
from ingest.heartbeat import Heartbeat
from runtime.health import ailment
from runtime.home import Home
from runtime.status import read_status
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

    def test_what_one_slice_cannot_do_stops_no_other(
        self, database: MigratedDatabase, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("SLUICE_DATABASE_WORKER_URL", database.worker_url)
        monkeypatch.setattr(worker, "_AGAIN_SECONDS", 0.01)
        stop, is_tried_again, tries = threading.Event(), asyncio.Event(), 0

        async def failing(_database: Database, _told: threading.Event) -> None:
            nonlocal tries
            tries += 1
            if tries == 2:
                is_tried_again.set()
            raise LookupError("a record that nobody foresaw")

        async def work(_database: Database, told: threading.Event) -> None:
            await is_tried_again.wait()
            told.set()

        asyncio.run(worker._work([failing, work], stop))
        assert "a record that nobody foresaw" in caplog.text

    def test_is_not_once_it_stands_still(self, alive: Path) -> None:
        alive.touch()
        os.utime(alive, times=(time.time() - 120,) * 2)
        assert "has stood still since" in str(ailment("worker"))


class TestScorer:
    def test_dagster_is_not_well_while_its_scorer_fails_or_says_nothing(
        self, database: MigratedDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("runtime.health.answers", lambda *_, **__: True)
        monkeypatch.setenv("SLUICE_DATABASE_RELAY_URL", database.relay_url)
        assert ailment("dagster") is None  # without keys there is no scorer
        monkeypatch.setenv("SLUICE_SCORES_KEYS", "slk_one")
        assert ailment("dagster") == "its scorer has not reported since the start"
        heartbeat = Heartbeat("scorer", database.relay_url)
        heartbeat.say("running")
        assert ailment("dagster") is None
        heartbeat.say("failing", error="the API refuses the key")
        assert ailment("dagster") == "its scorer fails: the API refuses the key"
        heartbeat.close()
        with psycopg.connect(database.relay_url, autocommit=True) as connection:
            connection.execute("update process_status set state = 'running', updated_at = now() - interval '2 minutes'")
        assert "its scorer has not reported since" in str(ailment("dagster"))

    def test_status_shows_it_beside_dagster(self, database: MigratedDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
        heartbeat = Heartbeat("scorer", database.relay_url)
        heartbeat.say("failing", error="the API refuses the key", behind_seconds=40)
        heartbeat.close()
        state = {"pid": os.getpid(), "processes": [{"name": "dagster", "pid": os.getpid()}]}
        stack = SimpleNamespace(environment=lambda: {"SLUICE_DATABASE_RELAY_URL": database.relay_url})
        monkeypatch.setattr("runtime.status._running_state", lambda _home: state)
        monkeypatch.setattr("runtime.status.known_stack", lambda: stack)
        [dagster] = read_status(Home(Path("/nowhere")))["processes"]
        assert dagster["detail"] == {
            "scorer state": "failing", "scorer error": "the API refuses the key", "scorer behind_seconds": 40,
        }  # fmt: skip


def test_a_name_that_is_none_is_answered_with_those_there_are() -> None:
    assert "relay, loader, api, worker" in str(ailment("no such process"))
