"""`POST /v1/events`: decode each item as ingest will, publish the valid ones, and report the errors of the others."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import unquote

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from domain.access.scope import Scope
from domain.body import Received, is_same_content
from domain.errors import AccessDeniedError, Reason, RejectedError
from domain.event import AuditEvent
from domain.json_parsing import containers, has_more_items
from domain.read_audit.query_log import QueryLog
from event_store import tracing
from ingest.publisher import Message
from interop.decoding import decode
from web.http.problems import problem
from web.openapi.bodies import NATIVE_EXAMPLE, answer, problems
from web.parameters.schemas import named, one_good
from web.rest.publishing import EventPublisher, Item, Publishing, UnreadableError, deny, key_of, rejected
from web.settings import WebSettings

NATIVE = "application/json"
CLOUDEVENT = "application/cloudevents+json"
CLOUDEVENTS = "application/cloudevents-batch+json"
FHIR = "application/fhir+json"
ACCEPTED = (NATIVE, CLOUDEVENT, CLOUDEVENTS, FHIR)


MAX_CONTAINERS = 200_000
"""Arrays and objects in the body of one request, all events together."""

EXAMPLE = {
    "accepted": 1,
    "rejected": 1,
    "events": [
        {"index": 0, "event_id": NATIVE_EXAMPLE["event_id"]},
        {"index": 1, "reason": "missing_field", "field": "actor", "message": "this field is required"},
    ],
}


_REQUEST_ID = {
    "name": "X-Request-Id",
    "in": "header",
    "required": False,
    "description": "Identifies the request in records of denied attempts, where it becomes the correlation id.",
    "schema": {"type": "string"},
}
"""openapi-python-client needs it: its module for several bodies does not load without an optional parameter."""


def request_body(most: int) -> dict[str, Any]:
    """The documentation of the body, with its limit of events.

    The schema of `application/json` is one event. Generators of clients send nothing useful for one event or a list.
    """
    several = f"One that is good at least, and at most {most} (413)."
    cloudevent = {
        "specversion": "1.0",
        "id": NATIVE_EXAMPLE["event_id"],
        "source": "/patient-service",
        "type": NATIVE_EXAMPLE["type"],
        "time": NATIVE_EXAMPLE["occurred_at"],
        "data": NATIVE_EXAMPLE,
    }
    fhir = {
        "resourceType": "AuditEvent",
        "type": {"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "110110"},
        "action": "R",
        "recorded": NATIVE_EXAMPLE["occurred_at"],
        "agent": [{"who": {"reference": "Practitioner/17"}, "requestor": True}],
        "source": {"observer": {"display": "patient-service"}},
        "entity": [{"what": {"reference": "Patient/17"}, "role": {"code": "1"}}],
    }
    return {
        "required": True,
        "description": f"One event. JSON and FHIR may also be an array of 1 to {most} events.",
        "content": {
            NATIVE: {"schema": named("ReportedEvent"), "example": NATIVE_EXAMPLE},
            CLOUDEVENT: {"schema": named("CloudEvent"), "example": cloudevent},
            CLOUDEVENTS: {"schema": one_good(named("CloudEvent"), several), "example": [cloudevent]},
            FHIR: {"schema": named("FhirAuditEvent"), "example": fhir},
        },
    }


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a publication: `events` has one entry for each item, in the order of the request.

    Accepted means that Kafka has it on all in-sync replicas. It is recorded a moment later, once, even if sent twice.
    """

    accepted: int
    rejected: int
    events: list[Item]


def publishing_routes(publishing: Publishing) -> APIRouter:
    """The route that publishes."""
    router = APIRouter(prefix="/v1/events", tags=["events"])

    @router.post(
        "",
        operation_id="publishEvents",
        summary="Publish one event, or an array of events",
        status_code=202,
        responses={**answer(202, Accepted, EXAMPLE), **problems(400, 403, 408, 413, 415, 422, 503)},
        openapi_extra={
            "parameters": [_REQUEST_ID],
            "requestBody": request_body(publishing.settings.max_publish_events),
        },
    )
    async def publish(request: Request) -> Response:
        headers = list(request.headers.items())
        return await publishing.run(
            request, partial(_publish, publishing.publisher, publishing.settings, headers)
        )

    return router


