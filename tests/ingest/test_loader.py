"""The loader against real servers and both warehouses: raw is PostgreSQL's event log, each row once."""

import os
import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event
from uuid import UUID

import psycopg
import pytest
from deltalake import DeltaTable

from bus.producer import KafkaRecordProducer
from bus.records import OutgoingRecord, Partition
from contracts.events.deals import DealEvent
from contracts.settings import RelaySettings
from contracts.topics import DEAD_LETTER_TOPIC
from ingest.decoding import decode
from ingest.loader import Loader
from ingest.rebuild import rebuild
from ingest.relay import Relay
from ingest.sinks import open_sink
from ingest.sinks.interface import OffsetConflictError, OffsetRange
from runtime.process import die_with_parent
from tests.conftest import Database, RunningBroker
from tests.eventually import eventually
from tests.ingest.loading import Settings, content, is_complete, reconciled, row_count
from tests.ingest.topic_reader import read_topic
from tests.ingest.writers import count, insert_events, relay_settings, running, wait_until_published


@pytest.fixture(params=["delta", "postgres"])
def settings(
    request: pytest.FixtureRequest, database: Database, fresh_broker: RunningBroker, tmp_path: Path
) -> Settings:
    url = f"duckdb://{tmp_path / 'warehouse'}" if request.param == "delta" else database.admin_url
    return relay_settings(database, fresh_broker, url)


@pytest.fixture
def delta_settings(database: Database, fresh_broker: RunningBroker, tmp_path: Path) -> Settings:
    return relay_settings(database, fresh_broker, f"duckdb://{tmp_path / 'warehouse'}")


def _loader(settings: Settings) -> Loader:
    return Loader(settings[1], settings[2], settings[0])


def test_w1_relay_and_loader_bring_every_event_once(database: Database, settings: Settings) -> None:
    with running(lambda stop: Relay(*settings).run(stop)), running(lambda stop: _loader(settings).run(stop)):
        for seed in range(5):
            insert_events(database.app_url, 400, seed=seed)
        eventually(lambda: is_complete(database, settings), what="raw is complete")
    assert row_count(settings) == 2_000


def test_w4_two_loaders_on_one_sink_double_nothing(database: Database, settings: Settings) -> None:
    with (
        running(lambda stop: Relay(*settings, RelaySettings(relay_batch_size=100)).run(stop)),
        running(lambda stop: _loader(settings).run(stop), count=2),
    ):
        for seed in range(6):
            insert_events(database.app_url, 300, seed=seed)
        eventually(lambda: is_complete(database, settings), what="raw is complete")
    assert row_count(settings) == 1_800


def test_w1_a_replayed_batch_is_not_written_twice(settings: Settings) -> None:
    epoch = UUID("01900000-0000-7000-8000-00000000000e")
    place = Partition(DealEvent.topic, 2)
    empty = decode([], epoch=str(epoch), loaded_at=datetime.now(UTC)).rows
    with closing(open_sink(settings[2])) as sink, closing(open_sink(settings[2])) as other:
        sink.append(empty, epoch=epoch, ranges={place: OffsetRange(0, 7)})
        with pytest.raises(OffsetConflictError):
            other.append(empty, epoch=epoch, ranges={place: OffsetRange(0, 7)})
        other.append(
            empty, epoch=epoch, ranges={place: OffsetRange(7, 9), Partition(DealEvent.topic, 3): OffsetRange(0, 1)}
        )
        assert sink.offsets(epoch)[place] == 9
        assert sink.offsets(UUID("01900000-0000-7000-8000-00000000000f")).get(place, 0) == 0


def test_w4_commits_of_different_partitions_do_not_hinder_each_other(settings: Settings) -> None:
    epoch = UUID("01900000-0000-7000-8000-00000000000e")
    empty = decode([], epoch=str(epoch), loaded_at=datetime.now(UTC)).rows
    open_sink(settings[2]).close()

    def commit(place: Partition) -> int:
        with closing(open_sink(settings[2])) as sink:
            for start in range(20):
                sink.append(empty, epoch=epoch, ranges={place: OffsetRange(start, start + 1)})
            return sink.offsets(epoch)[place]

    with ThreadPoolExecutor(3) as pool:
        ends = pool.map(commit, [Partition(DealEvent.topic, number) for number in (0, 1, 8)])
    assert list(ends) == [20, 20, 20]


