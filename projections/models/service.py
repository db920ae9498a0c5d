"""Service activity: when each service was up, down or failing, how its API was used, and which events are missing.

An event belongs to the service that reports it. A state belongs to the resource of type ``Service`` when the event
names one (a monitor reports on others), else to the reporter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from domain.event import AuditEvent, Outcome, RecordedEvent
from projections.binary_rows import utc
from projections.intervals import interval_table, one_number
from projections.merges import MAX, MIN, SUM
from projections.tables import Column, Index, Kind, Row, Table

STATES = {
    "service.started": "up",
    "service.stopped": "down",
    "service.restarted": "up",
    "health_check.failed": "failing",
    "health_check.recovered": "up",
}

SUMMARY = Table(
    "service_summary",
    ("service",),
    (
        Column("events", Kind.BIGINT, SUM),
        Column("restarts", Kind.BIGINT, SUM),
        Column("health_failures", Kind.BIGINT, SUM),
        Column("first_at", Kind.TIMESTAMP, MIN),
        Column("last_at", Kind.TIMESTAMP, MAX),
        Column("service", Kind.TEXT),
    ),
)

STATE = Table(
    "service_state",
    ("service", "occurred_at", "position"),
    (
        Column("position", Kind.BIGINT),
        Column("occurred_at", Kind.TIMESTAMP),
        Column("service", Kind.TEXT),
        Column("state", Kind.TEXT),
        Column("instance", Kind.TEXT, nullable=True),
    ),
)
"""State transitions in the order of arrival. Queries derive the periods between them."""

API_USE = Table(
    "service_api_use",
    ("service", "hour", "method"),
    (
        Column("hour", Kind.TIMESTAMP),
        Column("calls", Kind.BIGINT, SUM),
        Column("failures", Kind.BIGINT, SUM),
        Column("duration_us", Kind.BIGINT, SUM),
        Column("service", Kind.TEXT),
        Column("method", Kind.TEXT),
    ),
)

INSTANCE = Table(
    "service_instance",
    ("service", "instance"),
    (
        Column("events", Kind.BIGINT, SUM),
        Column("highest", Kind.BIGINT, MAX),
        Column("first_at", Kind.TIMESTAMP, MIN),
        Column("last_at", Kind.TIMESTAMP, MAX),
        Column("last_day", Kind.INTEGER, MAX),
        Column("service", Kind.TEXT),
        Column("instance", Kind.TEXT),
    ),
    # By day, as in `patient_access`: the time itself would change with each event, and the index with it.
    (Index(("service", "last_day")),),
)
"""The instances that number their events: how many came, and the highest number."""

_AFTER_GAP = "NOT repeated AND first > 1"
"""Numbers begin at 1. So each run that begins later has a gap before it, and each gap a run after it."""

SEQUENCE = interval_table(
    "service_sequence",
    ("service", "instance"),
    (Index(("service", "position"), _AFTER_GAP), Index(("position",), _AFTER_GAP)),
)
"""The numbers of each instance's events. Both indexes hold the gaps alone."""

_LONGEST_MS = 86_400_000.0
"""A call counts for a day at most: 10^8 such calls in an hour still fit into a bigint of microseconds."""


class ServiceProjector:
    """Writes the services' summaries, state transitions, API use, and the numbers of their events."""

    name = "service"
    version = 2
    tables = (SUMMARY, STATE, API_USE, INSTANCE, SEQUENCE)

    def rows(self, events: Sequence[RecordedEvent]) -> Mapping[str, list[Row]]:
        """For each event: a count for its service, its state transition, its number, and the API call it reports."""
        seen: dict[str, list[datetime]] = {}
        summaries: list[Row] = []
        states: list[Row] = []
        calls: list[Row] = []
        numbered: list[RecordedEvent] = []
        for recorded in events:
            event = recorded.event
            moment = utc(event.occurred_at)
            reporter = event.source.service
            state = STATES.get(event.type)
            seen.setdefault(reporter, []).append(moment)
            if state:
                service = _subject(event)
                if service != reporter:
                    seen.setdefault(service, []).append(moment)
                instance = event.source.instance if service == reporter else None
                states.append((recorded.position, moment, service, state, instance))
                restarted, failed = event.type == "service.restarted", event.type == "health_check.failed"
                summaries.append((0, int(restarted), int(failed), moment, moment, service))
            if event.request is not None:
                calls.append(_call(event, moment))
            if event.source.sequence is not None:
                numbered.append(recorded)
        summaries.extend(
            (len(moments), 0, 0, min(moments), max(moments), service) for service, moments in seen.items()
        )
        return {
            "service_summary": summaries,
            "service_state": states,
            "service_api_use": calls,
        } | _of_numbers(numbered)


def _of_numbers(numbered: Sequence[RecordedEvent]) -> dict[str, list[Row]]:
    instances: list[Row] = []
    numbers: list[Row] = []
    for recorded in numbered:
        source, moment = recorded.event.source, utc(recorded.event.occurred_at)
        if source.sequence is not None and source.instance is not None:
            of = (source.service, source.instance)
            instances.append((1, source.sequence, moment, moment, moment.toordinal(), *of))
            numbers.append(one_number(source.sequence, recorded.position, *of))
    return {"service_instance": instances, "service_sequence": numbers}


def _subject(event: AuditEvent) -> str:
    return next((each.id for each in event.resources if each.type == "Service"), event.source.service)


def _call(event: AuditEvent, moment: datetime) -> Row:
    request = event.request
    assert request is not None
    failed = event.outcome is not Outcome.SUCCESS or (request.status or 0) >= 400
    hour = moment.replace(minute=0, second=0, microsecond=0)
    # Whole microseconds: sums of them are exact, and so the same in every order.
    duration = round(min(request.duration_ms or 0.0, _LONGEST_MS) * 1000)
    return (hour, 1, int(failed), duration, event.source.service, request.method or "")
