"""Alertmanager of Prometheus, over version 2 of its API. Alerts with the same labels are one alert there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from event_store.outgoing_http import parse_target
from forwarding.alerts import alert_facts, level_of
from forwarding.receivers.http import HttpReceiver, authorization
from forwarding.records import Encoded, Record
from forwarding.settings import Alertmanager
from forwarding.words import one_line, page_link, subject, text

_MOST_LABEL = 200
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_]")


class AlertmanagerServer(HttpReceiver):
    """An Alertmanager. Each event is one alert; sent again, it has the same labels."""

    def __init__(self, settings: Alertmanager, field: str) -> None:
        """Raises `ConfigurationError`."""
        super().__init__(settings, field, "alertmanager")
        if settings.dashboard_url is not None:
            parse_target(settings.dashboard_url, f"{field}.dashboard_url")
        self._settings = settings
        self._alerts = self.target.under("api/v2/alerts")
        self._headers = {"Content-Type": "application/json"} | authorization(
            settings.authorization_file, field
        )

    def encode(self, record: Record) -> Encoded:
        """A `postableAlert`, as JSON."""
        return Encoded(record.leaf.position, msgspec.json.encode(self._alert(record)))

    def send(self, records: Sequence[Encoded]) -> str:
        """POST the alerts."""
        body = b"[" + b",".join(each.data for each in records) + b"]"
        answer = self.post(self._alerts, body, self._headers)
        self.require_success(answer)
        return f"it answered {answer.status}"

    def _alert(self, record: Record) -> dict[str, object]:
        url = self._settings.dashboard_url
        now = datetime.now(UTC)
        link = page_link(record, url)
        found: dict[str, object] = {
            "labels": self._labels(record),
            "annotations": {"summary": subject(record), "description": text(record, url)},
            "startsAt": min(record.recorded.recorded_at, now),
            "endsAt": now + timedelta(seconds=self._settings.active_seconds),
        }
        return found if link is None else found | {"generatorURL": link}

    def _labels(self, record: Record) -> dict[str, str]:
        """`event_id` keeps alerts apart that are about different persons, without naming them."""
        event = record.recorded.event
        facts = alert_facts(event)
        labels = {
            "alertname": event.type if facts is None else facts.rule,
            "severity": level_of(event),
            "event_id": str(event.event_id),
            "follower": record.follower,
            "log": record.leaf.origin,
        }
        if record.test:
            labels["test"] = "true"
        if facts is not None:
            labels["rule_id"] = facts.rule_id or ""
            if self._settings.group_labels:
                labels |= {
                    f"group_{_NOT_IN_NAMES.sub('_', name)[:100]}": value for name, value in facts.group
                }
        shown = {name: one_line(value, _MOST_LABEL) for name, value in labels.items()}
        return {"alertname": event.type} | {name: value for name, value in shown.items() if value}
