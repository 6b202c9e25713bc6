"""The same questions to marts that dbt built, through the real publishing, and to marts made by hand."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from contracts.stages import Outcome
from contracts.warehouse import Mart
from metrics import query
from metrics.compile import Compiled
from metrics.duckdb_reader import DuckDBReader
from metrics.parameters import read
from metrics.period import add_months
from metrics.postgres_reader import PostgresReader
from metrics.registry import definition_of, definitions
from tests.conftest import Database
from tests.event_history import BEGINNING, Deal, EventLog, days
from tests.metrics.conftest import FIELD, Asker, MemoryReader, fitting, splits
from tests.metrics.marts import TABLES, publish_postgres
from tests.warehouse_builder import duckdb_warehouse, publish_warehouse

STAGES = (("New", "open"), ("Talk", "open"), ("Offer", "open"), ("Won", "won"), ("Lost", "lost"), ("Paid", "won"))
PERIOD: dict[str, Any] = {"start": "2026-01-01", "end": "2026-04-01"}


def _log() -> EventLog:
    log = EventLog()
    log.organization()
    pipeline = log.pipeline(stages=STAGES)
    teams, users = [log.team(), log.team()], [log.user(), log.user()]
    owners = [*users, None]
    log.join(teams[0], users[0], at=BEGINNING)
    log.join(teams[1], users[1], at=BEGINNING)
    for number in range(14):
        at = BEGINNING + days(number)
        deal = log.deal(pipeline, at=at, owner_id=owners[number % 3], amount_minor=number * 11, source_id=None)
        if number % 2:
            log.move(deal, pipeline.stages[1 + number % 4 // 2], at=at + days(1), recorded=at + days(2))
        if number % 5 == 0:
            log.set_owner(deal, owners[1], at=at + days(1))
        if number % 4 == 1:
            log.lose(deal, at=at + days(3), lost_reason_id=UUID(int=7))
        if number % 3 == 0:
            log.set_amount(deal, 1_000 + number, at=at + days(2), recorded=at + days(5))
        if number % 7 == 2:
            log.win(deal, at=at + days(4))
            log.reopen(deal, pipeline.stages[1], at=at + days(6))
        if number == 10:  # moving on among won stages wins nothing again
            log.win(deal, at=at + days(4))
            log.close(deal, Outcome.WON, stage=pipeline.stages[-1], at=at + days(6))
        if number == 12:  # the earlier entry, learned later, is the one
            log.move(deal, pipeline.stages[1], at=at + days(5))
            log.move(deal, pipeline.stages[1], at=at + days(3), recorded=at + days(7))
        if number == 8:
            log.delete(deal, at=at + days(10))
        log.sign_in(users[number % 2], at=at, recorded=at + days(number % 3))
        _add_foreign(log, deal, number)
    log.leave(teams[0], users[0], at=BEGINNING + days(9))
    log.join(teams[1], users[0], at=BEGINNING + days(9))
    log.change_stage(pipeline, pipeline.stages[1], name="Meet", at=BEGINNING + days(10))
    log.retire_stage(pipeline, pipeline.stages[2], at=BEGINNING + days(11))
    log.restore_stage(pipeline, pipeline.stages[2], at=BEGINNING + days(13))
    return log


def _add_foreign(log: EventLog, deal: Deal, number: int) -> None:
    """Some deals are in other currencies, have a custom field, or are to be closed by a day."""
    at = BEGINNING + days(number)
    if number % 2 == 0:
        log.set_close_date(deal, BEGINNING.date() + days(8 * number), at=at, recorded=at + days(number % 5))
    if number == 3:
        log.set_goal(5_000, "USD", starts_on=BEGINNING.date().replace(day=1), months=3, at=at)
    log.set_rates(at.date(), {"USD": f"1.0{number:02}", "JPY": "163.425"}, at=at + days(number % 4))
    if number % 3 == 1:
        log.set_amount(deal, 10_000 + number, at=at, recorded=at + days(1), currency="USD" if number % 2 else "JPY")
        log.set_custom(deal, {FIELD: str(number % 2)}, at=at + days(3))
    if number % 3 == 2:  # as well computed as filled: both are values of a field
        log.compute(deal, {FIELD: str(number % 2)}, at=at + days(2))
        log.compute(deal, {FIELD: "5.0"} if number % 2 else {}, at=at + days(5))


def test_golden_5_and_the_same_answers_from_marts_that_dbt_built(tmp_path: Path) -> None:
    log = _log()
    warehouse = tmp_path / "warehouse"
    publish_warehouse(duckdb_warehouse(warehouse), log.events, target_path=tmp_path / "target", now=datetime.now(UTC))
    built = Asker(DuckDBReader(warehouse), log.organization_id)
    by_hand = Asker(MemoryReader(log.events), log.organization_id)
    pipeline_id = next(event.aggregate_id for event in log.events if event.type == "pipeline.created")
    asked = 0
    for metric, definition in definitions().items():
        if Mart.named(definition.entity.mart) not in TABLES:
            continue  # its own test builds it
        period = PERIOD if "from" in definition.parameters else {}
        for group_by in splits(definition):
            for as_of in ("", "2026-01-12T10:00:00Z"):
                given = fitting(definition, {"group_by": group_by, "as_of": as_of, **period})
                if "pipeline_id" in definition.parameters:
                    given["pipeline_id"] = pipeline_id
                one, other = built.answer(metric, **given), by_hand.answer(metric, **given)
                assert (one.rows, one.labels, one.as_of) == (other.rows, other.labels, other.as_of), given
                asked += 1
    assert asked > 60
    _check_stored_days(built, pipeline_id)
    _check_stored_forecasts(built, pipeline_id)
    built.reader.close()
    by_hand.reader.close()


def test_every_metric_answers_the_same_on_both_engines(database: Database) -> None:
    log = _log()
    publish_postgres(database.admin_url, log.events, at=datetime.now(UTC))
    here = Asker(MemoryReader(log.events), log.organization_id)
    there = Asker(PostgresReader(database.admin_url), log.organization_id)
    pipeline_id = next(event.aggregate_id for event in log.events if event.type == "pipeline.created")
    for metric, definition in definitions().items():
        period = PERIOD if "from" in definition.parameters else {}
        for group_by in splits(definition):
            given = fitting(definition, {"group_by": group_by, "pipeline_id": pipeline_id, **period})
            one, other = here.answer(metric, **given), there.answer(metric, **given)
            assert replace(other, warehouse_version=one.warehouse_version) == one, (metric, given)
    for asker in (here, there):
        asker.reader.close()


def _check_stored_days(asker: Asker, pipeline_id: UUID) -> None:
    """Each stored day equals the answer as of that day's end; amounts are stored by currency, so those in euros do."""
    unconverted = definition_of("pipeline_value", 2)
    kept = Compiled(
        "select day, stage_id, sum(open_deals), sum(case currency when 'EUR' then open_amount_minor else 0 end)"
        " from pipeline_daily where day between '2026-01-05' and '2026-01-20' and open_deals > 0 group by 1, 2",
        {},
    )
    with asker.reader.session() as session:
        stored = session.fetch(kept)
    assert stored
    by_day: dict[str, dict[str, tuple[int, int]]] = {}
    for day, stage_id, deals, amount in stored:
        by_day.setdefault(day.isoformat(), {})[str(stage_id)] = (deals, amount)
    for day, stages in by_day.items():
        parameters = read(unconverted, {"pipeline_id": str(pipeline_id), "as_of": day})
        rows = query.answer(asker.reader, unconverted, parameters, viewer=asker.viewer(), now=asker.now).rows
        found = {row["stage_id"]: (row["open_deals"], row["open_amount_minor"]) for row in rows if row["open_deals"]}
        assert found == stages, day


