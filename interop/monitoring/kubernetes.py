"""Kubernetes events, as kubernetes-event-exporter and eventrouter post them: core/v1 and events.k8s.io/v1.

Source: `core/v1/types.go` and `events/v1/types.go` of the Kubernetes API; `kube.EnhancedEvent` of the exporter;
`sinks.EventData` of eventrouter, which wraps the event. An event is identified by its uid and its resource version,
which changes when the same happens again.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, NamedTuple

from domain.catalogue import GENERIC_TYPE
from domain.errors import InvalidEventError, Reason
from domain.event import Coding, Outcome, Resource
from interop import truncation
from interop.monitoring.readings import (
    FAILED,
    RECOVERED,
    Json,
    Reading,
    event_id,
    mapping,
    monitoring_event,
    read_each,
    required,
    text,
)

REASONS = "https://kubernetes.io/event-reason"
"""The code system of reasons such as `BackOff`."""

TYPES = {
    "Started": "service.started",
    "Killing": "service.stopped",
    "Preempting": "service.stopped",
    "Evicted": "service.stopped",
    "Unhealthy": FAILED,
    "ProbeError": FAILED,
    "BackOff": FAILED,
    "Failed": FAILED,
    "FailedCreatePodSandBox": FAILED,
    "FailedMount": FAILED,
    "FailedScheduling": FAILED,
    "FailedCreate": FAILED,
    "BackoffLimitExceeded": FAILED,
    "NodeNotReady": FAILED,
    "OOMKilling": FAILED,
    "SystemOOM": FAILED,
    "NodeReady": RECOVERED,
    "Rebooted": "service.restarted",
    "Starting": "service.started",
    "Shutdown": "service.stopped",
    "ScalingReplicaSet": "configuration.changed",
    "SuccessfulRescale": "configuration.changed",
}
"""The type of the event by the reason of Kubernetes. Any other reason is an ``event.unclassified`` with its code."""
_SERIOUS = {"BackOff", "NodeNotReady", "OOMKilling", "SystemOOM", "BackoffLimitExceeded"}
_SAFE = "[bcdfghjklmnpqrstvwxz2456789]"
"""The characters of generated suffixes of names: without vowels, so that no word looks like one."""
_GENERATED = re.compile(rf"(?P<name>.+?)(?:-{_SAFE}{{8,10}})?-{_SAFE}{{5}}|(?P<set>.+)-[0-9]{{1,5}}")
_TIMES = (
    "lastTimestamp",
    "deprecatedLastTimestamp",
    "eventTime",
    "firstTimestamp",
    "deprecatedFirstTimestamp",
)


class _Object(NamedTuple):
    kind: str
    namespace: str
    name: str

    @property
    def path(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def read_events(payload: Any, source: str, received_at: datetime) -> list[Reading]:
    """A reading for each event: of one, of a list, or of those that eventrouter wraps. Raises `InvalidEventError`."""
    del received_at
    if isinstance(payload, dict) and isinstance(payload.get("items"), list):
        payload = payload["items"]
    items = payload if isinstance(payload, list) else [payload]
    return read_each(items, lambda each: _read(_unwrapped(each), source), "events")


def _unwrapped(item: Json) -> Json:
    """The event in what eventrouter sends: the verb, the event, and the event before."""
    return mapping(item, "event") if "verb" in item and "event" in item else item


def _read(event: Json, source: str) -> Reading:
    about = _object(event)
    metadata = mapping(event, "metadata")
    uid, reason = required(metadata, "uid"), required(event, "reason")
    type = TYPES.get(reason, GENERIC_TYPE)
    warning = text(event, "type") == "Warning"
    failed = type == FAILED or (type == GENERIC_TYPE and warning)
    outcome = Outcome.SUCCESS if not failed else Outcome.MINOR_FAILURE
    if type == FAILED and reason in _SERIOUS:
        outcome = Outcome.SERIOUS_FAILURE
    message = text(event, "message") or text(event, "note")
    reporter = mapping(event, "source") or mapping(event, "deprecatedSource")
    component = (
        text(event, "reportingComponent") or text(event, "reportingController") or text(reporter, "component")
    )
    # The generic type tells no state, so it is about the object alone.
    return monitoring_event(
        type,
        event_id(source, uid, text(metadata, "resourceVersion") or str(_count(event))),
        _moment(event, metadata),
        source,
        service=None if type == GENERIC_TYPE else workload(about.kind, about.path),
        outcome=outcome,
        why=message if failed else None,
        site=text(event, "clusterName") or None,
        instance=text(event, "reportingInstance") or text(reporter, "host") or None,
        resources=_resources(about),
        codes=(Coding(system=REASONS, code=truncation.name(reason)),),
        attributes={
            "reason": truncation.name(reason),
            "message": None if failed else truncation.name(message),
            "severity": truncation.name(text(event, "type")),
            "count": _count(event),
            "component": truncation.name(component),
            "field_path": truncation.name(text(_reference(event), "fieldPath")),
        },
    )


def _reference(event: Json) -> Json:
    return mapping(event, "involvedObject") or mapping(event, "regarding")


def _object(event: Json) -> _Object:
    found = _reference(event)
    if not found:
        raise InvalidEventError(
            Reason.UNKNOWN_FORMAT,
            "send an event of Kubernetes, without a `layout` of your own",
            field="involvedObject",
        )
    return _Object(text(found, "kind") or "Object", text(found, "namespace"), required(found, "name"))


def _resources(about: _Object) -> tuple[Resource, ...]:
    kind, id = truncation.identifier(about.kind), truncation.identifier(about.path)
    return (Resource(type=kind, id=id),) if kind and id else ()


def workload(kind: str, path: str) -> str:
    """What an object belongs to: the name of a pod without the parts that its controller generated.

    So the pods of one deployment are one service: ``clinic/vitals-7d9f8b6c5d-x2x4z`` is ``clinic/vitals``.
    """
    if kind not in {"Pod", "Job", "ReplicaSet"}:
        return path
    match = (
        _GENERATED.fullmatch(path) if kind == "Pod" else re.fullmatch(rf"(?P<name>.+)-{_SAFE}{{5,10}}", path)
    )
    return path if match is None else match["name"] or match["set"]


def _count(event: Json) -> int:
    """How often it has happened so far."""
    given = (mapping(event, "series").get("count"), event.get("count"), event.get("deprecatedCount"))
    return next(
        (each for each in given if isinstance(each, int) and not isinstance(each, bool) and each > 0), 1
    )


def _moment(event: Json, metadata: Json) -> datetime:
    """When it happened last. Times of Kubernetes are RFC 3339, and null when they are not set."""
    given = (
        text(mapping(event, "series"), "lastObservedTime"),
        *(text(event, name) for name in _TIMES),
        text(metadata, "creationTimestamp"),
    )
    found = next((moment for each in given if each and (moment := truncation.timestamp(each))), None)
    if found is None:
        raise InvalidEventError(Reason.MISSING_FIELD, "the event has no time", field="lastTimestamp")
    return found
