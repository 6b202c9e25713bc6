import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from runtime.process import ManagedProcess, ProcessSpec, free_port, is_port_open
from tests.eventually import eventually

_LOCATIONS = "{workspaceOrError{...on Workspace{locationEntries{name locationOrLoadError{__typename}}}}}"
_SCHEDULES = (
    '{schedulesOrError(repositorySelector:{repositoryName:"__repository__",repositoryLocationName:"sluice"})'
    "{...on Schedules{results{name scheduleState{status}}}}}"
)


_TOKEN = "operators-only-0123456789"


def ask(port: int, query: str, token: str = _TOKEN) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        data=json.dumps({"query": query}).encode(),
        headers={"content-type": "application/json", "authorization": f"Bearer {token}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310  # a loopback URL of ours
            return json.load(response)["data"]
    except (urllib.error.URLError, OSError):
        return None


def test_a_program_of_dagsters_runs_as_python_would_run_it(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text('{"a":1}')
    program = [sys.executable, "-m", "orchestration.program", "json.tool", "--compact"]
    done = subprocess.run([*program, tmp_path / "one.json"], capture_output=True, text=True, check=True)
    assert done.stdout == '{"a":1}\n'
    failed = subprocess.run([*program, tmp_path / "none.json"], capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert "none.json" in failed.stderr


@pytest.mark.slow
def test_dagsters_pages_show_the_code_location_and_everything_stops_together(tmp_path: Path) -> None:
    port = free_port()
    spec = ProcessSpec(
        name="dagster",
        argv=[sys.executable, "-m", "runtime.serve", "dagster"],
        env={
            "SLUICE_WAREHOUSE_URL": f"duckdb://{tmp_path}/warehouse",
            "SLUICE_DATABASE_RELAY_URL": "postgresql://nobody@127.0.0.1:1/nothing",
            "SLUICE_DAGSTER_HOME": str(tmp_path / "dagster"),
            "SLUICE_DAGSTER_PORT": str(port),
            "SLUICE_DAGSTER_TOKEN": _TOKEN,
            "SLUICE_DBT_TARGET_PATH": str(tmp_path / "dbt"),
        },
        cwd=Path(__file__).resolve().parents[2],
    )
    process = ManagedProcess(spec, log_path=tmp_path / "dagster.log")
    process.start()
    try:
        eventually(
            lambda: '"RepositoryLocation"' in json.dumps(ask(port, _LOCATIONS)),
            what="the code location is loaded",
            seconds=180,
            every=0.5,
        )
        assert ask(port, _LOCATIONS, token="somebody's") is None  # refused
        schedules = ask(port, _SCHEDULES)["schedulesOrError"]["results"]
        assert {one["name"]: one["scheduleState"]["status"] for one in schedules} == {
            "frequent_compaction": "RUNNING",
            "frequent_forgetting": "RUNNING",
            "hourly_quality": "RUNNING",
            "nightly_equality": "RUNNING",
            "nightly_stripe_reconciliation": "RUNNING",
            "nightly_training": "RUNNING",
        }
    finally:
        process.stop()
    assert not is_port_open(port)
