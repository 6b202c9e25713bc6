"""The marts as of any instant are what a plain replay of the events recorded until then says, and what the rules do."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from api.deals.rules import NewDeal, begin, learn
from api.deals.state import Deal, Money, Relations, StageRef
from api.deals.timeline import Entry
from contracts.settings import WarehouseSettings
from contracts.stages import StageKind
from tests.dbt_project.reading import Row, known_at, ordered, query
from tests.dbt_project.replay import replay
from tests.event_history import BEGINNING, EventLog, days
from tests.random_history import random_history
from tests.warehouse_builder import build_sales


def _tell(log: EventLog, rng: random.Random) -> Iterator[tuple[datetime, Deal]]:
    """Deals as the rules have them from each instant on at which they learn an entry, in whatever order those come."""
    log.organization()
    kinds = [("New", "open"), ("Talk", "open"), ("Won", "won"), ("Paid", "won"), ("Lost", "lost"), ("Gone", "lost")]
    pipeline = log.pipeline(stages=kinds)
    stages = [StageRef(stage.id, pipeline.id, stage.kind) for stage in pipeline.stages]
    for _ in range(30):
        at = known_from = BEGINNING + days(rng.randrange(40))
        new = NewDeal(
            id=log.new_id(),
            external_id=None,
            title="",
            stage=stages[0],
            money=Money(100, "EUR"),
            relations=Relations(None, None, None),
            owner_id=log.new_id(),
            close_date=None,
        )
        change = begin(new, at=at)
        for number in range(8):
            if number:
                known_from += days(1)
                told = at + days(rng.randrange(12))
                change = learn(
                    change.deal,
                    stages=[Entry(told, rng.choice(stages))],
                    owners=[Entry(told, log.new_id())] if rng.random() < 0.4 else (),
                    amounts=[Entry(told, Money(number, "EUR"))] if rng.random() < 0.4 else (),
                    lost_reason_id=log.new_id() if rng.random() < 0.5 else None,
                )
            for fact in change.facts:
                log.add(fact.event, new.id, at=fact.occurred_at, recorded=known_from)
            yield known_from, change.deal


_LOG = EventLog()
_TOLD = list(_tell(_LOG, random.Random(5)))
_HISTORY = sorted([*random_history(23, deals=40), *_LOG.events], key=lambda event: event.recorded_at)
_END = max(event.recorded_at for event in _HISTORY)
_INSTANTS = [BEGINNING, *(BEGINNING + days(step) for step in range(1, 125, 4)), _HISTORY[200].recorded_at, _END]


@pytest.fixture(scope="module")
def warehouse(new_warehouse: Callable[[str], WarehouseSettings], target_path: Path) -> WarehouseSettings:
    made = new_warehouse("duckdb")
    build_sales(made, _HISTORY, target_path=target_path)
    return made


def test_deals_as_of_any_instant_equal_a_replay(warehouse: WarehouseSettings) -> None:
    marts = {mart: query(warehouse, f"from {mart}") for mart in ("fct_stage_entries", "fct_deal_versions", "fct_deals")}
    for instant in _INSTANTS:
        expected = replay(_HISTORY, known_at=instant)
        assert known_at(marts["fct_stage_entries"], instant) == ordered(expected.entries), instant
        assert known_at(marts["fct_deal_versions"], instant) == ordered(expected.versions), instant
        assert known_at(marts["fct_deals"], instant) == ordered(expected.deals), instant


def test_paths_and_closings_are_those_of_the_rules(warehouse: WarehouseSettings) -> None:
    entries = query(warehouse, f"from fct_stage_entries where organization_id = '{_LOG.organization_id}'")
    deals = query(warehouse, f"from fct_deals where organization_id = '{_LOG.organization_id}'")
    for instant, deal in _TOLD:
        path = known_at((row for row in entries if row["deal_id"] == deal.id), instant)
        path.sort(key=lambda row: row["entry_number"])
        visits = [(row["entered_at"], row["stage_id"], row["status"]) for row in path]
        assert visits == [(visit.at, visit.value.id, visit.value.kind) for visit in deal.visits]
        [row] = known_at((row for row in deals if row["deal_id"] == deal.id), instant)
        assert (row["status"], row["stage_id"], row["stage_entered_at"], row["closed_at"], row["lost_reason_id"]) == (
            deal.stage.kind,
            deal.stage.id,
            deal.stage_entered_at,
            deal.closed_at,
            deal.lost_reason_id,
        )
        if deal.closed_at:
            owner, money = deal.owners.at(deal.closed_at), deal.amounts.at(deal.closed_at)
            assert (row["closing_owner_id"], row["closing_amount_minor"]) == (owner, money.amount_minor)
    moved_on = [row for row in deals if row["status"] != "open" and row["closed_at"] != row["stage_entered_at"]]
    assert {row["status"] for row in moved_on} == {StageKind.WON, StageKind.LOST}
    logged = [event for event in _LOG.events if hasattr(event.data, "to_stage_id")]
    assert len({row["event_id"] for row in entries if row["known_to"] is None}) < len(logged)  # some became stays


def test_equal_rows_are_not_known_anew(warehouse: WarehouseSettings) -> None:
    for mart in ("fct_stage_entries", "fct_deal_versions", "fct_deals"):
        rows = query(warehouse, f"from {mart}")
        plain = [{name: value for name, value in row.items() if name != "known_to"} for row in rows]
        successors = {tuple(row.values()) for row in plain}
        assert any(row["known_to"] for row in rows), mart
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
        if entry["status"] == "open"
        and entry["entered_at"] < date["ends_at"]
        and (entry["left_at"] is None or entry["left_at"] >= date["ends_at"])
    ]
