"""The ACLs of docs/how-to/kafka-acls.md, on a broker that enforces them: each part works with these rights alone."""

from __future__ import annotations

import re
import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import psycopg2
import pytest
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
)

from audit_trail.embedded.broker import LOOPBACK, free_ports
from audit_trail.embedded.kafka import ApacheKafka
from tests.audit_trail.programs import eventually, fetch, run, running

pytestmark = [pytest.mark.needs_kafka, pytest.mark.thorough]

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "kafka-acls.md").read_text(encoding="utf-8")
USERS = ("trail_ingest", "trail_serve", "trail_guard", "trail_operator", "stranger")
EVENT = {
    "event_id": "0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a0f",
    "type": "record.read",
    "occurred_at": "2026-03-01T08:15:30Z",
    "source": {"service": "patient-service"},
    "actor": {"id": "d.example"},
    "patients": [{"id": "17"}],
    "resources": [{"type": "Observation", "id": "o-3"}],
}


def lines(variable: str) -> list[Namespace]:
    """The commands of the page that begin with this variable, parsed as Kafka's own tools do."""
    parser = ArgumentParser()
    for flag in ("--add", "--create"):
        parser.add_argument(flag, action="store_true")
    for option in ("--allow-principal", "--topic", "--group", "--partitions", "--replication-factor"):
        parser.add_argument(option)
    for option in ("--operation", "--config"):
        parser.add_argument(option, action="append", default=[])
    found = re.findall(rf"^\${variable} (.*)$", PAGE, re.MULTILINE)
    return [parser.parse_args(shlex.split(line)) for line in found]


def rights() -> list[ACL]:
    return [
        ACL(
            principal=line.allow_principal,
            host="*",
            operation=ACLOperation[re.sub(r"(?<!^)(?=[A-Z])", "_", operation).upper()],
            permission_type=ACLPermissionType.ALLOW,
            resource_pattern=ResourcePattern(
                ResourceType.TOPIC if line.topic else ResourceType.GROUP, line.topic or line.group
            ),
        )
        for line in lines("ACLS")
        for operation in line.operation
    ]


@pytest.fixture(scope="module")
def secured(session_folder: Path) -> Iterator[str]:
    """The address at which clients log in. The broker's other listener is the administrator's."""
    admin, clients, controller = free_ports(3)
    logins = " ".join(f'user_{user}="{user}-secret"' for user in USERS)
    settings = {
        "listeners": f"PLAINTEXT://{LOOPBACK}:{admin},CLIENTS://{LOOPBACK}:{clients},"
        f"CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{admin},CLIENTS://{LOOPBACK}:{clients}",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CLIENTS:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "listener.name.clients.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.clients.plain.sasl.jaas.config": (
            f"org.apache.kafka.common.security.plain.PlainLoginModule required {logins};"
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": "User:ANONYMOUS",
    }
    with ApacheKafka(session_folder / "secured-kafka", port=admin, settings=settings) as broker:
        with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)) as client:
            for line in lines("TOPICS"):
                topic = {"num_partitions": int(line.partitions), "replication_factor": 1}
                configs = dict(each.split("=") for each in line.config if "insync" not in each)
                client.create_topics({line.topic: topic | {"configs": configs}}, wait_for_metadata=True)
            client.create_acls(rights())
        yield f"{LOOPBACK}:{clients}"


@pytest.fixture
def settings(secured: str, migrated_url: str) -> dict[str, str]:
    return {
        "database_url": migrated_url,
        "kafka_bootstrap_servers": secured,
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_sasl_mechanism": "PLAIN",
    }


def as_user(settings: Mapping[str, str], user: str, **more: str) -> dict[str, str]:
    login = {"kafka_sasl_username": user, "kafka_sasl_password": f"{user}-secret"}
    return {**settings, **login, **more}


def test_each_part_works_with_the_rights_of_the_page(settings: dict[str, str], tmp_path: Path) -> None:
    parts = ("ingest", "project", "guard", "serve")
    port, *metrics = map(str, free_ports(4))
    metrics_ports = dict(zip(parts, metrics, strict=False))
    users = {"project": "stranger"}
    each = {
        part: as_user(
            settings,
            users.get(part, f"trail_{part}"),
            http_port=port,
            heads_interval_seconds="0.2",
            metrics_port=metrics_ports.get(part, "0"),
        )
        for part in parts
    }
    operator = as_user(settings, "trail_operator")
    file = tmp_path / "events.ndjson"
    file.write_text("not an event\n", encoding="utf-8")
    with ExitStack() as stack:
        for part in parts:
            (tmp_path / part).mkdir()
            stack.enter_context(running(tmp_path / part, part, settings=each[part]))
        url = f"http://127.0.0.1:{port}"
        assert eventually(lambda: fetch(f"{url}/readyz")[0] == 200, 120), fetch(f"{url}/readyz")
        assert fetch(f"{url}/v1/events", EVENT)[0] == 202
        query = {"query": '{ events(first: 5, filter: {patient: "17"}) { nodes { eventId } } }'}
        assert eventually(lambda: "0193a2a5" in str(fetch(f"{url}/graphql", query)[1]), 120)
        assert eventually(lambda: reads(settings["database_url"]), 60)

        published = run("publish", "--raw", file, settings=operator)
        assert published.returncode == 0, published.stderr
        assert eventually(lambda: "json" in run("dead-letters", "list", settings=operator).stdout, 60)
        requeued = run("dead-letters", "requeue", "1", "--by", "ada", "--reason", "a test", settings=operator)
        assert requeued.returncode == 0, requeued.stderr
        listed = run("offsets", "list", settings=operator)
        assert (listed.returncode, "no records are lost" in listed.stdout) == (0, True), listed.stderr

        for part in parts:
            healthy = eventually(partial(is_healthy, part, each[part]), 60)
            assert healthy, run("health", part, settings=each[part]).stderr
        shown = (tmp_path / "guard" / "guard.log").read_text(encoding="utf-8")
        assert "head_published" in shown
        assert "deletes_heads" not in shown
        assert "settings_unknown" not in shown
    # A second start compares the log with the heads in the topic.
    with running(tmp_path / "ingest", "ingest", settings=each["ingest"]):
        assert eventually(lambda: is_healthy("ingest", each["ingest"]), 60)


def reads(url: str) -> int:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_trail.event WHERE type = 'audit_log.read'")
        return int(cursor.fetchall()[0][0])


def is_healthy(part: str, settings: Mapping[str, str]) -> bool:
    return run("health", part, settings=settings).returncode == 0


@pytest.mark.parametrize(
    ("command", "heads", "says"),
    [
        (["ingest"], "", "does not show this client the topics audit.events: grant it Describe"),
        (["ingest"], "audit.tree-heads", "does not show this client the topics audit.tree-heads"),
        (["offsets", "list"], "", "does not show this client the topics audit.events"),
        (["publish", "--raw", __file__], "", "TopicAuthorizationFailedError"),
    ],
)
def test_a_missing_right_ends_a_command_with_2_and_says_which(
    settings: dict[str, str], command: list[str], heads: str, says: str
) -> None:
    ended = run(*command, settings=as_user(settings, "stranger", heads_topic=heads))
    assert ended.returncode == 2, ended.stderr
    assert says in " ".join(ended.stderr.split())
