"""The marts as of any instant are what a plain replay of the events recorded until then says."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from contracts.settings import WarehouseSettings
from tests.dbt_project.reading import Row, known_at, ordered, query
from tests.dbt_project.replay import replay
from tests.event_history import BEGINNING, days
from tests.random_history import random_history
from tests.warehouse_builder import build_warehouse

_HISTORY = random_history(23, deals=40)
_END = max(event.recorded_at for event in _HISTORY)
_INSTANTS = [BEGINNING, *(BEGINNING + days(step) for step in range(1, 125, 4)), _HISTORY[200].recorded_at, _END]


@pytest.fixture(scope="module")
def warehouse(new_warehouse: Callable[[str], WarehouseSettings], target_path: Path) -> WarehouseSettings:
    made = new_warehouse("duckdb")
    build_warehouse(made, _HISTORY, target_path=target_path)
    return made


def test_deals_as_of_any_instant_equal_a_replay(warehouse: WarehouseSettings) -> None:
    marts = {mart: query(warehouse, f"from {mart}") for mart in ("fct_stage_entries", "fct_deal_versions", "fct_deals")}
    for instant in _INSTANTS:
        expected = replay(_HISTORY, known_at=instant)
        assert known_at(marts["fct_stage_entries"], instant) == ordered(expected.entries), instant
        assert known_at(marts["fct_deal_versions"], instant) == ordered(expected.versions), instant
        assert known_at(marts["fct_deals"], instant) == ordered(expected.deals), instant


def test_equal_rows_are_not_known_anew(warehouse: WarehouseSettings) -> None:
    for mart in ("fct_stage_entries", "fct_deal_versions", "fct_deals"):
        rows = query(warehouse, f"from {mart}")
        plain = [{name: value for name, value in row.items() if name != "known_to"} for row in rows]
        successors = {tuple(row.values()) for row in plain}
        for row in rows:
            again = {**row, "known_from": row["known_to"]}
            del again["known_to"]
            assert tuple(again.values()) not in successors, (mart, row)


def test_days_of_every_zone_follow_one_another(warehouse: WarehouseSettings) -> None:
    zones = {row["organization_id"]: row["time_zone"] for row in query(warehouse, "from dim_organizations")}
    for organization_id, name in zones.items():
        zone = ZoneInfo(name)
        dates = query(warehouse, f"from dim_dates where organization_id = '{organization_id}' order by day")
        for date, following in pairwise(dates):
            assert following["day"] == date["day"] + timedelta(days=1)
            assert following["starts_at"] == date["ends_at"]
            assert date["starts_at"].astimezone(zone).date() == date["day"]
            assert (date["starts_at"] - timedelta(microseconds=1)).astimezone(zone).date() < date["day"]
        assert dates[-1]["day"] == datetime(2027, 12, 31, tzinfo=UTC).date()


def test_funnel_counts_every_entry_on_its_local_day(warehouse: WarehouseSettings) -> None:
    zones = {row["organization_id"]: row["time_zone"] for row in query(warehouse, "from dim_organizations")}
    counted: Counter[tuple[object, ...]] = Counter()
    for entry in replay(_HISTORY, known_at=_END).entries:
        day = entry["entered_at"].astimezone(ZoneInfo(zones[entry["organization_id"]])).date()
        counted[entry["organization_id"], entry["pipeline_id"], entry["stage_id"], day] += 1
    found = {
        (row["organization_id"], row["pipeline_id"], row["stage_id"], row["day"]): row["first_entries"]
        + row["reentries"]
        for row in query(warehouse, "from funnel_daily where first_entries + reentries > 0")
    }
    assert found == counted


def test_pipeline_stands_as_it_was_known_at_each_days_end(warehouse: WarehouseSettings) -> None:
    expected: Counter[tuple[object, ...]] = Counter()
    for date in query(warehouse, "from dim_dates"):
        if date["ends_at"] <= _END:
            for stage_id in _open_at(date):
                expected[date["organization_id"], stage_id, date["day"]] += 1
    found = {
        (row["organization_id"], row["stage_id"], row["day"]): row["open_deals"]
        for row in query(warehouse, "from pipeline_daily")
    }
    assert found == expected


def _open_at(date: Row) -> list[object]:
    """Stage of each deal that was open just before a day's end, by what was known at that end."""
    own = [event for event in _HISTORY if event.organization_id == date["organization_id"]]
    return [
        entry["stage_id"]
        for entry in replay(own, known_at=date["ends_at"]).entries
        if entry["cause"] not in ("won", "lost")
        and entry["entered_at"] < date["ends_at"]
        and (entry["left_at"] is None or entry["left_at"] >= date["ends_at"])
    ]
