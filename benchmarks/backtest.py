"""Events per second that a backtest of a rule replays out of the event log: read, understood, judged, summed up.

The limit is reading the same rows of the log by a plain psycopg cursor, and doing nothing with them.
"""

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from uuid import UUID

import psycopg
from uuid_utils.compat import uuid7

from api.edge.consumer import acting_in
from api.kernel.context import Context
from api.kernel.database import Database
from api.rules import service
from api.rules.document import Document
from api.rules.schemas import BacktestRead
from benchmarks.rebuild import event_log
from benchmarks.result import BenchmarkResult
from contracts.events.envelope import ActorKind

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


def run(*, events: int = 1_000_000) -> BenchmarkResult:
    """Replay a rule over an organization's `events`."""
    with (
        tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder,
        event_log(Path(folder), events, organizations=1, is_admin=True) as (url, total),
    ):
        with psycopg.connect(url) as log:
            [[organization_id]] = log.execute("select distinct organization_id from event_log")
            log.execute(_ORGANIZATION, [organization_id])
            log.commit()
            began = monotonic()
            for _ in log.execute("select * from event_log"):
                pass
            bare = monotonic() - began
        began = monotonic()
        found = asyncio.run(_backtest(url, organization_id))
        seconds = monotonic() - began
    return BenchmarkResult(
        name="rule backtested",
        figure=total / seconds,
        unit="events/s",
        limit=total / bare,
        limit_description="the same rows read by psycopg, in the same run",
        details={"events": found.events, "fired": found.fired, "seconds": f"{seconds:.1f}"},
    )


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
