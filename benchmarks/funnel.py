"""How long a funnel takes on a million deals, beside the least that DuckDB must do: one scan of the same rows.

Figure: median of whole answers (question, SQL, shape) from a published file, without the table of kept answers. Limit:
a bare hand-written `count(distinct deal_id)` by stage over the same stage entries, in the same file and run. With
`--set organizations=50` the deals are shared by so many, each round asks another one, and all of them are asked once.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import UUID

import duckdb

from benchmarks.result import BenchmarkResult
from contracts.warehouse import Mart
from metrics import query
from metrics.duckdb_reader import DuckDBReader
from metrics.parameters import Parameters, read
from metrics.publication import PublishedFolder, version_at
from metrics.registry import definition_of
from metrics.viewer import Viewer

_DEALS = 1_000_000
_REPEATS = 9
_PIPELINE = UUID(int=2)
_NOW = datetime(2026, 11, 1, tzinfo=UTC)
_KINDS = ("open", "open", "open", "open", "open", "won", "lost")
_LONG_AGO = "timestamptz '2024-01-01 00:00:00+00'"
_OPEN_ENDED = f"{_LONG_AGO} as valid_from, null::timestamptz as valid_to"
_KNOWN = f"{_LONG_AGO} as known_from, null::timestamptz as known_to"


def run(*, deals: int = _DEALS, organizations: int = 1) -> BenchmarkResult:
    """Build a warehouse of `deals` deals with up to six visits each, then time answers and the bare scan in turn."""
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        entries = _publish(Path(folder), deals, organizations)
        reader = DuckDBReader(Path(folder))
        try:
            answers, strict, scans = [], [], []
            for number in range(max(_REPEATS, organizations) + 1):
                whose = UUID(int=1 + number % organizations)
                round_ = (
                    _timed(_asker(reader, whose, "reached")),
                    _timed(_asker(reader, whose, "strict")),
                    _timed(partial(_scan, reader, whose)),
                )
                if number:  # the first round warms the file
                    answers.append(round_[0])
                    strict.append(round_[1])
                    scans.append(round_[2])
        finally:
            reader.close()
    return BenchmarkResult(
        name="funnel",
        figure=statistics.median(answers) * 1000,
        unit="ms",
        limit=statistics.median(scans) * 1000,
        limit_description="count(distinct deal_id) by stage over the same entries, same file and run",
        details={
            "deals": deals,
            "stage entries": entries,
            "organizations": organizations,
            "slowest of the answers, ms": round(max(answers) * 1000, 1),
            "of twenty answers nineteen within, ms": round(sorted(answers)[int(len(answers) * 0.95)] * 1000, 1),
            "order strict of all organizations, s": round(sum(strict[:organizations]), 2),
            "order strict, ms": round(statistics.median(strict) * 1000, 1),
        },
    )


def _asker(reader: DuckDBReader, whose: UUID, order: str) -> Callable[[], object]:
    funnel = definition_of("funnel")
    given = {"pipeline_id": str(_PIPELINE), "from": "2025-01-01", "to": "2026-10-01", "order": order}
    parameters: Parameters = read(funnel, given)
    return lambda: query.answer(reader, funnel, parameters, viewer=Viewer(whose), now=_NOW)


def _scan(reader: DuckDBReader, whose: UUID) -> None:
    with reader.session() as session:
        cursor = session.cursor
        cursor.execute(
            f"select stage_id, count(distinct deal_id) from {Mart.FCT_STAGE_ENTRIES}"
            " where organization_id = $organization_id group by stage_id",
            {"organization_id": whose},
        ).fetchall()


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _publish(warehouse: Path, deals: int, organizations: int) -> int:
    """Write the marts that the funnel reads; answers the number of stage entries."""
    folder = PublishedFolder(warehouse)
    folder.root.mkdir(parents=True)
    version = version_at(_NOW)
    with duckdb.connect(folder.path_of(version)) as connection:
        connection.execute("set enable_progress_bar = false")
        _fill_dimensions(connection, organizations)
        _fill_facts(connection, deals, organizations)
        entries = connection.execute(f"select count(*) from {Mart.FCT_STAGE_ENTRIES}").fetchone()
    folder.point_to(version)
    return int(entries[0]) if entries else 0


def _fill_dimensions(connection: duckdb.DuckDBPyConnection, organizations: int) -> None:
    organization, pipeline = f"{_organization('o')} as organization_id", f"uuid '{_PIPELINE}' as pipeline_id"
    each = f"from range({organizations}) as organizations(o)"
    connection.execute(
        f"create table {Mart.DIM_ORGANIZATIONS} as"
        f" select {organization}, 'Europe/Berlin' as time_zone, 'EUR' as currency,"
        f" 1 as week_start, 1 as fiscal_year_start_month, {_OPEN_ENDED}, {_KNOWN} {each}"
    )
    connection.execute(
        f"create table {Mart.DIM_PIPELINES} as"
        f" select {organization}, {pipeline}, 'Sales' as name, {_OPEN_ENDED}, {_KNOWN} {each}"
    )
    connection.execute(
        f"create table {Mart.FCT_EXCHANGE_RATES} as"
        f" select {organization}, 'USD' as currency, date '2024-01-01' as day, 'EUR' as base,"
        f" 1::bigint as rate_billionths, {_KNOWN} {each} where false"
    )
    stages = ", ".join(f"({rank}, '{kind}')" for rank, kind in enumerate(_KINDS))
    connection.execute(
        f"create table {Mart.DIM_STAGES} as select {organization}, {_stage('n')} as stage_id, {pipeline},"
        f" 'Stage ' || n as name, kind, n as position, null::integer as target_days, false as is_retired,"
        f" {_OPEN_ENDED}, {_KNOWN} {each}, (values {stages}) as s(n, kind)"
    )
    connection.execute(
        f"create table {Mart.WAREHOUSE_FRESHNESS} as"
        f" select {organization}, timestamptz '2026-10-30 00:00:00+00' as through {each}"
    )


def _fill_facts(connection: duckdb.DuckDBPyConnection, deals: int, organizations: int) -> None:
    """Each deal goes up to five open stages on; a third is won, a third lost. Numbers come from a hash, not a clock."""
    connection.execute(
        f"""
        create temp table visits as
        with deal as (
            select i, hash(i) % 5 + 1 as opens, hash(i, 1) % 3 as fate,
                timestamptz '2025-01-01 00:00:00+00' + interval '1 minute' * (hash(i, 2) % 920000) as created_at
            from range({deals}) as r(i)
        )
        select i, n + 1 as entry_number, case when n < opens then n when fate = 1 then 5 else 6 end as stage,
            created_at + interval '1 hour' * (n * 224 + hash(i, n) % 200) as entered_at, created_at
        from deal, range(6) as s(n) where n < opens or (n = opens and fate > 0)
        """
    )
    connection.execute(
        f"""
        create table {Mart.FCT_STAGE_ENTRIES} as
        select {_organization(f"i % {organizations}")} as organization_id, {_deal("i")} as deal_id, entry_number,
            uuid '{_PIPELINE}' as pipeline_id, {_stage("stage")} as stage_id, entered_at,
            lead(entered_at) over deal as left_at,
            case when lead(stage) over deal is not null then {_stage("lead(stage) over deal")} end as next_stage_id,
            null::uuid as lost_reason_id, case stage when 5 then 'won' when 6 then 'lost' else 'open' end as status,
            entered_at as known_from, null::timestamptz as known_to
        from visits window deal as (partition by i order by entry_number)
        order by organization_id, deal_id, entry_number
        """
    )
    connection.execute(
        f"""
        create table {Mart.FCT_DEALS} as
        select organization_id, deal_id, pipeline_id, min(entered_at) as created_at, null::uuid as owner_id,
            null::uuid as lost_reason_id, arg_max(stage_id, entry_number) as stage_id,
            case arg_max(stage_id, entry_number) when {_stage("5")} then 'won' when {_stage("6")} then 'lost'
                else 'open' end as status,
            max(entered_at) as closed_at,
            string_agg(cast(stage_id as text), ' ' order by entry_number) as stage_path,
            array_agg(entered_at order by entry_number) as stages_entered_at, {_KNOWN}
        from {Mart.FCT_STAGE_ENTRIES} group by organization_id, deal_id, pipeline_id order by organization_id
        """
    )
    connection.execute(
        f"""
        create table {Mart.FCT_DEAL_VERSIONS} as
        select organization_id, deal_id, null::uuid as owner_id, null::uuid as source_id, 1000::bigint as amount_minor,
            'EUR' as currency, created_at as valid_from, null::timestamptz as valid_to, known_from, known_to
        from {Mart.FCT_DEALS}
        """
    )


def _organization(number: str) -> str:
    return f"cast('00000000-0000-0000-0000-' || lpad(to_hex(1 + {number}), 12, '0') as uuid)"


def _stage(number: str) -> str:
    return f"cast('00000000-0000-7000-9000-' || lpad(cast({number} as text), 12, '0') as uuid)"


def _deal(number: str) -> str:
    return f"cast('00000000-0000-7000-a000-' || lpad(cast({number} as text), 12, '0') as uuid)"
