from pathlib import Path

import dagster as dg
import pytest

from orchestration.instance import LOOP_TAG, fail_abandoned_runs, open_instance, prune_runs


@dg.asset
def counted() -> None:
    pass


@dg.asset
def told() -> None:
    print("told")


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
            assert instance.all_logs(first) == []
            assert not [path for path in tmp_path.rglob("*") if first in path.name]
            key = dg.AssetCheckKey(dg.AssetKey("counted"), "is_counted")
            history = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
            assert [record.run_id for record in history] == runs[:0:-1]

            # the next process finds the rest, and a check's only result outlives its run
            prune_runs(instance, keep=0)
        with open_instance(tmp_path) as instance:
            assert instance.get_runs_count() == 0
            assert len(instance.event_log_storage.get_asset_check_execution_history(key, limit=10)) == 1
            assert not instance.telemetry_enabled


class TestOpenInstance:
    @pytest.mark.parametrize("captures_output", [True, False])
    def test_what_a_run_prints_is_kept_where_it_is_asked_for(self, tmp_path: Path, captures_output: bool) -> None:
        with open_instance(tmp_path, captures_output=captures_output) as instance:
            assert dg.materialize([told], instance=instance).success
        files = [path for path in tmp_path.rglob("*.out") if "told" in path.read_text()]
        assert bool(files) == captures_output


class TestFailAbandonedRuns:
    @pytest.mark.parametrize("of_loop", [True, False])
    def test_runs_whose_process_died_do_not_stay_started(self, instance: dg.DagsterInstance, of_loop: bool) -> None:
        job = dg.Definitions(assets=[counted]).resolve_implicit_global_asset_job_def()
        tags = {LOOP_TAG: "true"} if of_loop else {}
        run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags)
        assert fail_abandoned_runs(instance, of_loop=not of_loop) == 0
        assert fail_abandoned_runs(instance, of_loop=of_loop) == 1
        found = instance.get_run_by_id(run.run_id)
        assert found is not None
        assert found.status is dg.DagsterRunStatus.FAILURE