def _publish(
    publisher: EventPublisher,
    settings: WebSettings,
    headers: list[tuple[str, str]],
    scope: Scope,
    query_log: QueryLog,
    body: bytes,
) -> Response:
    """The answer. Denied items are added to `query_log`; if all are denied, it raises `AccessDeniedError`."""
    kept, trace = _kafka_headers(headers), tracing.current_headers()
    items: list[Item] = []
    messages: list[Message] = []
    taken: dict[bytes, Received] = {}
    refused: list[AuditEvent] = []
    for index, value in enumerate(_split(body, headers, settings.max_publish_events)):
        try:
            received = decode(value, kept, max_bytes=settings.max_message_bytes, systems=settings.systems)
            event = received.event
        except RejectedError as exc:
            items.append(rejected(index, exc))
            continue
        try:
            scope.require_report(event)
            _check_alone(received, taken)
        except AccessDeniedError as exc:
            refused.append(event)
            items.append(Item(index=index, message=str(exc)))
        except RejectedError as exc:
            items.append(rejected(index, exc))
        else:
            items.append(Item(index=index, event_id=event.event_id))
            messages.append(Message(settings.topic, key_of(event), value, [*kept, *trace]))
    deny(query_log, refused, len(items))
    if not messages:
        errors = [msgspec.to_builtins(item) for item in items]
        return problem(422, "no item is a valid audit event", errors=errors)
    publisher.publish(messages)
    answered = Accepted(accepted=len(messages), rejected=len(items) - len(messages), events=items)
    return Response(msgspec.json.encode(answered), 202, media_type="application/json")


def _check_alone(received: Received, taken: dict[bytes, Received]) -> None:
    """Raise when another event of the request has the same id: one of the two would become a dead letter.

    The key is the bytes of the id: a sender can choose UUIDs that all have the same hash, as numbers do.
    """
    first = taken.setdefault(received.event.event_id.bytes, received)
    if not is_same_content((first.format, first.body), (received.format, received.body)):
        raise RejectedError(
            Reason.CONFLICT, "an earlier item has this id, and other content", field="event_id"
        )


def _split(body: bytes, headers: list[tuple[str, str]], limit: int) -> list[bytes]:
    """The items of a body, each byte for byte as it was received."""
    if body.lstrip()[:1] != b"[" or _is_binary_cloudevent(headers):
        return [body]
    if containers(body) > MAX_CONTAINERS:
        raise UnreadableError(
            413, f"the body holds more than {MAX_CONTAINERS} arrays and objects; send fewer events"
        )
    # A body of tiny items could hold millions of them, so they are counted before they are decoded.
    if has_more_items(body, limit):
        raise UnreadableError(413, f"send from 1 to {limit} events in one request")
    try:
        items = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise UnreadableError(400, "the body is not a JSON array") from exc
    if not 1 <= len(items) <= limit:
        raise UnreadableError(413 if items else 400, f"send from 1 to {limit} events in one request")
    return [bytes(item) for item in items]


def _kafka_headers(headers: list[tuple[str, str]]) -> list[tuple[str, bytes]]:
    """The headers that describe the body, as a Kafka record has them.

    CloudEvents calls its attributes `ce-id` over HTTP, with percent-encoded values, and `ce_id` over Kafka.
    """
    given = dict(headers)
    content_type = given.get("content-type", "")
    media = content_type.partition(";")[0].strip().lower()
    if _is_binary_cloudevent(headers):
        attributes = [
            (f"ce_{name[3:]}", unquote(value).encode()) for name, value in headers if name.startswith("ce-")
        ]
        return [*attributes, ("content-type", content_type.encode("latin-1"))]
    if media not in ACCEPTED:
        raise UnreadableError(415, f"send the events as one of {', '.join(ACCEPTED)}")
    return [("content-type", (CLOUDEVENT if media == CLOUDEVENTS else media).encode())]


def _is_binary_cloudevent(headers: list[tuple[str, str]]) -> bool:
    return any(name == "ce-specversion" for name, _ in headers)
