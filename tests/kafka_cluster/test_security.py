"""Signing in to a real cluster by TLS and SASL: right credentials work, wrong ones are said in plain words."""

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from pydantic import SecretStr

from bus.admin import KafkaAdmin
from bus.consumer import KafkaRecordConsumer
from bus.producer import KafkaRecordProducer
from bus.records import OutgoingRecord, Partition, SendFailure, TransportError
from contracts.events.deals import DealEvent
from contracts.settings import KafkaSettings
from tests.conftest import Database
from tests.ingest.writers import insert_events
from tests.kafka_cluster.certificates import Authority
from tests.kafka_cluster.cluster import KafkaCluster
from tests.kafka_cluster.configuration import PASSWORD, USERNAME
from tests.kafka_cluster.spine import Spine

pytestmark = pytest.mark.slow

_WRONG = "wrong-test-password"
_QUICK_SECONDS = 20.0  # far below any patience of the processes; a hang would be for ever


@dataclass(frozen=True)
class SignIn:
    """Makes settings of a client that comes in by one of the cluster's guarded ports."""

    cluster: KafkaCluster
    folder: Path

    def sasl(self, mechanism: str = "SCRAM-SHA-512", **others: Any) -> KafkaSettings:
        fields = {
            "kafka_bootstrap_servers": self.cluster.bootstrap_servers("SASL_SSL"),
            "kafka_security_protocol": "SASL_SSL",
            "kafka_ssl_cafile": self.cluster.authority.ca_file,
            "kafka_sasl_mechanism": mechanism,
            "kafka_sasl_username": USERNAME,
            "kafka_sasl_password": SecretStr(PASSWORD),
        }
        return self.cluster.settings(**fields | others)

    def certificate(self, authority: Authority | None = None, **others: Any) -> KafkaSettings:
        certificate, key = (authority or self.cluster.authority).issue("client", password="key-test-password")
        fields = {
            "kafka_bootstrap_servers": self.cluster.bootstrap_servers("SSL"),
            "kafka_security_protocol": "SSL",
            "kafka_ssl_cafile": self.cluster.authority.ca_file,
            "kafka_ssl_certfile": certificate,
            "kafka_ssl_keyfile": key,
            "kafka_ssl_key_password": SecretStr("key-test-password"),
        }
        return self.cluster.settings(**fields | others)

    def stranger(self) -> Authority:
        return Authority.make(self.folder / "stranger", "stranger")


Make = Callable[[SignIn], KafkaSettings]

_RIGHT: dict[str, Make] = {
    "scram": lambda sign_in: sign_in.sasl(),
    "plain": lambda sign_in: sign_in.sasl("PLAIN"),
    "certificate": lambda sign_in: sign_in.certificate(),
}

_HUNG_UP = "hung up while 'sluice' signed in by"

_WRONG_SETTINGS: dict[str, tuple[Make, str]] = {
    "scram password": (
        lambda sign_in: sign_in.sasl(kafka_sasl_password=SecretStr(_WRONG)),
        rf"refused the credentials of 'sluice' \(SCRAM-SHA-512\)|{_HUNG_UP} SCRAM-SHA-512",
    ),
    "plain password": (
        lambda sign_in: sign_in.sasl("PLAIN", kafka_sasl_password=SecretStr(_WRONG)),
        rf"refused the credentials of 'sluice' \(PLAIN\)|{_HUNG_UP} PLAIN",
    ),
    "mechanism": (lambda sign_in: sign_in.sasl("SCRAM-SHA-256"), rf"{_HUNG_UP} SCRAM-SHA-256|UnsupportedSaslMechanism"),
    "authority": (
        lambda sign_in: sign_in.sasl(kafka_ssl_cafile=sign_in.stranger().ca_file),
        "its certificate is not trusted: unable to get local issuer certificate",
    ),
    "host name": (
        lambda sign_in: sign_in.sasl(
            kafka_bootstrap_servers=sign_in.cluster.bootstrap_servers("SASL_SSL").replace("127.0.0.1", "localhost")
        ),
        "its certificate is not trusted: Hostname mismatch, certificate is not valid for 'localhost'",
    ),
    "no client certificate": (
        lambda sign_in: sign_in.certificate(kafka_ssl_certfile=None, kafka_ssl_keyfile=None),
        "it wants a client's certificate",
    ),
    "a stranger's client certificate": (
        lambda sign_in: sign_in.certificate(sign_in.stranger()),
        r"it does not accept the client's certificate .*client\.pem",
    ),
    "plaintext to a TLS port": (
        lambda sign_in: sign_in.cluster.settings(kafka_bootstrap_servers=sign_in.cluster.bootstrap_servers("SSL")),
        "this port does not seem to speak PLAINTEXT",
    ),
    "TLS to a plaintext port": (
        lambda sign_in: sign_in.certificate(kafka_bootstrap_servers=sign_in.cluster.bootstrap_servers()),
        "it does not speak TLS, which SSL needs",
    ),
    "key password": (
        lambda sign_in: sign_in.certificate(kafka_ssl_key_password=SecretStr(_WRONG)),
        r"cannot use .*client\.pem, .*client\.key for TLS",
    ),
    "no key password": (
        lambda sign_in: sign_in.certificate(kafka_ssl_key_password=None),
        r"cannot use .*client\.pem, .*client\.key for TLS",
    ),
    "missing file": (
        lambda sign_in: sign_in.sasl(kafka_ssl_cafile=sign_in.folder / "absent.pem"),
        r"cannot use .*absent\.pem for TLS: .*No such file",
    ),
}


