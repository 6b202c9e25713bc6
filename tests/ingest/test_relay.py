"""The relay against a real PostgreSQL and a real broker: nothing lost, order kept, whatever is killed."""

import os
import random
import signal
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from threading import Barrier, Event, Thread
from uuid import UUID

import psycopg
import pytest
from pydantic import SecretStr

from bus.admin import KafkaAdmin
from bus.memory import MemoryBroker
from bus.records import Partition
from contracts.settings import RelaySettings, WarehouseSettings
from ingest.epoch import EpochTopic, establish_epoch
from ingest.outbox import BEHIND_A_PARKED, Outbox, list_parked, release_parked
from ingest.publishing import Publisher
from ingest.rebuild import rebuild
from ingest.relay import Relay
from runtime.process import die_with_parent
from tests.conftest import Database, RunningBroker
from tests.eventually import eventually
from tests.ingest.topic_reader import first_deliveries, read_events
from tests.ingest.writers import (
    count,
    insert_event,
    insert_events,
    new_id,
    relay_settings,
    running,
    wait_until_published,
)

WRITERS = 8
AGGREGATES = 12


@pytest.fixture
def warehouse_url(tmp_path: Path) -> str:
    return f"duckdb://{tmp_path / 'warehouse'}"


def _write_interleaved(url: str, ids: list[UUID], rounds: int, seed: int, barrier: Barrier) -> None:
    """Transactions that begin, dawdle on other aggregates, and take locks in any order they can."""
    generator = random.Random(seed)
    barrier.wait()
    with psycopg.connect(url) as connection:
        for _ in range(rounds):
            with connection.transaction():
                insert_event(connection, new_id(), 1)  # so that the transaction has an early id
                for aggregate_id in sorted(generator.sample(ids, generator.randint(1, 3))):
                    connection.execute("select pg_advisory_xact_lock(hashtext(%s))", (str(aggregate_id),))
                    row = connection.execute(
                        "select coalesce(max(aggregate_version), 0) from event_log where aggregate_id = %s",
                        (aggregate_id,),
                    ).fetchone()
                    insert_event(connection, aggregate_id, (row[0] if row else 0) + 1)


def _assert_all_in_order(database: Database, broker: RunningBroker) -> int:
    """Nothing lost, every aggregate's versions +1; how many were delivered twice."""
    total = count(database.relay_url, "select count(*) from event_log")
    events = read_events(broker, at_least=total)
    deliveries = first_deliveries(events)
    assert sum(map(len, deliveries.values())) == total, "lost events"
    wrong = {key: versions for key, versions in deliveries.items() if versions != list(range(1, len(versions) + 1))}
    assert not wrong, f"out of order: {wrong}"
    return len(events) - total


def test_o2_commit_order_under_concurrent_interleaved_writers(
    database: Database, fresh_broker: RunningBroker, warehouse_url: str
) -> None:
    settings = relay_settings(database, fresh_broker, warehouse_url)
    ids = [new_id() for _ in range(AGGREGATES)]
    barrier = Barrier(WRITERS)
    writers = [
        Thread(target=_write_interleaved, args=(database.app_url, ids, 40, seed, barrier)) for seed in range(WRITERS)
    ]
    with running(lambda stop: Relay(*settings).run(stop)):
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        wait_until_published(database)
    assert _assert_all_in_order(database, fresh_broker) == 0


def test_o3_two_relays_share_the_shards_and_keep_order(
    database: Database, fresh_broker: RunningBroker, warehouse_url: str
) -> None:
    settings = relay_settings(database, fresh_broker, warehouse_url)
    owners = (
        "select count(distinct pid) from pg_locks where locktype = 'advisory' and classid = 7221191"
        " and database = (select oid from pg_database where datname = current_database())"
    )
    with running(lambda stop: Relay(*settings, RelaySettings(relay_batch_size=50)).run(stop), count=2):
        eventually(lambda: count(database.relay_url, owners) == 2, what="both relays own shards")
        for seed in range(10):
            insert_events(database.app_url, 100, aggregates=20, seed=seed)
        wait_until_published(database)
    assert _assert_all_in_order(database, fresh_broker) == 0


_RELAY_PROCESS = (
    "import signal, threading; stop = threading.Event();"
    "signal.signal(signal.SIGTERM, lambda *_: stop.set()); from ingest.relay import run; run(stop)"
)


