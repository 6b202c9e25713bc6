"""The tests of transport, relay and loader once more, with this cluster in the place of the embedded broker."""

import subprocess
import sys

import pytest

from runtime.home import PROJECT
from tests.kafka_cluster.jars import KafkaUnavailableError, installed_kafka

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("folder", ["tests/bus", "tests/ingest"])
def test_the_tests_of_the_embedded_broker_pass_on_a_cluster(folder: str) -> None:
    try:
        installed_kafka()
    except KafkaUnavailableError as error:
        pytest.skip(f"Apache Kafka cannot run here: {error}")
    argv = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", "--kafka=cluster", folder]
    done = subprocess.run(argv, cwd=PROJECT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-20_000:]
