"""Apache Kafka's jars: fetched by Maven once, kept in a cache folder outside the project with a class archive beside.

The archive holds the classes that a broker loads, as this Java wants them in memory: brokers start with a third of
the work, which counts where tests kill them again and again.
"""

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime.process import ManagedProcess, ProcessError, ProcessSpec, free_port, is_port_open

_POM = Path(__file__).with_name("pom.xml")
_OLDEST_JAVA = 17
_PATIENCE_SECONDS = 400

_JVM = (
    "-Xms64m",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


class KafkaUnavailableError(Exception):
    """There is no Kafka to be had on this machine; says why."""


@dataclass(frozen=True)
class Kafka:
    """An installed Apache Kafka."""

    java: str
    jars: Path
    archive: Path

    def argv(self, *arguments: str, is_short_lived: bool = True) -> list[str]:
        """How to run one of its classes. What is short-lived is compiled quickly rather than well."""
        quickly = ["-XX:TieredStopAtLevel=1"] if is_short_lived else []
        shared = [f"-XX:SharedArchiveFile={self.archive}"] if self.archive.exists() else []
        return [self.java, *_JVM, *quickly, *shared, "-cp", f"{self.jars}/*", *arguments]


def installed_kafka() -> Kafka:
    """The version that pom.xml names, fetched if need be.

    Raises:
        KafkaUnavailableError: Java is absent or too old; or the jars are not in the cache, and Maven is absent or
            cannot have them.
    """
    java, build = _java()
    version = re.findall(r"<kafka.version>(.*?)</kafka.version>", _POM.read_text())[0]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluice"
    jars = cache / f"kafka-{version}"
    kafka = Kafka(java, jars, jars / f"classes-{build}.jsa")
    with _lock(cache):
        if not jars.is_dir():
            _fetch(jars)
        if not kafka.archive.exists():
            _make_archive(kafka)
    return kafka


@contextmanager
def _lock(cache: Path) -> Iterator[None]:
    """Several test processes may begin at once."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _java() -> tuple[str, str]:
    """The Java to run brokers with, and a name for its build."""
    program = shutil.which("java")
    if program is None:
        raise KafkaUnavailableError("needs Java, and there is no `java` on the PATH")
    told = subprocess.run([program, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', told)
    if found is None or int(found.group(1)) < _OLDEST_JAVA:
        raise KafkaUnavailableError(f"needs Java {_OLDEST_JAVA} or newer; this one says {told[:100]!r}")
    return program, hashlib.sha256(told.encode()).hexdigest()[:12]


def _fetch(jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaUnavailableError("needs Maven to fetch Apache Kafka, and there is no `mvn` on the PATH")
    with tempfile.TemporaryDirectory(dir=jars.parent) as parent:
        folder = Path(parent) / "jars"
        argv = [maven, "-B", "-q", "-f", str(_POM), "dependency:copy-dependencies", "-DincludeScope=runtime"]
        argv.append(f"-DoutputDirectory={folder}")
        try:
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise KafkaUnavailableError("Maven could not fetch Apache Kafka in time") from error
        if done.returncode or not list(folder.glob("kafka_*.jar")):
            said = next((line for line in done.stdout.splitlines() if "ERROR" in line), "no reason given")
            raise KafkaUnavailableError(f"Maven could not fetch Apache Kafka: {said[:300]}")
        folder.rename(jars)


def _make_archive(kafka: Kafka) -> None:
    """Let a single broker live for a moment; the archive is written as it ends. Without it all works, more slowly."""
    with tempfile.TemporaryDirectory(prefix="sluice-kafka-") as folder:
        port, controller = free_port(), free_port()
        properties = Path(folder) / "server.properties"
        properties.write_text(
            "process.roles=broker,controller\nnode.id=1\ncontroller.listener.names=CONTROLLER\n"
            f"controller.quorum.voters=1@127.0.0.1:{controller}\nlog.dirs={folder}/data\n"
            f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n"
        )
        tool = kafka.argv("kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", str(properties))
        subprocess.run(tool, check=True, capture_output=True, timeout=120)
        unfinished = Path(folder) / kafka.archive.name
        java, *rest = kafka.argv("kafka.Kafka", str(properties))
        spec = ProcessSpec(
            name="kafka",
            argv=[java, f"-XX:ArchiveClassesAtExit={unfinished}", *rest],
            stop_signal=signal.SIGTERM,
            ready=lambda: is_port_open(port),
            ready_seconds=120,
        )
        process = ManagedProcess(spec, log_path=Path(folder) / "broker.log")
        process.start()
        try:
            process.wait_ready()
        except ProcessError:
            process.kill()
            return
        process.stop(timeout=120)
        if unfinished.exists():
            shutil.copy(unfinished, kafka.archive.with_suffix(".part"))
            kafka.archive.with_suffix(".part").rename(kafka.archive)
