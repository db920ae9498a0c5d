"""A broker that is away is waited for; a broker that refuses this client stops it, in words that name the setting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaConsumer
from kafka.admin import KafkaAdminClient
from kafka.errors import AuthorizationError

from audit_trail.embedded.broker import LOOPBACK, free_ports
from audit_trail.embedded.kafka import ApacheKafka
from domain.errors import AuditTrailError, ConfigurationError, UnavailableError
from ingest.broker.clients import connected, translated
from ingest.partitions.topics import Topics
from ingest.publisher import Message, Publisher
from ingest.settings import IngestSettings
from tests.foreign_server import tls_of_127_0_0_1

PASSWORD = {"sasl_mechanism": "PLAIN", "sasl_plain_username": "ann", "sasl_plain_password": "right"}
LISTENERS = {"PLAINTEXT": "PLAINTEXT", "SASL": "SASL_PLAINTEXT", "TLS": "SSL", "CLIENTS": "SSL"}


class SecuredBroker:
    """A broker with a port for each way to connect. `CLIENTS` asks for the client's certificate."""

    def __init__(self, ports: Mapping[str, int], folder: Path) -> None:
        self.ports = ports
        self.ca = str(folder / "certificate.pem")
        self.key = str(folder / "key.pem")
        self.right = {
            "PLAINTEXT": {},
            "SASL": {"security_protocol": "SASL_PLAINTEXT"} | PASSWORD,
            "TLS": {"security_protocol": "SSL", "ssl_cafile": self.ca},
            "CLIENTS": {
                "security_protocol": "SSL",
                "ssl_cafile": self.ca,
                "ssl_certfile": self.ca,
                "ssl_keyfile": self.key,
            },
        }

    def settings(self, listener: str, **changes: str | None) -> IngestSettings:
        options = {k: v for k, v in {**self.right[listener], **changes}.items() if v is not None}
        return IngestSettings(
            bootstrap_servers=(f"{LOOPBACK}:{self.ports[listener]}",),
            publish_timeout_seconds=2,
            client=options,
        )


