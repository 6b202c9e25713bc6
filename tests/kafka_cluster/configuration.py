"""A broker's server.properties: small, impatient, three copies of everything, and a listener per way to sign in."""

import base64
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from tests.kafka_cluster.certificates import Authority

NODES = (1, 2, 3)
USERNAME = "sluice"
PASSWORD = "kafka-test-password"

#: How long the others do without a broker before they elect another leader.
SESSION_TIMEOUT_SECONDS = 3.0

_LISTENERS = ("PLAINTEXT", "SASL_SSL", "SSL", "CONTROLLER")

_COMMON = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    # quick elections
    "broker.session.timeout.ms": f"{SESSION_TIMEOUT_SECONDS * 1000:.0f}",
    "broker.heartbeat.interval.ms": "300",
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.fetch.timeout.ms": "1500",
    "controller.quorum.election.backoff.max.ms": "300",
    "replica.lag.time.max.ms": "3000",
    "replica.socket.timeout.ms": "4000",
    "replica.fetch.wait.max.ms": "200",
    # three copies, two of them needed
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.min.isr": "2",
    "unclean.leader.election.enable": "false",
    "auto.create.topics.enable": "false",
    # small
    "num.network.threads": "2",
    "num.io.threads": "2",
    "num.replica.fetchers": "1",
    "num.recovery.threads.per.data.dir": "1",
    "background.threads": "2",
    "log.cleaner.dedupe.buffer.size": "2097152",
    "log.cleaner.io.buffer.size": "65536",
    "log.retention.check.interval.ms": "1000",
    "log.segment.delete.delay.ms": "100",
    "group.initial.rebalance.delay.ms": "0",
    # who may come in
    "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
    "listener.name.sasl_ssl.plain.sasl.jaas.config": (
        "org.apache.kafka.common.security.plain.PlainLoginModule required"
        f' username="{USERNAME}" password="{PASSWORD}" user_{USERNAME}="{PASSWORD}";'
    ),
    "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
        "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    ),
    "listener.name.ssl.ssl.client.auth": "required",
    "ssl.keystore.type": "PEM",
    "ssl.truststore.type": "PEM",
}


@dataclass(frozen=True)
class Node:
    """One broker's number, folder and ports (by listener)."""

    number: int
    folder: Path
    ports: dict[str, int]

    @property
    def properties_file(self) -> Path:
        """Its server.properties."""
        return self.folder / "server.properties"

    @property
    def data(self) -> Path:
        """Where it keeps its logs."""
        return self.folder / "data"

    def address(self, listener: str = "PLAINTEXT") -> str:
        """`host:port` of one of its listeners."""
        return f"127.0.0.1:{self.ports[listener]}"


def listeners() -> tuple[str, ...]:
    """Names of all listeners; each wants a port on each broker."""
    return _LISTENERS


def write_properties(nodes: list[Node], authority: Authority) -> None:
    """Write every broker's server.properties, with one certificate for all of them (they share one address)."""
    certificate, key = authority.issue("broker", hosts=["127.0.0.1"])
    keystore = authority.folder / "broker-keystore.pem"
    keystore.write_bytes(key.read_bytes() + certificate.read_bytes())
    voters = ",".join(f"{node.number}@{node.address('CONTROLLER')}" for node in nodes)
    for node in nodes:
        addresses = {name: f"{name}://{node.address(name)}" for name in _LISTENERS}
        properties = _COMMON | {
            "node.id": str(node.number),
            "controller.quorum.voters": voters,
            "listeners": ",".join(addresses.values()),
            "advertised.listeners": ",".join(place for name, place in addresses.items() if name != "CONTROLLER"),
            "log.dirs": str(node.data),
            "ssl.keystore.location": str(keystore),
            "ssl.truststore.location": str(authority.ca_file),
        }
        node.folder.mkdir(parents=True, exist_ok=True)
        node.properties_file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))


def new_identity() -> str:
    """A random id as Kafka writes them. One that begins with a dash would be taken for an option."""
    return "S" + base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")[1:]
