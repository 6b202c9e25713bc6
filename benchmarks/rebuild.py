"""How long the whole warehouse takes to be made anew from PostgreSQL: raw, then all marts by a full, tested dbt build.

The limit is a bare COPY of the event log into one Parquet file, in the same run. Memory is the peak of each part in a
process of its own. `run(events=10_000_000)` is the long form; `python -m benchmarks.rebuild 10000000` prints it.
"""

import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from secrets import token_hex
from time import monotonic

import pyarrow.parquet as parquet
from pydantic import SecretStr

from api.db.bootstrap import RolePasswords, prepare_database
from api.db.migrate import upgrade
from benchmarks.deal_histories import seed_event_log
from benchmarks.result import BenchmarkResult
from contracts.settings import WarehouseSettings
from ingest.event_log import export_events, open_log
from ingest.rebuild import rebuild
from ingest.reconcile import reconcile
from ingest.sinks.delta_files import read_blocks
from orchestration.build.parts import build
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.process import ManagedProcess, free_port

_EVENTS = 1_000_000
_DATABASE = "sluice"


def run(*, events: int = _EVENTS) -> BenchmarkResult:
    """Rebuild a warehouse of about `events` events into Delta and DuckDB."""
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder, event_log(Path(folder), events) as log:
        relay_url, total = log
        warehouse = f"duckdb://{folder}/warehouse"
        limit, _ = _apart(_copy_to_parquet, relay_url, f"{folder}/bare.parquet")
        raw_seconds, raw_memory = _apart(_rebuild_raw, relay_url, warehouse)
        marts_seconds, marts_memory = _apart(_build_marts, warehouse, f"{folder}/dbt")
        compare_seconds, compare_memory = _apart(_compare, relay_url, warehouse)
    return BenchmarkResult(
        name="rebuild",
        figure=raw_seconds + marts_seconds,
        unit="s",
        limit=limit,
        limit_description="COPY of the event log into one Parquet file, same run",
        details={
            "events": total,
            "raw": f"{raw_seconds:.1f} s, {total / raw_seconds:,.0f} events/s, peak {raw_memory:,.0f} MiB",
            "marts": f"{marts_seconds:.1f} s, {total / marts_seconds:,.0f} events/s, peak {marts_memory:,.0f} MiB",
            "reconcile afterwards": f"{compare_seconds:.1f} s, clean, peak {compare_memory:,.0f} MiB",
        },
    )


@contextmanager
def event_log(
    folder: Path, events: int, *, organizations: int = 10, is_admin: bool = False
) -> Iterator[tuple[str, int]]:
    """A PostgreSQL with that many events; the relay's URL, or the superuser's, and how many there are."""
    folder.chmod(0o755)  # PostgreSQL may run as another system user
    passwords = RolePasswords(owner=token_hex(), app=token_hex(), relay=token_hex(), worker=token_hex())
    server = EmbeddedPostgres(folder / "postgres", port=free_port(), password=token_hex(), durable=False)
    server.prepare()
    process = ManagedProcess(server.spec(), log_path=folder / "postgres.log")
    process.start()
    try:
        process.wait_ready()
        prepare_database(server.url(), database=_DATABASE, passwords=passwords)
        upgrade(server.url("sluice_owner", passwords.owner, _DATABASE))
        total = seed_event_log(server.url(database=_DATABASE), events=events, organizations=organizations)
        url = server.url(database=_DATABASE) if is_admin else server.url("sluice_relay", passwords.relay, _DATABASE)
        yield url, total
    finally:
        process.stop()


def _apart(work: Callable[..., None], *arguments: str) -> tuple[float, float]:
    """Run `work` in a fresh process: its seconds, and its peak memory in MiB."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measured, work, arguments).result()


def _measured(work: Callable[..., None], arguments: tuple[str, ...]) -> tuple[float, float]:
    begun = monotonic()
    work(*arguments)
    seconds = monotonic() - begun
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _copy_to_parquet(relay_url: str, path: str) -> None:
    with open_log(relay_url) as log:
        blocks = export_events(log, "true", {}, loaded_at=datetime.now(UTC))
        batches = read_blocks(block.content for block in blocks)
        first = batches.read_next_batch()
        with parquet.ParquetWriter(path, first.schema) as writer:
            for batch in chain([first], batches):
                writer.write_batch(batch)


def _rebuild_raw(relay_url: str, warehouse: str) -> None:
    rebuild(relay_url, _settings(warehouse))


def _build_marts(warehouse: str, target: str) -> None:
    build(_settings(warehouse), target_path=Path(target), full_refresh=True)


def _compare(relay_url: str, warehouse: str) -> None:
    found = reconcile(relay_url, _settings(warehouse))
    if not found.is_clean:
        raise RuntimeError(f"the rebuilt warehouse is not the event log: {found}")


def _settings(warehouse: str) -> WarehouseSettings:
    return WarehouseSettings(warehouse_url=SecretStr(warehouse))


if __name__ == "__main__":
    print(run(events=int(sys.argv[1]) if len(sys.argv) > 1 else _EVENTS))
