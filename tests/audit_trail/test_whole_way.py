"""The main path as its users walk it: every part a process of its own, on the real database and the real broker."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
import pytest

from audit_trail.demo.clinic import broken_messages, simulate
from audit_trail.embedded.broker import Broker, free_ports
from audit_trail.embedded.process import WatchedProcess
from audit_trail.ingest_settings import ingest_settings
from audit_trail.settings import load
from domain.errors import Reason
from domain.validation import encode_event
from ingest.publisher import Message, Publisher
from tests.audit_trail.programs import eventually, fetch, run, running
from tests.hospital import START
from tests.tokens import ADMIN

SAMPLES = Path(__file__).parents[2] / "audit_trail" / "samples"


_OF_DETECTION = ["detection\\_rules.activated", "alert.raised", "case.%", "actor\\_cases.%"]


@pytest.fixture
def settings(migrated_url: str, broker: Broker, topic: str) -> dict[str, str]:
    """One database, one topic, one port for each test."""
    return {
        "database_url": migrated_url,
        "kafka_bootstrap_servers": broker.bootstrap_servers,
        "kafka_topics": topic,
        "kafka_group_id": topic,
        "kafka_assignment": "static" if broker.kind == "embedded" else "group",
        "http_port": str(free_ports(1)[0]),
    }


@pytest.fixture
def parts(settings: dict[str, str], tmp_path: Path) -> Iterator[dict[str, WatchedProcess]]:
    with running(tmp_path, "ingest", "project", "serve", settings=settings) as processes:
        assert eventually(lambda: fetch(f"{api(settings)}/readyz")[0] == 200)
        yield processes


def api(settings: dict[str, str]) -> str:
    return f"http://127.0.0.1:{settings['http_port']}"


def ask(settings: dict[str, str], query: str) -> Any:
    status, answer = fetch(f"{api(settings)}/graphql", {"query": query})
    assert status == 200, answer
    assert "errors" not in answer, answer
    return answer["data"]


def count(settings: dict[str, str], wanted: int, seconds: float = 90) -> int:
    """Events that every read model has, waited for; without those of detection itself and of cases."""

    def visible() -> int:
        lags = ask(settings, "{ projections { position lag } }")["projections"]
        if any(row["lag"] for row in lags):
            return 0
        # Over the API, counting would be an event itself.
        with closing(psycopg2.connect(settings["database_url"])) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM audit_trail.event WHERE position <= %s AND type NOT LIKE ALL(%s)",
                (lags[0]["position"], _OF_DETECTION),
            )
            [(found,)] = cursor.fetchall()
        return int(found)

    # Asked once more, it could be zero: an event of detection may just have come.
    return int(eventually(lambda: (found := visible()) >= wanted and found, seconds) or visible())


def head_size(settings: dict[str, str]) -> int | None:
    """The size of the signed head that the API serves; None while there is none."""
    request = urllib.request.Request(f"{api(settings)}/log/checkpoint", headers=dict(ADMIN))  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return int(answer.read().split(b"\n")[1])
    except urllib.error.URLError:
        return None


def test_a_new_log_has_a_signed_head_before_its_first_event(settings: dict[str, str], tmp_path: Path) -> None:
    """Without `project`, whose first event says which rules of detection count."""
    with running(tmp_path, "ingest", "serve", settings=settings):
        assert eventually(lambda: head_size(settings) is not None)
        assert head_size(settings) == 0


@pytest.mark.usefixtures("parts")
def test_what_is_published_is_found_by_actor_and_by_patient(settings: dict[str, str], tmp_path: Path) -> None:
    events = list(simulate(7, START, 300))
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"\n".join(map(encode_event, events)))
    published = run("publish", file, settings=settings)
    assert published.returncode == 0, published.stderr
    samples = sorted(SAMPLES.glob("*/*.json"))
    assert run("publish", *samples, settings=settings).returncode == 0
    assert count(settings, len(events) + len(samples)) == len(events) + len(samples)
    someone = next(event for event in events if event.actor.id and event.patients)
    for condition, matches in (
        (f'actor: "{someone.actor.id}"', lambda event: event.actor.id == someone.actor.id),
        (
            f'patient: "{someone.patients[0].id}"',
            lambda event: someone.patients[0].id in {patient.id for patient in event.patients},
        ),
    ):
        data = ask(
            settings,
            f"{{ events(first: 100, filter: {{{condition}}}) {{ nodes {{ eventId }} pageInfo {{ hasNextPage }} }} }}",
        )
        found = {node["eventId"] for node in data["events"]["nodes"]}
        expected = {str(event.event_id) for event in events if matches(event)}
        if not data["events"]["pageInfo"]["hasNextPage"]:
            assert found >= expected
        assert found <= expected | {node for node in found if node not in {str(e.event_id) for e in events}}
        assert found & expected


@pytest.mark.usefixtures("parts")
def test_a_post_is_in_the_trail_exactly_once_however_often_it_is_sent(settings: dict[str, str]) -> None:
    # What is of the trail itself is refused when it is posted.
    event = next(
        json.loads(encode_event(each)) for each in simulate(8, START, 1) if each.type == "record.read"
    )
    for _ in range(3):
        status, answer = fetch(f"{api(settings)}/v1/events", [event, {"type": "nonsense"}])
        assert status == 202
        assert answer["accepted"] == 1
        assert answer["rejected"] == 1
    assert count(settings, 1) == 1
    status, found = fetch(f"{api(settings)}/v1/events/{event['event_id']}")
    assert status == 200
    assert found["event"]["event_id"] == event["event_id"]


@pytest.mark.thorough
def test_killed_parts_lose_and_double_nothing(
    settings: dict[str, str], parts: dict[str, WatchedProcess], tmp_path: Path
) -> None:
    events = [encode_event(event) for event in simulate(9, START, 4000)]
    for number, part in enumerate(("ingest", "project", "ingest", "project", "ingest")):
        file = tmp_path / f"{number}.ndjson"
        file.write_bytes(b"\n".join(events[number::5]))
        assert run("publish", file, settings=settings).returncode == 0
        parts[part].kill()
        parts[part].start()
    assert count(settings, len(events), seconds=120) == len(events)


@pytest.mark.usefixtures("parts")
def test_a_dead_letter_is_shown_requeued_and_dismissed(settings: dict[str, str], tmp_path: Path) -> None:
    files = []
    for number, value in enumerate(
        [b"{broken", b"\xff\xfe", encode_event(next(iter(simulate(10, START, 1))))]
    ):
        file = tmp_path / str(number)
        file.write_bytes(value)
        files.append(file)
    assert run("publish", "--raw", *files, settings=settings).returncode == 0
    listed = eventually(
        lambda: (text := run("dead-letters", "list", settings=settings).stdout).count("open") == 2 and text
    )
    assert "invalid_json" in listed
    assert "invalid_encoding" in listed
    ids = [line.split()[0] for line in listed.splitlines()[1:] if "invalid_json" in line]
    shown = run("dead-letters", "show", ids[0], settings=settings)
    assert "{broken" in shown.stdout
    unreasoned = run("dead-letters", "requeue", ids[0], "--by", "olga", "--reason", " ", settings=settings)
    assert unreasoned.returncode == 2
    requeued = run(
        "dead-letters", "requeue", ids[0], "--by", "olga", "--reason", "fixed decoder", settings=settings
    )
    assert requeued.returncode == 0, requeued.stderr
    again = eventually(
        lambda: (
            (text := run("dead-letters", "list", settings=settings).stdout).count("invalid_json") == 2
            and text
        )
    )
    assert "requeued" in again
    assert (
        run(
            "dead-letters", "dismiss", ids[0], "--by", "olga", "--reason", "noise", settings=settings
        ).returncode
        == 0
    )
    refused = run("dead-letters", "requeue", ids[0], "--by", "olga", "--reason", "again", settings=settings)
    assert refused.returncode == 2
    assert "dismissed by olga" in refused.stderr
    # The decisions and the look are in the log, and projectors pass over them.
    assert count(settings, 1 + 3 + 1) == 1 + 3 + 1
    listed_projections = run("projections", "list", settings=settings)
    assert listed_projections.stdout.count("running") == 6 or listed_projections.stdout.count(" 0 ") >= 6


@pytest.mark.usefixtures("parts")
def test_every_broken_message_is_a_dead_letter_and_the_next_ones_go_on(settings: dict[str, str]) -> None:
    publisher = Publisher(
        ingest_settings(
            load(
                kafka_bootstrap_servers=(settings["kafka_bootstrap_servers"],),
                kafka_topics=(settings["kafka_topics"],),
            )
        )
    )
    broken = broken_messages()
    publisher.publish(Message(settings["kafka_topics"], row.key, row.value, row.headers) for row in broken)
    publisher.publish(
        [Message(settings["kafka_topics"], None, encode_event(next(iter(simulate(11, START, 1)))))]
    )
    publisher.close()
    assert count(settings, 2) == 2
    reasons = sorted(row.reason.value for row in broken if row.reason)

    def listed() -> list[str]:
        rows = run("dead-letters", "list", settings=settings).stdout.splitlines()[1:]
        return sorted(reason for row in rows for reason in Reason if reason.value in row.split())

    eventually(lambda: listed() == reasons, 20)
    assert listed() == reasons


def test_a_graceful_stop_exits_with_zero(parts: dict[str, WatchedProcess]) -> None:
    for process in parts.values():
        assert process.stop() == 0, process.log_tail()


def test_an_inconsistent_log_stops_ingest_with_exit_code_3(
    settings: dict[str, str], tmp_path: Path, migrated_url: str
) -> None:
    connection = psycopg2.connect(migrated_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE audit_trail.log_state SET root = sha256('altered')")
    connection.close()
    file = tmp_path / "event.json"
    file.write_bytes(encode_event(next(iter(simulate(12, START, 1)))))
    assert run("publish", file, settings=settings).returncode == 0
    stopped = run("ingest", settings=settings, timeout=90)
    assert stopped.returncode == 3
    assert "root hash" in stopped.stderr
    assert "Traceback" not in stopped.stderr


@pytest.mark.usefixtures("parts")
def test_ids_that_nobody_has_are_answered_with_nothing(settings: dict[str, str]) -> None:
    data = ask(settings, f'{{ event(id: "{uuid4()}") {{ type }} patient(id: "nobody") {{ events }} }}')
    assert data == {"event": None, "patient": None}
