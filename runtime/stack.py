"""The embedded stack: which processes there are, in which order they start, and what each may know.

Every process gets only the credentials it uses. PostgreSQL and the broker come first, then the schema, then all else at
once.
"""

import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import psutil

from api.db.bootstrap import RolePasswords, prepare_database
from api.db.migrate import upgrade
from contracts.warehouse import duckdb_url
from runtime.embedded.broker import EmbeddedBroker
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.home import PROJECT, Home, Ports, Secrets
from runtime.process import ProcessSpec, answers, is_port_open
from runtime.processes import PROCESSES, Process
from runtime.supervisor import Supervisor

_DATABASE = "sluice"


class StackError(RuntimeError):
    """The stack cannot start: says why and what to do."""


@dataclass(frozen=True)
class Stack:
    """The embedded stack of one home folder on one set of ports."""

    home: Home
    ports: Ports
    secrets: Secrets

    @property
    def postgres(self) -> EmbeddedPostgres:
        """The PostgreSQL server."""
        return EmbeddedPostgres(self.home.postgres, port=self.ports.postgres, password=self.secrets.postgres)

    @property
    def broker(self) -> EmbeddedBroker:
        """The broker."""
        return EmbeddedBroker(self.ports.broker)

    @property
    def database_url(self) -> str:
        """The database, as the API sees it."""
        return self.environment()["SLUICE_DATABASE_URL"]

    @property
    def api_url(self) -> str:
        """Where the API answers."""
        return f"http://127.0.0.1:{self.ports.api}"

    @property
    def dashboards_url(self) -> str:
        """Where people sign in."""
        return f"http://127.0.0.1:{self.ports.dashboards}"

    @property
    def dagster_url(self) -> str:
        """Where data engineers look."""
        return f"http://127.0.0.1:{self.ports.dagster}"

    def environment(self) -> dict[str, str]:
        """Every setting of the stack, for commands that a person runs beside it."""
        url = self.postgres.url
        secrets = self.secrets
        return {
            "SLUICE_DATABASE_URL": url("sluice_app", secrets.app, _DATABASE),
            "SLUICE_DATABASE_OWNER_URL": url("sluice_owner", secrets.owner, _DATABASE),
            "SLUICE_DATABASE_RELAY_URL": url("sluice_relay", secrets.relay, _DATABASE),
            "SLUICE_DATABASE_WORKER_URL": url("sluice_worker", secrets.worker, _DATABASE),
            "SLUICE_DATABASE_BACKUP_URL": url("sluice_backup", secrets.backup, _DATABASE),
            "SLUICE_BACKUP_PATH": str(backup_path(self.home)),
            "SLUICE_KAFKA_BOOTSTRAP_SERVERS": self.broker.bootstrap_servers,
            "SLUICE_WAREHOUSE_URL": duckdb_url(self.home.warehouse),
            "SLUICE_SECRET_KEY": secrets.secret_key,
            "SLUICE_SECRET_KEYS_BEFORE": secrets.secret_keys_before,
            "SLUICE_API_PORT": str(self.ports.api),
            "SLUICE_FILES_PATH": str(self.home.files),
            "SLUICE_API_URL": self.api_url,
            "SLUICE_API_PUBLIC_URL": self.api_url,
            "SLUICE_DASHBOARDS_PORT": str(self.ports.dashboards),
            "SLUICE_DAGSTER_HOME": str(self.home.path / "dagster"),
            "SLUICE_DAGSTER_PORT": str(self.ports.dagster),
            "SLUICE_DAGSTER_TOKEN": secrets.operator,
            "SLUICE_DBT_TARGET_PATH": str(self.home.path / "dbt"),
        }

    @property
    def role_passwords(self) -> RolePasswords:
        """Of the roles that sign in."""
        one = self.secrets
        return RolePasswords(owner=one.owner, app=one.app, relay=one.relay, worker=one.worker, backup=one.backup)

    def prepare_schema(self) -> None:
        """Make roles, database and tables, or bring them up to date. PostgreSQL must run."""
        prepare_database(
            self.postgres.url(),
            database=_DATABASE,
            passwords=self.role_passwords,
        )
        upgrade(self.environment()["SLUICE_DATABASE_OWNER_URL"])

    def specs(self) -> list[ProcessSpec]:
        """Our own processes."""
        return [self._spec(process) for process in PROCESSES.values()]

    def _spec(self, process: Process) -> ProcessSpec:
        everything = self.environment()
        port = vars(self.ports)[process.name] if process.path else None
        return ProcessSpec(
            name=process.name,
            argv=[sys.executable, "-m", "runtime.serve", process.name],
            env={f"SLUICE_{setting}": everything[f"SLUICE_{setting}"] for setting in process.settings},
            cwd=PROJECT,
            port=port,
            ready=partial(answers, f"http://127.0.0.1:{port}{process.path}") if port else lambda: True,
            ready_seconds=300,  # Dagster on a busy machine
        )

    def remember_ports(self) -> None:
        """Let other commands find the ports of the running stack."""
        self.home.ports_file.write_text(json.dumps(vars(self.ports)))

    def with_remembered_ports(self) -> "Stack":
        """The same stack on the ports that it was last started with."""
        if not self.home.ports_file.exists():
            return self
        return replace(self, ports=Ports(**json.loads(self.home.ports_file.read_text())))

    def check_ports(self) -> None:
        """Refuse to start on a port that something else uses.

        Raises:
            StackError: names the port and the way out.
        """
        for name, port in vars(self.ports).items():
            if is_port_open(port):
                raise StackError(
                    f"Port {port} ({name}) is in use. Stop the program that uses it, or choose others:"
                    f" ./sluice up --port-base {_other_base(self.ports)}"
                )

    def check_restore(self) -> None:
        """Refuse to start on what a killed restore left half swapped.

        Raises:
            StackError: names the folders and the way out.
        """
        if self.home.unfinished_restore.exists():
            stamp = self.home.unfinished_restore.read_text()
            raise StackError(
                f"A restore was interrupted while it swapped folders. Run ./sluice restore again, or give the folders"
                f" whose names end in {stamp} their former names and remove {self.home.unfinished_restore}."
            )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Make sure that only one supervisor runs in this home. The lock's file names it (`lock_holder`).

        Raises:
            StackError: another one does.
        """
        with self.home.lock_file.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise StackError(
                    f"Sluice already runs in {self.home.path}. See ./sluice status, or stop it with ./sluice down."
                ) from error
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def start(self, supervisor: Supervisor, say: Callable[[str], None]) -> None:
        """Start everything and wait until each answers.

        Raises:
            ProcessError, PostgresSetupError: a process did not start; its log's last lines are in the message.
        """
        self.check_restore()
        say("starting PostgreSQL and the broker")
        self.postgres.prepare()
        supervisor.start(self.postgres.spec())
        supervisor.start(self.broker.spec())
        supervisor.wait_ready("postgres")
        say("bringing the schema up to date")
        self.prepare_schema()
        supervisor.wait_ready("broker")
        say("starting API, worker, relay, loader, archive, refresh, Dagster and dashboards")
        specs = self.specs()
        for spec in specs:
            supervisor.start(spec)
        for spec in specs:
            supervisor.wait_ready(spec.name)
            if spec.port:
                say(f"{spec.name} answers on port {spec.port}")


def backup_path(home: Home) -> Path:
    """Where backups lie: in the home, unless a person has named a folder on another disk."""
    # os.environ: a person's setting goes before the stack's own, and restoring needs no other setting
    return Path(os.environ.get("SLUICE_BACKUP_PATH") or home.backups).absolute()


def _other_base(ports: Ports) -> int:
    return 9000 if ports.api != 9000 else 9100


def lock_holder(home: Home) -> psutil.Process | None:
    """The process that holds a home's lock: not one that was given the number of a supervisor that crashed.

    Raises:
        StackError: it belongs to somebody else, who alone may look at it.
    """
    with suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):
        process = psutil.Process(int(home.lock_file.read_text()))
        try:
            opened = {file.path for file in process.open_files()}
        except psutil.AccessDenied as error:
            raise StackError(
                f"Process {process.pid}, which may be the one that runs Sluice in {home.path}, is another user's."
            ) from error
        if str(home.lock_file.resolve()) in opened:
            return process
    return None


def prepare_stack(port_base: int | None) -> Stack:
    """The stack of the current home folder, to be started. The folder is made where it is not there.

    Raises:
        HomeError: the home folder cannot be used, or its disk is full.
    """
    home = Home.locate()
    home.prepare()
    home.check_space()
    return Stack(home, Ports.from_base(port_base), home.secrets())


def known_stack() -> Stack:
    """The stack of the current home folder on the ports of its last start; nothing is made, a full disk is no obstacle.

    Raises:
        StackError: there never was one.
    """
    home = Home.locate()
    if not home.secrets_file.exists():
        raise StackError(f"Sluice is not running here: it was never started in {home.path}. Start it with ./sluice up.")
    return Stack(home, Ports(), home.secrets()).with_remembered_ports()


def adopt_environment(settings: Mapping[str, str]) -> None:
    """Let commands of this process use the stack's settings, without overriding what a person set."""
    # os.environ: settings are read from it, and here a command line takes a running stack's
    for name, value in settings.items():
        os.environ.setdefault(name, value)
