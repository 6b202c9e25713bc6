"""Versions made of older ones: what readers see is the build, row for row, whatever became of the versions between."""

import logging
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import psycopg
import pytest

from contracts.warehouse import Group, Mart, Part, Speed
from metrics.compile import Compiled
from metrics.duckdb_reader import DuckDBReader
from metrics.publication import PublishedFolder, version_at
from orchestration.publish import last_publication
from orchestration.publish.checks import check_build
from runtime.process import die_with_parent
from tests.orchestration.journaled_build import JournaledBuild

_START = datetime(2026, 3, 1, tzinfo=UTC)
_SUM = Compiled("select count(*), sum(number) from fct_deals", {})


@pytest.fixture
def build(tmp_path: Path) -> JournaledBuild:
    """A build of 1,000 rows a mart."""
    made = JournaledBuild(f"duckdb://{tmp_path}")
    made.make_anew(range(1000))
    return made


@pytest.fixture
def folder(tmp_path: Path) -> PublishedFolder:
    return PublishedFolder(tmp_path)


def _inodes(folder: PublishedFolder) -> dict[str, int]:
    return {path.stem: path.stat().st_ino for path in folder.root.glob("*.duckdb")}


class TestDuckDB:
    def test_each_version_is_the_build_and_files_are_used_again(
        self, build: JournaledBuild, folder: PublishedFolder, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        seen: set[int] = set()
        for number in range(1, 9):
            build.set(range(number * 7, number * 7 + 40), number if number % 3 else None)
            build.delete(range(number * 11, number * 11 + 5))
            build.publish()
            assert build.published_rows() == build.rows()
            seen |= set(_inodes(folder).values())
        assert not caplog.records  # nothing had to be written anew
        can_clone = len(seen) > 3
        assert can_clone or len(_inodes(folder)) == 3

    def test_builds_that_failed_in_between_cancel_out(self, build: JournaledBuild) -> None:
        build.publish()
        build.set(range(10), 5)
        build.delete(range(5))
        build.set(range(10), 0)  # as it was
        build.set(range(990, 1010), 7)
        build.publish()
        assert build.published_rows() == build.rows()

    def test_a_build_made_anew_is_copied_and_then_followed(self, build: JournaledBuild) -> None:
        for number in range(4):
            build.set(range(20), number)
            build.publish()
        build.make_anew(range(500))
        build.publish()
        assert build.published_rows() == build.rows()
        for number in range(4):
            build.set(range(number * 10, 100), number)
            build.publish()
            assert build.published_rows() == build.rows()

    def test_a_file_that_disagrees_is_not_published(
        self, build: JournaledBuild, caplog: pytest.LogCaptureFixture
    ) -> None:
        build.publish()
        build.tamper(Mart.FCT_DEALS, "delete from {} where key = 3")
        build.set(range(100, 110), 4)
        build.publish()
        assert "fct_deals: 1000 rows instead of 999" in caplog.text
        assert build.published_rows() == build.rows()

    def test_a_reader_keeps_its_answers_while_others_are_published(
        self, build: JournaledBuild, tmp_path: Path, folder: PublishedFolder
    ) -> None:
        build.publish()
        reader, late = DuckDBReader(tmp_path), DuckDBReader(tmp_path)
        with reader.session() as session:
            before = session.fetch(_SUM)
            for number in range(1, 8):
                build.set(range(300), number)
                build.publish()
                with late.session() as other:
                    assert other.fetch(_SUM) == [(1000, 300 * number)]
                assert session.fetch(_SUM) == before == [(1000, 0)]
        reader.close()
        late.close()
        assert len(folder.versions()) == 3

    def test_a_version_that_was_taken_back_is_not_opened(self, build: JournaledBuild, folder: PublishedFolder) -> None:
        build.publish()
        (version,) = folder.versions()
        hold = folder.hold(version)
        assert not folder.take(version, folder.root / "draft")
        hold.close()
        assert folder.take(version, folder.root / "draft")
        with pytest.raises(FileNotFoundError):
            folder.hold(version)

    def test_versions_follow_each_other_when_the_clock_was_set_back(self, build: JournaledBuild) -> None:
        build.publish(now=_START)
        build.set(range(10), 1)
        second = build.publish(now=_START - timedelta(days=1)).version
        assert second > version_at(_START).version
        assert build.published_rows() == build.rows()

    @pytest.mark.parametrize("kills", [3, pytest.param(12, marks=pytest.mark.slow)])
    def test_w1_a_publisher_killed_at_any_moment_leaves_a_whole_version(
        self, build: JournaledBuild, folder: PublishedFolder, kills: int
    ) -> None:
        build.publish()
        for kill in range(kills):
            before = folder.current()
            child = subprocess.Popen(
                [sys.executable, "-m", "tests.orchestration.journaled_build", build.url],
                stdout=subprocess.PIPE,
                cwd=Path(__file__).resolve().parents[2],
                preexec_fn=die_with_parent,  # noqa: PLW1509  # one prctl call
            )
            assert child.stdout is not None
            for _ in range(1 + kill % 3):
                child.stdout.readline()  # so many versions; the kill falls into the work on the next
            _spin(kill)
            child.kill()
            child.wait()
            child.stdout.close()
            current = folder.current()
            assert current is not None
            assert before is not None
            assert current.version > before.version
            assert len({frozenset(rows) for rows in build.published_rows().values()}) == 1
            build.publish()
            assert build.published_rows() == build.rows()


def _spin(kill: int) -> None:
    """Let the killer's blows fall at different points of the work."""
    with duckdb.connect() as connection:
        connection.execute(f"select sum(hash(range)) from range({kill * 4_000_000})").fetchall()


class TestGroups:
    @pytest.fixture(params=["duckdb", "postgres"])
    def either(self, request: pytest.FixtureRequest, tmp_path: Path) -> JournaledBuild:
        """A build of either kind."""
        is_duckdb = request.param == "duckdb"
        made = JournaledBuild(f"duckdb://{tmp_path}" if is_duckdb else request.getfixturevalue("warehouse_database"))
        made.make_anew(range(200))
        return made

    def test_a_part_that_is_not_sound_stays_as_it_was_whatever_file_the_version_is_made_of(
        self, either: JournaledBuild
    ) -> None:
        unsound = [Part(Group.SALES, Speed.LIVE), Part(Group.SALES, Speed.SETTLED)]
        either.set(range(20), 1)
        first = either.publish()
        before = either.published_rows()
        for number in range(2, 7):
            either.set(range(number * 5, number * 5 + 30), number)
            if number == 4:
                either.make_anew(range(150))  # a full refresh, which fails for sales
            last = either.publish(unsound=unsound)
            built, published = either.rows(), either.published_rows()
            for mart in Mart:
                expected = before if mart.group is Group.SALES else built
                assert published[mart.value] == expected[mart.value], (mart, number)
        assert last.parts["sales"] == first.parts["sales"]
        assert last.parts["shared"]["version"] == last.version > first.version
        sound = either.publish()
        assert either.published_rows() == either.rows()
        assert sound.parts["sales"]["version"] == sound.version

    def test_a_part_without_changes_keeps_its_version(self, either: JournaledBuild) -> None:
        first = either.publish()
        second = either.publish()
        assert second.version > first.version
        assert {part["version"] for part in second.parts.values()} == {first.version}


class TestPostgres:
    def test_each_version_is_the_build_and_is_counted_without_counting(self, warehouse_database: str) -> None:
        build = JournaledBuild(warehouse_database)
        build.make_anew(range(1000))
        build.publish()
        with psycopg.connect(warehouse_database) as connection:
            table = connection.execute("select 'published.fct_deals'::regclass::oid").fetchone()
        for number in range(1, 5):
            build.set(range(number * 7, number * 7 + 40), number if number % 3 else None)
            build.delete(range(number * 11, number * 11 + 5))
            findings = check_build(warehouse_database, last_publication(warehouse_database), now=datetime.now(UTC))
            publication = build.publish()
            rows = build.rows()
            assert build.published_rows() == rows
            assert publication.row_counts == {mart: len(found) for mart, found in rows.items()}
            counted = {one.mart: one.message for one in findings if one.name == "no_fewer_rows"}
            assert all(text.startswith(f"{len(rows[mart.value]):,} ") for mart, text in counted.items())
        with psycopg.connect(warehouse_database) as connection:
            assert connection.execute("select 'published.fct_deals'::regclass::oid").fetchone() == table
        build.make_anew(range(50))
        build.publish()
        assert build.published_rows() == build.rows()

    def test_marts_that_disagree_are_copied(self, warehouse_database: str) -> None:
        build = JournaledBuild(warehouse_database)
        build.make_anew(range(100))
        build.publish()
        with psycopg.connect(warehouse_database) as connection:
            connection.execute("delete from published.fct_deals where key = 5")
        build.set(range(10), 1)
        build.publish()
        assert build.published_rows() == build.rows()
