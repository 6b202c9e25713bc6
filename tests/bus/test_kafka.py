"""The real broker: order, receipts, sizes, topics, outages."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from time import monotonic

import pytest
from kafka.partitioner.default import murmur2 as reference_murmur2

from bus.admin import KafkaAdmin
from bus.consumer import KafkaRecordConsumer
from bus.memory import MemoryBroker
from bus.partitioner import murmur2, partition_of
from bus.producer import MAX_RECORD_BYTES, KafkaRecordProducer
from bus.records import Consumer, Message, OutgoingRecord, Partition, Producer, Receipt, SendFailure, TransportError
from bus.topics import TOPICS
from contracts.events.deals import DealEvent
from contracts.settings import KafkaSettings
from contracts.topics import PARTITIONS_PER_TOPIC
from tests.conftest import RunningBroker


def _settings(broker: RunningBroker) -> KafkaSettings:
    return KafkaSettings(kafka_bootstrap_servers=broker.bootstrap_servers)


@pytest.fixture
def settings(fresh_broker: RunningBroker) -> KafkaSettings:
    return _settings(fresh_broker)


@pytest.fixture
def admin(settings: KafkaSettings) -> Iterator[KafkaAdmin]:
    opened = KafkaAdmin(settings)
    opened.ensure_topics()
    yield opened
    opened.close()


def _records(count: int, *, size: int = 100) -> list[OutgoingRecord]:
    records = []
    for number in range(count):
        key = b"key-%d" % (number % 7)
        value = (b"%d:" % number).ljust(size, b"x")
        records.append(OutgoingRecord(DealEvent.topic, partition_of(key), key, value, [("id", b"%d" % number)]))
    return records


def _read(consumer: Consumer, count: int) -> dict[Partition, list[Message]]:
    found: dict[Partition, list[Message]] = {}
    deadline = monotonic() + 10
    while sum(map(len, found.values())) < count and monotonic() < deadline:
        polled: Mapping[Partition, Sequence[Message]] = consumer.poll(0.2)
        for partition, messages in polled.items():
            found.setdefault(partition, []).extend(messages)
    return found


def _send_and_read(producer: Producer, consumer: Consumer) -> list[list[tuple[bytes | None, int]]]:
    outcomes = producer.send_all(_records(500))
    assert all(isinstance(outcome, Receipt) for outcome in outcomes)
    consumer.assign({Partition(DealEvent.topic, number): 0 for number in range(PARTITIONS_PER_TOPIC)})
    found = _read(consumer, 500)
    for partition, messages in found.items():
        assert [message.offset for message in messages] == list(range(len(messages))), partition
    return [[(m.key, int((m.value or b"").split(b":")[0])) for m in found[place]] for place in sorted(found)]


@pytest.mark.usefixtures("admin")
def test_memory_twin_behaves_like_the_broker(settings: KafkaSettings) -> None:
    producer, consumer = KafkaRecordProducer(settings), KafkaRecordConsumer(settings)
    memory = MemoryBroker()
    real = _send_and_read(producer, consumer)
    producer.close()
    consumer.close()
    assert real == _send_and_read(memory.producer(), memory.consumer())
    for messages in real:
        numbers = [number for _, number in messages]
        assert numbers == sorted(numbers)


@pytest.mark.usefixtures("admin")
def test_receipts_name_the_place_even_in_several_waves(settings: KafkaSettings) -> None:
    producer, consumer = KafkaRecordProducer(settings), KafkaRecordConsumer(settings)
    records = _records(60, size=60_000)
    outcomes = producer.send_all(records)
    consumer.assign({Partition(DealEvent.topic, number): 0 for number in range(PARTITIONS_PER_TOPIC)})
    found = _read(consumer, 60)
    producer.close()
    consumer.close()
    for record, outcome in zip(records, outcomes, strict=True):
        assert isinstance(outcome, Receipt)
        assert found[Partition(DealEvent.topic, outcome.partition)][outcome.offset].value == record.value


@pytest.mark.usefixtures("admin")
def test_o5_oversized_record_fails_for_good_and_nothing_follows_it(settings: KafkaSettings) -> None:
    producer = KafkaRecordProducer(settings)
    records = _records(3)
    records[1] = OutgoingRecord(DealEvent.topic, 0, b"big", b"x" * (MAX_RECORD_BYTES + 1))
    first, second, third = producer.send_all(records)
    producer.close()
    assert isinstance(first, Receipt)
    assert isinstance(second, SendFailure)
    assert second.is_permanent
    assert isinstance(third, SendFailure)
    assert not third.is_permanent


def test_o7_a_dead_broker_is_a_failure_and_a_new_one_is_used(fresh_broker: RunningBroker) -> None:
    settings = _settings(fresh_broker)
    admin = KafkaAdmin(settings)
    admin.ensure_topics()
    before = admin.topic_ids(TOPICS)
    producer = KafkaRecordProducer(settings, delivery_timeout=4.0)
    assert isinstance(producer.send_all(_records(1))[0], Receipt)
    fresh_broker.kill()
    outcome = producer.send_all(_records(1))[0]
    assert isinstance(outcome, SendFailure)
    assert not outcome.is_permanent
    admin.close()
    fresh_broker.start()
    admin = KafkaAdmin(settings)
    assert admin.topic_ids(TOPICS) == {}
    admin.ensure_topics()
    after = admin.topic_ids(TOPICS)
    admin.close()
    assert set(after) == set(TOPICS)
    assert not set(after.values()) & set(before.values())
    assert producer.send_all(_records(1)) == [Receipt(partition_of(b"key-0"), 0)]
    producer.close()


def test_topics_are_made_once(admin: KafkaAdmin) -> None:
    before = admin.topic_ids(TOPICS)
    admin.ensure_topics()
    assert admin.topic_ids(TOPICS) == before
    assert set(before) == set(TOPICS)


def test_w4_a_topic_made_too_narrow_by_a_reader_is_corrected(settings: KafkaSettings) -> None:
    reader = KafkaRecordConsumer(settings)
    reader.assign({Partition(DealEvent.topic, 0): 0})
    reader.poll(0.5)
    admin = KafkaAdmin(settings)
    admin.ensure_topics()
    admin.close()
    reader.close()
    producer = KafkaRecordProducer(settings)
    outcomes = producer.send_all([OutgoingRecord(DealEvent.topic, 5, b"k", b"v")])
    producer.close()
    assert outcomes == [Receipt(5, 0)]


def _threads() -> int:
    return sum("kafka" in thread.name for thread in threading.enumerate())


def test_o7_no_broker_is_said_and_an_attempt_leaves_nothing_behind(
    settings: KafkaSettings, fresh_broker: RunningBroker
) -> None:
    fresh_broker.kill()
    before = _threads()
    for client in (KafkaRecordConsumer, KafkaAdmin):
        with pytest.raises(TransportError, match=r"no broker at .*ECONNREFUSED"):
            client(settings)
    producer = KafkaRecordProducer(settings)
    (outcome,) = producer.send_all(_records(1))
    producer.close()
    assert isinstance(outcome, SendFailure)
    assert "no broker at" in outcome.reason
    assert _threads() == before


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 7, 8, 36, 73])
def test_partitioner_is_the_standard_one(length: int) -> None:
    key = bytes((number * 37 + length) % 256 for number in range(length))
    assert murmur2(key) == reference_murmur2(key)
