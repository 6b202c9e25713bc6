"""`sluice warehouse` and `sluice sql`: what an engineer looks at without standing in anybody's way."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import duckdb
import pytest
from typer.testing import CliRunner, Result

from contracts.warehouse import Mart
from metrics.publication import PublishedFolder, PublishedVersion
from runtime.cli import app
from tests.event_history import EventLog
from tests.metrics.marts import publish_duckdb


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """A warehouse with two deals won and one open; runs a command on it."""
    log, start = EventLog(), datetime(2026, 3, 2, 9, tzinfo=UTC)
    log.organization(at=start)
    pipeline = log.pipeline(at=start)
    for _ in range(3):
        log.deal(pipeline, at=start + timedelta(hours=1))
    publish_duckdb(tmp_path, log.events, at=start + timedelta(days=1))
    monkeypatch.setenv("SLUICE_WAREHOUSE_URL", f"duckdb://{tmp_path}")
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments, typed=None: CliRunner().invoke(app, list(arguments), input=typed)


class TestWarehouse:
    def test_answers_a_statement_from_the_published_version(self, ask: Callable[..., Result]) -> None:
        done = ask("warehouse", "-c", "select count(*) as deals from fct_deals", "--csv")
        assert (done.exit_code, done.output) == (0, "deals\n3\n")

    def test_takes_statements_from_standard_input(self, ask: Callable[..., Result]) -> None:
        done = ask("warehouse", "--csv", typed="select 1 as a; select 2 as b;")
        assert list(csv.reader(io.StringIO(done.output))) == [["a"], ["1"], ["b"], ["2"]]

    @pytest.mark.parametrize(
        "statement",
        [
            "delete from fct_deals",
            "create table x as select 1",
            "copy (select 1) to '/tmp/x.csv'",
            "select * from '/etc/passwd'",
        ],
    )
    def test_changes_nothing_and_reads_nothing_else(self, ask: Callable[..., Result], statement: str) -> None:
        assert isinstance(ask("warehouse", "-c", statement).exception, duckdb.Error)

    def test_keeps_nobody_from_publishing(self, ask: Callable[..., Result], tmp_path: Path) -> None:
        folder = PublishedFolder(tmp_path)
        version = folder.current()
        assert version is not None
        assert ask("warehouse", "-c", "select 1").exit_code == 0
        assert folder.take(version, tmp_path / "draft.duckdb")  # nobody holds it any more

    def test_opens_a_kept_version_by_its_name(self, ask: Callable[..., Result], tmp_path: Path) -> None:
        folder = PublishedFolder(tmp_path)
        version = folder.current()
        assert version is not None
        folder.keep(version)
        log = EventLog()
        log.organization()
        publish_duckdb(tmp_path, log.events, at=version.published_at + timedelta(days=1))
        folder.prune(keep=1)
        listed = ask("warehouse", "versions").output.splitlines()
        assert [line.split("  ")[:2] for line in listed][1] == [version.version, "until 2026-03-03"]
        count = ("-c", "select count(*) as deals from fct_deals", "--csv")
        assert ask("warehouse", *count).output == "deals\n0\n"
        assert ask("warehouse", "--version", version.version, *count).output == "deals\n3\n"
        asked = ask("sql", "bookings", "--warehouse-version", version.version)
        assert f"warehouse version {version.version}" in asked.output
        assert "is not kept" in str(ask("warehouse", "--version", "20200101T000000000000Z", *count).exception)


class TestSql:
    def test_shows_what_runs_with_its_parameters(self, ask: Callable[..., Result]) -> None:
        done = ask("sql", "bookings", "from=2026-03-01", "to=2026-04-01")
        assert done.exit_code == 0, done.output
        assert "from main.fct_deals where" in done.output
        assert "-- $v0 = " in done.output

    def test_its_text_with_literals_runs_in_the_shell(self, ask: Callable[..., Result]) -> None:
        shown = ask("sql", "bookings", "from=2026-03-01", "to=2026-04-01", "--literal")
        assert "$v" not in shown.output
        done = ask("warehouse", "--csv", typed=shown.output)
        assert done.exit_code == 0, done.exception

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["no_such_metric"], "There is no metric no_such_metric; there are"),
            (["bookings", "from"], "should have the form name=value"),
            (["bookings", "colour=red"], "colour"),
            (["bookings", "from=yesterday"], "from"),
            (["funnel", f"pipeline_id={UUID(int=1)}"], "no such pipeline"),
        ],
    )
    def test_says_what_is_wrong(self, ask: Callable[..., Result], arguments: list[str], said: str) -> None:
        assert said in str(ask("sql", *arguments).exception)


class TestExport:
    def test_a_star_schema_is_opened_by_anything_that_reads_parquet(
        self, ask: Callable[..., Result], tmp_path: Path
    ) -> None:
        organization_id = EventLog().organization_id
        folder = tmp_path / "export"
        done = ask("warehouse", "export", "--organization", str(organization_id), str(folder))
        assert done.exit_code == 0, done.output
        dictionary = json.loads((folder / "dictionary.json").read_text())
        tables = {table["name"]: table for table in dictionary["tables"]}
        assert {"fct_deals", "fct_stage_entries", "dim_stages"} <= set(tables) <= {mart.value for mart in Mart}
        assert tables["fct_deals"]["rows"] == 3
        assert all(column["description"] for table in tables.values() for column in table["columns"])
        for name, table in tables.items():
            plain = duckdb.read_parquet(str(folder / table["file"]))
            assert plain.columns == [column["name"] for column in table["columns"]], name
            assert plain.count("*").fetchall() == [(table["rows"],)], name
        with duckdb.connect(str(PublishedFolder(tmp_path).path_of(_current(tmp_path))), read_only=True) as file:
            wanted = file.execute(
                "select deal_id::text, owner_id::text, stages_entered_at, known_from from fct_deals order by all"
            ).fetchall()
        file_path = folder / "fct_deals.parquet"
        exported = f"select deal_id, owner_id, stages_entered_at, known_from from '{file_path}' order by all"
        assert duckdb.execute(exported).fetchall() == wanted

    def test_says_why_there_is_nothing_to_export(self, ask: Callable[..., Result], tmp_path: Path) -> None:
        used = tmp_path / "used"
        used.mkdir()
        (used / "file").touch()
        whose = str(EventLog().organization_id)
        assert "there already" in str(ask("warehouse", "export", "--organization", whose, str(used)).exception)
        stranger = ask("warehouse", "export", "--organization", str(UUID(int=9)), str(tmp_path / "x"))
        assert "knows no organization" in str(stranger.exception)
        assert not (tmp_path / "x").exists()


def _current(folder: Path) -> PublishedVersion:
    version = PublishedFolder(folder).current()
    assert version is not None
    return version
