"""Takes Sluice's topics away from a cluster that tests share, so that each test begins with none."""

from contextlib import closing
from time import monotonic, sleep

import pytest
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from bus.connection import Connector
from bus.topics import TOPICS
from contracts.settings import KafkaSettings

_PATIENCE_SECONDS = 30


def delete_topics(settings: KafkaSettings) -> None:
    """Delete all topics of Sluice and wait until every broker has heard of it."""
    deadline = monotonic() + _PATIENCE_SECONDS
    with closing(KafkaAdminClient(**Connector(settings).options)) as admin:
        while monotonic() < deadline:
            try:
                present = _present(admin)
                if not present:
                    break
                # some may be gone already, and the broker that was asked has not heard of it
                admin.delete_topics(present, raise_errors=False)
            except KafkaError:  # brokers that were killed a moment ago are still being found out
                sleep(0.2)
        else:
            raise AssertionError("the topics of the last test cannot be deleted")
    _wait_until_gone_everywhere(settings, deadline)


def refuse_topics_of_others(settings: KafkaSettings) -> None:
    """Leave the test run if the cluster has topics of Sluice before the first test: they may be somebody's data."""
    with closing(KafkaAdminClient(**Connector(settings).options)) as admin:
        present = _present(admin)
    if present:
        pytest.exit(
            f"{settings.kafka_bootstrap_servers} holds topics of Sluice ({', '.join(present)}), which the tests would"
            " delete. Point them at a cluster without, or delete the topics yourself.",
            returncode=4,
        )


def _present(admin: KafkaAdminClient) -> list[str]:
    return [name for name in admin.list_topics() if name in TOPICS]


def _wait_until_gone_everywhere(settings: KafkaSettings, deadline: float) -> None:
    """A broker tells what it last heard from the controller: ask each of them."""
    for server in settings.kafka_bootstrap_servers.split(","):
        alone = settings.model_copy(update={"kafka_bootstrap_servers": server})
        with closing(KafkaAdminClient(**Connector(alone).options)) as admin:
            while _present(admin):
                assert monotonic() < deadline, f"{server} still has the topics of the last test"
                sleep(0.05)