def _is_more_than(url: str, query: str, number: int) -> bool:
    return count(url, query) > number


def _start_relay(
    database: Database, broker: RunningBroker, warehouse_url: str, **settings: str
) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        **settings,
        "SLUICE_DATABASE_RELAY_URL": database.relay_url,
        "SLUICE_KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "SLUICE_WAREHOUSE_URL": warehouse_url,
    }
    return subprocess.Popen(
        [sys.executable, "-c", _RELAY_PROCESS],
        env=environment,
        cwd=Path(__file__).parents[2],
        preexec_fn=die_with_parent,  # noqa: PLW1509  # one prctl call
    )


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_o1_relay_killed_in_the_middle_of_batches_loses_nothing(
    database: Database, fresh_broker: RunningBroker, warehouse_url: str, kills: int
) -> None:
    generator = random.Random(7)
    published = "select count(*) from outbox where published_at is not null"
    for round_number in range(kills):
        insert_events(database.app_url, 3_000, aggregates=40, seed=round_number)
        before = count(database.relay_url, published)
        process = _start_relay(database, fresh_broker, warehouse_url)
        eventually(partial(_is_more_than, database.relay_url, published, before), what="it publishes")
        Event().wait(generator.uniform(0, 0.15))
        process.kill()
        process.wait()
    process = _start_relay(database, fresh_broker, warehouse_url)
    # those before it may have published all there was: what comes now shows that it is up, and heeds signals
    insert_events(database.app_url, 100, aggregates=40, seed=kills)
    wait_until_published(database)
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    _assert_all_in_order(database, fresh_broker)


def test_o4_an_open_write_transaction_holds_nobody_up(
    database: Database, fresh_broker: RunningBroker, warehouse_url: str
) -> None:
    settings = relay_settings(database, fresh_broker, warehouse_url)
    with psycopg.connect(database.app_url) as slow, running(lambda stop: Relay(*settings).run(stop)):
        insert_event(slow, new_id(), 1)
        insert_events(database.app_url, 100)
        wait_until_published(database)
        slow.commit()
        wait_until_published(database)
    assert _assert_all_in_order(database, fresh_broker) == 0


def test_o5_poison_parks_one_aggregate_until_it_is_released(
    database: Database, fresh_broker: RunningBroker, warehouse_url: str
) -> None:
    settings = relay_settings(database, fresh_broker, warehouse_url)
    unknown, oversized, healthy = new_id(), new_id(), new_id()
    with psycopg.connect(database.app_url) as connection:
        insert_event(connection, unknown, 1, kind="deal.abducted")
        insert_event(connection, oversized, 1, data={"text": "x" * 1_000_000})
        for aggregate_id in (unknown, oversized, healthy):
            insert_event(connection, aggregate_id, 2)
    with running(lambda stop: Relay(*settings).run(stop)):
        eventually(
            lambda: count(database.relay_url, "select count(*) from outbox where published_at is not null") == 1,
            what="the healthy aggregate is published",
        )
        insert_events(database.app_url, 50)
        eventually(
            lambda: count(database.relay_url, "select count(*) from outbox where published_at is null") == 4,
            what="only the parked aggregates wait",
        )
        with psycopg.connect(database.relay_url) as connection:
            parked = [(event.aggregate_id, event.reason) for event in list_parked(connection)]
        assert [aggregate_id for aggregate_id, _ in parked] == [unknown, oversized, unknown, oversized]
        assert "unknown event type 'deal.abducted' version 1" in parked[0][1]
        assert "larger than" in parked[1][1]
        assert parked[2][1] == parked[3][1] == BEHIND_A_PARKED
        with psycopg.connect(database.owner_url) as owner:
            owner.execute("alter table event_log no force row level security")
            owner.execute("update event_log set type = 'deal.deleted' where aggregate_id = %s", (unknown,))
        with psycopg.connect(database.relay_url) as connection:
            assert release_parked(connection, unknown) == 2
        eventually(
            lambda: count(database.relay_url, "select count(*) from outbox where published_at is null") == 2,
            what="the released aggregate is published",
        )
    assert first_deliveries(read_events(fresh_broker, at_least=53))[unknown] == [1, 2]


