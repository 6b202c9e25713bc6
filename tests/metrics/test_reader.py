"""Readers see one published version at a time, and the pipeline's status is replaced as a whole."""

import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import duckdb
import psycopg
import pytest

from metrics.answers import AnswerCache, Figures, KeptAnswer
from metrics.compile import Compiled
from metrics.duckdb_reader import DuckDBReader, _spill_folder
from metrics.errors import MetricError, TooExpensiveError, WarehouseNotReadyError
from metrics.parameters import read
from metrics.postgres_reader import PostgresReader
from metrics.publication import PublishedFolder, lock_for_swap, parse_version, record_postgres_version, version_at
from metrics.query import Answer
from metrics.reader import open_reader
from metrics.registry import definition_of
from metrics.status import (
    Check,
    CheckState,
    PipelineStatus,
    Refresh,
    RefreshState,
    StatusStore,
    open_status_store,
)
from metrics.viewer import Viewer
from tests.conftest import Database
from tests.event_history import BEGINNING, EventLog, days
from tests.metrics.marts import publish_duckdb, publish_postgres

_FIRST = version_at(BEGINNING)
COUNT = Compiled("select count(*) from {}.fct_deals", {})


def _counting(schema: str) -> Compiled:
    return Compiled(COUNT.sql.format(schema), {})


@pytest.fixture
def log() -> EventLog:
    log = EventLog()
    log.organization()
    log.deal(log.pipeline(), at=BEGINNING)
    return log


def test_version_names_sort_by_time_and_read_back() -> None:
    instants = [BEGINNING + timedelta(microseconds=number) for number in (0, 1, 10**6, 10**12)]
    versions = [version_at(instant) for instant in instants]
    assert [version.version for version in versions] == sorted(version.version for version in versions)
    assert [parse_version(version.version).published_at for version in versions] == instants
    for name in ("", "../../etc/passwd", "20260101T000000Z"):
        with pytest.raises(ValueError, match="no version name"):
            parse_version(name)


