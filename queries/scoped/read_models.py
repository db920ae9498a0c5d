"""The read models as one principal may use them. Whatever way somebody comes in, it is through here.

It offers what `ReadModels` offers, so that GraphQL, subscriptions and REST need not know of any rule. Each method asks
the scope first, and notes what was asked and whom the answer told of, for the record of reads. What may not be seen is
as if it were not there; what may not be asked raises `AccessDeniedError`, whatever there is.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from domain.access.grants import Operation, Part
from domain.access.person_names import is_name
from domain.errors import AccessDeniedError
from domain.event import ActorKind
from queries.filters import EventFilter, PageRequest
from queries.live_tables.pages import LiveProjection, RowPage, RowRequest
from queries.prepared import prepare
from queries.read_models import DEFAULT_LIMIT
from queries.scoped.events import ScopedEvents
from queries.scoped.query_description import NAMES, patients_named, patients_of_conditions, row_parameters_of
from queries.scoped.summaries import shown_device, shown_patient, shown_service, shown_user
from queries.scoped.tables import patients_of, require_table
from queries.summaries.results import (
    DeviceActivity,
    PatientActivity,
    ProjectionStatus,
    ResourceActivity,
    ServiceActivity,
    UserActivity,
)

_SUMMARIES = {
    "patient": Operation.READ_PATIENT,
    "user": Operation.READ_USER,
    "device": Operation.READ_DEVICE,
    "service": Operation.READ_SERVICE,
    "resource": Operation.READ_RESOURCE,
}


class ScopedModels(ScopedEvents):
    """See `ReadModels`, of which each method has the questions and the answers. Every method blocks."""

    def as_of_position(self) -> int:
        """For whoever reads anything: it tells how far answers are complete."""
        self._require_reading()
        return self._models.as_of_position()

    def positions(self) -> dict[str, int]:
        """For whoever reads anything."""
        self._require_reading()
        return self._models.positions()

    def require(self, subject: str, id: str, type: str = "") -> frozenset[Part]:
        """What is hidden in the summary of a subject. Raises `AccessDeniedError`, and has then noted the question.

        It asks no database: asked before anything else is, no other failure keeps the attempt off the record.
        """
        asked = {"type": type, "id": id} if type else {"id": id}
        operation = _SUMMARIES[subject]
        with self._query_log.record_denial(
            subject, lambda: (asked, [id] if subject == "patient" else patients_named(type, id))
        ):
            hidden = self._scope.hidden(operation, id)
            # An id that is a name is not told, and so is not confirmed either. A service is no person.
            named = subject != "service" and hidden & NAMES and is_name(id)
            if named and id not in self._scope.principal.patients:
                raise AccessDeniedError(operation)
        return hidden

    def require_rows(self, request: RowRequest) -> frozenset[Part]:
        """The same for rows of tables, of whatever projection."""
        with self._asking_rows(request):
            return self._scope.hidden(Operation.READ_TABLES)

    def patient(self, id: str, limit: int = DEFAULT_LIMIT) -> PatientActivity | None:
        """Who dealt with a patient: for who sees all events, and for the patient."""
        hidden = self.require("patient", id)
        found = self._models.patient(id, limit)
        self._note_subject("patient", id, limit, found is not None, [id])
        return None if found is None else shown_patient(found, hidden)

    def user(self, id: str, limit: int = DEFAULT_LIMIT) -> UserActivity | None:
        """What a user did: for who sees all events, and for that user."""
        hidden = self.require("user", id)
        found = self._models.user(id, limit)
        if found is None:
            self._note_subject("user", id, limit, False, [])
            return None
        shown = shown_user(found, hidden, named=self._is_named(hidden, id))
        self._note_subject("user", id, limit, True, [row.patient_id for row in shown.patients])
        return shown

    def device(self, id: str, limit: int = DEFAULT_LIMIT) -> DeviceActivity | None:
        """A device over time."""
        hidden = self.require("device", id)
        found = self._models.device(id, limit)
        self._note_subject("device", id, limit, found is not None, [])
        return None if found is None else shown_device(found, hidden)

    def service(self, id: str, limit: int = DEFAULT_LIMIT) -> ServiceActivity | None:
        """A service over time: for who sees all events, and for its owner."""
        hidden = self.require("service", id)
        found = self._models.service(id, limit)
        self._note_subject("service", id, limit, found is not None, [])
        return None if found is None else shown_service(found, hidden)

    def resource(self, type: str, id: str) -> ResourceActivity | None:
        """When a resource was touched."""
        self.require("resource", id, type)
        found = self._models.resource(type, id)
        patients = patients_named(type, id) if found is not None else []
        self._query_log.add("resource", {"type": type, "id": id}, int(found is not None), patients)
        return found

    def projections(self) -> list[ProjectionStatus]:
        """How far projections are. It holds nothing of any event, and is not a look into the trail."""
        self._scope.require(Operation.READ_STATUS)
        return self._models.projections()

    def projection(self, name: str) -> LiveProjection | None:
        """Which tables a projection has, for who may read these."""
        with self._query_log.record_denial("projection", lambda: ({"projection": name}, ())):
            self._scope.hidden(Operation.READ_TABLES)
            found = self._models.projection(name)
            if found is not None:
                require_table(self._scope, own=found.own)
        return found

    def table_rows(self, request: RowRequest) -> RowPage:
        """Rows of a table, which no rule of rows or fields holds for: see `scoped_tables.require_table`."""
        if self.require_rows(request):
            live = self._models.projection(request.projection)
            with self._asking_rows(request):
                # One that is not there is told as such by the read model.
                require_table(self._scope, own=live is None or live.own)
        found = self._models.table_rows(request)
        self._query_log.add("table_rows", row_parameters_of(request), len(found.rows), patients_of(found))
        return found

    def _asking_rows(self, request: RowRequest) -> AbstractContextManager[None]:
        conditions = ((each.column, each.value) for each in request.conditions)
        return self._query_log.record_denial(
            "table_rows", lambda: (row_parameters_of(request), patients_of_conditions(conditions))
        )

    def _require_reading(self) -> None:
        if not self._scope.may(Operation.READ_EVENTS):
            self._scope.require(Operation.READ_STATUS)

    def _is_named(self, hidden: frozenset[Part], user: str) -> bool:
        """Whether this user's own name is shown: a summary has patients that act, too."""
        if hidden & NAMES != {Part.PATIENT_NAMES}:
            return not hidden & NAMES
        page = self._models.events(prepare(EventFilter(user=user)), PageRequest(first=1)).events
        return all(each.event.actor.kind is not ActorKind.PATIENT for each in page) and bool(page)

    def _note_subject(self, kind: str, id: str, limit: int, found: bool, patients: list[str]) -> None:
        self._query_log.add(kind, {"id": id, "limit": limit}, int(found), patients if found else [])
