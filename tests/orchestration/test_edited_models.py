"""A data engineer edits models while the refresh runs: it builds them, or says why not."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from contracts.settings import WarehouseSettings
from contracts.warehouse import Mart
from metrics.status import CheckState, RefreshState
from orchestration import refresh
from orchestration.build import dbt
from orchestration.defs.assets import define_checks
from orchestration.publish import last_publication
from tests.orchestration.conftest import Installation
from tests.orchestration.test_refresh import latest_check


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project that is the one in use."""
    folder = tmp_path / "dbt_project"
    shutil.copytree(dbt.PROJECT_DIR, folder, ignore=shutil.ignore_patterns("target", "logs"))
    monkeypatch.setattr(dbt, "PROJECT_DIR", folder)
    monkeypatch.setattr(dbt, "_projects", {})
    monkeypatch.setattr(refresh, "_LOOK_SECONDS", 0.0)
    return folder


def _edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


class TestEditedModels:
    def test_are_built_without_a_restart_and_without_an_event_or_said_to_be_wrong(
        self, project: Path, refreshed: Installation
    ) -> None:
        refreshed.new_deal()
        assert refreshed.refresher.refresh_if_due() is True
        before = last_publication(refreshed.url)
        assert refreshed.refresher.refresh_if_due() is None

        model = project / "models" / "marts" / "sales" / "fct_deals.sql"
        text = model.read_text()
        model.write_text(f"{text}\n-- another thought\n")
        assert refreshed.refresher.refresh_if_due() is True
        after = last_publication(refreshed.url)
        assert before is not None
        assert after is not None
        assert after.manifest_hash != before.manifest_hash
        assert refreshed.refresher.refresh_if_due() is None

        # what cannot be read is said, and readers keep what they have
        model.write_text("select {{ ref('no_such_model') }}")
        assert refreshed.refresher.refresh_if_due() is False
        status = refreshed.warehouse.status.read().last_refresh
        assert status is not None
        assert status.status is RefreshState.FAILED
        assert "no_such_model" in str(status.error)
        assert last_publication(refreshed.url) == after

    def test_r34_an_edited_description_leaves_every_check_with_its_own_and_its_asset(
        self, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        warehouse = WarehouseSettings(warehouse_url=SecretStr(f"duckdb://{tmp_path / 'warehouse'}"))
        before = dbt.load_project(warehouse, target_path=tmp_path / "target")
        _edit(project / "models" / "marts" / "sales" / "_sales__models.yml", "description: ", "description: Now, ")
        monkeypatch.setattr(dbt, "_projects", {})
        after = dbt.load_project(warehouse, target_path=tmp_path / "target")
        assert after is not before
        for checks in (define_checks(before), define_checks(after)):
            assert all(check.description for check in checks)
            assert {"deal_facts_agree", "stages_are_known"} <= {check.name for check in checks}

    @pytest.mark.slow
    def test_floats_in_a_published_mart_are_refused_where_they_are_written(
        self, project: Path, make_installation: Callable[[], Installation]
    ) -> None:
        installation = make_installation()
        installation.new_deal()
        assert installation.refresher.refresh_if_due() is True
        schema = project / "models" / "marts" / "sales" / "_sales__models.yml"
        _edit(schema, "data_type: bigint", "data_type: double")
        assert installation.refresher.refresh_if_due() is False
        status = installation.warehouse.status.read().last_refresh
        assert status is not None
        assert "is a double. Sums of floats depend on the order of rows" in str(status.error)

        _edit(schema, "data_type: double", "data_type: bigint")
        assert installation.refresher.refresh_if_due() is not False
        status = installation.warehouse.status.read().last_refresh
        assert status is not None
        assert status.status is RefreshState.OK


def test_a_failed_check_names_column_count_and_keys(
    project: Path, make_installation: Callable[[], Installation]
) -> None:
    _edit(project / "models" / "marts" / "sales" / "_sales__models.yml", "kind: [open, won, lost]", "kind: [won, lost]")
    installation = make_installation()
    installation.new_deal()
    assert installation.refresher.refresh_if_due() is False
    failed = [one for one in installation.warehouse.status.read().checks if one.status is CheckState.FAILED]
    (sound,) = [one for one in failed if "dim_stages_has_sound_rows" in one.name]
    stage = r"organization_id [0-9a-f-]{36}, stage_id [0-9a-f-]{36}, valid_from .*, known_from .*"
    assert re.fullmatch(rf"kind is unknown in \d+ rows, such as {stage} and {stage}", sound.message), sound.message
    installation.refresher.record.tell_if_due()
    shown = latest_check(installation, Mart.DIM_STAGES, "dim_stages_has_sound_rows")
    assert shown.description == sound.message