def test_o5_too_many_unpublishable_events_pause_the_relay_and_park_nothing(
    database: Database, fresh_broker: RunningBroker, warehouse_url: str
) -> None:
    settings = relay_settings(database, fresh_broker, warehouse_url)
    with psycopg.connect(database.app_url) as connection:
        for _ in range(60):
            insert_event(connection, new_id(), 1, kind="deal.abducted")
    insert_events(database.app_url, 300)
    paused = "select count(*) from process_status where process = 'relay' and state = 'paused'"
    with running(lambda stop: Relay(*settings).run(stop)):
        eventually(lambda: count(database.relay_url, paused) == 1, what="the relay pauses")
    assert count(database.relay_url, "select count(*) from outbox where parked_reason is not null") == 0
    assert count(database.relay_url, "select count(*) from outbox where published_at is not null") == 0
    accepting = RelaySettings(relay_max_invalid_ratio=1)  # a person has looked and wants them set aside
    with running(lambda stop: Relay(*settings, accepting).run(stop)):
        eventually(
            lambda: count(database.relay_url, "select count(*) from outbox where parked_reason is not null") == 60,
            what="they are parked",
        )
        eventually(
            lambda: count(database.relay_url, "select count(*) from outbox where published_at is not null") == 300,
            what="the others are published",
        )


def test_o5_events_parked_by_an_older_release_are_published_after_the_upgrade(
    database: Database, fresh_broker: RunningBroker, warehouse_url: str
) -> None:
    settings = relay_settings(database, fresh_broker, warehouse_url)
    aggregate_id = new_id()
    with psycopg.connect(database.app_url) as connection:
        for version in (1, 2, 3):
            insert_event(connection, aggregate_id, version)
    with psycopg.connect(database.relay_url) as connection:  # what a relay that knows no deal.deleted had done
        query = "update outbox set parked_reason = %s where position = %s"
        (positions,) = connection.execute("select array_agg(position order by position) from outbox").fetchone() or ()
        connection.execute(query, ("unknown event type 'deal.deleted' version 1", positions[0]))
        connection.execute(query, (BEHIND_A_PARKED, positions[1]))
    with running(lambda stop: Relay(*settings).run(stop)):
        wait_until_published(database)
    assert first_deliveries(read_events(fresh_broker, at_least=3))[aggregate_id] == [1, 2, 3]


def test_o3_a_relay_that_sleeps_loses_its_shards_and_writes_nothing_when_it_wakes(
    database: Database, fresh_broker: RunningBroker, warehouse_url: str
) -> None:
    settings = relay_settings(database, fresh_broker, warehouse_url)
    zombie = _start_relay(database, fresh_broker, warehouse_url, SLUICE_RELAY_LEASE_SECONDS="2")
    try:
        insert_events(database.app_url, 100)
        wait_until_published(database)
        zombie.send_signal(signal.SIGSTOP)
        insert_events(database.app_url, 300, seed=2)
        with running(lambda stop: Relay(*settings).run(stop)):
            wait_until_published(database, seconds=60)  # the zombie's shards, too
            zombie.send_signal(signal.SIGCONT)
            sessions = "select count(*) from pg_stat_activity where application_name = 'sluice-relay' and pid <> {}"
            heir = "select pid from pg_locks where locktype = 'advisory' and classid = 7221191 limit 1"
            pid = count(database.relay_url, heir)
            eventually(lambda: count(database.admin_url, sessions.format(pid)) == 1, what="the zombie signs in anew")
            insert_events(database.app_url, 100, seed=3)
            wait_until_published(database)
    finally:
        zombie.kill()
        zombie.wait()
    assert _assert_all_in_order(database, fresh_broker) == 0


def test_o6_a_relay_keeps_its_leases_while_it_looks_for_a_marker_that_is_not_there(
    database: Database, fresh_broker: RunningBroker, warehouse_url: str
) -> None:
    settings = relay_settings(database, fresh_broker, warehouse_url)
    with closing(KafkaAdmin(settings[1])) as admin:
        admin.ensure_topics()  # a restarted broker that somebody has asked about its topics: all there, all empty
    insert_events(database.app_url, 20)
    with running(lambda stop: Relay(*settings, RelaySettings(relay_lease_seconds=2.5)).run(stop)):
        wait_until_published(database)
    assert _assert_all_in_order(database, fresh_broker) == 0


