"""Brokers of a real cluster are killed, stopped and restarted under load: nothing is lost, doubled or out of order."""

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic

import pytest

from bus.admin import KafkaAdmin
from bus.producer import KafkaRecordProducer
from bus.records import OutgoingRecord, Receipt, SendFailure, TransportError
from contracts.events.deals import DealEvent
from contracts.topics import EPOCH_TOPIC, PARTITIONS_PER_TOPIC
from ingest.epoch import EpochTopic
from tests.conftest import Database
from tests.eventually import eventually
from tests.kafka_cluster.cluster import KafkaCluster
from tests.kafka_cluster.configuration import NODES, SESSION_TIMEOUT_SECONDS
from tests.kafka_cluster.spine import Spine

pytestmark = pytest.mark.slow


@pytest.fixture
def spine(fresh_cluster: KafkaCluster, database: Database, tmp_path: Path) -> Iterator[Spine]:
    yield Spine(fresh_cluster, database, tmp_path, fresh_cluster.settings())
    fresh_cluster.revive()


def _kill_leaders(spine: Spine, kills: int, *, seed: int) -> None:
    """Kill whoever leads a busy partition, again and again, each time in the middle of something else."""
    generator = random.Random(seed)
    cluster = spine.cluster
    with spine.relay(), spine.loader(), spine.writers():
        spine.wait_for_more()
        for _ in range(kills):
            partition = generator.randrange(PARTITIONS_PER_TOPIC)
            leader = cluster.leader_of(DealEvent.topic, partition)
            cluster.kill(leader)
            if generator.random() < 0.5:  # else it is back before the others have found out
                cluster.wait_until_led_by_others(leader)
            cluster.start([leader])
            spine.wait_for_more(100)
            cluster.wait_until_in_step()
    with spine.relay(), spine.loader():
        spine.wait_until_complete()
    spine.assert_nothing_lost_doubled_or_reordered()
    assert spine.epochs() == 1, "a leader's death was taken for lost data"


def test_o1_leaders_of_busy_partitions_are_killed(spine: Spine) -> None:
    _kill_leaders(spine, 2, seed=3)


@pytest.mark.parametrize("seed", range(3))
def test_o1_leaders_of_busy_partitions_are_killed_again_and_again(spine: Spine, seed: int) -> None:
    _kill_leaders(spine, 12, seed=seed)


def test_o1_a_leader_that_slept_through_its_succession_changes_nothing(spine: Spine) -> None:
    cluster = spine.cluster
    with spine.relay(), spine.loader(), spine.writers():
        spine.wait_for_more()
        for partition in range(3):
            zombie = cluster.leader_of(DealEvent.topic, partition)
            cluster.pause(zombie)
            asleep_since = monotonic()
            cluster.wait_until_led_by_others(zombie)
            spine.wait_for_more()
            assert monotonic() - asleep_since > SESSION_TIMEOUT_SECONDS
            cluster.resume(zombie)
            spine.wait_for_more()
            cluster.wait_until_in_step()
    with spine.relay(), spine.loader():
        spine.wait_until_complete()
    spine.assert_nothing_lost_doubled_or_reordered()
    assert spine.epochs() == 1


def test_o7_a_rolling_restart_is_not_noticed(spine: Spine) -> None:
    cluster = spine.cluster
    with spine.relay(), spine.loader(), spine.writers():
        for node in NODES:
            spine.wait_for_more()
            cluster.shut_down(node)
            spine.wait_for_more()
            cluster.start([node])
            cluster.wait_until_in_step()
        spine.wait_for_more()
    with spine.relay(), spine.loader():
        spine.wait_until_complete()
    spine.assert_nothing_lost_doubled_or_reordered()
    assert spine.epochs() == 1


def test_o7_with_two_of_three_brokers_down_nothing_counts_as_sent(spine: Spine) -> None:
    cluster = spine.cluster
    with spine.relay(), spine.loader(), spine.writers(pause=0.05):
        spine.wait_for_more()
        cluster.kill(1, 2)
        spine.wait_until_said("relay", "broker unavailable")
        before = spine.published()
        written = spine.written()
        eventually(lambda: spine.written() > written + 200, what="writers go on")
        assert spine.published() == before
        cluster.start([1, 2])
        spine.wait_for_more()
    with spine.relay(), spine.loader():
        spine.wait_until_complete()
    spine.assert_nothing_lost_doubled_or_reordered()
    assert spine.epochs() == 1, "an outage was taken for lost data"


def test_o7_all_three_brokers_are_killed_at_once(spine: Spine) -> None:
    cluster = spine.cluster
    with spine.relay(), spine.loader(), spine.writers():
        for _ in range(2):
            spine.wait_for_more()
            cluster.kill()
            spine.wait_until_said("relay", "broker unavailable")
            cluster.start()
            spine.wait_for_more()
    with spine.relay(), spine.loader():
        spine.wait_until_complete()
    spine.assert_nothing_lost_doubled_or_reordered()
    assert spine.epochs() == 1, "an outage was taken for lost data"


def test_o7_too_few_copies_are_named_and_nothing_counts_as_sent(fresh_cluster: KafkaCluster) -> None:
    settings = fresh_cluster.settings(kafka_min_insync_replicas=3)
    record = OutgoingRecord(DealEvent.topic, 0, b"key", b"value")
    with closing(KafkaAdmin(settings)) as admin:
        admin.ensure_topics()
    with closing(KafkaRecordProducer(settings, delivery_timeout=3.0)) as producer:
        assert isinstance(producer.send_all([record])[0], Receipt)
        lost = next(node for node in NODES if node != fresh_cluster.leader_of(DealEvent.topic, 0))
        fresh_cluster.kill(lost)
        fresh_cluster.wait_until(lambda: not fresh_cluster.is_in_step(), what="a copy is missing")
        (outcome,) = producer.send_all([record])
        assert isinstance(outcome, SendFailure)
        assert not outcome.is_permanent
        assert f"{DealEvent.topic}-0 has 2 of 3 copies in sync" in outcome.reason
        fresh_cluster.start([lost])
        fresh_cluster.wait_until_in_step()
        assert isinstance(producer.send_all([record])[0], Receipt)


def test_o6_a_marker_that_cannot_be_read_is_no_proof_of_lost_data(spine: Spine) -> None:
    cluster = spine.cluster
    with spine.relay():
        spine.wait_until_said("relay", "running")
    leader = cluster.leader_of(EPOCH_TOPIC, 0)
    with closing(EpochTopic.connect(spine.kafka)) as topic:
        marker = topic.read()
        assert marker is not None
        # with one other the majority is gone as well: nobody becomes the leader, and nobody forgets the topic
        cluster.kill(leader, next(node for node in NODES if node != leader))
        with pytest.raises(TransportError):
            topic.read()
        cluster.start([node for node in NODES if node not in cluster.running()])
        cluster.wait_until_in_step()
        assert topic.read() == marker
