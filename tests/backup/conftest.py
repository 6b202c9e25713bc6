"""A home of the embedded stack of which PostgreSQL runs, with its log archived; what people write into it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from pydantic import SecretStr

from contracts.settings import BackupSettings, KafkaSettings, RelayDatabaseSettings, WarehouseSettings
from ingest.loader import Loader
from ingest.reconcile import reconcile
from ingest.relay import Relay
from runtime.backup.archive import Archiver
from runtime.backup.folder import BackupFolder
from runtime.embedded.broker import EmbeddedBroker
from runtime.home import Home, Ports
from runtime.process import ManagedProcess, free_port
from runtime.stack import Stack
from tests.conftest import Database, RunningBroker, RunningEmbeddedBroker
from tests.eventually import eventually
from tests.ingest.writers import running


@dataclass
class Site:
    """One home; its PostgreSQL is started and stopped by the test."""

    stack: Stack
    _process: ManagedProcess | None = None

    @property
    def home(self) -> Home:
        return self.stack.home

    @property
    def folder(self) -> BackupFolder:
        return BackupFolder(self.home.backups)

    @property
    def database(self) -> Database:
        urls = self.stack.environment()
        return Database(
            name="sluice",
            admin_url=self.stack.postgres.url(database="sluice"),
            owner_url=urls["SLUICE_DATABASE_OWNER_URL"],
            app_url=urls["SLUICE_DATABASE_URL"],
            relay_url=urls["SLUICE_DATABASE_RELAY_URL"],
            worker_url=urls["SLUICE_DATABASE_WORKER_URL"],
            backup_url=urls["SLUICE_DATABASE_BACKUP_URL"],
        )

    def start(self) -> None:
        server = self.stack.postgres
        server.prepare()
        self._process = ManagedProcess(server.spec(), log_path=self.home.logs / "postgres.log")
        self._process.start()
        self._process.wait_ready()
        self.stack.prepare_schema()

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """As a crash would."""
        assert self._process is not None
        self._process.kill()

    @contextmanager
    def archived(self, **changes: Any) -> Iterator[Archiver]:
        """The archive process, for as long as the block lasts."""
        settings = BackupSettings(
            database_backup_url=SecretStr(self.database.backup_url), backup_path=self.home.backups, **changes
        )
        archiver = Archiver(settings, files=self.home.files, secrets=self.home.secrets_file)
        with running(archiver.run):
            yield archiver

    def wait_for_backups(self, number: int) -> None:
        eventually(lambda: len(self.folder.backups()) >= number, what=f"there are {number} base backups")

    def now(self) -> datetime:
        """By the server's clock, with no transaction of the same instant."""
        with psycopg.connect(self.database.admin_url, autocommit=True) as connection:
            row = connection.execute("select clock_timestamp() from pg_sleep(0.01)").fetchone()
            connection.execute("select pg_sleep(0.01)")
        assert row is not None
        at: datetime = row[0]
        return at

    def wait_until_archived(self) -> datetime:
        """Commit something and wait until the archive has it: everything before it can be restored. Its time."""
        at = self.now()
        with psycopg.connect(self.database.admin_url) as connection:
            connection.execute("select txid_current()")
        backup = self.folder.backups()[-1]
        archive = self.folder.archive_of(backup)

        def has_it() -> bool:
            commit = archive.last_commit(archive.run_from(backup.manifest.start_segment))
            return commit is not None and commit.at > at

        eventually(has_it, what="the archive has the last commit")
        return at


@dataclass
class SiteMaker:
    """Makes homes in a folder that PostgreSQL's system user can reach."""

    folder: Path
    sites: list[Site] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def __call__(self) -> Site:
        home = Home(self.folder / f"home-{next(self._numbers)}")
        home.prepare()
        ports = Ports(*(free_port() for _ in range(5)))
        self.sites.append(Site(Stack(home, ports, home.secrets())))
        return self.sites[-1]


@contextmanager
def site_maker(folder: Path) -> Iterator[SiteMaker]:
    maker = SiteMaker(folder)
    try:
        yield maker
    finally:
        for site in maker.sites:
            site.stop()


@contextmanager
def running_broker(folder: Path) -> Iterator[RunningBroker]:
    """An empty broker, for as long as the block lasts."""
    server = EmbeddedBroker(free_port())
    process = ManagedProcess(server.spec(), log_path=folder / f"broker-{server.port}.log")
    running_one = RunningEmbeddedBroker(server, process)
    running_one.start()
    try:
        yield running_one
    finally:
        process.stop()


@dataclass(frozen=True)
class Spine:
    """Relay and loader between a database, a broker and a warehouse."""

    database: RelayDatabaseSettings
    kafka: KafkaSettings
    warehouse: WarehouseSettings

    @classmethod
    def of(cls, relay_url: str, broker: RunningBroker, warehouse: Path) -> "Spine":
        return cls(
            RelayDatabaseSettings(database_relay_url=SecretStr(relay_url)),
            KafkaSettings(kafka_bootstrap_servers=broker.bootstrap_servers),
            WarehouseSettings(warehouse_url=SecretStr(f"duckdb://{warehouse}")),
        )

    @property
    def url(self) -> str:
        return self.database.database_relay_url.get_secret_value()

    @contextmanager
    def flowing(self) -> Iterator[None]:
        with (
            running(lambda stop: Relay(self.database, self.kafka, self.warehouse).run(stop)),
            running(lambda stop: Loader(self.kafka, self.warehouse, self.database).run(stop)),
        ):
            yield

    def wait_until_equal(self) -> None:
        """Wait until everything is published and loaded, and PostgreSQL and raw agree."""

        def is_equal() -> bool:
            report = reconcile(self.url, self.warehouse)
            return report.is_clean and report.in_flight == 0

        eventually(is_equal, seconds=40, what="the warehouse equals PostgreSQL")


def no_progress(_what: str, _done: int, _total: int) -> None:
    return


def agree(_aim: object) -> None:
    return
