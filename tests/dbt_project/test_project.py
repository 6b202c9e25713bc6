"""What the project promises of itself: layers, contracts, descriptions, engine-specific SQL in macros only."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from contracts.events.deals import DealCreated
from contracts.stages import Outcome
from contracts.warehouse import RAW_EVENT_COLUMNS, Group, Mart, Speed
from metrics.registry import definitions
from orchestration.build.dbt import PROJECT_DIR, parse_manifest
from runtime import exposures

#: Syntax of one engine, which belongs into macros/.
_ENGINE_SYNTAX = re.compile(
    r"->>|::|json_extract|generate_series|\btimezone\(|at time zone|\bqualify\b|unnest", re.IGNORECASE
)


#: A relation that is named by its schema, instead of by ref or source.
_HARD_CODED = re.compile(r"\b(?:from|join)\s+(?:raw|staging|main|published)\.\w+", re.IGNORECASE)

#: Marts over facts and dimensions.
_SUMMED_UP = {f"{name}_daily" for name in ("forecast", "funnel", "pipeline", "team_performance")} | {
    "lead_features",
    "warehouse_freshness",
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = parse_manifest(target_path=tmp_path_factory.mktemp("manifest"))
    content: dict[str, Any] = json.loads(path.read_text())
    return content


@pytest.fixture
def models(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    return [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]


def _is_core(name: str) -> bool:
    """Facts and dimensions: the boundary between what is staged and what is summed up."""
    return name.startswith(("fct_", "dim_", "warehouse_freshness"))


def test_marts_are_those_of_the_contract(models: list[dict[str, Any]]) -> None:
    declared = {
        (model["name"], model["config"]["group"], model["config"]["meta"]["speed"])
        for model in models
        if model["fqn"][1] == "marts"
    }
    assert declared == {(mart.value, mart.group.value, mart.speed.value) for mart in Mart}


def test_groups_are_those_of_the_contract_and_of_the_folders(
    manifest: dict[str, Any], models: list[dict[str, Any]]
) -> None:
    assert {group["name"] for group in manifest["groups"].values()} == {group.value for group in Group}
    assert all(group["config"]["meta"]["events"] for group in manifest["groups"].values())
    assert all(model["fqn"][2] == model["config"]["group"] for model in models if model["fqn"][1] == "marts")


def test_what_is_summed_up_reads_core_only(manifest: dict[str, Any], models: list[dict[str, Any]]) -> None:
    for model in models:
        if model["fqn"][1] == "marts" and not _is_core(model["name"]):
            read = {manifest["nodes"][parent]["name"] for parent in model["depends_on"]["nodes"]}
            read.discard(model["config"]["meta"].get("affected"))  # says which of its own rows to compute again
            assert all(_is_core(name) for name in read), model["name"]


def test_a_group_reads_itself_and_what_is_shared(manifest: dict[str, Any], models: list[dict[str, Any]]) -> None:
    for model in models:
        parents = [one for one in model["depends_on"]["nodes"] if one.startswith("model.")]
        read = {manifest["nodes"][parent]["config"]["group"] for parent in parents}
        assert read <= {model["config"]["group"], Group.SHARED, Group.EVENTS}, model["name"]


def test_settled_marts_are_plain_models(models: list[dict[str, Any]]) -> None:
    for model in models:
        plain = model["config"]["materialized"] in ("table", "incremental", "view")
        if model["config"]["meta"]["speed"] == Speed.SETTLED:
            assert plain, model["name"]
            assert "is_update" not in model["raw_code"], model["name"]


def test_only_staging_reads_raw(models: list[dict[str, Any]]) -> None:
    readers = [
        model
        for model in models
        if any(parent.startswith("source.sluice.raw.") for parent in model["depends_on"]["nodes"])
    ]
    assert [model["name"] for model in readers] == ["stg_events"]


def test_what_dbts_evaluator_asks_of_a_project(manifest: dict[str, Any], models: list[dict[str, Any]]) -> None:
    """Of dbt_project_evaluator's rules those that no other test here holds."""
    layers = {"staging": "stg_", "intermediate": "int_"}
    reads = {model["name"]: _read_models(manifest, model) for model in models}
    for model in models:
        name, layer = model["name"], model["fqn"][1]
        assert name.startswith(layers.get(layer, ("fct_", "dim_"))) or name in _SUMMED_UP, name
        assert model["depends_on"]["nodes"], f"{name} reads nothing"
        assert not _HARD_CODED.search(_without_comments(model["raw_code"])), name
        if layer == "staging":
            assert all(read.startswith("stg_") for read in reads[name]), name
        elif layer == "intermediate":
            assert not any(read in _SUMMED_UP for read in reads[name]), name
        assert model["original_file_path"].split("/")[1] == layer
        assert (PROJECT_DIR / model["patch_path"].partition("://")[2]).parent.name == Path(model["path"]).parent.name
    read_sources = {node for model in models for node in model["depends_on"]["nodes"]}
    assert set(manifest["sources"]) <= read_sources
    public = {node["unique_id"] for node in models if node["access"] == "public"}
    assert all(set(one["depends_on"]["nodes"]) <= public for one in manifest["exposures"].values())
    used = {read for names in reads.values() for read in names} | {mart.value for mart in Mart}
    assert {model["name"] for model in models} - used == set(), "nobody reads these"


