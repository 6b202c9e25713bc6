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
            record.show(Update(nodes=nodes), project)
        assert len(instance.fetch_materializations(key, limit=1_000).records) == before + 2
        record.wipe()
        assert len(instance.fetch_materializations(key, limit=10).records) == 1
        check = dg.AssetCheckKey(key, "dim_users_has_sound_rows")
        history = instance.event_log_storage.get_asset_check_execution_history(check, limit=10)
        assert [record.status.value for record in history] == ["FAILED"]
