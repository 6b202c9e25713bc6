"""The cluster: formats its storage, starts and kills its brokers, and says who leads what and who is in step."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from bus.topics import TOPICS
from contracts.settings import KafkaSettings
from runtime.process import ManagedProcess, ProcessSpec, free_port, is_port_open
from tests.eventually import eventually
from tests.kafka_cluster.certificates import Authority
from tests.kafka_cluster.configuration import NODES, PASSWORD, USERNAME, Node, listeners, new_identity, write_properties
from tests.kafka_cluster.jars import installed_kafka

REPLICATION = {"kafka_replication_factor": 3, "kafka_min_insync_replicas": 2}


@dataclass
class KafkaCluster:
    """Three combined controllers and brokers. Brokers are started from the main thread, which their lives are tied to.

    Raises KafkaUnavailableError where Java or the jars are not to be had.
    """

    folder: Path
    is_short_lived: bool = True
    nodes: list[Node] = field(init=False)
    authority: Authority = field(init=False)

    def __post_init__(self) -> None:
        self._kafka = installed_kafka()
        self.authority = Authority.make(self.folder / "tls", "authority")
        ports = iter(_free_ports(len(NODES) * len(listeners())))
        self.nodes = [
            Node(number, self.folder / f"node-{number}", {name: next(ports) for name in listeners()})
            for number in NODES
        ]
        write_properties(self.nodes, self.authority)
        self._format()
        self._processes = {node.number: self._process(node) for node in self.nodes}

    def bootstrap_servers(self, listener: str = "PLAINTEXT") -> str:
        """`host:port` of every broker, comma separated."""
        return ",".join(node.address(listener) for node in self.nodes)

    def settings(self, **others: Any) -> KafkaSettings:
        """Settings of a client without credentials; `others` replace them by field name."""
        return KafkaSettings(**{"kafka_bootstrap_servers": self.bootstrap_servers(), **REPLICATION, **others})

    def start(self, nodes: Iterable[int] = NODES) -> None:
        """Start brokers (again, with their data) and wait until the cluster has them."""
        numbers = list(nodes)
        for number in numbers:
            self._processes[number].start()
        for number in numbers:
            self._processes[number].wait_ready()
        self.wait_until(lambda: set(numbers) <= self.living(), seconds=120, what=f"brokers {numbers} are registered")

    def stop(self) -> None:
        """Stop all brokers for good. Their data go with the folder, so nothing is waited for."""
        for process in self._processes.values():
            process.kill()

    def kill(self, *nodes: int) -> None:
        """SIGKILL brokers; what they have on disk stays."""
        for number in nodes or NODES:
            self._processes[number].kill()

    def revive(self) -> None:
        """Start what is down, whatever a test that failed has left behind."""
        for number, process in self._processes.items():
            if process.is_running():
                self.resume(number)
        self.start(number for number, process in self._processes.items() if not process.is_running())

    def shut_down(self, node: int) -> None:
        """Stop a broker properly: it hands over what it leads."""
        self._processes[node].stop(timeout=60)

    def pause(self, node: int) -> None:
        """SIGSTOP a broker."""
        os.kill(self._pid(node), signal.SIGSTOP)

    def resume(self, node: int) -> None:
        """SIGCONT a broker: it believes that no time has passed."""
        os.kill(self._pid(node), signal.SIGCONT)

    def forget(self) -> None:
        """Take away all data of brokers that are down; they will start empty."""
        for node in self.nodes:
            shutil.rmtree(node.data)
            shutil.copytree(node.folder / "formatted", node.data)

    def running(self) -> set[int]:
        """Brokers whose processes live."""
        return {number for number, process in self._processes.items() if process.is_running()}

    def living(self) -> set[int]:
        """Brokers that the cluster counts on."""
        return {broker["broker_id"] for broker in self._describe(lambda admin: admin.describe_cluster()["brokers"])}

    def leader_of(self, topic: str, partition: int) -> int:
        """The broker that leads a partition, -1 for none."""
        return int(self._partitions([topic])[topic, partition]["leader_id"])

    def wait_until_in_step(self, *, seconds: float = 120) -> None:
        """Wait until every partition of Sluice's topics has a leader and all its copies are in sync."""
        self.wait_until(self.is_in_step, seconds=seconds, what="all copies are in sync")

    def wait_until_led_by_others(self, node: int, *, seconds: float = 120) -> None:
        """Wait until the cluster has found out that a broker is gone, and elected other leaders."""
        self.wait_until(lambda: self._is_led_by_others(node), seconds=seconds, what=f"broker {node} leads nothing")

    def wait_until(self, condition: Callable[[], bool], *, seconds: float = 120, what: str) -> None:
        """Wait until something holds that asks the cluster, which may not answer for a while."""

        def holds() -> bool:
            try:
                return condition()
            except KafkaError as error:
                print(error)
                return False

        eventually(holds, seconds=seconds, what=what)

    def _is_led_by_others(self, node: int) -> bool:
        return all(partition["leader_id"] not in (node, -1) for partition in self._partitions(None).values())

    def is_in_step(self) -> bool:
        """Whether every partition of Sluice's topics has a leader and all its copies are in sync."""
        partitions = self._partitions(None).values()
        return all(p["leader_id"] > 0 and len(p["isr_nodes"]) == len(p["replica_nodes"]) for p in partitions)

    def _partitions(self, topics: list[str] | None) -> dict[tuple[str, int], Any]:
        described = self._describe(lambda admin: admin.describe_topics(topics))
        return {
            (topic["name"], partition["partition_index"]): partition
            for topic in described
            if topic["name"] in TOPICS
            for partition in topic["partitions"]
        }

    def _describe(self, ask: Callable[[KafkaAdminClient], Any]) -> Any:
        with closing(self.admin()) as admin:
            return ask(admin)

    def admin(self) -> KafkaAdminClient:
        """An admin client as the library makes it, for what Sluice itself never does."""
        return KafkaAdminClient(
            bootstrap_servers=self.bootstrap_servers().split(","), request_timeout_ms=5_000, bootstrap_timeout_ms=5_000
        )

    def _pid(self, node: int) -> int:
        pid = self._processes[node].pid
        assert pid is not None
        return pid

    def _process(self, node: Node) -> ManagedProcess:
        spec = ProcessSpec(
            name=f"kafka-{node.number}",
            argv=self._kafka.argv("kafka.Kafka", str(node.properties_file), is_short_lived=self.is_short_lived),
            port=node.ports["PLAINTEXT"],
            ready=lambda: is_port_open(node.ports["PLAINTEXT"]),
            ready_seconds=180,
        )
        return ManagedProcess(spec, log_path=node.folder / "broker.log")

    def _format(self) -> None:
        """Format the first broker's storage with Kafka's own tool; the others' differs in two lines."""
        first, *others = self.nodes
        scram = f"SCRAM-SHA-512=[name={USERNAME},password={PASSWORD},iterations=4096]"
        argv = self._kafka.argv(
            "kafka.tools.StorageTool", "format", "-t", new_identity(), "-c", str(first.properties_file)
        )
        subprocess.run([*argv, "--add-scram", scram], check=True, capture_output=True, timeout=120)
        for node in others:
            shutil.copytree(first.data, node.data)
            file = node.data / "meta.properties"
            lines = [line for line in file.read_text().splitlines() if not line.startswith(("node.id", "directory.id"))]
            lines += [f"node.id={node.number}", f"directory.id={new_identity()}"]
            file.write_text("\n".join(lines) + "\n")
        for node in self.nodes:
            shutil.copytree(node.data, node.folder / "formatted")


def _free_ports(count: int) -> list[int]:
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return sorted(ports)
