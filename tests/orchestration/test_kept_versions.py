"""The version with which a day ended can be asked by name for some days, on both warehouses."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contracts.warehouse import Group, Mart, Part, Speed
from metrics.compile import Compiled
from metrics.errors import UnknownVersionError, VersionGoneError
from metrics.publication import is_duckdb, parse_version
from metrics.reader import open_reader
from metrics.session import Session, VersionedReader
from orchestration.publish import publish
from orchestration.publish.keeping import Keeping
from tests.orchestration.journaled_build import JournaledBuild

_START = datetime(2026, 3, 1, 9, tzinfo=UTC)
_SALES = Part(Group.SALES, Speed.LIVE)


@pytest.fixture(params=["duckdb", "postgres"])
def build(request: pytest.FixtureRequest, tmp_path: Path) -> JournaledBuild:
    is_file = request.param == "duckdb"
    made = JournaledBuild(f"duckdb://{tmp_path}" if is_file else request.getfixturevalue("warehouse_database"))
    made.make_anew(range(10))
    return made


def _publish(build: JournaledBuild, day: float, *, days: int = 3, forgets: bool = False) -> str:
    """Publish what the build is, so many days after the start; a file that is free is used again."""
    now, kept = _START + timedelta(days=day), Keeping(days, forgets=forgets)
    return publish(build.url, manifest_hash="m", now=now, keep=2, kept=kept, checks={"ok": 4}).version


def _sum(session: Session) -> int:
    mart = f"{session.dialect.schema}.{Mart.FCT_DEALS.value}"
    return int(session.fetch(Compiled(f"select sum(number) from {mart}", {}))[0][0])


def _asked(reader: VersionedReader, version: str) -> int:
    with reader.at(parse_version(version)).session() as session:
        return _sum(session)


class TestKeptVersions:
    def test_of_each_of_the_last_days_the_last_version_answers_as_it_did(self, build: JournaledBuild) -> None:
        versions = []
        for half in range(8):  # two a day
            build.set(range(1), half)
            versions.append(_publish(build, half / 2 + 0.1, days=2))
        reader = open_reader(build.url)
        kept = [one.version.version for one in reader.kept()]
        assert kept == [versions[7], versions[5], versions[3]]
        assert [_asked(reader, version) for version in kept] == [7, 5, 3]
        assert [one.record["checks"] for one in reader.kept() if one.record] == [{"ok": 4}] * 3
        with reader.session() as session:
            assert _sum(session) == 7  # whoever asks for none reads the newest
        for gone in (versions[0], versions[1], versions[2]):
            with pytest.raises(VersionGoneError, match="not kept any more"):
                reader.at(parse_version(gone))
        with pytest.raises(UnknownVersionError):
            reader.at(parse_version("20991231T000000000000Z"))
        reader.close()

    def test_a_version_that_was_shown_for_days_stays_from_the_last_of_them(self, build: JournaledBuild) -> None:
        build.set(range(1), 1)
        first = _publish(build, 0)
        build.set(range(1), 2)
        _publish(build, 30)  # until yesterday everybody saw the first one
        reader = open_reader(build.url)
        assert _asked(reader, first) == 1
        build.set(range(1), 3)
        _publish(build, 40)
        _publish(build, 41)
        with pytest.raises(VersionGoneError):
            _asked(reader, first)
        reader.close()

    def test_a_name_that_an_answer_carries_is_found_in_a_later_version_with_the_same_facts(
        self, build: JournaledBuild
    ) -> None:
        build.set(range(1), 1)
        named = _publish(build, 0)
        for number in range(1, 5):
            _publish(build, number / 100)  # nothing of live marts changed
        last = _publish(build, 0.2)
        build.set(range(1), 2)
        _publish(build, 1)
        reader = open_reader(build.url)
        found = reader.at(parse_version(named), [_SALES])
        assert found.current().version == last
        with found.session() as session:
            assert _sum(session) == 1
        with pytest.raises(VersionGoneError):  # what else it held may have been other
            reader.at(parse_version(named))
        reader.close()

    def test_what_raw_lost_stays_in_no_version(self, build: JournaledBuild) -> None:
        first = _publish(build, 0)
        _publish(build, 1)
        reader = open_reader(build.url)
        assert [one.version.version for one in reader.kept()][1:] == [first]
        for later in range(3):
            _publish(build, 2 + later, forgets=True)
        assert len(reader.kept()) == 1
        with pytest.raises(VersionGoneError):
            _asked(reader, first)
        reader.close()

    def test_without_days_nothing_is_kept(self, build: JournaledBuild, tmp_path: Path) -> None:
        for day in range(3):
            _publish(build, day, days=0)
        reader = open_reader(build.url)
        assert len(reader.kept()) == 1
        reader.close()
        assert not is_duckdb(build.url) or not list((tmp_path / "published" / "kept").glob("*.duckdb"))