class TestDuckDB:
    def test_nothing_published_is_a_clear_error(self, tmp_path: Path) -> None:
        reader = DuckDBReader(tmp_path)
        with pytest.raises(WarehouseNotReadyError):
            reader.current()
        with pytest.raises(WarehouseNotReadyError), reader.session():
            pass

    def test_a_session_keeps_its_version_while_a_new_one_is_published(self, tmp_path: Path, log: EventLog) -> None:
        publish_duckdb(tmp_path, log.events, at=BEGINNING)
        reader = DuckDBReader(tmp_path)
        with reader.session() as old:
            log.deal(log.pipeline(), at=BEGINNING + days(1))
            publish_duckdb(tmp_path, log.events, at=BEGINNING + days(1))
            PublishedFolder(tmp_path).path_of(version_at(BEGINNING)).unlink()
            with reader.session() as new:
                assert new.fetch(_counting("main")) == [(2,)]
                assert new.version == reader.current() == version_at(BEGINNING + days(1))
            assert old.fetch(_counting("main")) == [(1,)]
            assert old.version == version_at(BEGINNING)
        reader.close()

    def test_many_threads_read_while_versions_change(self, tmp_path: Path, log: EventLog) -> None:
        publish_duckdb(tmp_path, log.events, at=BEGINNING)
        reader, is_over = DuckDBReader(tmp_path), threading.Event()

        def read_on() -> set[tuple[str, int]]:
            seen = set()
            while not is_over.is_set():
                with reader.session() as session:
                    seen.add((session.version.version, session.fetch(_counting("main"))[0][0]))
            return seen

        with ThreadPoolExecutor(3) as pool:
            readers = [pool.submit(read_on) for _ in range(3)]
            expected = {(version_at(BEGINNING).version, 1)}
            for number in range(1, 4):
                log.deal(log.pipeline(), at=BEGINNING)
                publish_duckdb(tmp_path, log.events, at=BEGINNING + days(number))
                PublishedFolder(tmp_path).prune(keep=2)
                expected.add((version_at(BEGINNING + days(number)).version, number + 1))
            is_over.set()
            assert set().union(*(found.result() for found in readers)) <= expected
        reader.close()

    def test_a_statement_can_neither_write_nor_leave_the_file(self, tmp_path: Path, log: EventLog) -> None:
        publish_duckdb(tmp_path, log.events, at=BEGINNING)
        secret = tmp_path / "secret.csv"
        secret.write_text("a\n1\n")
        reader = DuckDBReader(tmp_path)
        with reader.session() as session:
            for sql in (
                "delete from fct_deals",
                f"select * from read_csv('{secret}')",
                f"attach '{tmp_path}/other.duckdb'",
                "set enable_external_access = true",
            ):
                with pytest.raises(duckdb.Error):
                    session.fetch(Compiled(sql, {}))
        reader.close()

    def test_a_statement_that_needs_more_memory_than_the_limit_goes_on_on_disk(
        self, tmp_path: Path, log: EventLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        _spill_folder.cache_clear()
        publish_duckdb(tmp_path, log.events, at=BEGINNING)
        before = sorted((tmp_path / "published").iterdir())
        reader = DuckDBReader(tmp_path, memory_limit="20MB")
        with reader.session() as session:
            # every key and its count, a million of them, before the first is counted
            keys = "select md5(range::varchar) as name, count(*) as times from range(1000000) group by name"
            assert session.fetch(Compiled(f"select count(*), max(times) from ({keys})", {})) == [(1_000_000, 1)]
            (spill,) = tmp_path.glob("sluice-figures-*")
            assert list(spill.iterdir())
            assert spill.stat().st_mode & 0o77 == 0
            assert sorted((tmp_path / "published").iterdir()) == before
        reader.close()
        assert not list(spill.iterdir())
        _spill_folder.cache_clear()

    def test_a_statement_that_takes_too_long_or_too_much_is_broken_off(
        self, tmp_path: Path, log: EventLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publish_duckdb(tmp_path, log.events, at=BEGINNING)
        reader = DuckDBReader(tmp_path, memory_limit="20MB")
        with pytest.raises(TooExpensiveError), reader.session() as session:
            session.fetch(Compiled("select len(list(range)) from range(100000000)", {}))  # one list does not spill
        monkeypatch.setattr("metrics.duckdb_reader.STATEMENT_LIMIT", timedelta(milliseconds=100))
        with pytest.raises(TooExpensiveError), reader.session() as session:
            session.fetch(Compiled("select sum(a.range * b.range % 7) from range(1000000) a, range(1000000) b", {}))
        with reader.session() as session:
            assert session.fetch(_counting("main")) == [(1,)]
        reader.close()

    def test_old_versions_are_pruned_but_never_the_current_one(self, tmp_path: Path, log: EventLog) -> None:
        for number in range(4):
            publish_duckdb(tmp_path, log.events, at=BEGINNING + days(number))
        folder = PublishedFolder(tmp_path)
        folder.point_to(version_at(BEGINNING))
        assert folder.prune(keep=1) == [version_at(BEGINNING + days(number)) for number in (1, 2)]
        assert folder.path_of(version_at(BEGINNING)).exists()


class TestPostgres:
    def test_nothing_published_is_a_clear_error(self, database: Database) -> None:
        reader = open_reader(database.admin_url)
        with pytest.raises(WarehouseNotReadyError):
            reader.current()
        reader.close()

    def test_no_swap_commits_inside_a_session(self, database: Database, log: EventLog) -> None:
        publish_postgres(database.admin_url, log.events, at=BEGINNING)
        reader = PostgresReader(database.admin_url)
        with reader.session() as session, psycopg.connect(database.admin_url) as publisher:
            publisher.execute("set lock_timeout = '100ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                lock_for_swap(publisher)
            publisher.rollback()
            assert session.fetch(_counting("published")) == [(1,)]
        with psycopg.connect(database.admin_url) as publisher:
            lock_for_swap(publisher)
            record_postgres_version(publisher, version_at(BEGINNING + days(1)))
        assert reader.current() == version_at(BEGINNING + days(1))
        reader.close()

    def test_a_statement_that_takes_too_long_is_broken_off(
        self, database: Database, log: EventLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publish_postgres(database.admin_url, log.events, at=BEGINNING)
        monkeypatch.setattr("metrics.postgres_reader.STATEMENT_LIMIT", timedelta(milliseconds=100))
        reader = PostgresReader(database.admin_url)
        with pytest.raises(TooExpensiveError), reader.session() as session:
            session.fetch(Compiled("select pg_sleep(60)", {}))
        with reader.session() as session:
            assert session.fetch(_counting("published")) == [(1,)]
        reader.close()

    def test_a_session_cannot_write(self, database: Database, log: EventLog) -> None:
        publish_postgres(database.admin_url, log.events, at=BEGINNING)
        reader = PostgresReader(database.admin_url)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), reader.session() as session:
            session.fetch(Compiled("delete from published.fct_deals", {}))
        reader.close()


class TestAnswersAreKept:
    def test_the_same_question_is_computed_once_per_version(self, tmp_path: Path, log: EventLog) -> None:
        publish_duckdb(tmp_path, log.events, at=BEGINNING)
        figures = Figures(f"duckdb://{tmp_path}")
        metric, viewer, now = definition_of("deals_created"), Viewer(log.organization_id), BEGINNING + days(10)
        parameters = read(metric, {})

        def ask(who: Viewer = viewer, at: datetime = now) -> Answer:
            return figures.answer(metric, parameters, viewer=who, now=at)

        first = ask()
        assert ask() is first
        assert ask(Viewer(log.organization_id, frozenset())).rows != first.rows
        assert ask(at=now + days(1)).parameters["to"] != first.parameters["to"]
        publish_duckdb(tmp_path, log.events, at=BEGINNING + days(1))
        assert ask().warehouse_version > first.warehouse_version
        figures.close()

    def test_those_who_ask_together_wait_for_one_computation(self) -> None:
        cache, may_finish, computed = AnswerCache(size=2), threading.Event(), list[int]()
        made = Answer("m", 1, "sha256:", {}, BEGINNING, "v", None, [], {}, [])

        def compute() -> Answer:
            computed.append(1)
            assert may_finish.wait(10)
            return made

        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(cache.get, ("key",), _FIRST, compute) for _ in range(4)]
            may_finish.set()
            assert all(found.result(10) is made for found in asked)
        assert computed == [1]

    def test_an_error_is_not_kept_and_old_answers_go(self) -> None:
        cache, made = AnswerCache(size=2), Answer("m", 1, "sha256:", {}, BEGINNING, "v", None, [], {}, [])

        def fail() -> Answer:
            raise MetricError

        with pytest.raises(MetricError):
            cache.get(("a",), _FIRST, fail)
        assert cache.get(("a",), _FIRST, lambda: made) is made
        for key in ("b", "c"):
            cache.get((key,), _FIRST, lambda: made)
        with pytest.raises(MetricError):
            cache.get(("a",), _FIRST, fail)

    def test_the_answer_before_is_there_until_the_next_one_is(self) -> None:
        cache, question, second = AnswerCache(size=2), ("key",), version_at(BEGINNING + days(1))
        old, new = (Answer("m", 1, "sha256:", {}, BEGINNING, name, None, [], {}, []) for name in ("old", "new"))
        assert cache.kept(question) is None
        cache.get(question, _FIRST, lambda: old)

        def compute() -> Answer:
            assert cache.kept(question) == KeptAnswer(old, _FIRST)
            return new

        assert cache.get(question, second, compute) is new
        assert cache.kept(question) == KeptAnswer(new, second)


class TestStatus:
    @pytest.fixture(params=["duckdb", "postgresql"])
    def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> StatusStore:
        if request.param == "duckdb":
            return open_status_store(f"duckdb://{tmp_path}")
        database: Database = request.getfixturevalue("database")
        return open_status_store(database.admin_url)

    def test_sections_are_written_apart_and_read_together(self, store: StatusStore) -> None:
        assert store.read() == PipelineStatus()
        now = datetime.now(UTC)
        refresh = Refresh(status=RefreshState.FAILED, started_at=now, finished_at=now, error="dbt: 1 of 9 failed")
        checks = [Check(name="unique", status=CheckState.FAILED, message="3 rows", finished_at=now)]
        store.update(last_refresh=refresh)
        store.update(checks=checks)
        store.update(checks=[])
        assert store.read() == PipelineStatus(checks=[], last_refresh=refresh)

    def test_writers_at_once_lose_nothing(self, store: StatusStore) -> None:
        now = datetime.now(UTC)
        with ThreadPoolExecutor(2) as pool:
            pool.submit(store.update, checks=[Check(name="a", status=CheckState.OK)])
            pool.submit(store.update, last_refresh=Refresh(status=RefreshState.OK, started_at=now))
        status = store.read()
        assert [check.name for check in status.checks] == ["a"]
        assert status.last_refresh is not None


def test_an_organization_that_is_not_loaded_yet_is_not_ready(tmp_path: Path, log: EventLog) -> None:
    publish_duckdb(tmp_path, log.events, at=BEGINNING)
    figures = Figures(f"duckdb://{tmp_path}")
    metric = definition_of("deals_created")
    with pytest.raises(WarehouseNotReadyError):
        figures.answer(metric, read(metric, {}), viewer=Viewer(UUID(int=404)), now=BEGINNING)
    figures.close()
