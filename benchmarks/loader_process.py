"""Loaders as processes that share the partitions: what two of them bring in, against one.

Run as a module it is such a process; it begins when its standard input says so, because the clock shall not count what
Python takes to start.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from time import monotonic, sleep
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from contracts.settings import KafkaSettings, RelayDatabaseSettings, WarehouseSettings
from ingest.loader import Loader
from ingest.sinks import open_sink
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.process import ManagedProcess, free_port

_PATIENCE_SECONDS = 120.0


def compare_processes(kafka: KafkaSettings, folder: Path, epoch: UUID, events: int) -> dict[str, Any]:
    """Events a second of one process and of two, each into a table of its own, hand-over of partitions counted."""
    with _postgres(folder) as database_url:
        one, two = (_load_by(count, kafka, folder / f"by-{count}", epoch, events, database_url) for count in (1, 2))
    return {
        "one loader process, events/s": round(one),
        "two loader processes, events/s": round(two),
        "two loader processes / one": round(two / one, 2),
    }


@contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    """A server for the leases."""
    server = EmbeddedPostgres(folder / "postgres", port=free_port(), password="benchmark", durable=False)  # noqa: S106
    server.prepare()
    process = ManagedProcess(server.spec(), log_path=folder / "postgres.log")
    process.start()
    process.wait_ready()
    try:
        yield server.url()
    finally:
        process.stop()


def _load_by(count: int, kafka: KafkaSettings, folder: Path, epoch: UUID, events: int, database_url: str) -> float:
    environment = {
        "PATH": os.defpath,
        "SLUICE_KAFKA_BOOTSTRAP_SERVERS": kafka.kafka_bootstrap_servers,
        "SLUICE_WAREHOUSE_URL": f"duckdb://{folder}",
        "SLUICE_DATABASE_RELAY_URL": database_url,
    }
    command = [sys.executable, "-m", "benchmarks.loader_process"]
    root = Path(__file__).parents[1]
    warehouse = WarehouseSettings(warehouse_url=SecretStr(f"duckdb://{folder}"))
    processes = [
        subprocess.Popen(command, env=environment, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    try:
        with closing(open_sink(warehouse)) as sink:
            for process in processes:
                if process.stdout is None or process.stdout.readline() != "ready\n":
                    raise RuntimeError("a loader process did not start")
            begun = monotonic()
            for process in processes:
                if process.stdin is not None:
                    process.stdin.write("begin\n")
                    process.stdin.flush()
            while sum(sink.offsets(epoch).values()) < events:
                sleep(0.05)
                if monotonic() - begun > _PATIENCE_SECONDS:
                    raise TimeoutError(f"not loaded after {_PATIENCE_SECONDS:.0f} seconds")
            return events / (monotonic() - begun)
    finally:
        for process in processes:
            process.terminate()
            process.communicate(timeout=30)


def _load_when_told() -> None:
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    loader = Loader(KafkaSettings(), WarehouseSettings(), RelayDatabaseSettings())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    loader.run(stop)


if __name__ == "__main__":
    _load_when_told()
