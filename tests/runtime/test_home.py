"""One home, one supervisor, any path, also on a full disk: what the verbs that look at a running stack rely on."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
import pytest
import typer
from pydantic import SecretStr
from rich.console import Console
from typer.testing import CliRunner

from contracts.settings import WarehouseSettings
from ingest.sinks import open_sink
from runtime import home as home_module
from runtime.cli import app
from runtime.home import Home
from runtime.import_client import ImportClient, ImportFile
from runtime.import_command import import_files
from runtime.process import ManagedProcess, ProcessSpec, die_with_parent
from runtime.stack import lock_holder, prepare_stack
from runtime.supervisor import Supervisor

_SUPERVISOR = """
import json, os, pathlib, sys, time
from runtime.home import Home
from runtime.import_client import ImportClient, ImportFile
from runtime.import_command import import_files
from runtime.stack import prepare_stack
stack = prepare_stack(int(sys.argv[1]))
with stack.lock():
    stack.remember_ports()
    stack.home.state_file.write_text(json.dumps({"pid": os.getpid(), "processes": []}))
    print("holds", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home that SLUICE_HOME names, not yet made."""
    path = tmp_path / "home"
    monkeypatch.setenv("SLUICE_HOME", str(path))
    monkeypatch.delenv("SLUICE_API_URL", raising=False)
    return path


@contextmanager
def _held(port_base: int) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the home's lock, as a supervisor does."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SUPERVISOR, str(port_base)],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509  # one prctl call
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "holds\n"
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


@pytest.mark.usefixtures("folder")
class TestDown:
    def test_stops_the_supervisor_that_holds_the_lock(self) -> None:
        with _held(20_170) as supervisor:
            done = CliRunner().invoke(app, ["down"])
            assert done.output == "stopped\n"
            assert supervisor.wait(10) is not None

    @pytest.mark.parametrize("left", ["state", "lock", "both"])
    def test_spares_whoever_was_given_the_pid_of_one_that_crashed(self, left: str) -> None:
        stack = prepare_stack(None)
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as bystander:
            if left in ("state", "both"):
                stack.home.state_file.write_text(json.dumps({"pid": bystander.pid, "processes": []}))
            if left in ("lock", "both"):
                stack.home.lock_file.write_text(str(bystander.pid))
            done = CliRunner().invoke(app, ["down"])
            assert done.output == "Sluice is not running.\n"
            assert bystander.poll() is None
            bystander.kill()

    def test_spares_a_restore_which_holds_the_lock_as_well(self) -> None:
        stack = prepare_stack(None)
        with stack.lock():
            assert lock_holder(stack.home) is not None
            assert CliRunner().invoke(app, ["down"]).output == "Sluice is not running.\n"


@pytest.mark.usefixtures("folder")
class TestImport:
    def test_goes_to_the_stack_of_its_own_folder(self, tmp_path: Path) -> None:
        deals = tmp_path / "deals.csv"
        deals.write_text("id\n1\n")
        with _held(20_170):
            done = CliRunner().invoke(app, ["import", str(deals), "--token", "none"])
        assert done.exit_code == 2
        assert "http://127.0.0.1:20170" in done.output.replace("\n", "")

    def test_goes_nowhere_while_that_does_not_run(self, tmp_path: Path) -> None:
        deals = tmp_path / "deals.csv"
        deals.write_text("id\n1\n")
        done = CliRunner().invoke(app, ["import", str(deals), "--token", "none"])
        assert done.exit_code == 2
        assert "not running here" in done.output
        assert "--api-url" in done.output

    def test_whoever_breaks_off_learns_that_it_goes_on(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def break_off(*_given: object, **_more: object) -> dict[str, object]:
            raise KeyboardInterrupt

        monkeypatch.setattr(ImportClient, "start", lambda *_given: {"id": "0190"})
        monkeypatch.setattr(ImportClient, "follow", break_off)
        with ImportClient("http://127.0.0.1:1", token="none") as client, pytest.raises(typer.Exit) as left:
            import_files(client, [ImportFile(tmp_path)], options={}, console=Console(width=500))
        assert left.value.exit_code == 130
        assert "goes on without this command: GET /v1/imports/0190" in capsys.readouterr().out


class TestFullDisk:
    @pytest.fixture
    def full(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        prepare_stack(20_170).remember_ports()
        assert folder.exists()
        monkeypatch.setattr(home_module, "MINIMUM_FREE_BYTES", 10**18)

    @pytest.mark.usefixtures("full")
    def test_what_looks_at_a_stack_works_and_up_says_what_to_do(self) -> None:
        assert "MB are free" in str(CliRunner().invoke(app, ["up"]).exception)
        with _held(20_170):
            for verb, code in (("status", 0), ("down", 0)):
                done = CliRunner().invoke(app, [verb])
                assert (done.exit_code, done.exception) == (code, None), verb
        assert CliRunner().invoke(app, ["status"]).exit_code == 3

    def test_looking_makes_no_folder(self, folder: Path) -> None:
        assert CliRunner().invoke(app, ["status"]).exit_code == 3
        assert CliRunner().invoke(app, ["down"]).exit_code == 0
        assert not folder.exists()

    def test_the_supervisor_survives_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        said: list[str] = []
        supervisor = Supervisor(logs=tmp_path / "logs", state_file=tmp_path / "stack.json", say=said.append)
        supervisor.start(ProcessSpec(name="relay", argv=[sys.executable, "-c", "import time; time.sleep(60)"]))
        starts = 0
        start = ManagedProcess.start

        def fails_once(process: ManagedProcess) -> None:
            nonlocal starts
            starts += 1
            if starts == 1:
                raise OSError(28, "No space left on device")
            start(process)

        monkeypatch.setattr(ManagedProcess, "start", fails_once)
        (tmp_path / "stack.tmp").mkdir()  # the state cannot be written, either
        os.kill(json.loads((tmp_path / "stack.json").read_text())["processes"][0]["pid"], 9)
        supervisor.watch(until=lambda: any("restart 1" in line for line in said))
        assert any("cannot be started: No space left on device" in line for line in said)
        assert any("cannot write" in line for line in said)
        supervisor.stop_all()


@pytest.mark.parametrize("name", ["a b", "ü", "a#b", "a?b", "a%20b", "a[1]", "a'b", 'a"b', "a*{b}", "100%", "s3:"])
class TestAnyPath:
    def test_programs_get_a_plain_name_for_the_same_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("SLUICE_HOME", str(tmp_path / name / "home"))
        stack = prepare_stack(None)
        assert stack.home.path.samefile(tmp_path / name / "home")
        paths = [value for key, value in stack.environment().items() if "PATH" in key or "WAREHOUSE" in key]
        assert not [path for path in paths if name in path]
        assert Home.locate() == stack.home
        real = stack.home.path.resolve()
        assert real.stat().st_dev == tmp_path.stat().st_dev
        assert (real == tmp_path / name / "home") is not any(one in name for one in "?%[*")
        with duckdb.connect(str(stack.home.warehouse / "a.duckdb")) as connection:
            connection.execute("create table a as select 1 as a")
        warehouse = WarehouseSettings(warehouse_url=SecretStr(stack.environment()["SLUICE_WAREHOUSE_URL"]))
        with closing(open_sink(warehouse)) as sink:
            assert sink.group_sums() == {}
        assert (tmp_path / name / "home" / "warehouse" / "raw" / "events").is_dir()


def test_a_link_that_was_tidied_away_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("SLUICE_HOME", str(tmp_path / "a b"))
    first = prepare_stack(None).home.path
    first.unlink()
    assert Home.locate().path == first
    assert first.samefile(tmp_path / "a b")
