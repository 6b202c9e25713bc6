"""Features of deals and leads: what was true at an instant, nothing of later; planted knowledge of later is caught."""

from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from contracts.settings import WarehouseSettings
from metrics.reader import open_reader
from models_ml.columns import columns_of
from models_ml.outcome import read_outcome
from models_ml.training import Settings, train
from orchestration.scoring import DEALS, changed_ids, known_through, read_features
from tests.dbt_project.conftest import HISTORY
from tests.dbt_project.reading import query
from tests.random_history import random_history
from tests.warehouse_builder import build_warehouse, duckdb_warehouse, publish_warehouse

_MARTS = {
    "lead_features": "deal_id, scored_at, pipeline_id, stage_id, source_id, amount_minor, currency, has_company,"
    " has_contact, moves, changes, days_since_created, days_in_stage, days_to_close_date",
    "fct_lead_moments": "contact_id, scored_at, source_id, has_company, messages_in, messages_out, calls, meetings,"
    " notes, changes, days_since_created, days_since_touched",
}


def _features(warehouse: WarehouseSettings) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    found: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for mart, columns in _MARTS.items():
        rows = [tuple(row.values()) for row in query(warehouse, f"select {columns} from {mart}")]
        found |= {(mart, *row[:2]): row[2:] for row in rows}
    return found


@pytest.mark.parametrize("kind", ["duckdb", pytest.param("postgres", marks=pytest.mark.slow)])
def test_golden_8_features_of_an_instant_are_those_that_were_built_without_its_future(
    kind: str, built_warehouse: Callable[[str], WarehouseSettings], target_path: Path
) -> None:
    """The history up to any instant gives the same features for instants before it: nothing later reaches them.

    Only who was away at the instant, and came back later, is missed: a contact merged into another is no lead, and what
    was deleted is nothing until it is restored.
    """
    history = sorted(HISTORY, key=lambda event: (event.occurred_at, event.recorded_at))
    instant = history[len(history) * 2 // 3].occurred_at
    features = []
    for events in (HISTORY, [one for one in history if one.occurred_at <= instant]):
        warehouse = built_warehouse(kind)
        build_warehouse(warehouse, events, target_path=target_path)
        features.append(_features(warehouse))
    whole, past = features
    returns = {"contact.unmerged", "contact.restored", "deal.restored"}
    back = {one.aggregate_id for one in history if one.type in returns and one.occurred_at > instant}
    known = {key for key in whole if key[2] <= instant and key[1] not in back}
    assert {mart: sum(key[0] == mart for key in known) > 20 for mart in _MARTS} == dict.fromkeys(_MARTS, True)
    assert {key: whole[key] for key in known} == {key: past.get(key) for key in known}


def test_whatever_features_change_is_among_what_is_known_to_have_changed(tmp_path: Path, target_path: Path) -> None:
    """The scorer looks at those deals alone."""
    history = sorted(random_history(11), key=lambda event: event.recorded_at)
    since = history[len(history) * 3 // 4].recorded_at
    shown = []
    for name, events in (("before", [one for one in history if one.recorded_at < since]), ("after", history)):
        warehouse = duckdb_warehouse(tmp_path / name)
        publish_warehouse(warehouse, events, target_path=target_path)
        shown.append(_present(warehouse, since))
    (before, _), (after, touched) = shown
    differ = {deal for deal in before.keys() | after.keys() if before.get(deal) != after.get(deal)}
    assert differ
    assert differ <= touched
    assert len(touched) < len({event.aggregate_id for event in history if event.aggregate_type == "deal"})


def _present(
    warehouse: WarehouseSettings, since: datetime
) -> tuple[dict[tuple[str, str], tuple[Any, ...]], set[tuple[str, str]]]:
    """What is scored of each organization's deals, and those of which something else is known since an instant."""
    rows: dict[tuple[str, str], tuple[Any, ...]] = {}
    touched: set[tuple[str, str]] = set()
    organizations = {event.organization_id for event in random_history(11)}
    with closing(open_reader(warehouse.warehouse_url.get_secret_value())) as reader, reader.session() as session:
        for one in organizations:
            features = read_features(session, one, is_present=True)
            rows |= {(str(one), row[0]): row[1:] for row in features.iter_rows()}
            touched |= {(str(one), str(deal)) for deal in changed_ids(session, one, DEALS, since=since)}
            assert known_through(session, one, DEALS) is not None
    return rows, touched


def test_golden_8_a_planted_future_field_and_a_target_echo_are_caught() -> None:
    chance = np.random.default_rng(0)
    rows = 3_000
    start = datetime(2025, 1, 1)  # noqa: DTZ001
    scored = [start + timedelta(hours=float(hours)) for hours in np.sort(chance.random(rows) * 9_000)]
    moves = chance.integers(0, 6, rows)
    won = chance.random(rows) < 1 / (1 + np.exp(1.5 - 0.6 * moves))
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
