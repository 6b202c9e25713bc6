"""Servers that every test may use: PostgreSQL, a migrated database of one's own, a broker. Real ones, from wheels."""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from api.db.bootstrap import RolePasswords, prepare_database
from api.db.migrate import upgrade
from runtime.embedded.broker import EmbeddedBroker
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.process import ManagedProcess, free_port

_TESTS = Path(__file__).parent
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

PASSWORDS = RolePasswords(
    owner="owner-test-password",
    app="app-test-password",
    relay="relay-test-password",
    worker="worker-test-password",
)

_TEMPLATE = "sluice_template"
_names = itertools.count(1)


#: What takes long, the longest first: it begins first where several processes share the suite.
_LONGEST = ("e2e", "dbt_project", "orchestration", "imports", "dashboards")


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no type information
    """Tests of a file stay in one process, and so do all that use the one running stack (`-n 2 --dist loadfile`)."""

    def _split_scope(self, nodeid: str) -> str:
        return "tests/e2e" if nodeid.startswith("tests/e2e/") else nodeid.split("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling | None:
    """What shares out the tests."""
    return FileScheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the tests of a process that shares the suite with others."""
    if hasattr(config, "workerinput"):
        rank = {folder: place for place, folder in enumerate(_LONGEST)}
        items.sort(key=lambda item: rank.get(item.path.relative_to(_TESTS).parts[0], len(rank)))


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


def _urls(server: EmbeddedPostgres, name: str) -> Database:
    return Database(
        name=name,
        admin_url=server.url(database=name),
        owner_url=server.url("sluice_owner", PASSWORDS.owner, name),
        app_url=server.url("sluice_app", PASSWORDS.app, name),
        relay_url=server.url("sluice_relay", PASSWORDS.relay, name),
        worker_url=server.url("sluice_worker", PASSWORDS.worker, name),
    )


@pytest.fixture(scope="session")
def _template(postgres: EmbeddedPostgres) -> str:
    prepare_database(postgres.url(), database=_TEMPLATE, passwords=PASSWORDS)
    upgrade(_urls(postgres, _TEMPLATE).owner_url)
    return _TEMPLATE


@pytest.fixture(scope="session")
def make_database(postgres: EmbeddedPostgres, _template: str) -> Callable[[], Database]:
    """Makes a database by copying the migrated template."""

    def make() -> Database:
        name = f"test_{os.getpid()}_{next(_names)}"
        with psycopg.connect(postgres.url(), autocommit=True) as admin:
            admin.execute(
                sql.SQL("create database {} template {} owner sluice_owner strategy file_copy").format(
                    sql.Identifier(name), sql.Identifier(_template)
                )
            )
            # database-level grants are not copied from a template
            admin.execute(sql.SQL("revoke connect, temporary on database {} from public").format(sql.Identifier(name)))
            admin.execute(
                sql.SQL("grant connect, temporary on database {} to sluice_app, sluice_relay, sluice_worker").format(
                    sql.Identifier(name)
                )
            )
        return _urls(postgres, name)

    return make


@pytest.fixture
def database(postgres: EmbeddedPostgres, make_database: Callable[[], Database]) -> Iterator[Database]:
    """A migrated database of the test's own."""
    made = make_database()
    yield made
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(made.name)))


@dataclass
class RunningBroker:
    """A broker that a test may kill and start again on the same port."""

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


def _start_broker(folder: Path) -> RunningBroker:
    server = EmbeddedBroker(free_port())
    broker = RunningBroker(server, ManagedProcess(server.spec(), log_path=folder / f"broker-{server.port}.log"))
    broker.start()
    return broker


@pytest.fixture(scope="session")
def broker(server_folder: Path) -> Iterator[RunningBroker]:
    """A broker shared by tests that use topics or keys of their own. Do not kill it."""
    running = _start_broker(server_folder)
    yield running
    running.process.stop()


@pytest.fixture
def fresh_broker(server_folder: Path) -> Iterator[RunningBroker]:
    """An empty broker of the test's own."""
    running = _start_broker(server_folder)
    yield running
    running.process.stop()
