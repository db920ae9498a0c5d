"""Rules, events and the rows of alerts for the tests of live detection."""

from __future__ import annotations

from typing import Any

from detection.live.projector import DetectionProjector
from detection.live.rule_sets import activation_event, store_activation
from domain.event import AuditEvent
from projections.runner import Runner
from tests.trail import Trail, an_event

TABLES = ("alert", "alert_extent", "active_rule")
READS = """
title: Reads of many patients
id: 6a3b1a52-0f2f-4e0e-8ff5-6c2f5a1f7c12
correlation:
    type: value_count
    rules: [patient_read]
    group-by: [actor.id]
    timespan: 10m
    condition: {field: patients.id, gte: 3}
---
title: Patient read
id: 6a3b1a52-0f2f-4e0e-8ff5-6c2f5a1f7c13
name: patient_read
logsource: {product: audit_trail}
detection: {read: {type: record.read, patients.id|exists: true}, condition: read}
"""
DELETION = """
title: A record was deleted
id: 6a3b1a52-0f2f-4e0e-8ff5-6c2f5a1f7c14
logsource: {product: audit_trail}
detection: {deleted: {type: record.deleted}, condition: deleted}
level: high
"""


def activate(trail: Trail, *texts: str) -> AuditEvent:
    """These rules count from the end of the log on."""
    documents = [(f"rule_{index}.yaml", text) for index, text in enumerate(texts)]
    event = activation_event(store_activation(trail.projector, documents, {}))
    trail.append(event)
    return event


def read_by(actor: str, patient: str, **fields: Any) -> AuditEvent:
    resources = [{"type": "Observation", "id": "o-1"}]
    return an_event(actor={"id": actor}, patients=[{"id": patient}], resources=resources, **fields)


def deletion(actor: str = "eve") -> AuditEvent:
    return an_event("record.deleted", actor={"id": actor}, resources=[{"type": "Patient", "id": "p-1"}])


def stored(trail: Trail) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of the live build."""
    with trail.reader.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT schema_name FROM audit_trail.projection WHERE name = 'detection' AND live")
        [(schema,)] = cursor.fetchall()
        found = {}
        for table in TABLES:
            cursor.execute(f"SELECT * FROM {schema}.{table} ORDER BY 1, 2, 3, 4")
            found[table] = cursor.fetchall()
    return found


def detect(trail: Trail, batch: int = 2000) -> None:
    """Evaluate what the log has. Each call is a process of its own: the state of the last one is gone."""
    Runner(trail.projector, [DetectionProjector()], batch=batch).catch_up()
