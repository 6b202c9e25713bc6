"""One day's events, as PostgreSQL recorded them and as raw holds them: which types differ, by number or by ids."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import duckdb
import psycopg
from deltalake import DeltaTable

from contracts.warehouse import RAW_EVENTS, RAW_SCHEMA
from metrics.publication import is_duckdb
from orchestration.build.raw_state import raw_path

# a sum over a piece of each id's hash: equal sets have equal sums, in either engine
_PIECE = {
    "duckdb": "('0x' || substr(md5(event_id::varchar), 1, 8))::bigint",
    "postgres": "('x' || substr(md5(event_id::text), 1, 8))::bit(32)::bigint",
}
_BY_TYPE = """
select type, count(*), sum({piece})
from (select distinct event_id, type from {relation} where recorded_at >= {begin} and recorded_at < {end}) as events
group by type
"""

#: Number of events of a type, and the sum of their ids' hashes.
Counts = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Day:
    """What both sides hold of a day."""

    day: date
    recorded: Counts
    in_raw: Counts

    @property
    def events(self) -> int:
        """How many PostgreSQL recorded."""
        return sum(count for count, _ in self.recorded.values())

    @property
    def differences(self) -> list[str]:
        """Types that differ, in words."""
        return [
            f"{kind}: {self.recorded.get(kind, (0, 0))[0]:,} recorded, {self.in_raw.get(kind, (0, 0))[0]:,} in raw"
            for kind in sorted(self.recorded.keys() | self.in_raw.keys())
            if self.recorded.get(kind) != self.in_raw.get(kind)
        ]


def compare_day(event_log_url: str, warehouse_url: str, day: date) -> Day:
    """Compare a day, in UTC. Of the present day the newest events may still be on their way.

    Raises:
        psycopg.Error, duckdb.Error: a side cannot be read.
    """
    begin = datetime.combine(day, time.min, UTC)
    end = begin + timedelta(days=1)
    recorded = _in_postgres(event_log_url, "event_log", begin, end)
    if not is_duckdb(warehouse_url):
        return Day(day, recorded, _in_postgres(warehouse_url, f"{RAW_SCHEMA}.{RAW_EVENTS}", begin, end))
    table = str(raw_path(warehouse_url))
    files = DeltaTable(table).file_uris() if DeltaTable.is_deltatable(table) else []
    return Day(day, recorded, _in_files(files, begin, end) if files else {})


def _in_postgres(url: str, relation: str, begin: datetime, end: datetime) -> Counts:
    query = _BY_TYPE.format(piece=_PIECE["postgres"], relation=relation, begin="%(begin)s", end="%(end)s")
    with psycopg.connect(url, connect_timeout=5) as connection:
        rows = connection.execute(query.encode(), {"begin": begin, "end": end}).fetchall()
    return {kind: (count, int(pieces)) for kind, count, pieces in rows}


def _in_files(files: list[str], begin: datetime, end: datetime) -> Counts:
    query = _BY_TYPE.format(piece=_PIECE["duckdb"], relation="raw", begin="$begin", end="$end")
    with duckdb.connect(config={"memory_limit": "1GB"}) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.read_parquet(files).create_view("raw")
        rows = connection.execute(query, {"begin": begin, "end": end}).fetchall()
    return {kind: (count, int(pieces)) for kind, count, pieces in rows}
