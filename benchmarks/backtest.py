"""Events per second out of the event log of an organization: a backtest of one rule, and the worker's look at 20.

A backtest reads, understands, judges and sums up all of it. The worker is told batches of new events, reads what else
there is about their records, and says which set a rule off; what fires then costs a transaction each, and is not here.
The limit is reading the same rows of the log by a plain psycopg cursor, and doing nothing with them.
"""

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, process_time
from typing import NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from uuid_utils.compat import uuid7

from api.edge.consumer import acting_in
from api.kernel.context import Context
from api.kernel.database import Database
from api.rules import records, service
from api.rules.automaton import Automaton
from api.rules.document import Document, Mode
from api.rules.rules import create
from api.rules.schemas import BacktestRead
from benchmarks.rebuild import event_log
from benchmarks.result import BenchmarkResult
from contracts.events.envelope import ActorKind
from contracts.events.registry import parse

_RULE = Document.model_validate(
    {
        "trigger": {"kind": "event", "event": "deal.stage.changed"},
        "when": 'deal.amount > 1000.0 && deal.status == "open" && event.actor == "user"',
        "actions": [{"do": "task.create", "with": {"title": "Call"}}],
        "cool_down_hours": 24,
    }
)

_ORGANIZATION = """
insert into organizations (organization_id, name, time_zone, currency, week_start, fiscal_year_start_month, version)
values (%s, 'Bench', 'UTC', 'EUR', 1, 1, 1)
"""

_NEWEST = """
select event_id as id, type, version, organization_id, aggregate_type, aggregate_id, aggregate_version, occurred_at,
       recorded_at, actor, actor_id, causation_id, correlation_id, depth, data
from event_log order by position desc limit %s
"""
_BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
_BATCH = 500


class _Looked(NamedTuple):
    """Events per second, by the clock and by this process's processor time; how many of them set a rule off."""

    per_second: float
    per_processor_second: float
    set_off: int


def run(*, events: int = 1_000_000, looked_at: int = 20_000, rules: int = 20) -> list[BenchmarkResult]:
    """Replay a rule over an organization's `events`, and look at some of them as the worker does."""
    with (
        tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder,
        event_log(Path(folder), events, organizations=1, is_admin=True) as (url, total),
    ):
        with psycopg.connect(url, autocommit=True) as log:
            [[organization_id]] = log.execute("select distinct organization_id from event_log")
            log.execute(_ORGANIZATION, [organization_id])
            began = monotonic()
            for _ in log.execute("select * from event_log"):
                pass
            bare = monotonic() - began
        began, worked = monotonic(), process_time()
        found = asyncio.run(_backtest(url, organization_id))
        seconds, worked = monotonic() - began, process_time() - worked
        looked = asyncio.run(_look(url, organization_id, events=looked_at, rules=rules))
    by_psycopg = "the same rows read by psycopg, in the same run"
    return [
        BenchmarkResult(
            name="rule backtested", figure=total / seconds, unit="events/s", limit=total / bare,
            limit_description=by_psycopg,
            details={
                "events": found.events, "fired": found.fired,
                "took": f"{seconds:.1f} s, {worked:.1f} s of processor here",
            },
        ),
        BenchmarkResult(
            name="rules looked at by the worker", figure=looked.per_second, unit="events/s", limit=total / bare,
            limit_description=by_psycopg,
            details={
                "rules": rules, "events": looked_at, "set a rule off": looked.set_off,
                "per second of processor here": f"{looked.per_processor_second:,.0f}",
            },
        ),
    ]  # fmt: skip


async def _backtest(url: str, organization_id: UUID) -> BacktestRead:
    database = Database(url, pool_size=4)
    context = Context(organization_id=organization_id, actor=ActorKind.SYSTEM, correlation_id=uuid7(), depth=1)
    now = datetime.now(UTC)
    try:
        async with acting_in(database, context) as unit:
            return await service.backtest(
                unit, _RULE, begins=now - timedelta(days=3_650), ends=now + timedelta(days=1), above=None
            )
    finally:
        await database.close()


async def _look(url: str, organization_id: UUID, *, events: int, rules: int) -> _Looked:
    """Judge events in batches."""
    with psycopg.connect(url, row_factory=dict_row) as log:
        found = [parse(row) for row in log.execute(_NEWEST, [events])]
    database = Database(url, pool_size=4)
    automaton = Automaton(database)
    try:
        async with automaton.inside(organization_id) as unit:
            for number in range(rules):
                document = _RULE.model_copy(update={"when": f"deal.amount > {10_000_000 + number}.0"})
                records.write(unit, [create(f"Rule {number}", Mode.LIVE, document, owner_id=None, now=_BEGINNING)])
        began, worked, set_off = monotonic(), process_time(), 0
        for start in range(0, len(found), _BATCH):
            set_off += len(await automaton.concerns(found[start : start + _BATCH]))
        return _Looked(len(found) / (monotonic() - began), len(found) / (process_time() - worked), set_off)
    finally:
        await database.close()
