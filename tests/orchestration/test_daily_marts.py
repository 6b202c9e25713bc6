"""Days of the daily marts are partitions: a backfill makes the same rows as before, and puts right what is not."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from contracts.events.bd_accounts import AccountDayCompared
from contracts.events.billing import UsageReported
from contracts.settings import WarehouseSettings
from contracts.warehouse import Group, Mart
from metrics.compile import Compiled
from metrics.reader import open_reader
from orchestration.build.database import open_build
from orchestration.daily_marts import DAILY
from orchestration.defs.daily import DAYS_ANEW
from orchestration.warehouse import Warehouse
from tests.event_history import EventLog
from tests.warehouse_builder import duckdb_warehouse, postgres_warehouse, publish_warehouse

_DAYS = ("2026-03-04", "2026-03-05")


def _log() -> EventLog:
    log, start = EventLog(), datetime(2026, 3, 2, 12, tzinfo=UTC)
    log.organization(at=start)
    pipeline, ada = log.pipeline(at=start), log.user(at=start)
    for number in range(6):
        deal = log.deal(
            pipeline, at=start + timedelta(days=number / 2), owner_id=ada, amount_minor=100 + number,
            close_date=date(2026, 3, 20),
        )  # fmt: skip
        log.move(deal, pipeline.stages[1], at=start + timedelta(days=1 + number / 2))
        if number % 2:
            log.win(deal, at=start + timedelta(days=2 + number / 2))
    log.deal(pipeline, at=start + timedelta(days=9))  # the days before are over
    for number in range(4):
        began_at = datetime(2026, 3, 3 + number, tzinfo=UTC)
        counts = {"provider": 9, "stored": 9, "missing": 0, "filtered": 0, "failed": 0, "healed": 0}
        log.add(
            AccountDayCompared(account_id=ada, channel="telegram", began_at=began_at, **counts), log.new_id(),
            at=began_at + timedelta(days=1),
        )  # fmt: skip
        used = {"meter": "ai_drafts_beyond", "quantity": 1 + number, "subscription_id": None}
        log.add(UsageReported(stamped_at=began_at + timedelta(hours=9), **used), log.new_id(), at=began_at)
    return log


def _rows(settings: WarehouseSettings, *, of_days: bool = False) -> dict[str, list[str]]:
    """What readers see of the daily marts, of all days or of those that are made anew."""
    reader = open_reader(settings.warehouse_url.get_secret_value())
    with reader.session() as session:

        def read(mart: Mart, day: str) -> list[str]:
            where = f"where {day} in (date '2026-03-04', date '2026-03-05')" if of_days else ""
            statement = f"select * from {session.dialect.schema}.{mart.value} {where}"
            return sorted(map(str, session.fetch(Compiled(statement, {}))))

        found = {mart.value: read(mart, day) for marts in DAILY.values() for mart, day in marts.items()}
    reader.close()
    return found


def _backfill(warehouse: Warehouse) -> tuple[int, int]:
    """A run for each of two days, as Dagster's daemon starts them: how many rows they have, and were put right."""
    definitions = dg.Definitions(assets=[*DAYS_ANEW.values()], resources={"warehouse": warehouse})
    job = definitions.resolve_implicit_global_asset_job_def()
    rows, put_right = 0, 0
    with dg.DagsterInstance.ephemeral() as instance:
        for day in _DAYS:
            run = job.execute_in_process(instance=instance, partition_key=day)
            for told in run.get_asset_materialization_events():
                rows += int(str(told.materialization.metadata["dagster/row_count"].value))
                put_right += int(str(told.materialization.metadata["rows_put_right"].value))
    return rows, put_right


@pytest.mark.parametrize("kind", ["duckdb", pytest.param("postgres", marks=pytest.mark.slow)])
def test_a_backfill_of_two_days_makes_the_rows_of_before_and_puts_right_what_is_not(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, dbt_target: Path
) -> None:
    database = request.getfixturevalue("warehouse_database") if kind == "postgres" else ""
    settings = postgres_warehouse(database) if database else duckdb_warehouse(tmp_path)
    publish_warehouse(settings, _log().events, target_path=dbt_target, tests=True)
    warehouse = Warehouse(settings=settings, dbt_target_path=dbt_target, event_log_url="")
    before = _rows(settings)
    assert all(before.values())
    rows, put_right = _backfill(warehouse)
    assert (put_right, _rows(settings)) == (0, before)
    of_days = _rows(settings, of_days=True)
    assert all(of_days.values())
    assert rows == sum(map(len, of_days.values()))
    with open_build(warehouse.url) as build:
        for marts in DAILY.values():
            for mart, day in marts.items():
                build.execute(f"delete from {mart.value} where {day} = date '2026-03-04'")
        build.execute(f"update {Mart.PIPELINE_DAILY.value} set open_amount_minor = 7 where day = date '2026-03-05'")
        build.execute(
            f"update {Mart.FCT_ACCOUNT_DAYS.value} set missing = 7 where {DAILY[Group.ACCOUNTS][Mart.FCT_ACCOUNT_DAYS]}"
            " = date '2026-03-05'"
        )
    again, put_right = _backfill(warehouse)
    assert again == rows
    assert put_right > 0
    assert _rows(settings) == before
