"""Prometheus Alertmanager's webhook, version 4: one event for each alert that fires, and one for its end.

Source: Alertmanager's configuration, `webhook_config`; `template.Data` and `notify/webhook` of its code. A notification
repeats all alerts of its group. An alert is identified by its fingerprint, the hash of its labels, and `startsAt`.
Annotations are not kept: their texts can change between two notifications of one alert, and the generator's URL and the
address of Alertmanager differ between the members of a cluster.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from domain.errors import InvalidEventError, Reason
from domain.event import Outcome
from interop.monitoring.readings import (
    FAILED,
    RECOVERED,
    Ignored,
    Json,
    Reading,
    event_id,
    labels,
    mapping,
    moment,
    monitoring_event,
    read_each,
    required,
    text,
)

SERVICE_LABELS = ("service", "app_kubernetes_io_name", "app", "job", "alertname")
"""The labels that can name the service, the first one that is there counts."""
_OUTCOMES = {"critical": Outcome.SERIOUS_FAILURE, "page": Outcome.SERIOUS_FAILURE}
"""By the label `severity`; any other is a minor failure."""


def read_alerts(payload: Any, source: str, received_at: datetime) -> list[Reading]:
    """A reading for each alert of a notification. Raises `InvalidEventError` for what is no notification."""
    del received_at
    if not isinstance(payload, dict) or not isinstance(payload.get("alerts"), list):
        raise InvalidEventError(
            Reason.UNKNOWN_FORMAT,
            "send Alertmanager's webhook, without a `payload` of your own",
            field="alerts",
        )
    if payload.get("version") != "4":
        raise InvalidEventError(Reason.UNSUPPORTED_VERSION, "send version 4", field="version")
    return read_each(payload["alerts"], lambda alert: _read(alert, source), "alerts")


def _read(alert: Json, source: str) -> Reading:
    status, fingerprint = required(alert, "status"), required(alert, "fingerprint")
    given = mapping(alert, "labels")
    began = required(alert, "startsAt")
    outage = event_id(source, fingerprint, began, "firing")
    about = {"alert": text(given, "alertname"), "fingerprint": fingerprint, "labels": labels(given)}
    service = next((found for name in SERVICE_LABELS if (found := text(given, name))), None)
    if status == "firing":
        return monitoring_event(
            FAILED,
            outage,
            moment(alert, "startsAt"),
            source,
            service=service,
            outcome=_OUTCOMES.get(text(given, "severity"), Outcome.MINOR_FAILURE),
            why=text(given, "alertname") or None,
            correlation_id=str(outage),
            attributes=about,
        )
    if status != "resolved":
        return Ignored("the alert neither fires nor is it resolved")
    begin, end = moment(alert, "startsAt"), moment(alert, "endsAt")
    return monitoring_event(
        RECOVERED,
        event_id(source, fingerprint, began, "resolved", required(alert, "endsAt")),
        end,
        source,
        service=service,
        correlation_id=str(outage),
        attributes=about
        | {
            "first_failure_at": begin.isoformat(),
            "outage_seconds": max(0.0, round((end - begin).total_seconds(), 3)),
        },
    )
