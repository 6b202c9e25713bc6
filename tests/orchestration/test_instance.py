import os
import subprocess
import sys
from pathlib import Path

import dagster as dg

from orchestration.instance import fail_abandoned_runs, open_instance, prune_runs


@dg.asset
def counted() -> None:
    pass


@dg.asset_check(asset=counted)
def is_counted() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


def run_once(instance: dg.DagsterInstance) -> str:
    return dg.materialize([counted, is_counted], instance=instance).run_id


class TestPruneRuns:
    def test_old_runs_go_with_everything_about_them(self, tmp_path: Path) -> None:
        with open_instance(tmp_path) as instance:
            first = run_once(instance)
            runs = [run_once(instance) for _ in range(3)]
            assert prune_runs(instance, keep=2) == 2
            assert [run.run_id for run in instance.get_runs()] == runs[:0:-1]
            assert instance.get_run_by_id(first) is None
            assert not [path for path in tmp_path.rglob("*") if first in path.name]
            # the next process finds the rest
            prune_runs(instance, keep=0)
        with open_instance(tmp_path) as instance:
            assert instance.get_runs_count() == 0
            assert not instance.telemetry_enabled


class TestFailAbandonedRuns:
    def test_runs_whose_process_died_do_not_stay_started(self, instance: dg.DagsterInstance) -> None:
        job = dg.Definitions(assets=[counted]).resolve_implicit_global_asset_job_def()
        run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        assert fail_abandoned_runs(instance) == 1
        found = instance.get_run_by_id(run.run_id)
        assert found is not None
        assert found.status is dg.DagsterRunStatus.FAILURE
        assert fail_abandoned_runs(instance) == 0


def test_processes_that_open_a_new_record_at_once_all_can(tmp_path: Path) -> None:
    environment = {**os.environ, "SLUICE_DAGSTER_HOME": str(tmp_path)}
    argv = [sys.executable, "-m", "orchestration.instance"]
    opening = [subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    said = [one.communicate()[1] for one in opening]
    assert [one.returncode for one in opening] == [0] * 4, said
