"""Servers that every test may use: PostgreSQL, a migrated database of one's own, a broker. Real ones, from wheels.

`--kafka=cluster` puts three brokers of Apache Kafka in the place of the embedded one, `--kafka=external` whatever the
`SLUICE_KAFKA_*` variables name.
"""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psycopg
import pytest
from psycopg import sql

from api.db.bootstrap import RolePasswords, prepare_database
from api.db.migrate import upgrade
from contracts.settings import KafkaSettings
from runtime.embedded.broker import EmbeddedBroker
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.process import ManagedProcess, free_port
from tests.kafka_cluster.cluster import KafkaCluster
from tests.kafka_cluster.jars import KafkaUnavailableError
from tests.kafka_cluster.topics import delete_topics, refuse_topics_of_others

pytest_plugins = ["tests.sharing"]

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

PASSWORDS = RolePasswords(
    owner="owner-test-password",
    app="app-test-password",
    relay="relay-test-password",
    worker="worker-test-password",
    backup="backup-test-password",
)

_TEMPLATE = "sluice_template"
_names = itertools.count(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real data sets, for tests that compare with them."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the shared data sets, which are not beside the project ({SHARED_DATA} is absent)")
    return SHARED_DATA


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder that PostgreSQL's system user can reach."""
    with tempfile.TemporaryDirectory(prefix="sluice-tests-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


@pytest.fixture(scope="session")
def postgres(server_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A running PostgreSQL, fast and forgetful."""
    server = EmbeddedPostgres(
        server_folder / "postgres", port=free_port(), password="superuser-test-password", durable=False
    )
    server.prepare()
    process = ManagedProcess(server.spec(), log_path=server_folder / "postgres.log")
    process.start()
    process.wait_ready()
    yield server
    process.stop()


@dataclass(frozen=True)
class Database:
    """One migrated database and a URL for each role."""

    name: str
    admin_url: str
    owner_url: str
    app_url: str
    relay_url: str
    worker_url: str
    backup_url: str


def urls_of(server: EmbeddedPostgres, name: str) -> Database:
    return Database(
        name=name,
        admin_url=server.url(database=name),
        owner_url=server.url("sluice_owner", PASSWORDS.owner, name),
        app_url=server.url("sluice_app", PASSWORDS.app, name),
        relay_url=server.url("sluice_relay", PASSWORDS.relay, name),
        worker_url=server.url("sluice_worker", PASSWORDS.worker, name),
        backup_url=server.url("sluice_backup", PASSWORDS.backup, name),
    )


@pytest.fixture(scope="session")
def _template(postgres: EmbeddedPostgres) -> str:
    prepare_database(postgres.url(), database=_TEMPLATE, passwords=PASSWORDS)
    upgrade(urls_of(postgres, _TEMPLATE).owner_url)
    return _TEMPLATE


@pytest.fixture(scope="session")
def make_database(postgres: EmbeddedPostgres, _template: str) -> Callable[..., Database]:
    """Makes a database by copying the migrated template, or one that nobody is connected to."""

    def make(template: str = _template) -> Database:
        name = f"test_{os.getpid()}_{next(_names)}"
        with psycopg.connect(postgres.url(), autocommit=True) as admin:
            admin.execute(
                sql.SQL("create database {} template {} owner sluice_owner strategy file_copy").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
            # database-level grants are not copied from a template
            admin.execute(sql.SQL("revoke connect, temporary on database {} from public").format(sql.Identifier(name)))
            admin.execute(
                sql.SQL(
                    "grant connect, temporary on database {} to sluice_app, sluice_relay, sluice_worker, sluice_backup"
                ).format(sql.Identifier(name))
            )
        return urls_of(postgres, name)

    return make


@pytest.fixture
def database(postgres: EmbeddedPostgres, make_database: Callable[[], Database]) -> Iterator[Database]:
    """A migrated database of the test's own."""
    made = make_database()
    yield made
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(made.name)))


