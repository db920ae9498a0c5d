"""Alerts in a real Alertmanager: what it shows, what is one alert there, and that labels name nobody."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from audit_trail.embedded.broker import LOOPBACK
from domain.errors import ConfigurationError, UnavailableError
from domain.event import AuditEvent
from forwarding.errors import RecordsRefusedError
from forwarding.probe import probe
from forwarding.receivers.alertmanager import AlertmanagerServer
from forwarding.records import Record
from forwarding.settings import Alertmanager
from tests.foreign_server import answer, foreign
from tests.forwarding.alertmanager import RunningAlertmanager, alertmanager
from tests.forwarding.alerts import RULE, an_alert
from tests.forwarding.records import a_record
from tests.forwarding.running import DECIDED, forwarding, made
from tests.trail import Trail, an_event

needs_alertmanager = pytest.mark.needs_program("prometheus-alertmanager")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningAlertmanager]:
    with alertmanager(tmp_path) as found:
        yield found


def record_of(event: AuditEvent) -> Record:
    record = a_record()
    return record._replace(recorded=replace(record.recorded, event=event))


def receiver(url: str, **fields: Any) -> AlertmanagerServer:
    return AlertmanagerServer(Alertmanager(url=url, **fields), "followers.a.alertmanager")


def send(to: AlertmanagerServer, *records: Record) -> None:
    to.send([to.encode(each) for each in records])


@needs_alertmanager
def test_an_alert_has_its_rule_and_level_as_labels_and_the_words_as_annotations(
    server: RunningAlertmanager,
) -> None:
    event = an_alert()
    to = receiver(server.url, dashboard_url="https://audit.example")
    for _ in range(2):
        send(to, record_of(event))
    [alert] = server.alerts
    assert alert["labels"] == {
        "alertname": "Mass access",
        "severity": "high",
        "rule_id": RULE,
        "event_id": str(event.event_id),
        "follower": "siem",
        "log": "audit-trail.test/log",
    }
    assert alert["annotations"]["summary"] == "Audit Trail, high: Mass access"
    assert "About: actor.id ada" in alert["annotations"]["description"]
    assert alert["generatorURL"] == f"https://audit.example/alerts/{event.event_id}"
    assert alert["status"]["state"] == "active"
    ends = datetime.fromisoformat(alert["endsAt"])
    assert ends - datetime.now(UTC) > timedelta(hours=23)


@needs_alertmanager
def test_labels_name_the_group_only_when_the_follower_says_so(server: RunningAlertmanager) -> None:
    group = [{"name": "actor.id", "value": "ada"}, {"name": "4 ä{}", "value": "x\ny" + "z" * 500}]
    send(receiver(server.url, group_labels=True), record_of(an_alert(attributes={"group": group})))
    [alert] = server.alerts
    assert alert["labels"]["group_actor_id"] == "ada"
    assert alert["labels"]["group_4____"].startswith("x yzz")
    assert len(alert["labels"]["group_4____"]) == 200


@needs_alertmanager
@pytest.mark.parametrize(
    "attributes",
    [
        {"rule": None, "level": 7, "group": "x", "positions": "y", "begins": "z", "events": -1},
        {"rule": "\u202e\n", "level": "urgent", "group": [1, {"name": 1}, {}], "positions": [True, "1"]},
        {"rule": "r" * 5000, "begins": "0001-01-01T00:00:00+14:00", "ends": "9999-12-31T23:59:59-14:00"},
    ],
)
def test_an_alert_that_somebody_else_wrote_arrives_too(
    server: RunningAlertmanager, attributes: dict[str, Any]
) -> None:
    send(receiver(server.url, group_labels=True), record_of(an_alert(attributes=attributes)))
    [alert] = server.alerts
    assert alert["labels"]["alertname"]
    assert len(alert["labels"]["alertname"]) <= 200


@needs_alertmanager
def test_other_events_and_tests_arrive_with_the_level_of_their_severity(server: RunningAlertmanager) -> None:
    send(receiver(server.url), record_of(an_event("integrity_check.failed")), probe("siem", "log.example"))
    by_name = {each["labels"]["alertname"]: each["labels"] for each in server.alerts}
    assert by_name["integrity_check.failed"]["severity"] == "critical"
    assert [each.get("test") for each in by_name.values()].count("true") == 1


@needs_alertmanager
def test_a_follower_delivers_alerts_and_goes_on_when_alertmanager_is_back(
    new_trail: Trail, tmp_path: Path
) -> None:
    malformed = an_alert(attributes={"level": [{"a": 1}]})
    new_trail.append(an_alert("high"), an_event(), an_alert("low"), malformed, an_alert("critical"))
    with alertmanager(tmp_path) as server:
        text = (
            f'[followers.a]\n{DECIDED}start = "beginning"\nroles = ["security_officer"]\n'
            'filter = { type = "alert.raised" }\nleast_level = "medium"\n'
            f'[followers.a.alertmanager]\nurl = "{server.url}"\n'
        )
        with forwarding(new_trail.url, made(tmp_path, text)) as running:
            running.arrives("a", 4)
        found = sorted(each["labels"]["severity"] for each in server.alerts)
        assert found == ["critical", "high", "medium"]


def test_what_it_refuses_and_what_is_away() -> None:
    for status, error in ((400, RecordsRefusedError), (500, UnavailableError)):
        with foreign(lambda _, status=status: iter([answer(status)])) as server:  # type: ignore[misc]
            with pytest.raises(error):
                send(receiver(f"http://{LOOPBACK}:{server.port}/prefix"), record_of(an_alert()))
            assert server.requests[0].startswith(b"POST /prefix/api/v2/alerts HTTP/1.1")


def test_the_address_of_the_dashboard_is_checked() -> None:
    with pytest.raises(ConfigurationError, match=r"followers\.a\.alertmanager\.dashboard_url"):
        receiver("http://127.0.0.1:9", dashboard_url="javascript:alert(1)")
