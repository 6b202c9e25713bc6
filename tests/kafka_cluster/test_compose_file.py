"""What docker-compose.yml says to Kafka is what a real Kafka of the same version understands."""

import re
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from kafka.admin import ConfigResource, ConfigResourceType

from runtime.home import PROJECT
from tests.kafka_cluster.cluster import KafkaCluster
from tests.kafka_cluster.jars import KafkaUnavailableError, installed_kafka

_SERVICE = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]["kafka"]


def _properties() -> dict[str, str]:
    """The image makes `some.name` of KAFKA_SOME_NAME."""
    environment: dict[str, str] = _SERVICE["environment"]
    return {name.removeprefix("KAFKA_").lower().replace("_", "."): value for name, value in environment.items()}


def test_compose_runs_the_version_that_is_tested() -> None:
    pom = (Path(__file__).with_name("pom.xml")).read_text()
    (version,) = re.findall(r"<kafka.version>(.*?)</kafka.version>", pom)
    assert _SERVICE["image"] == f"apache/kafka:{version}"


@pytest.mark.slow
def test_compose_names_settings_that_exist(kafka_cluster: KafkaCluster) -> None:
    with closing(kafka_cluster.admin()) as admin:
        described = admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, "1")], config_filter="all")
    (known,) = described["broker"].values()
    assert not set(_properties()) - set(known)


@pytest.mark.slow
def test_compose_settings_are_accepted_as_they_are(tmp_path: Path) -> None:
    try:
        kafka = installed_kafka()
    except KafkaUnavailableError as error:
        pytest.skip(f"Apache Kafka cannot run here: {error}")
    settings = _properties() | {"log.dirs": str(tmp_path / "data")}
    file = tmp_path / "server.properties"
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    argv = kafka.argv("kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", str(file))
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
