"""`python -m tests.kafka_cluster`: three brokers of Apache Kafka on loopback until Ctrl-C, to try things on."""

import signal
import tempfile
from pathlib import Path

from tests.kafka_cluster.cluster import REPLICATION, KafkaCluster


def main() -> None:
    """Start the cluster, say how to use it, and take everything away at the end."""
    with tempfile.TemporaryDirectory(prefix="sluice-kafka-") as folder:
        cluster = KafkaCluster(Path(folder), is_short_lived=False)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            cluster.start()
            print(f"export SLUICE_KAFKA_BOOTSTRAP_SERVERS={cluster.bootstrap_servers()}")
            print(
                "\n".join(f"export SLUICE_{name.upper()}={number}" for name, number in REPLICATION.items()), flush=True
            )
            signal.pause()
        except KeyboardInterrupt:
            pass
        finally:
            cluster.stop()


main()