@pytest.fixture(scope="module")
def secured(session_folder: Path) -> Iterator[SecuredBroker]:
    folder = session_folder / "refusing"
    folder.mkdir()
    tls_of_127_0_0_1(folder)
    pair = folder / "pair.pem"
    pair.write_bytes((folder / "key.pem").read_bytes() + (folder / "certificate.pem").read_bytes())
    *free, controller = free_ports(len(LISTENERS) + 1)
    ports = dict(zip(LISTENERS, free, strict=True))
    listeners = ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in ports.items())
    settings = {
        "listeners": f"{listeners},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": listeners,
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
        "listener.security.protocol.map": ",".join(
            f"{name}:{protocol}" for name, protocol in {**LISTENERS, "CONTROLLER": "PLAINTEXT"}.items()
        ),
        "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl.plain.sasl.jaas.config": (
            'org.apache.kafka.common.security.plain.PlainLoginModule required user_ann="right";'
        ),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(pair),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(folder / "certificate.pem"),
        "listener.name.clients.ssl.client.auth": "required",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": "User:ANONYMOUS;User:CN=127.0.0.1",
    }
    with ApacheKafka(session_folder / "refusing-kafka", port=ports["PLAINTEXT"], settings=settings) as apache:
        with closing(KafkaAdminClient(bootstrap_servers=apache.bootstrap_servers)) as admin:
            admin.create_topics(
                {"events": {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True
            )
        yield SecuredBroker(ports, folder)


def refused(settings: IngestSettings) -> AuditTrailError:
    with pytest.raises((ConfigurationError, UnavailableError)) as caught, closing(Topics(settings)) as topics:
        topics.describe(("events",))
    return caught.value


@pytest.mark.needs_kafka
@pytest.mark.parametrize("listener", LISTENERS)
def test_the_right_settings_connect(secured: SecuredBroker, listener: str) -> None:
    options = secured.settings(listener).client_options()
    connected(KafkaAdminClient, options | {"bootstrap_timeout_ms": 10_000}).close()


@pytest.mark.needs_kafka
@pytest.mark.parametrize(
    ("listener", "changes", "says"),
    [
        ("SASL", {"sasl_plain_password": "wrong"}, "SASL_PASSWORD"),
        ("SASL", {"sasl_plain_username": "bob"}, "SASL_USERNAME"),
        ("SASL", {"sasl_mechanism": "SCRAM-SHA-512"}, "SASL_MECHANISM"),
        ("SASL", {"sasl_mechanism": "PLAINER"}, "SASL_MECHANISM is not one of"),
        ("SASL", {"sasl_mechanism": None}, "SASL_MECHANISM is not one of"),
        ("SASL", {"sasl_plain_username": None}, "SASL_USERNAME is not set"),
        ("SASL", {"sasl_plain_password": None}, "SASL_PASSWORD is not set"),
        ("PLAINTEXT", {"security_protocol": "SASL_PLAINTEXT"} | PASSWORD, "SECURITY_PROTOCOL"),
        ("TLS", {"security_protocol": "PLAINTEXT", "ssl_cafile": None}, "SECURITY_PROTOCOL"),
        ("TLS", {"ssl_cafile": None}, "SSL_CAFILE"),
        ("TLS", {"ssl_cafile": "/missing/ca.pem"}, "SSL_CAFILE: /missing/ca.pem can't be read"),
        ("TLS", {"ssl_cafile": __file__}, "SSL_CAFILE"),
        ("TLS", {"ssl_keyfile": __file__}, "SSL_CERTFILE is not set"),
        ("CLIENTS", {"ssl_certfile": None, "ssl_keyfile": None}, "SSL_CERTFILE"),
        ("CLIENTS", {"ssl_keyfile": __file__}, "SSL_KEYFILE"),
    ],
)
def test_what_an_operator_must_correct_stops(
    secured: SecuredBroker, listener: str, changes: dict[str, str | None], says: str
) -> None:
    error = refused(secured.settings(listener, **changes))
    assert isinstance(error, ConfigurationError), error
    assert says in str(error)


@pytest.mark.needs_kafka
@pytest.mark.parametrize(
    ("listener", "changes", "says"),
    [
        ("PLAINTEXT", {"security_protocol": "SSL"}, "EOF"),  # as a proxy does whose broker is away
        ("SASL", {"security_protocol": "PLAINTEXT"}, "Kafka does not answer"),
    ],
)
def test_a_broker_that_ends_the_connection_without_a_word_is_waited_for(
    secured: SecuredBroker, listener: str, changes: dict[str, str | None], says: str
) -> None:
    with closing(Publisher(secured.settings(listener, **changes))) as publisher:
        with pytest.raises(UnavailableError, match="AUDIT_TRAIL_KAFKA_SECURITY_PROTOCOL") as away:
            publisher.reach("events")
        assert says in str(away.value)


def test_no_broker_is_waited_for_and_the_reason_is_told() -> None:
    (port,) = free_ports(1)
    settings = IngestSettings(bootstrap_servers=(f"{LOOPBACK}:{port}",), publish_timeout_seconds=1)
    with pytest.raises(UnavailableError, match="ECONNREFUSED"), closing(Publisher(settings)) as publisher:
        publisher.reach("events")
    settings = IngestSettings(bootstrap_servers=("nowhere.invalid:9092",), publish_timeout_seconds=1)
    with pytest.raises(UnavailableError, match="DNS"), closing(Publisher(settings)) as publisher:
        publisher.reach("events")


@pytest.mark.needs_kafka
def test_a_missing_right_stops_and_names_the_topic_and_the_group(secured: SecuredBroker) -> None:
    settings = secured.settings("SASL")
    with (
        pytest.raises(ConfigurationError, match=r"on events: grant .* Write"),
        closing(Publisher(settings)) as publisher,
    ):
        publisher.publish([Message("events", None, b"{}")])
    options = settings.client_options() | {"group_id": "people", "bootstrap_timeout_ms": 5000}
    with closing(connected(KafkaConsumer, options)) as consumer:
        consumer.subscribe(["events"])
        with pytest.raises(AuthorizationError) as denied:
            consumer.poll(timeout_ms=10_000)
        assert isinstance(translated(denied.value), ConfigurationError)


@pytest.mark.needs_kafka
def test_an_unknown_topic_is_waited_for_and_named(secured: SecuredBroker) -> None:
    with (
        pytest.raises(UnavailableError, match="Kafka has no topic missing"),
        closing(Publisher(secured.settings("PLAINTEXT"))) as publisher,
    ):
        publisher.publish([Message("missing", None, b"{}")])
