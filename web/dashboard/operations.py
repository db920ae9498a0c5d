"""The routes of operations: the state of the trail, requests of operators, and dead letters."""

from __future__ import annotations

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.operations.dead_letters import PATH, dead_letter_list, dead_letter_page
from dashboard.operations.page import StoreState, operations
from dashboard.operations.requests import request_page
from dashboard.render import View
from dashboard.viewer import Viewer
from domain.access.grants import Operation
from domain.errors import AuditTrailError, Reason, RejectedError
from domain.operation_request import Kind, OperationRequest, requested_event
from event_store.dead_letters import DeadLetter
from event_store.log_reader import LogReader
from ingest.dead_letters import patients_named
from interop.systems import Systems
from queries.operations import Operations
from queries.scoped.log import ScopedLog
from queries.scoped.operations import ScopedOperations
from web.access import query_log_of
from web.dashboard.host import Host, form_of
from web.probes import Probes
from web.read_audit.access_record import access_record_of
from web.read_audit.publication import Recording

log = structlog.get_logger(__name__)

_NO_LETTER = "There is no dead letter with this id."
_NO_REQUEST = "There is no request with this id."
_MAX_DIGITS = 18
"""Digits of an id: the database has 64 bits."""
_MAX_TOPIC = 249
"""Characters of a topic's name in Kafka."""
_DECISIONS = {each.value: each for each in (Kind.REQUEUE, Kind.DISMISS)}


class OperationsPages:
    """The pages of operations of one application."""

    def __init__(
        self,
        host: Host,
        asked: Operations,
        log: LogReader,
        probes: Probes,
        recording: Recording | None,
        systems: Systems,
    ) -> None:
        self._host = host
        self._operations = asked
        self._threads = host.threads
        self._log = log
        self._probes = probes
        self._recording = recording
        self._systems = systems

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/operations", self.overview, methods=["GET"]),
            Route("/operations/rebuild", self.rebuild, methods=["POST"]),
            Route("/operations/requests/{id}", self.request, methods=["GET"]),
            Route(PATH, self.letters, methods=["GET"]),
            Route(f"{PATH}/{{id}}", self.letter, methods=["GET"]),
            Route(f"{PATH}/{{id}}", self.decide, methods=["POST"]),
            Route(f"{PATH}/{{id}}/message", self.message, methods=["GET"]),
        ]

    def scoped(self, request: Request, viewer: Viewer) -> ScopedOperations:
        """Operations within the scope of whoever looks."""
        query_log = query_log_of(access_record_of(request))
        return ScopedOperations(self._operations, viewer.scope, query_log, self._patients_named)

    async def overview(self, request: Request) -> Response:
        """The state of the trail itself."""
        viewer, models = await self._host.reader_of(request)
        viewer.scope.require(Operation.READ_STATUS)
        recording = self._recording
        trouble = recording.trouble if recording is not None else ""
        waiting = recording.waiting if recording is not None else 0

        def build() -> View:
            store = None
            if viewer.may(Operation.READ_METRICS):
                probes = self._probes
                store = StoreState(
                    probes.log_size(),
                    probes.dead_letters(),
                    probes.recording_gaps(),
                    probes.pending_migrations(),
                    trouble,
                    waiting,
                )
            operating = self.scoped(request, viewer)
            return operations(models, operating, ScopedLog(self._log, viewer.scope), viewer, store)

        return await self._host.shown(request, await self._threads.run(build))

    async def rebuild(self, request: Request) -> Response:
        """Ask for a rebuild, and go to the page that follows it."""
        viewer = await self._host.viewer_of(request)
        form = await form_of(request)
        return await self._ask(request, viewer, Kind.REBUILD, form.get("projection", ""), form)

    async def decide(self, request: Request) -> Response:
        """Ask for the requeue or the dismissal of a dead letter."""
        viewer = await self._host.viewer_of(request)
        form = await form_of(request)
        kind = _DECISIONS.get(form.get("decision", ""))
        if kind is None:
            raise RejectedError(Reason.INVALID_FIELD, "requeue or dismiss", field="decision")
        id = _id(request)
        if id is None:
            return self._host.not_found(request, _NO_LETTER)
        return await self._ask(request, viewer, kind, str(id), form)

    async def _ask(
        self, request: Request, viewer: Viewer, kind: Kind, target: str, form: dict[str, str]
    ) -> Response:
        operating = self.scoped(request, viewer)
        asked = await self._threads.run(operating.ask, kind, target, form.get("reason", ""))
        await self._record(asked)
        return self._host.to(f"/operations/requests/{asked.id}")

    async def _record(self, asked: OperationRequest) -> None:
        """Publish the event about a request now. If that fails, its worker does it before it does anything else."""
        event = requested_event(asked)
        try:
            await self._host.publish(event, event.source.service)
        except AuditTrailError as exc:
            log.warning("request_not_recorded_yet", request=asked.id, error=type(exc).__name__)

    async def request(self, request: Request) -> Response:
        """One request."""
        viewer = await self._host.viewer_of(request)
        operating = self.scoped(request, viewer)
        id = _id(request)
        found = None if id is None else await self._threads.run(operating.request_state, id)
        if found is None:
            return self._host.not_found(request, _NO_REQUEST)
        return await self._host.shown(request, request_page(found, viewer))

    async def letters(self, request: Request) -> Response:
        """The list of dead letters."""
        viewer = await self._host.viewer_of(request)
        given = request.query_params
        reason = _reason(given.get("reason", ""))
        topic = _topic(given.get("topic", "").strip())
        before = _before(given.get("before", ""))
        operating = self.scoped(request, viewer)
        page = await self._threads.run(operating.letters, before=before, reason=reason, topic=topic)
        return await self._host.shown(request, dead_letter_list(page, viewer, reason=reason, topic=topic))

    async def letter(self, request: Request) -> Response:
        """One dead letter."""
        viewer = await self._host.viewer_of(request)
        operating = self.scoped(request, viewer)
        id = _id(request)
        found = None if id is None else await self._threads.run(operating.letter, id)
        if found is None:
            return self._host.not_found(request, _NO_LETTER)
        workers = await self._threads.run(operating.workers)
        return await self._host.shown(request, dead_letter_page(found, workers, viewer))

    async def message(self, request: Request) -> Response:
        """The bytes of a message, as they are kept."""
        viewer = await self._host.viewer_of(request)
        operating = self.scoped(request, viewer)
        id = _id(request)
        found = None if id is None else await self._threads.run(operating.message, id)
        if found is None:
            return self._host.not_found(request, _NO_LETTER)
        headers = {"Content-Disposition": f'attachment; filename="dead-letter-{id}.bin"'}
        return Response(found.letter.value or b"", headers=headers, media_type="application/octet-stream")

    def _patients_named(self, letter: DeadLetter) -> list[str]:
        return patients_named(letter, self._systems)


def _reason(given: str) -> Reason | None:
    if not given:
        return None
    try:
        return Reason(given)
    except ValueError as exc:
        raise RejectedError(Reason.INVALID_FIELD, "no such reason", field="reason") from exc


def _topic(given: str) -> str | None:
    if not given.isprintable() or len(given) > _MAX_TOPIC:
        raise RejectedError(Reason.INVALID_FIELD, "not the name of a topic", field="topic")
    return given or None


def _before(given: str) -> int | None:
    if given and _number(given) is None:
        raise RejectedError(Reason.INVALID_FIELD, "not the id of a dead letter", field="before")
    return _number(given)


def _id(request: Request) -> int | None:
    """The id in the path; None for a text that is none."""
    return _number(request.path_params["id"])


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else None
