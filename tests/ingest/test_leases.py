"""Loaders share partitions by leases; a loader that dies, stands still or loses the database harms nobody."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event

import psycopg
import pytest

from contracts.topics import EVENT_TOPICS, PARTITIONS_PER_TOPIC
from ingest.leases import Share, SharedWork
from ingest.loader import Loader
from ingest.relay import Relay
from ingest.sinks import open_sink
from runtime.process import die_with_parent
from tests.conftest import Database, RunningBroker
from tests.eventually import eventually
from tests.ingest.loading import Settings, is_complete, row_count
from tests.ingest.writers import count, insert_events, relay_settings, running

SHARES = [Share(topic, number) for topic in ("deals", "identity", "imports") for number in range(6)]


def _member(database: Database, *, work: str = "test") -> SharedWork:
    return SharedWork(database.relay_url, work=work)


@pytest.mark.parametrize("members", [1, 2, 3, 4, 7, 20])
def test_w4_members_share_each_topic_and_leave_nothing(database: Database, members: int) -> None:
    all_leases = [_member(database) for _ in range(members)]
    for _ in range(3):
        for leases in all_leases:
            leases.balance(SHARES)
    held = [share for leases in all_leases for share in leases.held]
    assert sorted(held) == SHARES
    sizes = [len(leases.held) for leases in all_leases]
    assert max(sizes) <= -(-len(SHARES) // members)
    if members in {1, 2, 3}:
        assert {n for one in all_leases for n in Counter(share.group for share in one.held).values()} == {6 // members}
    assert sorted(leases.member for leases in all_leases) == list(range(members))
    for leases in all_leases:
        leases.close()


def test_one_hint_of_many_ends_the_wait_and_none_is_left_to_keep_it_awake_when_all_is_quiet(database: Database) -> None:
    with closing(_member(database)) as leases, psycopg.connect(database.relay_url, autocommit=True) as writer:
        leases.balance(SHARES)
        for number in range(5):
            writer.execute("select pg_notify('sluice_events', %s)", (str(number),))
            leases.balance(SHARES)  # what it asks the database brings hints along
        assert leases.wait_for_events(10)
        assert not leases.wait_for_events(0.05)


def test_w4_a_dead_members_shares_are_taken_and_different_work_is_not_shared(database: Database) -> None:
    with closing(_member(database)) as first, closing(_member(database, work="another warehouse")) as stranger:
        second = _member(database)
        for leases in (first, second, stranger, first, second):
            leases.balance(SHARES)
        assert len(first.held) == len(second.held) == 9
        assert len(stranger.held) == 18
        second.close()
        eventually(lambda: first.balance(SHARES) == frozenset(SHARES), what="all is taken over")
        assert first.balance(SHARES[:4]) == frozenset(SHARES[:4])


def test_w4_without_a_database_everything_is_held_and_an_outage_changes_nothing(
    make_database: Callable[[], Database],
) -> None:
    assert SharedWork(None, work="test").balance(SHARES) == frozenset(SHARES)
    database = make_database()
    with closing(_member(database)) as first, closing(_member(database)) as second:
        for leases in (first, second, first, second):
            leases.balance(SHARES)
        before = first.held
        with psycopg.connect(database.admin_url.replace(f"/{database.name}", "/postgres"), autocommit=True) as admin:
            admin.execute(f'drop database "{database.name}" with (force)')
        assert first.balance(SHARES) == before
        assert not first.is_stale
        with closing(_member(database)) as newcomer:
            assert newcomer.balance(SHARES) == frozenset(SHARES)


def test_w4_a_member_whose_session_ended_takes_back_only_what_is_free(database: Database) -> None:
    with closing(_member(database)) as zombie, closing(_member(database)) as other:
        zombie.balance(SHARES)
        with psycopg.connect(database.admin_url, autocommit=True) as admin:
            admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'sluice-leases' and datname = %s",
                (database.name,),
            )
        eventually(lambda: other.balance(SHARES) == frozenset(SHARES), what="the other one has taken over")
        eventually(lambda: len(zombie.balance(SHARES)) < len(SHARES), what="it knows that its leases are over")
        for _ in range(2):
            other.balance(SHARES)
            zombie.balance(SHARES)
        assert sorted([*zombie.held, *other.held]) == SHARES


_PROCESS = (
    "import signal, threading; stop = threading.Event();"
    "signal.signal(signal.SIGTERM, lambda *_: stop.set());"
    "from ingest.loader import Loader;"
    "from contracts.settings import KafkaSettings, RelayDatabaseSettings, WarehouseSettings;"
    "Loader(KafkaSettings(), WarehouseSettings(), RelayDatabaseSettings(), lease_seconds=2).run(stop)"
)


@contextmanager
def _process(database: Database, settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "SLUICE_DATABASE_RELAY_URL": database.relay_url,
        "SLUICE_KAFKA_BOOTSTRAP_SERVERS": settings[1].kafka_bootstrap_servers,
        "SLUICE_WAREHOUSE_URL": settings[2].warehouse_url.get_secret_value(),
    }
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", _PROCESS],
        env=environment,
        cwd=root,
        preexec_fn=die_with_parent,  # noqa: PLW1509  # one prctl call
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(params=["delta", "postgres"])
def settings(
    request: pytest.FixtureRequest, database: Database, fresh_broker: RunningBroker, tmp_path: Path
) -> Settings:
    url = f"duckdb://{tmp_path / 'warehouse'}" if request.param == "delta" else database.admin_url
    return relay_settings(database, fresh_broker, url)


def _loader(settings: Settings) -> Loader:
    return Loader(settings[1], settings[2], settings[0], lease_seconds=2)


#: Processes cost seconds, and what a sink makes of two writers is tested beside it: one kind is quick.
one_sink = pytest.mark.parametrize(
    "settings", ["delta", pytest.param("postgres", marks=pytest.mark.slow)], indirect=True
)

_PARTITIONS = "select coalesce(sum((detail->>'partitions')::int), 0) from process_status where process = '{}'"


def _partitions(database: Database, process: str) -> int:
    return count(database.relay_url, _PARTITIONS.format(process))


@one_sink
def test_w4_two_loaders_share_the_work_and_one_takes_over(database: Database, settings: Settings) -> None:
    half = len(EVENT_TOPICS) * PARTITIONS_PER_TOPIC // 2
    with (
        running(lambda stop: Relay(*settings).run(stop)),
        running(lambda stop: _loader(settings).run(stop)),
        _process(database, settings) as process,
    ):
        eventually(
            lambda: [_partitions(database, name) for name in ("loader", "loader-2")] == [half, half],
            seconds=60,
            what="they share",
        )
        insert_events(database.app_url, 1_000)
        eventually(lambda: is_complete(database, settings), what="raw is complete")
        insert_events(database.app_url, 1_000, seed=2)
        process.kill()
        eventually(lambda: is_complete(database, settings), what="the other one has taken over")
    assert row_count(settings) == 2_000


@one_sink
def test_w4_a_loader_that_stood_still_doubles_nothing(database: Database, settings: Settings) -> None:
    generator = random.Random(5)
    open_sink(settings[2]).close()
    with running(lambda stop: Relay(*settings).run(stop)), _process(database, settings) as zombie:
        insert_events(database.app_url, 500)
        eventually(lambda: row_count(settings) > 0, seconds=60, what="it loads")
        insert_events(database.app_url, 1_500, seed=2)
        Event().wait(generator.uniform(0.05, 0.3))
        zombie.send_signal(signal.SIGSTOP)
        with running(lambda stop: _loader(settings).run(stop)):
            insert_events(database.app_url, 500, seed=3)
            eventually(lambda: is_complete(database, settings), seconds=60, what="the other one has taken over")
            zombie.send_signal(signal.SIGCONT)
            insert_events(database.app_url, 500, seed=4)
            eventually(lambda: is_complete(database, settings), seconds=60, what="raw is complete")
    assert row_count(settings) == 3_000
