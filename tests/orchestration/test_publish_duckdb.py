import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from contracts.warehouse import Mart
from metrics.publication import PublishedFolder
from orchestration.build.database import build_path
from orchestration.publish import PublishError, last_publication, publish

START = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"duckdb://{tmp_path}"


def write_build(url: str, number: int) -> None:
    """A build whose every mart says which build it is of."""
    path = build_path(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema if not exists staging")
        connection.execute(f"create or replace table staging.stg_events as select {number} as secret")
        for mart in Mart:
            connection.execute(
                f"create or replace table {mart.value} as select {number} as build, "
                "timestamptz '2026-03-01 00:00:00+00' as through, 7 as event_count from range(3)"
            )


def read_current(url: str) -> set[int]:
    folder = PublishedFolder(Path(url.removeprefix("duckdb://")))
    current = folder.current()
    assert current is not None
    with duckdb.connect(str(folder.path_of(current)), read_only=True) as connection:
        rows = connection.execute(" union ".join(f"select build from {mart.value}" for mart in Mart)).fetchall()
    return {row[0] for row in rows}


class TestPublish:
    def test_readers_see_one_build_and_never_an_older_one(self, url: str) -> None:
        write_build(url, 0)
        publish(url, manifest_hash="m", now=START)
        stop, seen, problems = threading.Event(), [], []

        def read_on() -> None:
            last = 0
            while not stop.is_set():
                builds = read_current(url)
                if len(builds) != 1 or min(builds) < last:
                    problems.append(builds)
                last = max(builds)
                seen.append(last)

        readers = [threading.Thread(target=read_on) for _ in range(2)]
        for reader in readers:
            reader.start()
        try:
            for number in range(1, 9):
                write_build(url, number)
                publish(url, manifest_hash="m", now=START + timedelta(seconds=number))
        finally:
            stop.set()
            for reader in readers:
                reader.join()
        assert not problems
        assert len(set(seen)) > 1
        assert read_current(url) == {8}

    def test_a_version_holds_the_marts_and_nothing_else(self, url: str, tmp_path: Path) -> None:
        write_build(url, 1)
        version = publish(url, manifest_hash="m", now=START).version
        with duckdb.connect(str(tmp_path / "published" / f"{version}.duckdb"), read_only=True) as connection:
            tables = connection.execute("select schema_name || '.' || table_name from duckdb_tables()").fetchall()
        assert {row[0] for row in tables} == {f"main.{mart.value}" for mart in Mart}

    def test_rows_of_an_organization_lie_together(self, url: str, tmp_path: Path) -> None:
        write_build(url, 1)
        with duckdb.connect(str(build_path(url))) as connection:
            connection.execute(
                f"create or replace table {Mart.FCT_DEALS.value} as select i % 3 as organization_id from range(9) t(i)"
            )
        version = publish(url, manifest_hash="m", now=START).version
        with duckdb.connect(str(tmp_path / "published" / f"{version}.duckdb"), read_only=True) as connection:
            found = connection.execute(f"select organization_id from {Mart.FCT_DEALS.value} order by rowid").fetchall()
        assert [row[0] for row in found] == [0, 0, 0, 1, 1, 1, 2, 2, 2]

    def test_the_record_says_what_a_version_was_made_of(self, url: str) -> None:
        write_build(url, 1)
        assert last_publication(url) is None
        published = publish(url, manifest_hash="sha256:abc", now=START)
        assert last_publication(url) == published
        assert published.through == START
        assert published.event_count == 21
        assert published.row_counts[Mart.FCT_DEALS.value] == 3
        assert published.manifest_hash == "sha256:abc"
        assert published.code_version

    def test_only_the_newest_versions_stay_and_an_open_reader_keeps_its_own(self, url: str, tmp_path: Path) -> None:
        write_build(url, 1)
        first = publish(url, manifest_hash="m", now=START, keep=2).version
        with duckdb.connect(str(tmp_path / "published" / f"{first}.duckdb"), read_only=True) as reader:
            for second in range(1, 5):
                publish(url, manifest_hash="m", now=START + timedelta(seconds=second), keep=2)
            assert reader.execute("select count(*) from fct_deals").fetchone() == (3,)
        names = sorted(path.name for path in (tmp_path / "published").iterdir())
        assert len([name for name in names if name.endswith(".duckdb")]) == 2
        assert len([name for name in names if name.endswith("Z.json")]) == 2

    def test_a_build_without_a_mart_is_refused_and_readers_keep_what_they_have(self, url: str) -> None:
        write_build(url, 1)
        before = publish(url, manifest_hash="m", now=START)
        with duckdb.connect(str(build_path(url))) as connection:
            connection.execute("drop table fct_deals")
        with pytest.raises(PublishError, match="fct_deals"):
            publish(url, manifest_hash="m", now=START + timedelta(seconds=1))
        assert last_publication(url) == before
        assert read_current(url) == {1}

    def test_what_a_reader_of_a_version_puts_on_disk_is_left_alone(self, url: str, tmp_path: Path) -> None:
        write_build(url, 1)
        version = publish(url, manifest_hash="m", now=START).version
        spilled = tmp_path / "published" / f"{version}.duckdb.tmp" / "duckdb_temp_storage_DEFAULT-0.tmp"
        spilled.parent.mkdir()
        spilled.write_bytes(b"a part of a hash table")
        assert publish(url, manifest_hash="m", now=START).version > version
        assert spilled.exists()

    def test_a_draft_left_by_a_crash_is_cleared_away(self, url: str, tmp_path: Path) -> None:
        write_build(url, 1)
        (tmp_path / "published").mkdir()
        (tmp_path / "published" / "20260101T000000000000Z.duckdb.tmp").write_bytes(b"half a file")
        publish(url, manifest_hash="m", now=START)
        assert not list((tmp_path / "published").glob("*.tmp*"))

    def test_names_grow_even_when_the_clock_was_set_back(self, url: str) -> None:
        write_build(url, 1)
        first = publish(url, manifest_hash="m", now=START)
        second = publish(url, manifest_hash="m", now=START - timedelta(hours=1))
        assert second.version > first.version
        assert last_publication(url) == second

    def test_without_a_build_it_says_so(self, url: str) -> None:
        with pytest.raises(PublishError, match="no build"):
            publish(url, manifest_hash="m", now=START)
