"""`POST /v1/intake/...`: what monitoring tools send to their webhooks, as events of the trail.

The same rights and limits as for `POST /v1/events` hold. What Kafka gets is the mapped event; the message of the tool
itself is not kept.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, NamedTuple

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from domain.access.scope import Scope
from domain.errors import AccessDeniedError, AuditTrailError, Reason, RejectedError
from domain.event import AuditEvent
from domain.json_parsing import read_json
from domain.read_audit.query_log import QueryLog
from domain.validation import encode_event
from ingest.publisher import Message
from interop.monitoring import alertmanager, eventrouter, gatus, kubernetes, uptime_kuma
from interop.monitoring.readings import FAILED, RECOVERED, Ignored, Reader, Reading
from queries.filters.event_filter import EventFilter, PageRequest
from queries.read_models import ReadModels
from queries.search.prepared import prepare
from web.http.problems import problem
from web.openapi.bodies import answer, problems
from web.parameters.filter_query import refuse_repeated
from web.rest.publishing import Item, Publishing, UnreadableError, deny, key_of, rejected
from web.settings import WebSettings

INTAKE = "/v1/intake/"
_MAX_REMEMBERED = 10_000
"""Services whose last published event one process remembers."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a notification: `events` has one entry for each alert, event or check in it, in their order.

    `ignored` are those that are no event, such as a test, or one that is known already; `message` says why.
    """

    accepted: int
    ignored: int
    rejected: int
    events: list[Item]


class IntakeQuery(BaseModel):
    """Who reports."""

    model_config = ConfigDict(extra="forbid")

    source: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        pattern=r"^[A-Za-z0-9._/-]+$",
        description="The reporting service of the events. One of those that the credentials may report as.",
    )


class _Tool(NamedTuple):
    """A tool: its path and the default name of its source, what it sends, how that is read, and an example.

    `repeats`: it sends the same again without an id, so that the trail has to be asked.
    """

    name: str
    title: str
    what: str
    read: Reader
    example: dict[str, Any]
    repeats: bool = False


_ALERT = {
    "status": "firing",
    "labels": {"alertname": "ServiceDown", "service": "patient-service", "severity": "critical"},
    "annotations": {"summary": "patient-service does not answer"},
    "startsAt": "2026-03-01T08:15:30.123Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus.example/graph",
    "fingerprint": "1531d906957f5548",
}
_EVENT = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"uid": "7b1c0c5e-94c1-4a7e-9c55-0d3c7f0f6a10", "resourceVersion": "48213"},
    "involvedObject": {"kind": "Pod", "namespace": "clinic", "name": "vitals-7d9f8b6c5d-x2x4z"},
    "reason": "Unhealthy",
    "message": "Readiness probe failed: HTTP probe failed with statuscode: 503",
    "type": "Warning",
    "lastTimestamp": "2026-03-01T08:15:30Z",
    "count": 3,
}
_HEARTBEAT = {
    "heartbeat": {
        "monitorID": 7,
        "status": 0,
        "time": "2026-03-01 08:15:30.123",
        "msg": "timeout of 48000ms exceeded",
        "important": True,
    },
    "monitor": {"id": 7, "name": "patient-service", "type": "http"},
    "msg": "[patient-service] [Down] timeout of 48000ms exceeded",
}
_GATUS = {
    "endpoint": "patient-service",
    "group": "clinic",
    "status": "TRIGGERED",
    "description": "health check failed",
    "errors": "",
}
TOOLS = (
    _Tool(
        "alertmanager",
        "Alertmanager",
        "The webhook of Prometheus Alertmanager, version 4.",
        alertmanager.read_alerts,
        {"version": "4", "status": "firing", "receiver": "audit-trail", "alerts": [_ALERT]},
    ),
    _Tool(
        "kubernetes",
        "Kubernetes events",
        "One Event of core/v1 or events.k8s.io/v1, a list of them, or what eventrouter sends.",
        kubernetes.read_events,
        _EVENT,
    ),
    _Tool(
        "uptime-kuma",
        "Uptime Kuma",
        "The webhook of Uptime Kuma with the preset application/json.",
        uptime_kuma.read_heartbeat,
        _HEARTBEAT,
    ),
    _Tool(
        "gatus",
        "Gatus",
        "The body of `alerting.custom` that the documentation gives.",
        gatus.read_alert,
        _GATUS,
        repeats=True,
    ),
)
_TAKEN = {
    "accepted": 1,
    "ignored": 0,
    "rejected": 0,
    "events": [{"index": 0, "event_id": "0193a2a5-7c1e-5b44-9a53-0c5f6f0f1a01"}],
}


def monitor_routes(publishing: Publishing, models: ReadModels) -> APIRouter:
    """One route for each tool."""
    router = APIRouter(prefix=INTAKE.rstrip("/"), tags=["intake"])
    reminders = _Reminders(models)
    for tool in TOOLS:
        _add(router, tool, publishing, reminders)
    return router


def _add(router: APIRouter, tool: _Tool, publishing: Publishing, reminders: _Reminders) -> None:
    words = "".join(each.capitalize() for each in tool.name.split("-"))

    @router.post(
        f"/{tool.name}",
        operation_id=f"publishFrom{words}",
        summary=f"Publish what {tool.title} reports",
        status_code=202,
        responses={**answer(202, Taken, _TAKEN), **problems(400, 403, 408, 413, 415, 422, 503)},
        openapi_extra={"requestBody": _body(tool)},
    )
    async def take(request: Request, query: Annotated[IntakeQuery, Query()]) -> Response:
        refuse_repeated(request)
        return await publishing.run(
            request, partial(_take, tool, query.source or tool.name, publishing, reminders)
        )


def _body(tool: _Tool) -> dict[str, Any]:
    """The documentation of the body. Its schema is the example: the tools write it, and no generated client does."""
    content = {"schema": {"enum": [tool.example]}, "example": tool.example}
    return {"required": True, "description": tool.what, "content": {"application/json": content}}


def _take(
    tool: _Tool,
    source: str,
    publishing: Publishing,
    reminders: _Reminders,
    scope: Scope,
    query_log: QueryLog,
    body: bytes,
) -> Response:
    """The answer. Denied items are added to `query_log`; if all are denied, it raises `AccessDeniedError`."""
    settings = publishing.settings
    items: list[Item] = []
    messages: dict[bytes, Message] = {}
    events: list[AuditEvent] = []
    refused: list[AuditEvent] = []
    for index, found in enumerate(_readings(tool, source, body)):
        if isinstance(found, Ignored):
            items.append(Item(index=index, message=found.why))
            continue
        try:
            message = _message(found, scope, settings)
        except AccessDeniedError as exc:
            assert isinstance(found, AuditEvent)
            refused.append(found)
            items.append(Item(index=index, message=str(exc)))
        except RejectedError as exc:
            items.append(rejected(index, exc))
        else:
            assert isinstance(found, AuditEvent)
            if tool.repeats and reminders.is_one(found):
                items.append(Item(index=index, message="the last event about this service says the same"))
                continue
            items.append(Item(index=index, event_id=found.event_id))
            messages[found.event_id.bytes] = message
            events.append(found)
    deny(query_log, refused, len(items))
    faulty = [each for each in items if each.reason is not None]
    if faulty and len(faulty) == len(items):
        errors = [msgspec.to_builtins(each) for each in faulty]
        return problem(422, "nothing in the body can be read", errors=errors)
    if messages:
        publishing.publisher.publish(list(messages.values()))
        for each in events if tool.repeats else ():
            reminders.note(each)
    accepted = sum(each.event_id is not None for each in items)
    wrong = len(faulty) + len(refused)
    taken = Taken(accepted=accepted, ignored=len(items) - accepted - wrong, rejected=wrong, events=items)
    return Response(msgspec.json.encode(taken), 202, media_type="application/json")


def _message(found: AuditEvent | RejectedError, scope: Scope, settings: WebSettings) -> Message:
    """The message of an event. Raises why there is none: `RejectedError` or `AccessDeniedError`."""
    if isinstance(found, RejectedError):
        raise found
    scope.require_report(found)
    value = encode_event(found)
    if len(value) > settings.max_message_bytes:
        raise RejectedError(Reason.OVERSIZED, f"the event has more than {settings.max_message_bytes} bytes")
    return Message(settings.topic, key_of(found), value)


def _readings(tool: _Tool, source: str, body: bytes) -> Sequence[Reading]:
    """What the body says. Raises `UnreadableError` for one that is not from this tool."""
    try:
        if tool.name == "kubernetes" and eventrouter.is_framed(body):
            payload: Any = [read_json(each) for each in eventrouter.unframed(body)]
        else:
            payload = read_json(body)
        return tool.read(payload, source, datetime.now(UTC))
    except RejectedError as exc:
        raise UnreadableError(413 if exc.reason is Reason.OVERSIZED else 400, str(exc)) from exc


class _Reminders:
    """Recognises failures that are reported again, by tools whose notifications have no id. For several threads.

    A failure is a reminder if the newest event of the same source about the same service is one, in the trail and among
    those that this process has published: the trail shows an event a little later. While the trail can't be asked, and
    for each recovery, nothing is a reminder: an event too many is better than one too few.
    """

    def __init__(self, models: ReadModels) -> None:
        self._models = models
        self._published: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def is_one(self, event: AuditEvent) -> bool:
        """Whether the trail has this failure already."""
        with self._lock:
            if event.type != FAILED or self._published.get(_subject(event), FAILED) != FAILED:
                return False
        source, service = _subject(event)
        filter = EventFilter(
            source=source, resource_type="Service", resource_id=service, types=(FAILED, RECOVERED)
        )
        try:
            newest = self._models.events(prepare(filter), PageRequest(first=1)).events
        except AuditTrailError:
            return False
        return bool(newest) and newest[0].event.type == FAILED

    def note(self, event: AuditEvent) -> None:
        """Remember what was published."""
        with self._lock:
            self._published.pop(_subject(event), None)
            self._published[_subject(event)] = event.type
            if len(self._published) > _MAX_REMEMBERED:
                del self._published[next(iter(self._published))]


def _subject(event: AuditEvent) -> tuple[str, str]:
    return event.source.service, event.resources[0].id
