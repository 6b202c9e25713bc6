"""Rows per second of an export of deals as CSV, and how much memory the API takes for it.

The limit is PostgreSQL's own COPY of the same columns of the deals' table alone, without what they refer to.
"""

from time import monotonic

import httpx
import psutil
import psycopg

from benchmarks.load import Person, sign_up
from benchmarks.processor import taken
from benchmarks.result import BenchmarkResult
from benchmarks.seeding import fill
from benchmarks.servers import RunningStack, running_processes

_COPY = """copy (
    select id, title, pipeline_id, stage_id, status, amount_minor, currency, owner_id, company_id, contact_id,
        source_id, created_at, close_date, closed_at, lost_reason_id
    from deals where organization_id = '{organization}' order by id
) to stdout (format csv)"""


def run(*, rows: int = 1_000_000) -> BenchmarkResult:
    """Export `rows` deals once."""
    with running_processes({"api"}) as running:
        person = sign_up(running.stack.api_url, "export")
        admin_url = running.stack.postgres.url(database="sluice")
        fill(admin_url, [person], deals=rows, with_events=False)
        person.sign_in_again(running.stack.api_url)
        limit = _copied(admin_url, person, rows)
        began = taken(running, ("api", "postgres"))
        took, counted, before, most = _exported(running, person)
        ended = taken(running, ("api", "postgres"))
    return BenchmarkResult(
        name="exports",
        figure=counted / took,
        unit="rows/s",
        limit=limit,
        limit_description="COPY of the table alone",
        details={
            "rows": f"{counted:,} in {took:.1f} s",
            "processor time per row": ", ".join(
                f"{name} {(ended[name] - began[name]) / counted * 1e6:.1f} µs" for name in began
            ),
            "the API's memory": f"{before:.0f} MB before, at most {most:.0f} MB meanwhile",
            "target": "50,000 rows/s",
        },
    )


def _copied(admin_url: str, person: Person, rows: int) -> float:
    began = monotonic()
    query = _COPY.format(organization=person.organization_id)
    with psycopg.connect(admin_url) as connection, connection.cursor() as cursor, cursor.copy(query) as copy:
        for _ in copy:
            pass
    return rows / (monotonic() - began)


def _exported(running: RunningStack, person: Person) -> tuple[float, int, float, float]:
    """Seconds, rows, and the API's memory before and at its largest."""
    process = psutil.Process(running.processes["api"].pid)
    before = most = _resident_mb(process)
    lines, began, looked_at = 0, monotonic(), 0.0
    with (
        httpx.Client(base_url=running.stack.api_url, headers=person.headers, timeout=300) as client,
        client.stream("GET", "/v1/exports/deals") as answer,
    ):
        answer.raise_for_status()
        for piece in answer.iter_raw():
            lines += piece.count(b"\n")
            if monotonic() - looked_at > 0.5:  # twice a second shows what grows
                most, looked_at = max(most, _resident_mb(process)), monotonic()
    return monotonic() - began, lines - 1, before, most


def _resident_mb(process: psutil.Process) -> float:
    """Of a process and its workers."""
    family = [process, *process.children(recursive=True)]
    return sum(float(one.memory_info().rss) for one in family) / 2**20
