"""Our own processes, in one table: the verb that runs each, what it may know, how one sees that it works.

Two of them are several: the API has a worker for each processor, Dagster has programs of its own. Either runs under a
supervisor, as everything does in `sluice up`.
"""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from contracts.settings import (
    ApiSettings,
    BackupSettings,
    DashboardSettings,
    DatabaseSettings,
    OperatorSettings,
    OrchestrationSettings,
    RelayDatabaseSettings,
    ScoringSettings,
    WarehouseSettings,
    WorkerSettings,
)
from orchestration.guard import HEALTH_PATH
from orchestration.serve import commands
from runtime.home import PROJECT
from runtime.process import ProcessSpec


@dataclass(frozen=True)
class Process:
    """One of our processes. `settings` are those it gets in the embedded stack: credentials that it uses, no others.

    It works when it answers `path` on `port`, or when it has reported lately in the database `reports_to`, or when it
    `touches` a file; and when the `program` of its that reports, if it has such a one, has done so and does not fail.
    `is_background`: nobody waits for it, so it takes the processors that the others leave.
    """

    name: str
    does: str
    room: str  # module whose `run(stop)` is the process
    settings: tuple[str, ...]
    path: str = ""
    touches: Callable[[], Path | None] | None = None
    port: Callable[[], int] | None = None
    reports_to: Callable[[], SecretStr] | None = None
    program: Callable[[], str | None] = lambda: None
    is_background: bool = False
    parts: str = ""  # help for `--only`, where a process may do a part of its work


def _event_log() -> SecretStr:
    return RelayDatabaseSettings().database_relay_url


#: The program of Dagster's process that scores what changes, as it calls itself in its reports.
SCORER = "scorer"
_TRANSPORT = ("DATABASE_RELAY_URL", "KAFKA_BOOTSTRAP_SERVERS", "WAREHOUSE_URL")
_MODELS = ("DATABASE_RELAY_URL", "WAREHOUSE_URL", "DAGSTER_HOME", "DBT_TARGET_PATH")

PROCESSES: Mapping[str, Process] = {
    one.name: one
    for one in (
        Process("relay", "Event log to Kafka.", "ingest.relay", _TRANSPORT, reports_to=_event_log),
        Process("loader", "Kafka to the warehouse's raw events.", "ingest.loader", _TRANSPORT, reports_to=_event_log),
        Process(
            "api", "The API server.", "api.serve",
            ("DATABASE_URL", "SECRET_KEY", "SECRET_KEYS_BEFORE", "API_PORT", "FILES_PATH", "WAREHOUSE_URL"),
            path="/readyz", port=lambda: ApiSettings().api_port,
        ),
        Process(
            "worker", "What the API's slices do by themselves: imports, rules.", "api.worker",
            (
                "DATABASE_WORKER_URL", "FILES_PATH", "KAFKA_BOOTSTRAP_SERVERS", "SECRET_KEY", "SECRET_KEYS_BEFORE",
                "WAREHOUSE_URL",
            ),
            parts="Do this slice's work alone; may be repeated.",
            touches=lambda: WorkerSettings().worker_alive_path,
        ),
        Process(
            "channels", "Connectors: e-mail, as the accounts of organizations want it.", "ingest.channels.runner",
            ("API_URL",), parts="Connect this channel alone; may be repeated.",
        ),
        Process(
            "archive", "PostgreSQL's log into the folder of backups, as it is written; base backups.",
            "runtime.backup.archive", ("DATABASE_BACKUP_URL", "BACKUP_PATH", "FILES_PATH"),
            reports_to=lambda: BackupSettings().database_backup_url,
        ),
        Process(
            "refresh", "Builds and publishes the marts whenever events arrive.", "orchestration.refresh", _MODELS,
            reports_to=_event_log, is_background=True,
        ),
        Process(
            "dagster", "Dagster's web server, daemon and code server.", "orchestration.serve",
            (*_MODELS, "API_URL", "DAGSTER_PORT", "DAGSTER_TOKEN", "DATABASE_WORKER_URL"), path=HEALTH_PATH,
            port=lambda: OrchestrationSettings().dagster_port,
            reports_to=_event_log, program=lambda: SCORER if ScoringSettings().scores_keys else None,
            is_background=True,
        ),
        Process(
            "dashboards", "The Streamlit dashboards.", "dashboards.serve", ("API_URL", "DASHBOARDS_PORT"),
            path="/_stcore/health", port=lambda: DashboardSettings().dashboards_port,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Group:
    """What one of our processes consists of: each starts when the one before is ready, all get `seconds` to stop."""

    specs: list[ProcessSpec]
    seconds: float


@contextmanager
def _api_workers() -> Iterator[Group]:
    """As many workers as processors. They share a listening socket, and see how many connections each has."""
    settings = ApiSettings()
    DatabaseSettings(), WarehouseSettings()  # what the workers need, asked for once
    family = socket.AF_INET6 if ":" in settings.api_host else socket.AF_INET
    address = (settings.api_host, settings.api_port)
    counts = os.memfd_create("connections")
    os.ftruncate(counts, 4 * settings.api_workers)
    # the workers of a supervisor that was killed may still finish what they do
    with socket.create_server(address, family=family, backlog=1024, reuse_port=True) as listener:
        fds = (listener.fileno(), counts)
        with tempfile.TemporaryDirectory(prefix="sluice-figures-") as folder:
            specs = [
                ProcessSpec(
                    name=f"api worker {number}",
                    argv=[sys.executable, "-m", "runtime.serve", "api", *map(str, fds), str(number)],
                    env={"PROMETHEUS_MULTIPROC_DIR": folder},  # its library adds the workers' figures up
                    pass_fds=fds,
                )
                for number in range(settings.api_workers)
            ]
            yield Group(specs, seconds=settings.api_drain_seconds + 15)
    os.close(counts)


@contextmanager
def _dagster_programs() -> Iterator[Group]:
    settings = OrchestrationSettings()
    OperatorSettings()  # what the pages need, asked for once
    subprocess.run([sys.executable, "-m", "orchestration.instance"], cwd=PROJECT, check=True)
    environment = {
        # Dagster's own commands look for their instance there and nowhere else
        "DAGSTER_HOME": str(settings.dagster_home.absolute()),
        "PYTHONPATH": str(PROJECT),
        # each time it looks through all assets, the least patient of which is late after an hour
        "FRESHNESS_DAEMON_INTERVAL_SECONDS": "300",
    }
    # a short path of its own: socket names are limited to some hundred characters
    with tempfile.TemporaryDirectory(prefix="sluice-dagster-") as folder:
        code_socket = Path(folder) / "code.sock"
        specs = [
            ProcessSpec(
                name=f"Dagster's {name}",
                argv=[sys.executable, "-m", *argv],
                env=environment,
                cwd=PROJECT,
                ready=code_socket.exists if is_awaited else lambda: True,
                ready_seconds=300,
            )
            for name, argv, is_awaited in commands(settings, socket_path=code_socket)
        ]
        yield Group(specs, seconds=5)


GROUPS: Mapping[str, Callable[[], AbstractContextManager[Group]]] = {
    "api": _api_workers,
    "dagster": _dagster_programs,
}
