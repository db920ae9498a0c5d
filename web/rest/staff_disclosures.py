"""`POST /v1/patients/{id}/staff-disclosure`: decide whether a patient sees which staff accessed the record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from domain.access.grants import Operation
from domain.access.staff_disclosure import Decision, decision_event
from domain.catalogue import TRAIL_SERVICE
from domain.errors import ConflictError, InvalidEventError, Reason, RejectedError
from domain.event import Source
from domain.validation import check, encode_event
from ingest.publisher import Message
from queries.filters.checks import check_identifier
from queries.thread_pool import Threads
from web.access import Access, query_log_of
from web.http.problems import problem
from web.openapi.bodies import answer, problems
from web.parameters.freshness import Identifier
from web.read_audit.access_record import access_record_of
from web.rest.publishing import EventPublisher
from web.settings import WebSettings

_EVENT_ID = "0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a02"
_BODY = {
    "names": True,
    "reason": "Request of 2026-03-02: the patient can't claim their rights without.",
    "until": "2099-06-01T00:00:00Z",
}


_NOT_BLANK = "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$"
"""A text that is not blank, without U+0000, which can't be stored."""


class StaffDisclosure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the patient sees names and ids of staff, and `until` when; null is until another decision."""

    names: bool
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=4096, pattern=_NOT_BLANK)]
    until: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """The decision is an event of the trail: this is its id. It holds a moment later, once the trail has it."""

    event_id: UUID


def staff_disclosure_routes(
    publisher: EventPublisher, access: Access, threads: Threads, settings: WebSettings
) -> APIRouter:
    """The route for decisions."""
    router = APIRouter(prefix="/v1/patients", tags=["subjects"])
    source = Source(service=TRAIL_SERVICE)

    @router.post(
        "/{id:any}/staff-disclosure",
        operation_id="decideStaffDisclosure",
        summary="Decide whether a patient sees the names of staff",
        status_code=202,
        responses={
            **answer(202, Decided, {"event_id": _EVENT_ID}),
            **problems(400, 403, 408, 409, 413, 415, 503),
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {
                        "schema": {"$ref": "#/components/schemas/StaffDisclosure"},
                        "example": _BODY,
                    }
                },
            }
        },
    )
    async def decide(
        request: Request,
        id: Identifier,
    ) -> Response:
        scope = await access.scope_of(request)
        with query_log_of(access_record_of(request)).record_denial("decide", lambda: ({"patient": id}, [id])):
            scope.require(Operation.DECIDE)
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != "application/json":
            return problem(415, "send the decision as application/json")
        check_identifier("id", id)
        decision = _decision(await request.body())
        event = decision_event(
            id,
            Decision(decision.names, decision.until),
            by=scope.principal,
            reason=decision.reason,
            at=datetime.now(UTC),
            source=source,
        )
        # A principal without an id can't decide.
        check(event)
        message = Message(settings.topic, id.encode(), encode_event(event))
        await threads.run(publisher.publish, [message])
        decided: dict[str, Any] = {"event_id": str(event.event_id)}
        return Response(msgspec.json.encode(decided), 202, media_type="application/json")

    return router


def _decision(body: bytes) -> StaffDisclosure:
    """Raises `RejectedError` that names the field."""
    try:
        decision = msgspec.json.decode(body, type=StaffDisclosure)
    except msgspec.ValidationError as exc:
        field = str(exc).partition("$.")[2].rstrip("`")
        message = (
            "send a time with its offset, such as 2037-01-01T00:00:00Z"
            if field == "until"
            else "send `names`, a non-blank `reason`, and optionally `until`"
        )
        raise RejectedError(Reason.INVALID_FIELD, message, field=field) from exc
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise InvalidEventError(Reason.INVALID_JSON, "the body is not JSON") from exc
    if decision.until is not None and decision.until <= datetime.now(UTC):
        raise ConflictError(Reason.INVALID_FIELD, "this is over already", field="until")
    return decision
