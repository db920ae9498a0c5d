"""Persons by name, for the roles that see names."""

from __future__ import annotations

from collections.abc import Collection

from domain.access.grants import Operation, Part
from domain.access.person_names import is_name
from domain.access.scope import Scope
from domain.errors import AccessDeniedError
from domain.read_audit.query_log import QueryLog
from queries.read_models import ReadModels
from queries.summaries.people import Person


class ScopedPeople:
    """The part of `ScopedModels` that finds persons.

    A name is looked for among the actors of all events, so it needs a role that sees all of them with the names of
    staff. To others, the methods do not tell who exists.
    """

    def __init__(self, models: ReadModels, scope: Scope, query_log: QueryLog) -> None:
        self._models = models
        self._scope = scope
        self._query_log = query_log

    @property
    def finds_names(self) -> bool:
        """Whether the principal may look for names."""
        hidden = self._hidden()
        return hidden is not None and Part.STAFF_NAMES not in hidden

    def named(self, name: str) -> list[Person]:
        """The persons with a name, without patients who acted if the principal sees no names of patients.

        The access record holds the ids that were found, but not the name that was searched for.
        """
        hidden = self._hidden()
        if hidden is None or Part.STAFF_NAMES in hidden:
            raise AccessDeniedError(Operation.READ_USER)
        found = self._models.named(name)
        if Part.PATIENT_NAMES in hidden:
            found = [each for each in found if not each.is_patient]
        self._query_log.add("people_named", {"ids": [each.id for each in found]}, len(found))
        return found

    def known(self, kind: str, ids: Collection[str]) -> frozenset[str]:
        """Those of `ids` that are an actor's, or by `kind` a patient's. Raises `AccessDeniedError`.

        An id that is a name counts as unknown to a principal who sees no names of patients. The access record holds
        only the known ids, because a text that is no id may be a name.
        """
        hidden = self._hidden()
        if hidden is None or Part.STAFF_NAMES in hidden:
            raise AccessDeniedError(Operation.READ_USER)
        names = Part.PATIENT_NAMES in hidden
        found = self._models.known(kind, [id for id in ids if not (names and is_name(id))])
        patients = found if kind == "patient" else ()
        self._query_log.add(f"known_{kind}s", {"ids": sorted(found)}, len(found), patients)
        return found

    def _hidden(self) -> frozenset[Part] | None:
        """The parts of all events that are hidden; None for a principal who does not see all events."""
        try:
            return self._scope.hidden(Operation.READ_USER)
        except AccessDeniedError:
            return None
