"""The shape of the code location, in a file: a rename or a lost dependency shows in review.

After a change that is meant: `SLUICE_ACCEPT=1 pytest tests/orchestration/test_definitions.py`, and commit the file.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from contracts.warehouse import Mart
from orchestration.build.dbt import load_project
from orchestration.definitions import build_defs
from orchestration.warehouse import Warehouse
from tests.event_history import EventLog
from tests.warehouse_builder import duckdb_warehouse, publish_warehouse

SNAPSHOT = Path(__file__).with_name("definitions.json")


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory, dbt_target: Path) -> dg.Definitions:
    settings = duckdb_warehouse(tmp_path_factory.mktemp("warehouse"))
    warehouse = Warehouse(settings=settings, dbt_target_path=dbt_target, event_log_url="")
    return build_defs(warehouse=warehouse, project=load_project(settings, target_path=dbt_target))


def shape(definitions: dg.Definitions) -> dict[str, Any]:
    """What Dagster adds. Models of dbt, their lineage and tests are left out: review sees them in dbt's own files."""
    graph = definitions.resolve_asset_graph()
    models = {key for key in graph.get_all_asset_keys() if "dbt" in graph.get(key).kinds}
    return {
        "assets": {
            key.to_user_string(): {
                "group": graph.get(key).group_name,
                "deps": sorted(parent.to_user_string() for parent in graph.get(key).parent_keys - models),
            }
            for key in sorted(graph.get_all_asset_keys() - models)
        },
        "checks": sorted(
            f"{key.asset_key.to_user_string()}: {key.name}{'' if graph.get(key).blocking else ' (reports only)'}"
            for key in graph.asset_check_keys
            if not key.name.endswith("_has_sound_rows")
        ),
        "jobs": {
            job.name: sorted(node.name for node in job.nodes)
            for job in definitions.resolve_all_job_defs()
            if not job.name.startswith("__")
        },
        "sensors": sorted(one.name for one in definitions.sensors or []),
        "schedules": {
            one.name: f"{one.cron_schedule} {one.job_name}"
            for one in definitions.schedules or []
            if isinstance(one, dg.ScheduleDefinition)
        },
    }


def test_the_code_location_is_as_it_was_accepted(definitions: dg.Definitions) -> None:
    found = shape(definitions)
    if os.environ.get("SLUICE_ACCEPT"):
        SNAPSHOT.write_text(json.dumps(found, indent=2) + "\n")
    assert found == json.loads(SNAPSHOT.read_text())


def test_every_mart_is_shown_with_a_check_that_stops_its_publication(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    blocking = {key.asset_key.to_user_string() for key in graph.asset_check_keys if graph.get(key).blocking}
    assert {mart.value for mart in Mart} <= blocking
    published = graph.get(dg.AssetKey("published_warehouse")).parent_keys
    assert {mart.value for mart in Mart} <= {key.to_user_string() for key in published}


def test_everything_says_what_it_is_and_who_answers_for_it(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys() - {dg.AssetKey("stripe_reconciliation")}:
        assert graph.get(key).owners, key
        assert graph.get(key).description, key
    silent = [key.name for key in graph.asset_check_keys if not graph.get(key).description]
    assert silent == []
    sound = graph.get(dg.AssetCheckKey(dg.AssetKey("dim_stages"), "dim_stages_has_sound_rows"))
    assert "One row per organization_id, stage_id, valid_from, known_from" in str(sound.description)
    assert "kind is one of open, won, lost" in str(sound.description)


def test_quality_is_looked_at_once_there_is_something_to_look_at(
    tmp_path: Path, dbt_target: Path, definitions: dg.Definitions
) -> None:
    warehouse = Warehouse(settings=duckdb_warehouse(tmp_path), dbt_target_path=dbt_target, event_log_url="")
    sensor = next(one for one in definitions.sensors or [] if one.name == "first_quality")
    assert isinstance(sensor, dg.SensorDefinition)

    def look(cursor: str | None) -> object:
        context = dg.build_sensor_context(cursor=cursor, resources={"warehouse": warehouse})
        return sensor(context)

    assert isinstance(look(None), dg.SkipReason)
    log = EventLog()
    log.organization(at=datetime(2026, 1, 1, tzinfo=UTC))
    publish_warehouse(warehouse.settings, log.events, target_path=dbt_target)
    assert isinstance(look(None), dg.RunRequest)
    assert isinstance(look("20260101T000000000000Z"), dg.SkipReason)
