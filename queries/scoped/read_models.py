"""The read models within the scope of one principal, for every interface.

It has the methods of `ReadModels`, so that GraphQL, subscriptions and REST contain no access rules. Each method checks
the scope first, and adds the query and the disclosed patients to the query log. Data outside of the scope does not
exist for the principal. A query that the principal may not make raises `AccessDeniedError`, whatever the data is.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from domain.access.grants import Operation, Part
from domain.access.person_names import names_person
from domain.catalogue import ALERT, CASE
from domain.errors import AccessDeniedError
from domain.event import ActorKind
from queries.filters.event_filter import EventFilter, PageRequest
from queries.live_tables.pages import LiveProjection, RowPage, RowRequest
from queries.read_models import DEFAULT_LIMIT
from queries.scoped.people import ScopedPeople
from queries.scoped.query_description import (
    NAMES,
    parameters_of,
    patients_named,
    patients_of_conditions,
    row_parameters_of,
)
from queries.scoped.reviews import ScopedReviews
from queries.scoped.saved_views import ScopedViews
from queries.scoped.summaries import (
    redacted_configuration,
    redacted_device,
    redacted_gap,
    redacted_patient,
    redacted_service,
    redacted_user,
)
from queries.scoped.tables import patients_of, require_table
from queries.search.prepared import prepare
from queries.summaries.configuration import ChangePlace, ConfigurationPage
from queries.summaries.patient import Between
from queries.summaries.results import (
    DeviceActivity,
    FollowerStatus,
    GapList,
    PatientActivity,
    ProjectionStatus,
    ResourceActivity,
    ServiceActivity,
    UserActivity,
)
from queries.watched_targets import TargetPage

SUMMARIES = {
    "patient": Operation.READ_PATIENT,
    "user": Operation.READ_USER,
    "device": Operation.READ_DEVICE,
    "service": Operation.READ_SERVICE,
    "resource": Operation.READ_RESOURCE,
}
"""What it takes to read the summary of each kind of subject."""


class ScopedModels(ScopedViews, ScopedReviews, ScopedPeople):
    """The methods of `ReadModels` for one principal. Every method that reads blocks."""

    def as_of_position(self) -> int:
        """The position up to which answers are complete, for any principal that may read."""
        self._require_reading()
        return self._models.as_of_position()

    def positions(self) -> dict[str, int]:
        """The checkpoints of the projections, for any principal that may read."""
        self._require_reading()
        return self._models.positions()

    def require(self, subject: str, id: str, type: str = "") -> frozenset[Part]:
        """The parts that are hidden in the summary of a subject.

        Raises `AccessDeniedError`, and logs the denied query. It reads no database: called first, it records the
        attempt whatever fails later.
        """
        return self._require(subject, subject, {"type": type, "id": id} if type else {"id": id})

    def _require(self, subject: str, query: str, parameters: dict[str, Any]) -> frozenset[Part]:
        """The same for a `query` about a subject, whose `parameters` have its id."""
        id, type = parameters["id"], parameters.get("type", "")
        operation = SUMMARIES[subject]
        with self._query_log.record_denial(
            query, lambda: (parameters, [id] if subject == "patient" else patients_named(type, id))
        ):
            hidden = self._scope.hidden(operation, id)
            # A hidden name may not be confirmed either, when it is used as an id. A service is no person.
            named = subject != "service" and hidden & NAMES and names_person(type, id)
            own = subject == "patient" and id in self._scope.own_patients
            # The id of an alert follows from what it is about.
            alert = subject == "resource" and type in {ALERT, CASE} and not self._scope.sees_alerts
            if (named and not own) or alert:
                raise AccessDeniedError(operation)
        return hidden

    def require_rows(self, request: RowRequest) -> frozenset[Part]:
        """The same for rows of tables, of any projection."""
        with self._record_row_denial(request):
            return self._scope.hidden(Operation.READ_TABLES)

    def patient(
        self, id: str, limit: int = DEFAULT_LIMIT, between: Between | None = None
    ) -> PatientActivity | None:
        """Who accessed a patient's data: for principals who see all events, and for the patient."""
        hidden = self.require("patient", id)
        own = self._scope.principal.patients if Part.OTHER_PATIENTS in hidden else None
        found = self._models.patient(id, limit, own, between)
        times = {} if between is None else {name: at.isoformat() for name, at in between._asdict().items()}
        self._log_summary("patient", id, limit, found is not None, [id], **times)
        return None if found is None else redacted_patient(found, hidden)

    def user(self, id: str, limit: int = DEFAULT_LIMIT) -> UserActivity | None:
        """What a user did: for principals who see all events, and for that user."""
        hidden = self.require("user", id)
        found = self._models.user(id, limit)
        if found is None:
            self._log_summary("user", id, limit, False, [])
            return None
        redacted = redacted_user(found, hidden, named=self._is_named(hidden, id))
        self._log_summary("user", id, limit, True, [row.patient_id for row in redacted.patients])
        return redacted

    def device(self, id: str, limit: int = DEFAULT_LIMIT) -> DeviceActivity | None:
        """A device over time."""
        hidden = self.require("device", id)
        found = self._models.device(id, limit)
        self._log_summary("device", id, limit, found is not None, [])
        return None if found is None else redacted_device(found, hidden)

    def require_configuration(
        self, id: str, as_of: datetime | None, limit: int, after: ChangePlace | None = None
    ) -> frozenset[Part]:
        """As `require`, for the configuration of a device."""
        return self._require("device", "device_configuration", _configuration(id, as_of, limit, after))

    def device_configuration(
        self, id: str, as_of: datetime | None, limit: int, after: ChangePlace | None = None
    ) -> ConfigurationPage | None:
        """The configuration of a device at `as_of`; hidden values are redacted."""
        hidden = self.require_configuration(id, as_of, limit, after)
        found = self._models.device_configuration(id, as_of, limit, after)
        redacted = None if found is None else redacted_configuration(found, hidden)
        returned = 0 if redacted is None else len(redacted.values)
        self._query_log.add("device_configuration", _configuration(id, as_of, limit, after), returned)
        return redacted

    def service(self, id: str, limit: int = DEFAULT_LIMIT) -> ServiceActivity | None:
        """A service over time: for principals who see all events, and for its owner."""
        hidden = self.require("service", id)
        found = self._models.service(id, limit)
        self._log_summary("service", id, limit, found is not None, [])
        return None if found is None else redacted_service(found, hidden)

    def sequence_gaps(self, limit: int = DEFAULT_LIMIT) -> GapList:
        """The missing events of all services. It holds no event data, so it is not recorded as a read.

        Instances have names only for principals who may read the summary of the service.
        """
        self._scope.require(Operation.READ_STATUS)
        found = self._models.sequence_gaps(limit)
        return replace(
            found, gaps=[redacted_gap(each, self._hidden_of_service(each.service)) for each in found.gaps]
        )

    def _hidden_of_service(self, service: str) -> frozenset[Part] | None:
        """The parts that are hidden in the summary of a service; None if the summary itself is."""
        try:
            return self._scope.hidden(Operation.READ_SERVICE, service)
        except AccessDeniedError:
            return None

    def resource(self, type: str, id: str) -> ResourceActivity | None:
        """When a resource was first and last accessed."""
        self.require("resource", id, type)
        found = self._models.resource(type, id)
        patients = patients_named(type, id) if found is not None else []
        self._query_log.add("resource", {"type": type, "id": id}, int(found is not None), patients)
        return found

    def projections(self) -> list[ProjectionStatus]:
        """The status of the projections. It holds no event data, so it is not recorded as a read."""
        self._scope.require(Operation.READ_STATUS)
        return self._models.projections()

    def watched_targets(self, limit: int = DEFAULT_LIMIT, after: str = "") -> TargetPage:
        """The targets of the watcher. They are names of programs and hold no event data, so it is no recorded read."""
        self._scope.require(Operation.READ_STATUS)
        return self._models.watched_targets(limit, after)

    def followers(self) -> list[FollowerStatus]:
        """The status of the followers. It holds no event data, so it is not recorded as a read."""
        self._scope.require(Operation.READ_STATUS)
        return self._models.followers()

    def projection(self, name: str) -> LiveProjection | None:
        """The tables of a projection, for principals who may read them."""
        with self._query_log.record_denial("projection", lambda: ({"projection": name}, ())):
            self._scope.hidden(Operation.READ_TABLES)
            found = self._models.projection(name)
            if found is not None:
                require_table(self._scope, custom=found.custom)
        return found

    def table_rows(self, request: RowRequest) -> RowPage:
        """Rows of a table, to which no rule of rows or fields applies: see `queries.scoped.tables.require_table`."""
        if self.require_rows(request):
            live = self._models.projection(request.projection)
            with self._record_row_denial(request):
                # The read model reports a missing one.
                require_table(self._scope, custom=live is None or live.custom)
        found = self._models.table_rows(request)
        self._query_log.add("table_rows", row_parameters_of(request), len(found.rows), patients_of(found))
        return found

    def _record_row_denial(self, request: RowRequest) -> AbstractContextManager[None]:
        conditions = ((each.column, each.value) for each in request.conditions)
        return self._query_log.record_denial(
            "table_rows", lambda: (row_parameters_of(request), patients_of_conditions(conditions))
        )

    def _require_reading(self) -> None:
        if not self._scope.may(Operation.READ_EVENTS):
            self._scope.require(Operation.READ_STATUS)

    def _is_named(self, hidden: frozenset[Part], user: str) -> bool:
        """Whether the name of this user is visible: a user can also be a patient who acts."""
        if hidden & NAMES != {Part.PATIENT_NAMES}:
            return not hidden & NAMES
        page = self._models.events(prepare(EventFilter(user=user)), PageRequest(first=1)).events
        return all(each.event.actor.kind is not ActorKind.PATIENT for each in page) and bool(page)

    def _log_summary(
        self, kind: str, id: str, limit: int, found: bool, patients: list[str], **more: str
    ) -> None:
        parameters = {"id": id, "limit": limit, **more}
        self._query_log.add(kind, parameters, int(found), patients if found else [])


def _configuration(id: str, as_of: datetime | None, limit: int, after: ChangePlace | None) -> dict[str, Any]:
    """A query for the configuration of a device as JSON."""
    moment = None if as_of is None else as_of.isoformat()
    return parameters_of(EventFilter(), id=id, as_of=moment, limit=limit, after=after)
