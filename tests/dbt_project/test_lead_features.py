"""`lead_features`: what was true at an instant, and nothing of later; planted knowledge of the future is caught."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from contracts.settings import WarehouseSettings
from models_ml.columns import columns_of
from models_ml.outcome import read_outcome
from models_ml.training import Settings, train
from orchestration.build.database import open_build
from tests.dbt_project.conftest import HISTORY
from tests.warehouse_builder import build_sales, duckdb_warehouse

_FEATURES = """
select deal_id, scored_at, pipeline_id, stage_id, source_id, amount_minor, currency, has_company, has_contact, moves,
    changes, days_since_created, days_in_stage, days_to_close_date
from lead_features
"""


def _features(warehouse: WarehouseSettings) -> dict[tuple[Any, datetime], tuple[Any, ...]]:
    with open_build(warehouse.warehouse_url.get_secret_value()) as file:
        return {row[:2]: row[2:] for row in file.execute(_FEATURES).fetchall()}


def test_features_of_an_instant_are_those_that_were_built_without_its_future(
    whole_warehouse: WarehouseSettings, tmp_path: Path, target_path: Path
) -> None:
    """The history up to any instant gives the same features for instants before it: nothing later reaches them."""
    history = sorted(HISTORY, key=lambda event: (event.occurred_at, event.recorded_at))
    instant = history[len(history) * 2 // 3].occurred_at
    warehouse = duckdb_warehouse(tmp_path / "past")
    build_sales(warehouse, [one for one in history if one.occurred_at <= instant], target_path=target_path)
    whole, past = _features(whole_warehouse), _features(warehouse)
    known = {key for key in whole if key[1] <= instant}
    assert len(known) > 50
    assert {key: whole[key] for key in known} == {key: past.get(key) for key in known}


def test_a_planted_future_field_and_a_target_echo_are_caught() -> None:
    random = np.random.default_rng(0)
    rows = 3_000
    start = datetime(2025, 1, 1)  # noqa: DTZ001
    scored = [start + timedelta(hours=float(hours)) for hours in np.sort(random.random(rows) * 9_000)]
    moves = random.integers(0, 6, rows)
    won = random.random(rows) < 1 / (1 + np.exp(1.5 - 0.6 * moves))
    frame = pl.DataFrame(
        {
            "scored_at": scored,
            "moves": moves,
            "outcome_at": [at + timedelta(days=3) for at in scored],
            "stage_after": np.where(won, "a", "b"),
        }
    )
    trained = train(
        columns_of(frame),
        read_outcome("outcome", pl.Series("outcome", np.where(won, "won", "lost"))),
        Settings("scored_at"),
    )
    assert set(trained.card["leaks"]) == {"outcome_at", "stage_after"}
    assert trained.card["model"]["features"] == ["moves"]
