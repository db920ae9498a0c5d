"""The subscription to alerts, on a real uvicorn, and the access records of detection."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from tests.detection.live.logs import DELETION, READS, activate, deletion, detect, read_by
from tests.tokens import bearer
from tests.trail import Trail
from tests.web.graphql.subscribers import Served, received, subscribe

ALERTS = """subscription ($level: Level, $after: String) {
  alertRaised(level: $level, after: $after) { cursor node { actor level title } }
}"""


def next_alert(socket: Any) -> dict[str, Any]:
    message = received(socket)
    assert message["type"] == "next", message
    assert "errors" not in message["payload"], message
    found: dict[str, Any] = message["payload"]["data"]["alertRaised"]
    return found


def test_alerts_are_told_once_the_projection_has_them(trail: Trail, stack: ExitStack) -> None:
    activate(trail, READS, DELETION)
    trail.append(deletion("early"))
    detect(trail)
    served = Served(trail.url, stack)
    with served.socket() as socket:
        subscribe(socket, ALERTS)
        subscribe(socket, ALERTS, id="2", level="HIGH")
        assert served.subscribers(2)
        trail.append(*(read_by("ada", f"p-{n}") for n in range(3)))
        detect(trail)
        told = next_alert(socket)
        assert (told["node"]["actor"], told["node"]["level"]) == ("ada", "MEDIUM")
        trail.append(deletion("eve"))
        detect(trail)
        both = [next_alert(socket), next_alert(socket)]
        assert [each["node"]["actor"] for each in both] == ["eve", "eve"]
        subscribe(socket, ALERTS, id="3", after=told["cursor"])
        assert next_alert(socket) == both[0]


def test_who_may_not_read_cases_may_not_follow_alerts(trail: Trail, stack: ExitStack) -> None:
    served = Served(trail.url, stack)
    with served.open(headers=bearer("clinician")) as socket:
        socket.send('{"type": "connection_init"}')
        assert received(socket) == {"type": "connection_ack"}
        subscribe(socket, ALERTS)
        message = received(socket)
        assert "FORBIDDEN" in str(message), message