def _relay_once(outbox: Outbox, broker: MemoryBroker) -> Publisher:
    topic = EpochTopic(broker.admin(), broker.consumer(), broker.producer())
    outbox.balance_shards()
    publisher = Publisher(outbox, broker.producer(), topic, establish_epoch(outbox.connection, topic, lambda _: {}))
    while publisher.publish_batch().published:
        pass
    return publisher


def test_o7_the_outbox_lets_go_of_what_the_warehouse_has_and_of_nothing_else(
    database: Database, warehouse_url: str
) -> None:
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("drop table " + ", ".join(_partitions(owner)))
        owner.execute("select extend_outbox(100, 3)")  # small ones
        assert len(_partitions(owner)) == 3
    insert_events(database.app_url, 250)
    later = datetime.now(UTC) + timedelta(hours=1)
    with closing(Outbox(database.relay_url)) as outbox, psycopg.connect(database.owner_url, autocommit=True) as owner:
        epoch = _relay_once(outbox, MemoryBroker()).marker.epoch
        ends = "select published_topic, published_partition, max(published_offset) + 1 from outbox group by 1, 2"
        confirmed = {Partition(topic, number): offset for topic, number, offset in owner.execute(ends)}
        earlier = datetime.now(UTC) - timedelta(hours=1)
        assert (outbox.has_expired(earlier), outbox.has_expired(later)) == (False, True)
        assert outbox.shrink(before=earlier, epoch=epoch, confirmed=confirmed) == 0
        assert outbox.shrink(before=later, epoch=epoch, confirmed={}) == 0
        owner.execute("update outbox set parked_reason = 'x', published_at = null where position = 1")
        assert outbox.shrink(before=later, epoch=epoch, confirmed=confirmed) == 0
        owner.execute("update outbox set parked_reason = null, published_at = now() where position = 1")
        assert outbox.shrink(before=later, epoch=epoch, confirmed=confirmed) == 2  # the third is not full
        assert count(database.relay_url, "select count(*) from outbox") == 50
        kept = owner.execute("select topic, partition, next_offset from transport_progress").fetchall()
        assert sum(offset for _, _, offset in kept) == 200
        outbox.extend()
        insert_events(database.app_url, 10, seed=2)
        rest = "select count(*) from outbox_partitions.outbox_rest"
        assert count(database.owner_url, rest) == 0
    settings = WarehouseSettings(warehouse_url=SecretStr(warehouse_url))
    assert rebuild(database.relay_url, settings) == 250  # also of what left the outbox


def _partitions(connection: psycopg.Connection) -> list[str]:
    query = "select oid::regclass::text from pg_class where relname ~ '^outbox_[0-9]+$' and relkind = 'r'"
    return [name for (name,) in connection.execute(query)]


def test_o7_outages_of_broker_and_database_are_waited_out(
    database: Database, fresh_broker: RunningBroker, warehouse_url: str
) -> None:
    settings = relay_settings(database, fresh_broker, warehouse_url)
    state = "select count(*) from process_status where process = 'relay' and state = '{}'"
    with running(lambda stop: Relay(*settings).run(stop)):
        eventually(lambda: count(database.relay_url, state.format("running")) == 1, what="the relay runs")
        fresh_broker.kill()
        insert_events(database.app_url, 200)
        eventually(lambda: count(database.relay_url, state.format("broker unavailable")) == 1, what="it says so")
        fresh_broker.start()
        wait_until_published(database, seconds=60)
        with psycopg.connect(database.admin_url, autocommit=True) as admin:
            admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'sluice_relay'")
        insert_events(database.app_url, 200, seed=2)
        wait_until_published(database)
    assert _assert_all_in_order(database, fresh_broker) == 0
    assert count(database.relay_url, state.format("stopped")) == 1


def test_o3_a_relay_that_lost_its_connection_cannot_mark(database: Database) -> None:
    insert_events(database.app_url, 1)
    zombie, heir = Outbox(database.relay_url), Outbox(database.relay_url)
    zombie.balance_shards()
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        pid = zombie.connection.info.backend_pid
        admin.execute("select pg_terminate_backend(%s)", (pid,))
    with pytest.raises(psycopg.OperationalError):
        zombie.park([1], "too late")
    heir.balance_shards()
    assert len(heir.pending(limit=10)) == 1
    zombie.close()
    heir.close()
