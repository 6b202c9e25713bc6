"""Servers that are away, slow or half dead, a relay that sleeps beyond its lease: nothing is lost, the API works on."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest

from tests.eventually import eventually
from tests.faults.inspection import inspect
from tests.faults.operations import History, Outcome, Writers
from tests.faults.processes import Spine
from tests.faults.proxy import Direction, TcpProxy
from tests.faults.toxics import Bandwidth, Down, Latency, LimitData, ResetPeer, Slicer, SlowClose, Timeout, Toxic

# connections that a toxic broke off are left by the proxy to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning")

_MEMBERS = (
    "select count(distinct pid) from pg_locks where locktype = 'advisory' and classid = 7221192 and granted"
    " and database = (select oid from pg_database where datname = current_database())"
)
_PENDING = "select count(*) from outbox where published_at is null and parked_reason is null"


def _count(spine: Spine, query: str) -> int:
    with psycopg.connect(spine.environment["SLUICE_DATABASE_RELAY_URL"]) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def _written(history: History, more: int) -> None:
    """Wait until so many more operations were acknowledged."""
    wanted = sum(1 for _ in history.of(Outcome.OK)) + more
    eventually(lambda: sum(1 for _ in history.of(Outcome.OK)) >= wanted, what=f"{more} more writes are accepted")


def _assert_whole(spine: Spine, history: History, writers: Writers) -> None:
    report = inspect(spine, history, writers.tenants)
    print(history.summary(), report, sep="\n")
    report.assert_clean()


@pytest.mark.slow
def test_o3_a_relay_that_slept_beyond_its_lease_reorders_and_loses_nothing(spine: Spine, history: History) -> None:
    published = "select count(*) from outbox where published_at > clock_timestamp() - interval '1 second'"
    with spine.telling(), Writers(spine.api_url, history, seed=3, pause=0.1) as writers:
        for name in ("relay", "relay-2"):
            eventually(lambda: _count(spine, published) > 0, what="events are being published")
            spine.pause(name)
            eventually(lambda: _count(spine, _MEMBERS) == 1, what="the sleeper has lost its lease")
            _written(history, 20)
            eventually(lambda: _count(spine, _PENDING) < 20, what="the other one publishes alone")
            spine.resume(name)
            eventually(lambda: _count(spine, _MEMBERS) == 2, what="the sleeper works again")
    _assert_whole(spine, history, writers)


@contextmanager
def _open_write(url: str, statement: str) -> Iterator[None]:
    with psycopg.connect(url, options="-c idle_in_transaction_session_timeout=0") as connection:
        connection.execute(statement)
        yield
        connection.rollback()


@pytest.mark.slow
def test_o4_open_write_transactions_hold_nobody_up(spine: Spine, history: History) -> None:
    other = spine.postgres.url(database="postgres")
    mine = spine.postgres.url(database="sluice")
    with (
        _open_write(other, "create table if not exists scratch (id int)"),
        _open_write(mine, "create table scratch (id int)"),
        Writers(spine.api_url, history, seed=4) as writers,
    ):
        _written(history, 40)
        writers.finish()
        _assert_whole(spine, history, writers)


@pytest.mark.slow
def test_o7_without_a_broker_every_write_is_accepted_and_the_backlog_drains(spine: Spine, history: History) -> None:
    with spine.telling(), Writers(spine.api_url, history, seed=5) as writers, spine.broker_proxy.under(Down()):
        _written(history, 60)
        assert _count(spine, _PENDING) > 0
        writers.finish()
    assert history.count_status("5") == 0
    assert not list(history.of(Outcome.INFO))
    _assert_whole(spine, history, writers)
    assert _count(spine, _PENDING) == 0


def _every() -> list[Toxic]:
    return [
        Latency(0.1, jitter=0.05),
        Bandwidth(40_000),
        Slicer(200, variation=100, delay=0.001),
        SlowClose(0.5),
        Timeout(1.0),
        ResetPeer(0.3),
        LimitData(20_000),
        Down(),
    ]


def _some() -> list[Toxic]:
    """One that only slows down, one that breaks off in the middle, one that lets nobody in."""
    return [Slicer(200, variation=100, delay=0.001), LimitData(20_000), Down()]


def _toxics(which: list[Toxic], seed: int) -> list[tuple[Toxic, Direction]]:
    generator = random.Random(seed)
    generator.shuffle(which)
    return [(toxic, generator.choice(list(Direction))) for toxic in which]


@pytest.mark.parametrize(
    ("server", "which"),
    [
        ("broker", _some),
        pytest.param("broker", _every, marks=pytest.mark.slow),
        pytest.param("postgres", _every, marks=pytest.mark.slow),
    ],
    ids=["some-broker", "broker", "postgres"],
)
def test_f3_toxics_before_a_server_cost_time_and_nothing_else(
    spine: Spine, history: History, server: str, which: Callable[[], list[Toxic]]
) -> None:
    proxy: TcpProxy = spine.broker_proxy if server == "broker" else spine.database_proxy
    with spine.telling(), Writers(spine.api_url, history, seed=6) as writers:
        for toxic, direction in _toxics(which(), 6):
            with proxy.under(toxic, direction):
                time.sleep(1.0)  # how long it is spoilt
            proxy.cut()
    assert httpx.get(f"{spine.api_url}/readyz", timeout=30).status_code in {200, 503}
    _assert_whole(spine, history, writers)
