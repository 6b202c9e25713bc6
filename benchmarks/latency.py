"""From the commit of an event until its row can be seen in raw, p95, at 200 writes a second.

The clock starts when PostgreSQL stamps the event, a moment before its commit, and stops when a reader of the Delta
table first sees the commit that holds the row. The limit is the same pipeline in the same run at 10 writes a second:
what relay, broker and loader take when nothing queues.
"""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep
from uuid import UUID

import polars as pl
import psycopg
from deltalake import DeltaTable
from uuid_utils.compat import uuid7

from benchmarks.load import quantile
from benchmarks.result import BenchmarkResult
from benchmarks.servers import running_stack
from runtime.stack import Stack

_WRITERS = 4
_LOOK_SECONDS = 0.02
_PATIENCE_SECONDS = 120.0
_STATISTICS_PRECISION = timedelta(milliseconds=1)  # of a file's smallest and largest instants

_INSERT = """
insert into event_log (event_id, organization_id, type, version, aggregate_type, aggregate_id, aggregate_version,
                       occurred_at, actor, correlation_id, data)
values (%(id)s, %(organization)s, 'deal.amount.changed', 1, 'deal', %(deal)s, %(version)s, now(), 'user', %(id)s,
        %(data)s)
"""


def run(*, rate: float = 200.0, seconds: float = 20.0) -> BenchmarkResult:
    """Write and look at raw meanwhile: first 10 writes a second for the limit, then `rate`, each for `seconds`."""
    with running_stack({"broker", "relay", "loader"}) as stack:
        _measure(stack, rate=50.0, seconds=3.0)  # topics, table and imports: not measured
        quiet, _ = _measure(stack, rate=10.0, seconds=seconds)
        busy, achieved = _measure(stack, rate=rate, seconds=seconds)
    return BenchmarkResult(
        name="latency",
        figure=quantile(busy, 0.95),
        unit="s",
        limit=quantile(quiet, 0.95),
        limit_description="the same at 10 writes/s",
        details={
            "writes": f"{achieved:.0f}/s, {len(busy)} of them",
            "p50": f"{quantile(busy, 0.5):.2f} s",
            "longest": f"{max(busy):.2f} s",
            "limit's p50": f"{quantile(quiet, 0.5):.2f} s",
            "target": "1.5 s",
        },
    )


def _measure(stack: Stack, *, rate: float, seconds: float) -> tuple[list[float], float]:
    """Each event's seconds from its stamp until it could be seen, and the writes a second that were reached."""
    organization, began = UUID(str(uuid7())), monotonic()
    table = stack.home.warehouse / "raw" / "events"
    with _looking(table) as seen:
        threads = [
            Thread(
                target=_write, args=(stack.environment()["SLUICE_DATABASE_URL"], organization, number, rate, seconds)
            )
            for number in range(_WRITERS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        achieved = rate * seconds / max(monotonic() - began, seconds)
        rows = _wait_for(table, organization, count=_WRITERS * int(rate * seconds / _WRITERS))
        sleep(10 * _LOOK_SECONDS)  # the watcher sees the last commit, too
    return [_seen_at(seen, loaded_at) - stamped.timestamp() for stamped, loaded_at in rows], achieved


def _write(url: str, organization: UUID, number: int, rate: float, seconds: float) -> None:
    """One writer's share of the transactions, each when it is due."""
    deals = [UUID(str(uuid7())) for _ in range(50)]
    count = int(rate * seconds / _WRITERS)
    with psycopg.connect(url) as connection:
        due = monotonic() + number / rate
        for turn, deal in zip(range(count), itertools.cycle(deals), strict=False):
            sleep(max(0.0, due - monotonic()))
            due += _WRITERS / rate
            with connection.transaction():
                connection.execute("select set_config('sluice.organization_id', %s, true)", (str(organization),))
                values = {
                    "id": UUID(str(uuid7())),
                    "organization": organization,
                    "deal": deal,
                    "version": turn // len(deals) + 1,
                    "data": json.dumps({"amount_minor": turn, "currency": "EUR"}),
                }
                connection.execute(_INSERT, values)


@contextmanager
def _looking(table: Path) -> Iterator[list[tuple[float, datetime]]]:
    """A reader who looks at the table all the time; yields the growing list of (when, newest `loaded_at` it saw)."""
    stop, seen = Event(), list[tuple[float, datetime]]()
    thread = Thread(target=_look, args=(table, stop, seen))
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def _look(table: Path, stop: Event, seen: list[tuple[float, datetime]]) -> None:
    while not DeltaTable.is_deltatable(str(table)):
        if stop.wait(_LOOK_SECONDS):
            return
    delta, version = DeltaTable(str(table)), -1
    while not stop.wait(_LOOK_SECONDS):
        delta.update_incremental()
        if delta.version() == version:
            continue
        version, now = delta.version(), datetime.now(UTC).timestamp()
        files = pl.DataFrame(delta.get_add_actions(flatten=True))
        newest = files["max.loaded_at"].max() if files.height else None
        if isinstance(newest, datetime):
            seen.append((now, newest))


def _seen_at(seen: list[tuple[float, datetime]], loaded_at: datetime) -> float:
    return next(when for when, newest in seen if newest >= loaded_at - _STATISTICS_PRECISION)


def _wait_for(table: Path, organization: UUID, *, count: int) -> list[tuple[datetime, datetime]]:
    """(recorded_at, loaded_at) of the organization's events once all are there."""
    deadline = monotonic() + _PATIENCE_SECONDS
    rows: list[tuple[datetime, datetime]] = []
    while len(rows) < count:
        if monotonic() > deadline:
            raise RuntimeError(f"{len(rows)} of {count} events reached raw within {_PATIENCE_SECONDS:g} s")
        sleep(0.2)
        if DeltaTable.is_deltatable(str(table)):
            mine = pl.scan_delta(str(table)).filter(pl.col("organization_id") == str(organization))
            rows = mine.select("recorded_at", "loaded_at").collect().rows()
    return rows