def _has_more_than(settings: Settings, rows: int) -> bool:
    return row_count(settings) > rows


_LOADER_PROCESS = (
    "import signal, threading; stop = threading.Event();"
    "signal.signal(signal.SIGTERM, lambda *_: stop.set()); from ingest.loader import run; run(stop)"
)


@pytest.mark.parametrize("kills", [2, pytest.param(100, marks=pytest.mark.slow)])
def test_w1_loader_killed_again_and_again_under_load(database: Database, settings: Settings, kills: int) -> None:
    environment = {
        **os.environ,
        "SLUICE_DATABASE_RELAY_URL": database.relay_url,
        "SLUICE_KAFKA_BOOTSTRAP_SERVERS": settings[1].kafka_bootstrap_servers,
        "SLUICE_WAREHOUSE_URL": settings[2].warehouse_url.get_secret_value(),
    }
    generator = random.Random(11)
    open_sink(settings[2]).close()  # so that rows can be counted before any are loaded

    def start() -> subprocess.Popen[bytes]:
        root = Path(__file__).parents[2]
        return subprocess.Popen(
            [sys.executable, "-c", _LOADER_PROCESS],
            env=environment,
            cwd=root,
            preexec_fn=die_with_parent,  # noqa: PLW1509  # one prctl call
        )

    with running(lambda stop: Relay(*settings, RelaySettings(relay_batch_size=200)).run(stop)):
        for seed in range(kills):
            insert_events(database.app_url, 250, seed=2 * seed)
            before = row_count(settings) if seed else 0
            loader = start()
            if seed:
                eventually(partial(_has_more_than, settings, before), what="it loads")
            insert_events(database.app_url, 250, seed=2 * seed + 1)
            Event().wait(generator.uniform(0.0, 0.8))  # whatever it does then: mostly it commits
            loader.kill()
            loader.wait()
        wait_until_published(database)
        loader = start()
        eventually(lambda: is_complete(database, settings), what="raw is complete")
        loader.send_signal(signal.SIGTERM)
        assert loader.wait(20) == 0
    assert row_count(settings) == 500 * kills


def test_o6_broker_amnesia_is_noticed_and_healed(
    database: Database, settings: Settings, fresh_broker: RunningBroker
) -> None:
    with running(lambda stop: Relay(*settings).run(stop)):
        with running(lambda stop: _loader(settings).run(stop)):
            insert_events(database.app_url, 1_000)
            eventually(lambda: is_complete(database, settings), what="raw is complete")
        insert_events(database.app_url, 700, seed=2)  # published, never loaded
        wait_until_published(database)
        fresh_broker.kill()
        insert_events(database.app_url, 300, seed=3)
        fresh_broker.start()
        with running(lambda stop: _loader(settings).run(stop)):
            eventually(lambda: is_complete(database, settings), seconds=60, what="raw is complete again")
            fresh_broker.kill()  # and once more, with the loader alive
            fresh_broker.start()
            insert_events(database.app_url, 1_100, seed=4)
            eventually(lambda: is_complete(database, settings), seconds=60, what="raw is complete again")
    assert count(database.relay_url, "select count(*) from transport_epoch") == 3
    assert row_count(settings) == 3_100


def test_o5_unreadable_messages_become_dead_letters_and_others_pass(
    database: Database, delta_settings: Settings, fresh_broker: RunningBroker
) -> None:
    with running(lambda stop: Relay(*delta_settings).run(stop)):
        insert_events(database.app_url, 50)
        wait_until_published(database)
        producer = KafkaRecordProducer(delta_settings[1])
        poison = [None, b"{", b"\xff\xfe", b"[]", b'{"data":{}}', b'{"id":"x","data":{"a":"\\u0000"}}', b"[" * 9_000]
        producer.send_all([OutgoingRecord(DealEvent.topic, number % 6, b"k", v) for number, v in enumerate(poison)])
        producer.close()
        insert_events(database.app_url, 50, seed=2)
        with running(lambda stop: _loader(delta_settings).run(stop)):
            eventually(lambda: is_complete(database, delta_settings), what="raw is complete")
    letters = read_topic(fresh_broker, DEAD_LETTER_TOPIC, at_least=len(poison))
    assert sorted(letter.value or b"" for letter in letters) == sorted(value or b"" for value in poison)
    assert all(dict(letter.headers)["reason"] for letter in letters)
    assert row_count(delta_settings) == 100


