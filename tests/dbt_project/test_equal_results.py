"""One history, four ways to build it: both engines, at once or in slices, all with the same rows in every mart."""

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.settings import WarehouseSettings
from orchestration.build.parts import build
from orchestration.publish import publish
from tests.dbt_project.conftest import HISTORY
from tests.dbt_project.reading import Row, all_marts, published_marts
from tests.event_history import AnyEvent
from tests.warehouse_builder import load_raw


@pytest.fixture(scope="module")
def expected(whole_warehouse: WarehouseSettings) -> dict[str, list[Row]]:
    """The marts of the whole history, built at once on DuckDB."""
    return all_marts(whole_warehouse)


def _slices(events: list[AnyEvent], *, count: int, seed: int) -> list[list[AnyEvent]]:
    """Cut into deliveries in which some events come late, in another order or twice; a deal's own never overtake."""
    rng = random.Random(seed)
    delay = {event.aggregate_id: rng.choice([0, 0, 0, 150]) for event in events}
    # an invoice is checked against the use that was told of its period, and comes after all of it
    delay |= {event.aggregate_id: len(events) for event in events if event.aggregate_type == "invoice"}
    arrival = sorted(range(len(events)), key=lambda number: (number + delay[events[number].aggregate_id], rng.random()))
    size = len(events) // count + 1
    cut = [[events[number] for number in arrival[start : start + size]] for start in range(0, len(events), size)]
    delivered = []
    for number, part in enumerate(cut):
        again = rng.sample(part, 10) + (rng.sample(cut[number - 1], 10) if number else [])
        delivered.append(rng.sample(part + again, len(part) + len(again)))
    return delivered


def test_history_fills_every_mart(expected: dict[str, list[Row]]) -> None:
    assert {name for name, rows in expected.items() if not rows} == set()


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_w2_slices_equal_the_whole_and_a_full_refresh_changes_nothing(
    warehouse: WarehouseSettings, target_path: Path, expected: dict[str, list[Row]], count: int
) -> None:
    url = warehouse.warehouse_url.get_secret_value()
    for part in _slices(HISTORY, count=count, seed=3):
        load_raw(warehouse, part)
        build(warehouse, target_path=target_path)
        publish(url, manifest_hash="test", now=datetime.now(UTC), keep=2)
        assert published_marts(warehouse) == all_marts(warehouse)
    built = all_marts(warehouse)
    for mart, rows in expected.items():
        assert built[mart] == rows, mart
    if count < 4:
        return  # the short form: two builds of each kind, where the first is a full one
    build(warehouse, target_path=target_path, full_refresh=True)
    refreshed = all_marts(warehouse)
    for mart, rows in expected.items():
        assert refreshed[mart] == rows, mart
