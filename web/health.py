"""`/healthz`: the process is alive. `/readyz`: it can answer, or the reason why not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
from fastapi import APIRouter
from starlette.responses import Response

from domain.errors import AuditTrailError
from event_store.connection_errors import AWAY, NOT_CONNECTED
from queries.read_models import ReadModels
from queries.thread_pool import Threads
from web.http.boot_id import HEADER, boot_id
from web.openapi.bodies import answer
from web.probes import ANSWER_SECONDS, Probes
from web.read_audit.publication import Otherwise, Recording


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """`status` is `ok` or `unavailable`; `checks` has `ok` or the failure of each check, by name.

    `part` tells a health check that it asks the part that it means.
    """

    part: str = "serve"
    status: str
    checks: dict[str, str]


_EXAMPLE = {
    "part": "serve",
    "status": "ok",
    "checks": {
        "database": "ok",
        "migrations": "ok",
        "projections": "ok",
        "own_projections": "ok",
        "recording": "ok",
    },
}
_NOT_READY = {
    "part": "serve",
    "status": "unavailable",
    "checks": {
        "database": "the database is away",
        "migrations": "ok",
        "projections": "ok",
        "own_projections": "ok",
        "recording": "ok",
    },
}
_SILENT = Health(
    status="unavailable", checks={"database": f"the database has not answered for {ANSWER_SECONDS:.0f} s"}
)


def health_routes(
    models: ReadModels, probes: Probes, threads: Threads, recording: Recording | None = None
) -> APIRouter:
    """The routes for an orchestrator. They need no authentication and disclose nothing of events."""
    router = APIRouter(tags=["health"])

    @router.get(
        "/healthz",
        operation_id="getLiveness",
        summary="The process is alive",
        responses=answer(200, Health, _EXAMPLE),
    )
    async def alive() -> Response:
        return _shown(Health(status="ok", checks={}))

    @router.get(
        "/readyz",
        operation_id="getReadiness",
        summary="Queries can be answered",
        responses={**answer(200, Health, _EXAMPLE), **answer(503, Health, _NOT_READY)},
    )
    async def ready() -> Response:
        try:
            found = await asyncio.wait_for(threads.run(readiness, models, probes), ANSWER_SECONDS)
        except TimeoutError:
            found = _SILENT
        return _shown(with_recording(found, recording))

    return router


def readiness(models: ReadModels, probes: Probes) -> Health:
    """Check everything that an answer needs; blocks."""
    checks = {
        "database": _checked(lambda: _nothing(probes.log_size())),
        "migrations": _checked(lambda: _pending(probes)),
        "projections": _checked(lambda: _standing_still(models, own=False)),
    }
    good = all(found == "ok" for found in checks.values())
    # A failed custom projection does not affect the others: it is reported, and the server stays in service.
    checks["own_projections"] = _checked(lambda: _standing_still(models, own=True))
    return Health(status="ok" if good else "unavailable", checks=checks)


def with_recording(health: Health, recording: Recording | None) -> Health:
    """`health` with a check that reads can be recorded, without which no answer may be sent."""
    if recording is None:
        return health
    trouble = recording.trouble
    refuses = trouble and recording.settings.otherwise is Otherwise.REFUSE
    status = "unavailable" if refuses else health.status
    return Health(status=status, checks={**health.checks, "recording": trouble or "ok"})


def _checked(check: Callable[[], str]) -> str:
    try:
        return check() or "ok"
    except AuditTrailError as exc:
        return _without_connection_details(str(exc))


def _without_connection_details(text: str) -> str:
    """Anyone may read this page: the names of logins, databases and files are for the log alone."""
    return next((text[: len(start)] for start in (AWAY, NOT_CONNECTED) if text.startswith(start)), text)


def _nothing(_: object) -> str:
    return ""


def _pending(probes: Probes) -> str:
    missing = probes.pending_migrations()
    return f"not applied: {', '.join(missing)}" if missing else ""


def _standing_still(models: ReadModels, *, own: bool) -> str:
    """The live projections that this program can't feed, or that an event stops."""
    found = []
    for each in models.projections():
        if each.live and each.own is own:
            if each.misfit:
                found.append(f"{each.name} {each.misfit}")
            if each.failed_position is not None:
                found.append(f"{each.name} stopped at position {each.failed_position}")
    return "; ".join(found)


def _shown(health: Health) -> Response:
    status = 200 if health.status == "ok" else 503
    headers = {HEADER: boot_id()}
    return Response(msgspec.json.encode(health), status, headers, media_type="application/json")
