"""The patients accessed most: on the overview of those who may count by patient, and on record as disclosed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from audit_trail.embedded.broker import Broker
from domain.event import Actor, AuditEvent, Patient, Source
from tests.databases import PROJECTED, Databases
from tests.hospital import record
from tests.web.dashboard.people import FROM_PAGE, Browser, dashboard
from tests.web.read_audit.recorded_server import OnRecord, make_topic, patients

HEADING = "Patients accessed most"
PERSON = "Max Muster"


def now(type: str, *ids: str) -> AuditEvent:
    """An event of this moment that names patients."""
    return AuditEvent(
        event_id=uuid4(),
        type=type,
        occurred_at=datetime.now(UTC),
        source=Source(service="patient-service"),
        actor=Actor(id="ada"),
        patients=tuple(Patient(id=each) for each in ids),
    )


@pytest.fixture(scope="module")
def served(
    databases: Databases, broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OnRecord]:
    """One dashboard for the whole file."""
    make_topic(broker.bootstrap_servers, "top-patients")
    events = [
        *(now("record.read", "p-often", "p-seldom") for _ in range(2)),
        now("record.updated", "p-often"),
        now("record.read", PERSON),
        now("access.denied", "p-denied"),
    ]
    with databases.copy(PROJECTED) as url:
        record(url, events)
        folder = tmp_path_factory.mktemp("issuer")
        with dashboard(url, broker.bootstrap_servers, "top-patients", folder) as served:
            yield served


def section(text: str) -> str:
    """The HTML from the heading to the end of its table."""
    return text.partition(f"<h2>{HEADING}")[2].partition("</table>")[0]


def test_the_overview_has_the_patients_whose_data_was_accessed_most(served: OnRecord) -> None:
    with Browser(served) as browser:
        found = section(browser.sign_in("auditor").text)
    assert found.index("p-often</a>") < found.index("p-seldom</a>")
    assert "patient=p-often" in found
    assert "p-denied" not in found  # a denied attempt is no access
    looked = served.events(1)[-1]
    assert {"p-often", "p-seldom", PERSON} <= set(patients(looked))


@pytest.mark.parametrize(
    ("persona", "sees"),
    [
        ("auditor", True),
        ("privacy-officer", True),
        ("security-officer", True),
        ("analyst", True),
        ("patient-17", False),
    ],
)
def test_who_may_not_count_by_patient_has_no_such_list(served: OnRecord, persona: str, sees: bool) -> None:
    with Browser(served) as browser:
        text = browser.sign_in(persona).text
        assert (HEADING in text) is sees
        assert (PERSON in text) is (persona in {"auditor", "privacy-officer"})
        live = browser.get("/?part=live", headers={"X-Refresh": "1", **FROM_PAGE})
        assert live.status_code == 200
        assert HEADING not in live.text  # what is not recorded names nobody
