from pathlib import Path

import dagster as dg

from contracts.warehouse import Group, Part, Speed
from orchestration.build.dbt import NodeResult, load_project
from orchestration.defs.assets import Record
from orchestration.update import Update
from tests.warehouse_builder import duckdb_warehouse


class TestRecord:
    def test_of_what_was_shown_the_last_of_each_stays(
        self, tmp_path: Path, dbt_target: Path, instance: dg.DagsterInstance
    ) -> None:
        project = load_project(duckdb_warehouse(tmp_path), target_path=dbt_target)
        test = next(name for name in project.parts if ".dim_users_has_sound_rows." in name)
        assert project.parts[test] == Part(Group.SHARED, Speed.LIVE)
        record = Record(instance)
        key = dg.AssetKey("dim_users")
        before = len(instance.fetch_materializations(key, limit=1_000).records)  # those of other tests
        for status in ("pass", "fail"):
            nodes = [
                NodeResult("model.sluice.dim_users", "dim_users", "model", "success", 0.1),
                NodeResult(test, "dim_users_has_sound_rows", "test", status, 0.1, failures=2),
            ]
            record.note(Update(nodes=nodes), project)
            record.tell()
        assert len(instance.fetch_materializations(key, limit=1_000).records) == before + 2
        record.wipe()
        assert len(instance.fetch_materializations(key, limit=10).records) == 1
        check = dg.AssetCheckKey(key, "dim_users_has_sound_rows")
        history = instance.event_log_storage.get_asset_check_execution_history(check, limit=10)
        assert [record.status.value for record in history] == ["FAILED"]

    def test_where_updates_follow_one_upon_the_other_the_newest_is_told_and_what_fails_at_once(
        self, tmp_path: Path, dbt_target: Path, instance: dg.DagsterInstance
    ) -> None:
        project = load_project(duckdb_warehouse(tmp_path), target_path=dbt_target)
        test = next(name for name in project.parts if ".dim_users_has_sound_rows." in name)
        record, key = Record(instance), dg.AssetKey("dim_users")
        check = dg.AssetCheckKey(key, "dim_users_has_sound_rows")

        def told(seconds: float, status: str) -> tuple[list[object], str]:
            """The last two times that are known of the model, and what is known of its test, after one more update."""
            nodes = [
                NodeResult("model.sluice.dim_users", "dim_users", "model", "success", seconds),
                NodeResult(
                    test, "dim_users_has_sound_rows", "test", status, 0.1, failures=0 if status == "pass" else 2
                ),
            ]
            record.note(Update(nodes=nodes), project)
            record.tell_if_due()
            built = instance.fetch_materializations(key, limit=2).records
            (checked,) = instance.event_log_storage.get_asset_check_execution_history(check, limit=1)
            seen = [one.asset_materialization for one in built]
            return [one.metadata["seconds"].value for one in seen if one is not None], checked.status.value

        assert told(1.0, "pass")[0][0] == 1.0
        assert told(2.0, "pass") == told(3.0, "pass")
        assert told(4.0, "fail") == ([4.0, 1.0], "FAILED")
        assert told(5.0, "pass") == ([5.0, 4.0], "SUCCEEDED")
        told(6.0, "pass")
        record.tell()
        (last,) = instance.fetch_materializations(key, limit=1).records
        assert last.asset_materialization is not None
        assert last.asset_materialization.metadata["seconds"].value == 6.0