def _check_stored_forecasts(asker: Asker, pipeline_id: UUID) -> None:
    """Golden 6: what was issued on a day is what the metric answers as of its end, whatever was learned later."""
    unconverted = definition_of("forecast", 1)
    kept = Compiled(
        "select day, month, sum(committed_deals), sum(due_deals),\n"
        "  sum(case currency when 'EUR' then committed_minor else 0 end),\n"
        "  sum(case currency when 'EUR' then best_case_minor else 0 end),\n"
        "  sum(case currency when 'EUR' then forecast_minor else 0 end)\n"
        "from forecast_daily where day between '2026-01-05' and '2026-01-24' group by 1, 2",
        {},
    )
    with asker.reader.session() as session:
        stored = session.fetch(kept)
    assert any(committed and due for _, _, committed, due, *_ in stored)
    assert any(best > weighted > committed > 0 for *_, committed, best, weighted in stored)
    for day, month, *figures in stored:
        given = {"from": month.isoformat(), "to": add_months(month, 1).isoformat(), "as_of": day.isoformat()}
        parameters = read(unconverted, {"pipeline_id": str(pipeline_id), **given})
        [row] = query.answer(asker.reader, unconverted, parameters, viewer=asker.viewer(), now=asker.now).rows
        names = ("booked_deals", "due_deals", "booked_amount_minor", "best_case_minor")
        assert [row[name] for name in names] == figures[:-1], given
        # the metric rounds deal by deal, the mart once per stage
        assert abs(row["forecast_minor"] - figures[-1]) <= row["due_deals"], given
