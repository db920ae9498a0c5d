"""What somebody may see is asked again and again, for as long as they look."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

from domain.access.principal import Principal, Role
from domain.access.staff_disclosure import Decision, decision_event
from domain.catalogue import TRAIL_SERVICE
from domain.event import AuditEvent, Source
from tests.hospital import at, read, record
from tests.tokens import bearer
from tests.web.graphql.subscribers import Served, received

PATIENT = bearer("patient", subject="p17", patient="17")
STAFF = "subscription { eventRecorded(after: -1) { type actor { id name } } }"


def decided(decision: Decision, patient: str = "17") -> AuditEvent:
    by = Principal(id="privacy", roles=frozenset({Role.PRIVACY_OFFICER}))
    return decision_event(
        patient, decision, by=by, reason="asked", at=at(0), source=Source(service=TRAIL_SERVICE)
    )


def actor_of(message: dict[str, Any]) -> Any:
    return message["payload"]["data"]["eventRecorded"]["actor"]


def test_a_subscriber_sees_no_more_of_staff_once_a_decision_has_ended(
    projected_url: str, stack: ExitStack
) -> None:
    served = Served(projected_url, stack)
    ends = datetime.now(UTC) + timedelta(seconds=6)
    record(projected_url, [decided(Decision(names=True, until=ends)), read(1)])
    with served.open(headers=PATIENT) as socket:
        socket.send('{"type": "connection_init"}')
        received(socket)
        socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": STAFF}}))
        assert [actor_of(received(socket))["id"] for _ in range(2)] == ["privacy", "ada"]
        time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds()) + 0.1)
        record(projected_url, [read(2)])
        assert actor_of(received(socket)) == {"id": None, "name": None}
