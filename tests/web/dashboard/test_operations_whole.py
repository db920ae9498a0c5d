"""Operators ask on a page, and `project` and `ingest`, as processes of their own, do it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import psutil
import psycopg2
import pytest

from audit_trail.embedded.broker import Broker
from audit_trail.embedded.process import WatchedProcess
from domain.errors import Reason
from event_store.database import INGEST, PROJECTOR, Database
from event_store.dead_letters import NewDeadLetter, insert_dead_letters
from ingest.publisher import Message, Publisher
from ingest.settings import IngestSettings
from projections.builds.advisory_lock import advisory_lock
from tests.audit_trail.programs import eventually, running
from tests.databases import PROJECTED, Databases
from tests.hospital import hospital, record
from tests.web.dashboard.people import FROM_PAGE, Browser, dashboard
from tests.web.read_audit.recorded_server import OnRecord, make_topic

TOPIC = "operations"
SECRET = "Patty-Never-To-Be-Told"
PATIENT = {"id": "17", "name": SECRET}


class Hospital(NamedTuple):
    """A trail with its parts."""

    url: str
    broker: Broker
    served: OnRecord
    parts: dict[str, WatchedProcess]

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall()

    def publish(self, value: bytes) -> int:
        """Publish a message that is refused. Returns the id of its dead letter."""
        [(before,)] = self.rows("SELECT coalesce(max(id), 0) FROM audit_trail.dead_letter")
        settings = IngestSettings(bootstrap_servers=(self.broker.bootstrap_servers,))
        with closing(Publisher(settings)) as publisher:
            publisher.publish([Message(TOPIC, b"17", value, [("trace", SECRET.encode())])])
        [(id,)] = eventually(
            lambda: self.rows(
                "SELECT id FROM audit_trail.dead_letter WHERE id > %s AND topic = %s", before, TOPIC
            )
        )
        return int(id)

    def events(self, type: str, target: str) -> list[dict[str, Any]]:
        """The events of a type in the log that are about this resource first."""
        bodies = self.rows("SELECT body FROM audit_trail.event WHERE type = %s ORDER BY position", type)
        found = [json.loads(bytes(body)) for (body,) in bodies]
        return [each for each in found if each["resources"][0]["id"] == target]


@pytest.fixture(scope="module")
def stack(
    databases: Databases, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hospital]:
    make_topic(broker.bootstrap_servers, TOPIC)
    folder = tmp_path_factory.mktemp("operations")
    with databases.copy(PROJECTED) as url:
        record(url, hospital())
        settings = {
            "database_url": url,
            "kafka_bootstrap_servers": broker.bootstrap_servers,
            "kafka_topics": TOPIC,
            "kafka_assignment": "static",
        }
        with (
            dashboard(url, broker.bootstrap_servers, TOPIC, folder) as served,
            running(folder, "ingest", "project", settings=settings) as parts,
        ):
            yield Hospital(url, broker, served, parts)


@pytest.fixture
def operator(stack: Hospital) -> Iterator[Browser]:
    with Browser(stack.served) as browser:
        browser.sign_in("operator", "/operations")
        yield browser


def ask(browser: Browser, path: str, **form: str) -> httpx2.Response:
    return browser.post(path, data=form, headers=FROM_PAGE)


def ended(browser: Browser, page: httpx2.Response) -> str:
    """The page of a request once it has ended."""
    assert page.status_code == 200, page.text
    path = urlsplit(str(page.url)).path
    return str(eventually(lambda: (text := browser.get(path).text) and "<dt>Ended</dt>" in text and text))


def broken(type: str = "record.raed") -> bytes:
    event = {
        "event_id": str(uuid4()),
        "type": type,
        "occurred_at": "2026-03-01T08:15:30Z",
        "source": {"service": "patient-service"},
        "actor": {"id": "ada"},
        "patients": [PATIENT],
        "resources": [{"type": "Observation", "id": "o-1"}],
    }
    return json.dumps(event).encode()


def test_a_rebuild_that_was_asked_for_ends_and_is_an_event_of_the_person(
    stack: Hospital, operator: Browser
) -> None:
    page = ask(operator, "/operations/rebuild", projection="user", reason="the index looks wrong")
    assert "Rebuild of projection user" in page.text
    text = ended(operator, page)
    assert "is live at position" in text, text
    assert "the index looks wrong" in operator.get("/operations").text
    [completed] = eventually(lambda: stack.events("operation.completed", "user"))
    [requested] = stack.events("operation.requested", "user")
    [rebuilt] = stack.events("projection.rebuilt", "user")
    for event in (requested, completed, rebuilt):
        assert event["actor"]["id"] == "operator"
        assert event["actor"]["roles"] == ["operator"]
        assert event["reason"] == "the index looks wrong"
    assert completed["attributes"]["carried_out_by"] == "project"
    assert "is live at position" in completed["attributes"]["result"]


def test_requeue_after_its_cause_is_mended_makes_the_event_appear(stack: Hospital, operator: Browser) -> None:
    """The dead letter of an older program, which did not know the type of the event."""
    value = broken("record.read")
    letter = NewDeadLetter(
        uuid4(), TOPIC, 0, 7, None, b"17", value, [], Reason.UNKNOWN_TYPE, "type", "no such type"
    )
    with (
        closing(Database(stack.url, INGEST)) as database,
        database.transaction() as connection,
        connection.cursor() as cursor,
    ):
        insert_dead_letters(cursor, [letter])
        cursor.execute("SELECT max(id) FROM audit_trail.dead_letter")
        [id] = cursor.fetchone() or ()
    page = ask(operator, f"/operations/dead-letters/{id}", decision="requeue", reason="upgraded")
    text = ended(operator, page)
    assert "it was published again to topic operations" in text
    found = eventually(
        lambda: "Ingest accepted it" in (text := operator.get(f"/operations/dead-letters/{id}").text) and text
    )
    assert "Requeued by operator" in found
    assert "upgraded" in found
    [event] = stack.rows(
        "SELECT position FROM audit_trail.event_identity WHERE event_id = %s", json.loads(value)["event_id"]
    )
    assert f"the event at position {event[0]}" in found.replace("\u202f", "")
    [completed] = eventually(lambda: stack.events("operation.completed", str(id)))
    assert (completed["actor"]["id"], completed["attributes"]["operation"]) == ("operator", "requeue")


def test_a_requeue_whose_cause_is_not_mended_leads_to_the_new_dead_letter(
    stack: Hospital, operator: Browser
) -> None:
    id = stack.publish(broken())
    ended(
        operator, ask(operator, f"/operations/dead-letters/{id}", decision="requeue", reason="just try again")
    )
    assert eventually(lambda: "It was rejected again" in operator.get(f"/operations/dead-letters/{id}").text)


def test_a_dismissal_keeps_the_dead_letter_with_its_decision(stack: Hospital, operator: Browser) -> None:
    id = stack.publish(broken())
    path = f"/operations/dead-letters/{id}"
    assert "it was dismissed" in ended(
        operator, ask(operator, path, decision="dismiss", reason="a misspelt type")
    )
    text = operator.get(path).text
    assert "Dismissed by operator" in text
    assert "a misspelt type" in text
    assert "<h2>Decide</h2>" not in text
    assert stack.rows("SELECT count(*) FROM audit_trail.dead_letter WHERE id = %s", id) == [(1,)]
    again = ended(operator, ask(operator, path, decision="requeue", reason="or perhaps not"))
    assert "was dismissed by operator; it can&#39;t be requeued" in again
    assert 'class="mark bad">failed' in again
    failed = eventually(lambda: stack.events("operation.completed", str(id))[1:])
    assert failed[0]["outcome"] == "serious_failure"


def test_an_operator_sees_no_value_of_a_message_and_an_auditor_sees_all(
    stack: Hospital, operator: Browser
) -> None:
    value = broken()
    id = stack.publish(value)
    path = f"/operations/dead-letters/{id}"
    text = operator.get(path).text
    assert SECRET not in text
    assert "patients[0].name: text of 22 characters" in text
    assert operator.get(f"{path}/message").status_code == 403
    assert SECRET not in operator.get("/operations/dead-letters?reason=unknown_type").text
    with Browser(stack.served) as auditor:
        text = auditor.sign_in("auditor", path).text
        assert SECRET in text
        assert "<h3>Header trace</h3>" in text
        answer = auditor.get(f"{path}/message")
        assert answer.content == value
        assert answer.headers["content-disposition"] == f'attachment; filename="dead-letter-{id}.bin"'
    [look] = eventually(lambda: stack.events("audit_log.read", f"{path}/message"))
    assert [patient["id"] for patient in look["patients"]] == ["17"]


@pytest.mark.parametrize("persona", ["auditor", "analyst", "service-owner", "patient-1007"])
def test_a_wrong_role_is_refused_and_that_is_recorded(stack: Hospital, persona: str) -> None:
    with Browser(stack.served) as browser:
        browser.sign_in(persona)
        refused = ask(browser, "/operations/rebuild", projection="device", reason="because")
        assert refused.status_code == 403
        assert "rebuild needs one of the roles admin, operator" in refused.text
        assert ask(browser, "/operations/dead-letters/1", decision="dismiss", reason="no").status_code == 403
    assert stack.rows(
        "SELECT count(*) FROM audit_trail.operation_request WHERE requester_id = %s", persona
    ) == [(0,)]

    def denied(path: str) -> bool:
        return any(each["actor"]["id"] == persona for each in stack.events("access.denied", path))

    assert eventually(lambda: denied("/operations/rebuild") and denied("/operations/dead-letters/1"))


@pytest.mark.parametrize(
    ("path", "form", "said"),
    [
        ("rebuild", {"projection": "nobody", "reason": "x"}, "There is no built-in projection of this name"),
        ("rebuild", {"projection": "user"}, "say why"),
        ("rebuild", {"projection": "user", "reason": "x" * 1001}, "at most 1000 characters"),
        ("rebuild", {"projection": "user", "reason": "a\x00b"}, "at most 1000 characters"),
        ("dead-letters/999999", {"decision": "dismiss", "reason": "x"}, "There is no such dead letter"),
        ("dead-letters/1", {"decision": "forget", "reason": "x"}, "requeue or dismiss"),
    ],
)
def test_what_can_not_be_done_is_said_at_once(
    operator: Browser, path: str, form: dict[str, str], said: str
) -> None:
    answer = ask(operator, f"/operations/{path}", **form)
    assert answer.status_code in {400, 409}
    assert said in answer.text


def test_a_request_from_another_site_is_refused(operator: Browser) -> None:
    form = {"projection": "user", "reason": "forged"}
    answer = operator.post("/operations/rebuild", data=form, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert "forged" not in operator.get("/operations").text


@pytest.mark.thorough
def test_a_killed_project_is_followed_by_the_next_one(stack: Hospital, operator: Browser) -> None:
    """It is killed while it waits for another rebuild of the same projection, and does not say "running" for ever."""
    project = stack.parts["project"]
    with closing(Database(stack.url, PROJECTOR)) as database:
        with advisory_lock(database, ["device"], "a test"):
            page = ask(operator, "/operations/rebuild", projection="device", reason="killed in the middle")
            path = urlsplit(str(page.url)).path
            assert eventually(lambda: "waits: projection device is locked" in operator.get(path).text)
            child = psutil.Process(project.pid).children(recursive=True)
            assert child
            os.kill(project.pid, signal.SIGKILL)
            project.wait(30)
            assert eventually(lambda: not any(each.is_running() for each in child))
            second = ask(operator, "/operations/rebuild", projection="device", reason="twice")
            assert second.status_code == 409
            assert "about the same is still open" in second.text
        with closing(psycopg2.connect(stack.url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(
                "UPDATE audit_trail.operation_worker SET seen_at = seen_at - interval '1 hour' WHERE part = 'project'"
            )
        assert "waits for `project`; it was last seen 1 hour ago" in operator.get(path).text
        project.start()
        text = ended(operator, page)
    assert "is live at position" in text
    assert "<dt>Attempts</dt><dd>2</dd>" in text
    [requested] = stack.events("operation.requested", "device")  # published by three, recorded once
    assert requested["reason"] == "killed in the middle"