@pytest.fixture
def sign_in(kafka_cluster: KafkaCluster, tmp_path: Path) -> SignIn:
    return SignIn(kafka_cluster, tmp_path)


@pytest.mark.parametrize("name", _RIGHT)
def test_right_credentials_go_all_the_way(name: str, sign_in: SignIn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    settings = _RIGHT[name](sign_in)
    with (
        closing(KafkaAdmin(settings)) as admin,
        closing(KafkaRecordProducer(settings)) as producer,
        closing(KafkaRecordConsumer(settings)) as consumer,
    ):
        admin.ensure_topics()
        assert admin.topic_ids([DealEvent.topic]).keys() == {DealEvent.topic}
        (receipt,) = producer.send_all([OutgoingRecord(DealEvent.topic, 0, name.encode(), b"value")])
        assert not isinstance(receipt, SendFailure), receipt
        consumer.assign({Partition(DealEvent.topic, 0): receipt.offset})
        deadline = monotonic() + _QUICK_SECONDS
        while not (polled := consumer.poll(0.2)) and monotonic() < deadline:
            pass
        assert [message.key for messages in polled.values() for message in messages] == [name.encode()]
    assert PASSWORD not in caplog.text
    assert "key-test-password" not in caplog.text


@pytest.mark.parametrize("name", _WRONG_SETTINGS)
def test_wrong_settings_are_said_in_plain_words(name: str, sign_in: SignIn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    make, expected = _WRONG_SETTINGS[name]
    settings = make(sign_in)
    begun = monotonic()
    with pytest.raises(TransportError, match=expected) as raised:
        KafkaAdmin(settings)
    assert monotonic() - begun < _QUICK_SECONDS
    for secret in (PASSWORD, _WRONG, "key-test-password"):
        assert secret not in str(raised.value)
        assert secret not in caplog.text


def test_relay_and_loader_sign_in(
    sign_in: SignIn, fresh_cluster: KafkaCluster, database: Database, tmp_path: Path
) -> None:
    spine = Spine(fresh_cluster, database, tmp_path, sign_in.sasl())
    with spine.relay(), spine.loader():
        insert_events(database.app_url, 100)
        spine.wait_until_complete()
    assert spine.rows() == 100


def test_relay_says_that_it_may_not_come_in(sign_in: SignIn, database: Database, tmp_path: Path) -> None:
    settings = sign_in.sasl(kafka_ssl_cafile=sign_in.stranger().ca_file)
    spine = Spine(sign_in.cluster, database, tmp_path, settings)
    with spine.relay():
        spine.wait_until_said("relay", "broker unavailable", "its certificate is not trusted")


def test_consumer_and_producer_say_the_same(sign_in: SignIn) -> None:
    settings = sign_in.certificate(kafka_ssl_certfile=None, kafka_ssl_keyfile=None)
    expected = "it wants a client's certificate"
    with pytest.raises(TransportError, match=expected):
        KafkaRecordConsumer(settings)
    with closing(KafkaRecordProducer(settings)) as producer:
        (outcome,) = producer.send_all([OutgoingRecord(DealEvent.topic, 0, b"key", b"value")])
    assert isinstance(outcome, SendFailure)
    assert not outcome.is_permanent
    assert expected in outcome.reason