class RunningBroker(Protocol):
    """A broker that a test may kill and start again on the same address."""

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` for clients."""

    def kill(self) -> None:
        """Kill it; everything in it is gone."""

    def start(self) -> None:
        """Start it empty."""


@dataclass
class RunningEmbeddedBroker:
    """The embedded broker: it forgets by itself."""

    server: EmbeddedBroker
    process: ManagedProcess

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` for clients."""
        return self.server.bootstrap_servers

    def kill(self) -> None:
        """Kill it; everything in it is gone."""
        self.process.kill()

    def start(self) -> None:
        """Start it empty."""
        self.process.start()
        self.process.wait_ready()


@dataclass
class RunningCluster:
    """Three brokers that live and die together."""

    cluster: KafkaCluster

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` of each, for clients."""
        return self.cluster.bootstrap_servers()

    def kill(self) -> None:
        """Kill them, and take their data away."""
        self.cluster.kill()
        self.cluster.forget()

    def start(self) -> None:
        """Start them empty."""
        self.cluster.start()


@dataclass
class ExternalBroker:
    """A cluster of somebody's, in which tests make and delete the topics of Sluice."""

    settings: KafkaSettings

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` of each, for clients."""
        return self.settings.kafka_bootstrap_servers

    def kill(self) -> None:
        """Not possible."""
        pytest.skip("kills the broker, and an external one is not ours to kill")

    def start(self) -> None:
        """Not possible."""
        raise AssertionError("an external broker was never killed")


def _start_broker(folder: Path) -> RunningEmbeddedBroker:
    server = EmbeddedBroker(free_port())
    broker = RunningEmbeddedBroker(server, ManagedProcess(server.spec(), log_path=folder / f"broker-{server.port}.log"))
    broker.start()
    return broker


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which broker the tests run against."""
    parser.addoption(
        "--kafka",
        choices=["embedded", "cluster", "external"],
        default="embedded",
        help="the broker: embedded, cluster (three of Apache Kafka), or external (SLUICE_KAFKA_BOOTSTRAP_SERVERS)",
    )


@pytest.fixture(scope="session")
def kafka_cluster(server_folder: Path) -> Iterator[KafkaCluster]:
    """Three brokers of Apache Kafka, shared. A test that stops one of them starts it again."""
    try:
        cluster = KafkaCluster(server_folder / "kafka")
    except KafkaUnavailableError as error:
        pytest.skip(f"Apache Kafka cannot run here: {error}")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def fresh_cluster(kafka_cluster: KafkaCluster) -> KafkaCluster:
    """The three brokers, all alive, without topics of Sluice."""
    kafka_cluster.revive()
    delete_topics(kafka_cluster.settings())
    return kafka_cluster


@pytest.fixture(scope="session")
def _external_broker() -> ExternalBroker:
    if "SLUICE_KAFKA_BOOTSTRAP_SERVERS" not in os.environ:
        pytest.exit("--kafka=external needs SLUICE_KAFKA_BOOTSTRAP_SERVERS", returncode=4)
    settings = KafkaSettings()
    refuse_topics_of_others(settings)
    return ExternalBroker(settings)


@pytest.fixture
def fresh_broker(
    request: pytest.FixtureRequest, server_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningBroker]:
    """An empty broker that is the test's own for as long as it runs."""
    kind = request.config.getoption("--kafka")
    if kind == "embedded":
        running = _start_broker(server_folder)
        yield running
        running.process.stop()
    elif kind == "cluster":
        # settings that tests and the processes they start make without a thought for this cluster
        monkeypatch.setenv("SLUICE_KAFKA_REPLICATION_FACTOR", "3")
        monkeypatch.setenv("SLUICE_KAFKA_MIN_INSYNC_REPLICAS", "2")
        yield RunningCluster(request.getfixturevalue("fresh_cluster"))
    else:
        external: ExternalBroker = request.getfixturevalue("_external_broker")
        delete_topics(external.settings)
        yield external
        delete_topics(external.settings)
