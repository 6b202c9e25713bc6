"""The broker of a benchmark: an embedded one, or the cluster that SLUICE_KAFKA_BOOTSTRAP_SERVERS names.

Figures say which. In a named cluster there must be no topics of Sluice; those of the benchmark are deleted afterwards.
"""

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kafka import KafkaAdminClient

from bus.admin import KafkaAdmin
from bus.connection import Connector
from bus.topics import TOPICS
from contracts.settings import KafkaSettings
from runtime.embedded.broker import EmbeddedBroker
from runtime.process import ManagedProcess, free_port


@dataclass(frozen=True)
class BenchBroker:
    """Where to send, and what to say in the figures."""

    kafka: KafkaSettings
    description: str


@contextmanager
def running_broker() -> Iterator[BenchBroker]:
    """A broker without topics of Sluice.

    Raises:
        RuntimeError: the named cluster has some.
    """
    settings = KafkaSettings()
    if "kafka_bootstrap_servers" in settings.model_fields_set:
        with _borrowed(settings):
            copies = f"{settings.kafka_replication_factor} copies, {settings.kafka_min_insync_replicas} needed"
            yield BenchBroker(settings, f"{settings.kafka_bootstrap_servers} ({copies})")
        return
    server = EmbeddedBroker(free_port())
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        process = ManagedProcess(server.spec(), log_path=Path(folder) / "broker.log")
        process.start()
        try:
            process.wait_ready()
            yield BenchBroker(
                KafkaSettings(kafka_bootstrap_servers=server.bootstrap_servers), "embedded, in memory, one copy"
            )
        finally:
            process.stop()


@contextmanager
def _borrowed(settings: KafkaSettings) -> Iterator[None]:
    with closing(KafkaAdmin(settings)) as admin:
        present = admin.topic_ids(TOPICS)
    if present:
        raise RuntimeError(f"{settings.kafka_bootstrap_servers} has topics of Sluice: {', '.join(sorted(present))}")
    try:
        yield
    finally:
        with closing(KafkaAdminClient(**Connector(settings).options)) as client:
            client.delete_topics(list(TOPICS), raise_errors=False)
