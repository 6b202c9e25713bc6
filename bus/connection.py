"""How every Kafka client of ours connects, in one place: addresses, TLS and SASL from the settings, patience.

And what to tell a person when it cannot: kafka-python says only that it could not bootstrap, so the manager of its
connections is asked to remember why the last one failed. Nothing that is told or logged holds a secret.
"""

import logging
import ssl
from typing import Any

from kafka.errors import KafkaError, KafkaTimeoutError, RequestTimedOutError, SaslAuthenticationFailedError
from kafka.net.compat import KafkaNetClient
from kafka.net.connection import KafkaConnection
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

from bus.records import TransportError
from contracts.settings import KafkaSettings

_BOOTSTRAP_TIMEOUT_MS = 5_000


class Connector:
    """Options for kafka-python's producer, consumer and admin client, and the reason when they cannot connect.

    Raises:
        TransportError: a certificate or key of the settings cannot be read.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._failures: dict[str, BaseException] = {}
        self._clients: list[KafkaNetClient] = []
        self.options: dict[str, Any] = {
            "bootstrap_servers": [server.strip() for server in settings.kafka_bootstrap_servers.split(",")],
            "security_protocol": settings.kafka_security_protocol,
            "bootstrap_timeout_ms": _BOOTSTRAP_TIMEOUT_MS,
            "reconnect_backoff_max_ms": 1_000,
            "kafka_client": self._client,
        }
        if settings.kafka_security_protocol in ("SSL", "SASL_SSL"):
            self.options["ssl_context"] = _tls_context(settings)
        if settings.kafka_sasl_mechanism is not None:
            # at DEBUG the library logs its options and its requests whole, passwords included
            logging.getLogger("kafka").setLevel(max(logging.INFO, logging.getLogger("kafka").level))
            self.options["sasl_mechanism"] = settings.kafka_sasl_mechanism
            self.options["sasl_plain_username"] = settings.kafka_sasl_username
            password = settings.kafka_sasl_password
            self.options["sasl_plain_password"] = None if password is None else password.get_secret_value()

    def no_broker(self, error: KafkaError) -> TransportError:
        """The error to raise when a client could not be made.

        What was made of it is closed: the library leaves it open, with a thread and three files each time.
        """
        for client in self._clients:
            client.close()
        return TransportError(f"no broker at {self._settings.kafka_bootstrap_servers}: {self.reason(error)}")

    def reason(self, error: KafkaError) -> str:
        """Why the last connection failed, else what `error` says."""
        return _explain(next(reversed(self._failures.values()), error), self._settings)

    def _client(self, **configs: object) -> KafkaNetClient:
        net = NetworkSelector(**configs)
        client = KafkaNetClient(net=net, manager=_Manager(net, self._failures, **configs))
        self._clients.append(client)
        return client


class _Manager(KafkaConnectionManager):  # type: ignore[misc]  # the library has no types
    """Remembers failures, and gives up making the first contact when all brokers failed in a way that will not pass."""

    def __init__(self, net: NetworkSelector, failures: dict[str, BaseException], **configs: Any) -> None:  # noqa: ANN401  # the library checks them
        super().__init__(net, **configs)
        self._failures = failures
        self._servers = len(configs["bootstrap_servers"])

    def get_connection(self, node_id: int | str, **options: object) -> KafkaConnection:
        """A connection to the broker, perhaps still being made."""
        lasting = [failure for failure in self._failures.values() if _is_lasting(failure)]
        if lasting and not self.bootstrapped and (len(lasting) >= self._servers or _is_refusal(lasting[-1])):
            raise lasting[-1]
        connection = super().get_connection(node_id, **options)
        connection.init_future.add_callback(lambda _: self._failures.pop(str(node_id), None))
        connection.init_future.add_errback(lambda failure: self._remember(str(node_id), failure))
        return connection

    def _remember(self, node: str, failure: BaseException) -> None:
        if isinstance(failure, KafkaTimeoutError | RequestTimedOutError) and node in self._failures:
            return  # time is up, and we knew why
        self._failures.pop(node, None)  # so that the last one to fail comes last
        self._failures[node] = failure


def _is_refusal(failure: BaseException) -> bool:
    """Whether more attempts would only lock an account."""
    return isinstance(failure, SaslAuthenticationFailedError)


def _is_lasting(failure: BaseException) -> bool:
    return _is_refusal(failure) or any(sign in str(failure) for sign in ("CERTIFICATE_VERIFY_FAILED", "_ALERT_"))


def _tls_context(settings: KafkaSettings) -> ssl.SSLContext:
    authorities, certificate = settings.kafka_ssl_cafile, settings.kafka_ssl_certfile
    password = settings.kafka_ssl_key_password
    try:
        context = ssl.create_default_context(cafile=authorities)
        if certificate is not None:
            # an empty password is an error with an encrypted key, none at all would be asked for on the terminal
            secret = "" if password is None else password.get_secret_value()
            context.load_cert_chain(certificate, settings.kafka_ssl_keyfile, secret)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        files = [str(file) for file in (authorities, certificate, settings.kafka_ssl_keyfile) if file is not None]
        raise TransportError(f"cannot use {', '.join(files)} for TLS: {error}") from error
    return context


def _explain(failure: BaseException, settings: KafkaSettings) -> str:
    text, protocol = str(failure), settings.kafka_security_protocol
    if _is_refusal(failure):
        return f"it refused the credentials of {settings.kafka_sasl_username!r} ({settings.kafka_sasl_mechanism})"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        detail = text.partition("certificate verify failed: ")[2].partition(" (_ssl")[0]
        return f"its certificate is not trusted: {detail}"
    if "_ALERT_" in text and "CERTIFICATE" in text:
        ours = settings.kafka_ssl_certfile
        return f"it does not accept the client's certificate {ours}" if ours else "it wants a client's certificate"
    if "Handshake failed" in text:
        return f"it does not speak TLS, which {protocol} needs ({text.partition('Handshake failed: ')[2]})"
    if "disconnected" in text:
        if protocol.startswith("SASL"):
            user, mechanism = settings.kafka_sasl_username, settings.kafka_sasl_mechanism
            return f"it hung up while {user!r} signed in by {mechanism}: wrong credentials, or this port wants others"
        return f"it hung up at once: this port does not seem to speak {protocol}"
    return text
