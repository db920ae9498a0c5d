"""`GET /v1/patients/{id}` and similar routes: the same summaries as in GraphQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.responses import Response

from domain.errors import Reason, RejectedError
from domain.event import Actor
from queries import history
from queries.cursors import decode_history_cursor, encode_history_cursor
from queries.freshness import FreshnessWaiter, least_of
from queries.limits import QueryLimits
from queries.scoped.read_models import ScopedModels
from queries.summaries import results
from queries.thread_pool import Threads
from web.access import Access
from web.http.path_prefix import public
from web.http.problems import problem
from web.openapi.bodies import answer, problems
from web.parameters.filter_query import refuse_repeated
from web.parameters.freshness import (
    FreshnessQuery,
    Identifier,
    found,
    link_header,
    path_identifier,
)
from web.parameters.schemas import HISTORY_CURSOR, NO_NUL
from web.rest.pages import page_link, page_size
from web.rest.sequence_gaps import GAP_EXAMPLE


class _SubjectConvertor(PathConvertor):
    """An identifier. It may contain slashes and line breaks, and does not end in ``/staff-disclosure``.

    It matches everything below ``/v1/patients/``, ``users/``, ``devices/`` and ``services/``. So another route there,
    such as ``/v1/patients/{id}/something``, needs its ending excluded here; else this one answers in its place.
    """

    regex = r"[\s\S]*(?<!/staff-disclosure)"


class _AnyTextConvertor(PathConvertor):
    """An identifier. It may contain slashes and line breaks."""

    regex = r"[\s\S]*"


register_url_convertor("subject", _SubjectConvertor())
register_url_convertor("any", _AnyTextConvertor())

_AT = "2026-03-01T08:15:30.120000Z"
_SEEN = {"first_seen": _AT, "last_seen": _AT, "as_of_position": 1044}
_EXAMPLES: dict[type[msgspec.Struct], dict[str, Any]] = {
    results.PatientActivity: {
        "id": "17",
        "events": 2,
        **_SEEN,
        "accesses": [
            {
                "actor_id": "Practitioner/17",
                "actor_name": "Dr. Ada Example",
                "accesses": 2,
                "events": 2,
                "first_at": _AT,
                "last_at": _AT,
                "purposes": ["TREAT"],
                "roles": ["physician"],
                "emergencies": 0,
                "without_purpose": 0,
            }
        ],
    },
    results.UserActivity: {
        "id": "Practitioner/17",
        "name": "Dr. Ada Example",
        "events": 2,
        "failed_logins": 0,
        "logins": 1,
        **_SEEN,
        "sessions": [],
        "patients": [{"patient_id": "17", "events": 2, "first_at": _AT, "last_at": _AT}],
        "actions": [{"type": "record.read", "events": 2}],
    },
    results.DeviceActivity: {
        "id": "pump-1",
        "name": "Infusion pump 1",
        **_SEEN,
        "events": 3,
        "connected": True,
        "software_versions": [{"version": "2.1", "first_at": _AT, "last_at": _AT}],
        "configuration_versions": [],
        "configuration": [],
    },
    results.ServiceActivity: {
        "id": "patient-service",
        **_SEEN,
        "events": 9,
        "state": "up",
        "restarts": 1,
        "health_failures": 0,
        "periods": [],
        "api_use": [{"hour": _AT, "method": "GET", "calls": 4, "failures": 0, "duration_ms": 81.5}],
        "instances": [{"instance": "patient-2", "events": 8, "highest": 9, "first_at": _AT, "last_at": _AT}],
        "gaps": [GAP_EXAMPLE],
        "conflicts": [],
    },
    results.ResourceActivity: {"type": "Observation", "id": "o-1", **_SEEN},
}
KINDS: tuple[type[msgspec.Struct], ...] = tuple(_EXAMPLES)


class FieldChange(msgspec.Struct, frozen=True):
    """One field's change, with who made it and when; `before` and `after` are any JSON."""

    position: int
    event_id: str
    occurred_at: datetime
    actor: Actor
    path: str
    before: Any
    after: Any


class ChangeList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a resource's history, newest first. It may be short, even empty, and not be the last: follow `next`."""

    changes: list[FieldChange]
    as_of_position: int
    next: str | None


_CHANGES_EXAMPLE = {
    "changes": [
        {
            "position": 1042,
            "event_id": "0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a01",
            "occurred_at": _AT,
            "actor": {"kind": "user", "id": "Practitioner/17"},
            "path": "phone",
            "before": "1",
            "after": "2",
        }
    ],
    "as_of_position": 1044,
    "next": None,
}


class SummaryQuery(FreshnessQuery):
    """The length of the lists of a summary."""

    limit: int = Field(default=100, ge=1, description="Rows in each list of the summary.")


class ChangesQuery(FreshnessQuery):
    """A page of changes."""

    path: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        pattern=NO_NUL,
        description="Only changes of this field, as events name it.",
    )
    first: int | None = Field(default=None, ge=1, description="How many changes; 50 when absent.")
    after: str | None = Field(
        default=None, pattern=HISTORY_CURSOR, description="Only changes after this cursor."
    )


