"""One batch against a real outbox and a broker in memory that fails at the worst instants."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import psycopg
import pytest

from bus.memory import MemoryBroker, MemoryProducer
from bus.records import OutgoingRecord, Receipt, SendFailure, TransportError
from ingest.epoch import EpochTopic, establish_epoch
from ingest.outbox import SHARDS, Outbox, release_parked
from ingest.publishing import EpochEndedError, Publisher
from tests.conftest import Database
from tests.eventually import eventually
from tests.ingest.topic_reader import first_deliveries
from tests.ingest.writers import insert_event, new_id


@dataclass
class FailingProducer(MemoryProducer):
    """Loses the record at one index, without having sent it; says nothing about the others."""

    lost: int = -1

    def send_all(self, records: Sequence[OutgoingRecord]) -> list[Receipt | SendFailure]:
        outcomes = super().send_all(records)
        outcomes[self.lost] = SendFailure("the connection broke")
        return outcomes


@dataclass
class ForgetfulProducer(MemoryProducer):
    """Gives receipts and loses everything right after."""

    def send_all(self, records: Sequence[OutgoingRecord]) -> list[Receipt | SendFailure]:
        outcomes = super().send_all(records)
        self.broker.forget()
        self.broker.admin().ensure_topics()
        return outcomes


def _publisher(outbox: Outbox, broker: MemoryBroker, producer: MemoryProducer) -> Publisher:
    topic = EpochTopic(broker.admin(), broker.consumer(), broker.producer())
    outbox.balance_shards()
    return Publisher(outbox, producer, topic, establish_epoch(outbox.connection, topic, lambda _: {}))


def _pending(database: Database) -> set[tuple[str, int]]:
    with psycopg.connect(database.relay_url) as connection:
        query = (
            "select e.aggregate_id::text, e.aggregate_version from event_log e join outbox o using (position)"
            " where o.published_at is null"
        )
        return set(connection.execute(query).fetchall())


def test_o1_an_unconfirmed_event_stays_pending_and_so_does_what_follows_it(database: Database) -> None:
    failing, healthy = new_id(), new_id()
    with psycopg.connect(database.app_url) as connection:
        for aggregate_id, version in ((failing, 1), (healthy, 1), (failing, 2), (healthy, 2), (failing, 3)):
            insert_event(connection, aggregate_id, version)
    broker = MemoryBroker()
    with closing(Outbox(database.relay_url)) as outbox:
        publisher = _publisher(outbox, broker, FailingProducer(broker, lost=2))
        with pytest.raises(TransportError, match="the connection broke"):
            publisher.publish_batch()
    assert _pending(database) == {(str(failing), 2), (str(failing), 3)}


def test_o6_receipts_of_a_broker_that_forgot_at_once_count_for_nothing(database: Database) -> None:
    aggregate_id = new_id()
    with psycopg.connect(database.app_url) as connection:
        insert_event(connection, aggregate_id, 1)
    broker = MemoryBroker()
    with closing(Outbox(database.relay_url)) as outbox:
        publisher = _publisher(outbox, broker, ForgetfulProducer(broker))
        with pytest.raises(EpochEndedError):
            publisher.publish_batch()
        assert _pending(database) == {(str(aggregate_id), 1)}
        again = _publisher(outbox, broker, broker.producer())
        assert again.marker.epoch != publisher.marker.epoch
        with pytest.raises(EpochEndedError):  # a relay that has not noticed yet
            publisher.publish_batch()
        assert again.publish_batch().published == 1
    assert _pending(database) == set()


def test_o6_an_epoch_is_begun_once_for_all_relays(database: Database) -> None:
    broker = MemoryBroker()
    with closing(Outbox(database.relay_url)) as first, closing(Outbox(database.relay_url)) as second:
        begun = _publisher(first, broker, broker.producer()).marker
        assert _publisher(second, broker, broker.producer()).marker == begun


def test_o3_a_shard_taken_over_while_a_backlog_drains_is_read_from_its_start(database: Database) -> None:
    ids = [new_id() for _ in range(40)]
    with psycopg.connect(database.app_url) as connection:
        for version in range(1, 11):
            for aggregate_id in ids:
                insert_event(connection, aggregate_id, version)
    broker = MemoryBroker()
    heir, lost = Outbox(database.relay_url), Outbox(database.relay_url)
    with closing(heir):
        publisher = replace(_publisher(heir, broker, broker.producer()), batch_size=50)
        lost.balance_shards()
        heir.balance_shards()  # half of them each
        assert publisher.publish_batch().published == 50
        lost.close()

        def owns_all() -> bool:
            heir.balance_shards()
            return len(heir.shards) == SHARDS

        eventually(owns_all, what="the heir owns all shards")
        while _pending(database):
            publisher.publish_batch()
    events = [
        json.loads(record.value or b"") for log in broker.logs.values() for record in log if record.key != b"epoch"
    ]
    assert len(events) == 400
    assert all(versions == list(range(1, 11)) for versions in first_deliveries(events).values())


def test_o5_what_is_released_while_a_backlog_drains_overtakes_nothing(database: Database) -> None:
    parked, others = new_id(), [new_id() for _ in range(40)]
    with psycopg.connect(database.app_url) as connection:
        insert_event(connection, parked, 1)
        for version in (1, 2, 3):
            for aggregate_id in others:
                insert_event(connection, aggregate_id, version)
        insert_event(connection, parked, 2)
    broker = MemoryBroker()
    with closing(Outbox(database.relay_url)) as outbox:
        (first,) = outbox.connection.execute("select min(position) from outbox").fetchone() or (0,)
        outbox.park([first], "too large")
        publisher = replace(_publisher(outbox, broker, broker.producer()), batch_size=30)
        for _ in range(2):
            assert publisher.publish_batch().published == 30
        assert release_parked(outbox.connection, parked) == 1
        while _pending(database):
            publisher.publish_batch()
    events = [
        json.loads(record.value or b"") for log in broker.logs.values() for record in log if record.key != b"epoch"
    ]
    assert len(events) == 122
    assert first_deliveries(events)[parked] == [1, 2]