def _read_models(manifest: dict[str, Any], model: dict[str, Any]) -> set[str]:
    return {manifest["nodes"][one]["name"] for one in model["depends_on"]["nodes"] if one.startswith("model.")}


def _without_comments(code: str) -> str:
    return re.sub(r"--[^\n]*", "", code)


def test_contracts_are_enforced_on_everything_published(models: list[dict[str, Any]]) -> None:
    for model in models:
        if model["fqn"][1] == "marts":
            assert model["config"]["contract"]["enforced"], model["name"]
            assert model["access"] == "public", model["name"]
            assert next(iter(model["columns"])) == "organization_id", model["name"]


def test_every_model_and_column_is_described(manifest: dict[str, Any], models: list[dict[str, Any]]) -> None:
    for node in [*models, *manifest["sources"].values()]:
        assert node["description"], node["name"]
        assert node["columns"], node["name"]
        assert all(column["description"] for column in node["columns"].values()), node["name"]


def test_lineage_ends_at_the_metrics_and_pages_that_use_it(manifest: dict[str, Any]) -> None:
    assert exposures.PATH.read_text(encoding="utf-8") == exposures.render(), "run ./sluice accept"
    declared = {one["name"]: one for one in manifest["exposures"].values()}
    assert {name for name in declared if name.startswith("metric_")} == {f"metric_{name}" for name in definitions()}
    assert declared["metric_funnel"]["depends_on"]["nodes"]
    assert "funnel" in declared["page_funnel"]["config"]["meta"]["metrics"]


def test_every_mart_has_a_test_of_its_rows(manifest: dict[str, Any]) -> None:
    tests = {node["name"] for node in manifest["nodes"].values() if node["resource_type"] == "test"}
    assert {f"{mart.value}_has_sound_rows" for mart in Mart} <= tests


def test_source_has_the_columns_of_the_contract(manifest: dict[str, Any]) -> None:
    declared = manifest["sources"]["source.sluice.raw.events"]["columns"]
    assert {name: column["data_type"] for name, column in declared.items()} == {
        name: postgres for name, (_, postgres) in RAW_EVENT_COLUMNS.items()
    }


def test_facts_of_deal_events_are_staged() -> None:
    staged = (PROJECT_DIR / "models/staging/stg_deal_events.sql").read_text()
    assert all(f"'{name}'" in staged for name in DealCreated.model_fields)


def test_models_branch_on_outcomes_that_exist() -> None:
    daily = (PROJECT_DIR / "models/marts/sales/team_performance_daily.sql").read_text()
    assert all(f"'{outcome.value}'" in daily for outcome in Outcome)


@pytest.mark.parametrize("path", sorted(PROJECT_DIR.glob("models/**/*.sql")), ids=lambda path: path.stem)
def test_models_speak_plain_sql(path: Path) -> None:
    assert _ENGINE_SYNTAX.findall(path.read_text()) == []