def test_w1_reconcile_names_missing_extra_and_changed_rows(database: Database, settings: Settings) -> None:
    with running(lambda stop: Relay(*settings).run(stop)), running(lambda stop: _loader(settings).run(stop)):
        insert_events(database.app_url, 60)
        eventually(lambda: is_complete(database, settings), what="raw is complete")
    insert_events(database.app_url, 5, seed=9)  # nobody publishes these
    with psycopg.connect(database.relay_url) as connection:
        row = connection.execute("select array_agg(event_id order by position) from event_log").fetchone()
    assert row is not None
    missing, changed, extra = row[0][0], row[0][1], UUID("01900000-0000-7000-8000-0000000000ff")
    _damage(settings, missing, changed, row[0][2], extra)
    report = reconciled(database, settings)
    assert (report.missing, report.different, report.extra, report.in_flight) == (2, 1, 1, 5)
    (difference,) = report.differences
    assert set(difference.missing) == {missing, row[0][2]}
    assert difference.different == [changed]
    assert difference.extra == [extra]
    assert report.as_dict()["is_clean"] is False
    assert "2 missing, 1 extra, 1 different" in str(report)


def _damage(settings: Settings, missing: UUID, changed: UUID, renamed: UUID, extra: UUID) -> None:
    url = settings[2].warehouse_url.get_secret_value()
    if url.startswith("postgresql"):
        with psycopg.connect(url) as connection:
            connection.execute("delete from raw.events where event_id = %s", (missing,))
            connection.execute("update raw.events set data = '{}' where event_id = %s", (changed,))
            connection.execute("update raw.events set event_id = %s where event_id = %s", (extra, renamed))
        return
    table = DeltaTable(f"{url.removeprefix('duckdb://')}/raw/events")
    table.delete(f"event_id = '{missing}'")
    table.update(updates={"data": "'{}'"}, predicate=f"event_id = '{changed}'")
    table.update(updates={"event_id": f"'{extra}'"}, predicate=f"event_id = '{renamed}'")


def test_w3_rebuild_is_repeatable_and_traffic_goes_on(database: Database, settings: Settings) -> None:
    with (
        running(lambda stop: Relay(*settings, RelaySettings(relay_batch_size=100)).run(stop)),
        running(lambda stop: _loader(settings).run(stop)),
    ):
        insert_events(database.app_url, 800)
        eventually(lambda: is_complete(database, settings), what="raw is complete")
        before = content(settings)
        steps: list[tuple[int, int]] = []
        assert rebuild(database.relay_url, settings[2], progress=lambda done, total: steps.append((done, total))) == 800
        assert steps[-1] == (800, 800)
        assert content(settings) == before
        for seed in range(3):
            insert_events(database.app_url, 200, seed=seed)
            rebuild(database.relay_url, settings[2])
        eventually(lambda: is_complete(database, settings), what="raw is complete")
        once = content(settings)
        rebuild(database.relay_url, settings[2])
        assert content(settings) == once
    assert row_count(settings) == 1_400


def test_w6_a_warehouse_that_cannot_be_written_pauses_the_loader(database: Database, delta_settings: Settings) -> None:
    folder = Path(delta_settings[2].warehouse_url.get_secret_value().removeprefix("duckdb://"))
    folder.write_text("in the way")
    state = "select count(*) from process_status where process = 'loader' and state = 'warehouse unavailable'"
    with running(lambda stop: _loader(delta_settings).run(stop)):
        insert_events(database.app_url, 20)
        eventually(lambda: count(database.relay_url, state) == 1, what="it says so")
        folder.unlink()
        with running(lambda stop: Relay(*delta_settings).run(stop)):
            eventually(lambda: is_complete(database, delta_settings), what="raw is complete")
    assert row_count(delta_settings) == 20