def activity_routes(
    access: Access, threads: Threads, waiting: FreshnessWaiter, limits: QueryLimits
) -> APIRouter:
    """The routes of all subjects. An identifier may hold a slash, as it is or as %2F."""
    router = APIRouter(prefix="/v1", tags=["subjects"])
    _subject(
        router,
        "patients",
        results.PatientActivity,
        ScopedModels.patient,
        ("patient",),
        access,
        threads,
        waiting,
        limits,
    )
    _subject(
        router,
        "users",
        results.UserActivity,
        ScopedModels.user,
        ("user", "patient"),
        access,
        threads,
        waiting,
        limits,
    )
    _subject(
        router,
        "devices",
        results.DeviceActivity,
        ScopedModels.device,
        ("device",),
        access,
        threads,
        waiting,
        limits,
    )
    _subject(
        router,
        "services",
        results.ServiceActivity,
        ScopedModels.service,
        ("service",),
        access,
        threads,
        waiting,
        limits,
    )
    _resources(router, access, threads, waiting, limits)
    return router


def _subject(
    router: APIRouter,
    plural: str,
    kind: type[msgspec.Struct],
    find: Callable[[ScopedModels, str, int], Any],
    projections: tuple[str, ...],
    access: Access,
    threads: Threads,
    waiting: FreshnessWaiter,
    limits: QueryLimits,
) -> None:
    singular = plural.removesuffix("s")
    missing = f"no event names this {singular}"

    @router.get(
        f"/{plural}/{{id:subject}}",
        operation_id=f"get{singular.capitalize()}Activity",
        summary=f"The activity of a {singular}",
        responses={
            **answer(200, kind, _EXAMPLES[kind]),
            **problems(304, 400, 403, 404, 409, 503, missing=missing),
        },
    )
    async def get_subject(
        request: Request, id: Identifier, query: Annotated[SummaryQuery, Query()]
    ) -> Response:
        refuse_repeated(request)
        if query.limit > limits.max_list:
            raise RejectedError(Reason.INVALID_FIELD, f"from 1 to {limits.max_list}", field="limit")
        models = await access.models_of(request)
        models.require(singular, id)
        await waiting.until(query.freshness(), least_of(projections), models=models)
        activity = await threads.run(find, models, id, query.limit)
        if activity is None:
            return problem(404, missing)
        query.freshness().compare(activity.as_of_position)
        related = public(request, f"/v1/events?{urlencode({singular: id})}")
        return found(request, activity, link_header(related=related))


_NO_RESOURCE = "no event names this resource"
_Type = Annotated[str, path_identifier("The resource's type.", "Observation")]


def _resources(
    router: APIRouter, access: Access, threads: Threads, waiting: FreshnessWaiter, limits: QueryLimits
) -> None:
    @router.get(
        "/resources/{type}/{id:any}/changes",
        operation_id="listResourceChanges",
        summary="What changed in a resource, field by field",
        responses={**answer(200, ChangeList, _CHANGES_EXAMPLE), **problems(304, 400, 403, 409, 503)},
    )
    async def list_changes(
        request: Request, type: _Type, id: Identifier, query: Annotated[ChangesQuery, Query()]
    ) -> Response:
        refuse_repeated(request)
        first = page_size(query.first, limits.max_page)
        place = None if query.after is None else history.HistoryPlace(*decode_history_cursor(query.after))
        models = await access.models_of(request)
        await waiting.until(query.freshness(), least_of(["activity"]), models=models)
        page = await threads.run(models.resource_changes, type, id, query.path, first, place)
        query.freshness().compare(page.as_of_position)
        listed = ChangeList(
            changes=[_change(each) for each in page.changes],
            as_of_position=page.as_of_position,
            next=None if page.end is None else page_link(request, after=encode_history_cursor(*page.end)),
        )
        return found(request, listed, link_header(next=listed.next))

    @router.get(
        "/resources/{type}/{id:any}",
        operation_id="getResourceActivity",
        summary="The activity of a resource",
        responses={
            **answer(200, results.ResourceActivity, _EXAMPLES[results.ResourceActivity]),
            **problems(304, 400, 403, 404, 409, 503, missing=_NO_RESOURCE),
        },
    )
    async def get_resource(
        request: Request, type: _Type, id: Identifier, query: Annotated[FreshnessQuery, Query()]
    ) -> Response:
        refuse_repeated(request)
        models = await access.models_of(request)
        await waiting.until(query.freshness(), least_of(["activity"]), models=models)
        activity = await threads.run(models.resource, type, id)
        if activity is None:
            return problem(404, _NO_RESOURCE)
        query.freshness().compare(activity.as_of_position)
        related = public(request, f"/v1/events?{urlencode({'resource_type': type, 'resource_id': id})}")
        return found(request, activity, link_header(related=related))


def _change(change: history.FieldChange) -> FieldChange:
    return FieldChange(
        change.position,
        str(change.event_id),
        change.occurred_at,
        change.actor,
        change.path,
        change.before,
        change.after,
    )
