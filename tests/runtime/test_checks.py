"""`./sluice test`: every check runs, failures are named, and a person's own arguments reach plain pytest."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from runtime.checks import Check, run_side_by_side, suite_check
from runtime.home import PROJECT
from tests.eventually import eventually


def _program(name: str, code: str) -> Check:
    return Check(name, [sys.executable, "-c", code])


def test_checks_run_side_by_side_and_each_says_its_own() -> None:
    console = Console(record=True, width=120)
    checks = [
        _program("types", "print('42: [red] is no colour'); raise SystemExit(3)"),
        _program("lint", "print('all well')"),
        _program("format", "raise SystemExit(1)"),
    ]
    assert sorted(run_side_by_side(console, checks)) == ["format", "types"]
    said = console.export_text()
    assert "types\n42: [red] is no colour\n  failed (3) in" in said
    assert "lint\nall well\n  ok in" in said


def test_processes_share_the_tests_unless_a_person_says_what_to_run() -> None:
    assert {"-n", "loadfile"} <= set(suite_check(everything=False, pytest_arguments=[]).argv)
    own = suite_check(everything=False, pytest_arguments=["tests/ingest", "-k", "o2"]).argv
    assert list(own[1:]) == ["-m", "pytest", "-m", "not slow", "tests/ingest", "-k", "o2"]


_RUNS_TESTS = """
import sys
from rich.console import Console
from runtime.checks import run_checks
run_checks(Console(), everything=False, pytest_arguments=sys.argv[1:])
"""

_WAITS = """
import os, pathlib, sys, time
def test_waits(postgres, fresh_broker, tmp_path_factory):
    pids = os.getpid(), int((postgres.folder / "postmaster.pid").read_text().split()[0]), fresh_broker.process.pid
    pathlib.Path({folder!r}, f"{{os.getpid()}}.pids").write_text(" ".join(map(str, pids)))
    time.sleep(600)
"""


@pytest.mark.slow
def test_a_run_that_is_told_to_end_leaves_no_server_behind(tmp_path: Path) -> None:
    test = tmp_path / "test_waits.py"
    test.write_text(_WAITS.format(folder=str(tmp_path)))
    options = [f"--rootdir={tmp_path}", "-p", "tests.conftest", "-p", "no:cacheprovider", "-n", "1"]
    with (tmp_path / "said").open("w") as said:
        run = subprocess.Popen(
            [sys.executable, "-c", _RUNS_TESTS, *options, str(test)], cwd=PROJECT, stdout=said, stderr=said
        )
    try:
        pids = eventually(
            lambda: [int(pid) for path in tmp_path.glob("*.pids") for pid in path.read_text().split()],
            what="the servers of the run are started",
        )
    finally:
        os.kill(run.pid, signal.SIGTERM)
    assert run.wait(60) == -signal.SIGTERM, (tmp_path / "said").read_text()
    assert len(pids) == 3
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []
