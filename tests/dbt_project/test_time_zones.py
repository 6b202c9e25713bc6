"""A day is the same day for the API, metrics and both warehouses, whatever rules the engines bring."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo, available_timezones

import pytest

from contracts.settings import WarehouseSettings
from metrics.period import day_start, local_day
from orchestration.build.time_zones import offsets
from tests.dbt_project.reading import query
from tests.event_history import AnyEvent, EventLog
from tests.warehouse_builder import build_sales

#: Zones whose rules the engines disagree about, or that turn at midnight, by half an hour, or skipped a day.
ZONES = [
    "America/Vancouver",
    "Africa/Casablanca",
    "Africa/Cairo",
    "America/Asuncion",
    "America/Havana",
    "Asia/Almaty",
    "Asia/Gaza",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Apia",
]


def _log_of_organizations(zones: Sequence[str], *, since: datetime) -> tuple[list[AnyEvent], dict[UUID, str]]:
    events: list[AnyEvent] = []
    named: dict[UUID, str] = {}
    for number, zone in enumerate(zones):
        log = EventLog(UUID(int=0xA000 + number))
        log.organization(at=since, time_zone=zone)
        pipeline = log.pipeline(stages=(("New", "open"), ("Won", "won")), at=since)
        # by some rules won on the 26th, by others on the 27th
        log.win(log.deal(pipeline, at=since), at=datetime(2026, 11, 27, 7, 30, tzinfo=UTC))
        events += log.events
        named[log.organization_id] = zone
    return events, named


def _check(warehouse: WarehouseSettings, zones: dict[UUID, str]) -> None:
    found = query(warehouse, "select * from dim_dates")
    assert {row["organization_id"] for row in found} == set(zones)
    for row in found:
        zone = ZoneInfo(zones[row["organization_id"]])
        expected = day_start(row["day"], zone), day_start(row["day"] + timedelta(days=1), zone)
        assert (row["starts_at"], row["ends_at"]) == expected, (zone, row["day"])
    won = query(warehouse, "select * from team_performance_daily where deals_won > 0")
    assert {row["organization_id"]: row["day"] for row in won} == {
        organization: local_day(datetime(2026, 11, 27, 7, 30, tzinfo=UTC), ZoneInfo(zone))
        for organization, zone in zones.items()
    }


@pytest.mark.parametrize("warehouse", ["duckdb", pytest.param("postgres", marks=pytest.mark.slow)], indirect=True)
def test_p6_days_are_cut_by_one_time_zone_database(warehouse: WarehouseSettings, target_path: Path) -> None:
    events, zones = _log_of_organizations(ZONES, since=datetime(2011, 12, 1, tzinfo=UTC))
    build_sales(warehouse, events, target_path=target_path)
    _check(warehouse, zones)


@pytest.mark.slow
def test_days_of_all_zones_are_cut_by_one_time_zone_database(warehouse: WarehouseSettings, target_path: Path) -> None:
    every = sorted(zone for zone in available_timezones() if "/" in zone)
    events, zones = _log_of_organizations(every, since=datetime(2025, 6, 1, tzinfo=UTC))
    build_sales(warehouse, events, target_path=target_path)
    _check(warehouse, zones)


@pytest.mark.parametrize("since", [2025, pytest.param(2009, marks=pytest.mark.slow)])
def test_offsets_are_those_of_the_database_at_every_hour(since: int) -> None:
    for name in ZONES:
        zone, intervals = ZoneInfo(name), list(offsets(ZoneInfo(name)))
        instant = datetime(since, 1, 1, tzinfo=UTC)
        for start, end, offset in intervals:
            while start <= instant < end and instant.year < 2028:
                assert instant.astimezone(zone).utcoffset() == offset
                instant += timedelta(hours=1)
        assert instant.year == 2028, name  # the intervals leave no gap


def test_the_database_is_not_the_machines() -> None:
    # of 2026: the clocks of British Columbia stay on summer time
    assert ZoneInfo("America/Vancouver").utcoffset(datetime(2026, 12, 1)) == timedelta(hours=-7)  # noqa: DTZ001
