"""W-4 on a real cluster: topics made anew, partitions added, records that retention took before they were read."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from kafka import TopicPartition

from bus.producer import KafkaRecordProducer
from bus.records import OutgoingRecord, Receipt
from contracts.events.deals import DealEvent
from contracts.topics import DEAD_LETTER_TOPIC, PARTITIONS_PER_TOPIC
from ingest.decoding import decode
from ingest.outbox import newest_epoch
from ingest.rebuild import rebuild
from ingest.sinks import open_sink
from ingest.sinks.interface import OffsetRange
from tests.conftest import Database, RunningCluster
from tests.eventually import eventually
from tests.ingest.topic_reader import read_topic
from tests.ingest.writers import insert_events, wait_until_published
from tests.kafka_cluster.cluster import KafkaCluster
from tests.kafka_cluster.spine import Spine
from tests.kafka_cluster.topics import delete_topics

pytestmark = pytest.mark.slow


@pytest.fixture
def spine(fresh_cluster: KafkaCluster, database: Database, tmp_path: Path) -> Iterator[Spine]:
    yield Spine(fresh_cluster, database, tmp_path, fresh_cluster.settings())
    fresh_cluster.revive()


def test_o6_w4_topics_deleted_under_load_are_made_anew_and_filled_from_postgresql(spine: Spine) -> None:
    with spine.relay(), spine.loader(), spine.writers():
        spine.wait_for_more()
        delete_topics(spine.kafka)
        eventually(lambda: spine.epochs() == 2, what="a new epoch begins")
        spine.wait_for_more()
    with spine.relay(), spine.loader():
        spine.wait_until_complete()
    assert spine.rows() == spine.written()


def test_w4_one_topic_made_anew_behind_the_stored_offsets_is_read_from_its_start(
    spine: Spine, database: Database
) -> None:
    with spine.relay():
        with spine.loader():
            insert_events(database.app_url, 600)
            spine.wait_until_complete()
        insert_events(database.app_url, 300, seed=2)  # published, not loaded
        wait_until_published(database)
        with closing(spine.cluster.admin()) as admin:
            admin.delete_topics([DealEvent.topic])
        eventually(lambda: spine.epochs() == 2, what="a new epoch begins")
        insert_events(database.app_url, 50, seed=3)  # ends far below the stored offsets
        with spine.loader():
            spine.wait_until_complete()
    assert spine.rows() == spine.written() == 950


def test_w4_partitions_added_to_a_topic_are_read_and_change_no_order(spine: Spine) -> None:
    with spine.relay(), spine.loader():
        with spine.writers():
            spine.wait_for_more()
            with closing(spine.cluster.admin()) as admin:
                admin.create_partitions({DealEvent.topic: 9})
            spine.wait_for_more()
        with closing(KafkaRecordProducer(spine.kafka)) as producer:
            (sent,) = producer.send_all([OutgoingRecord(DealEvent.topic, 8, b"key", b"{")])
        assert sent == Receipt(8, 0)
        (letter,) = read_topic(RunningCluster(spine.cluster), DEAD_LETTER_TOPIC, at_least=1)
        assert dict(letter.headers)["partition"] == b"8"
        spine.wait_until_complete()
    spine.assert_nothing_lost_doubled_or_reordered()
    assert spine.epochs() == 1


def test_w4_records_that_retention_took_before_they_were_read_are_missed_and_rebuilt(
    spine: Spine, database: Database
) -> None:
    with spine.relay():
        insert_events(database.app_url, 400)
        wait_until_published(database)
        with closing(spine.cluster.admin()) as admin:
            places = [TopicPartition(DealEvent.topic, number) for number in range(PARTITIONS_PER_TOPIC)]
            admin.delete_records(dict.fromkeys(places, -1))  # up to the end
        with spine.loader():
            spine.wait_until_said("loader", "records lost", "sluice rebuild")
            assert spine.rows() == 0
            assert rebuild(database.relay_url, spine.warehouse) == 400
            insert_events(database.app_url, 100, seed=2)
            spine.wait_until_complete()
            spine.wait_until_said("loader", "running")
    assert spine.rows() == spine.written() == 500


def test_w4_a_stored_offset_beyond_the_end_is_said_and_rebuilt(spine: Spine, database: Database) -> None:
    with spine.relay(), spine.loader():
        insert_events(database.app_url, 300)
        spine.wait_until_complete()
    with psycopg.connect(database.relay_url) as connection, closing(open_sink(spine.warehouse)) as sink:
        epoch = newest_epoch(connection)
        assert epoch is not None
        offsets = sink.offsets(epoch)
        beyond = {place: OffsetRange(offset, offset + 1_000) for place, offset in offsets.items()}
        sink.append(decode([], epoch=str(epoch), loaded_at=datetime.now(UTC)).rows, epoch=epoch, ranges=beyond)
    with spine.relay(), spine.loader():
        insert_events(database.app_url, 100, seed=2)
        spine.wait_until_said("loader", "records lost", "sluice rebuild")
        rebuild(database.relay_url, spine.warehouse)
        spine.wait_until_complete()
    assert spine.rows() == spine.written() == 400
