"""The scope of one principal: the union of its roles' grants, each within its own rows."""

from __future__ import annotations

from collections.abc import Collection
from unicodedata import normalize

from msgspec.structs import replace

from domain.access.access_question import QUESTIONED
from domain.access.grants import (
    ALERTS_OF_OTHERS,
    ALL,
    Grant,
    Operation,
    Part,
    Rows,
    category_of,
    grants_of,
    roles_with,
)
from domain.access.person_names import is_like
from domain.access.principal import Principal, Role
from domain.access.redaction import redacted, without_case_queries
from domain.catalogue import AUDIT_LOG, TRAIL_SERVICE, Category
from domain.errors import AccessDeniedError
from domain.event import Actor, AuditEvent

_SUBJECTS = {
    Operation.READ_PATIENT: "patients",
    Operation.READ_USER: "users",
    Operation.READ_SERVICE: "sources",
}
"""The field of `Rows` that selects all events of a subject."""


class Scope:
    """Decides all access checks. Raises `AccessDeniedError`, which does not reveal what exists."""

    def __init__(self, principal: Principal, *, sees_staff: Collection[str] = ()) -> None:
        self.principal = principal
        self._grants = grants_of(principal, sees_staff=sees_staff)
        self.own_patients = principal.patients if Role.PATIENT in principal.roles else ()
        """The patients whose records are the principal's own."""

    def may(self, operation: Operation) -> bool:
        """Whether any role allows the operation."""
        return any(operation in grant.operations for grant in self._grants)

    def require(self, operation: Operation) -> None:
        """Raise `AccessDeniedError` unless a role allows the operation."""
        if not self.may(operation):
            raise self._denied(operation)

    def grants(self, operation: Operation) -> tuple[Grant, ...]:
        """The grants that allow the operation: see `domain.access.coverage`."""
        return tuple(grant for grant in self._grants if operation in grant.operations)

    def rows(self, operation: Operation, queried: Collection[Part] = ()) -> tuple[Rows, ...]:
        """The events that `operation` may use when the query has conditions on the parts `queried`.

        A condition on a hidden part would reveal that part. So the rows of a role that hides it are left out. Returns
        `(ALL,)` when all events may be used. Raises `AccessDeniedError` when none may.
        """
        grants = [
            grant
            for grant in self._grants
            if operation in grant.operations and not grant.hidden & frozenset(queried)
        ]
        found = tuple(dict.fromkeys(rows for grant in grants for rows in grant.rows))
        if not found:
            raise self._denied(operation)
        return (ALL,) if ALL in found else found

    def admits(self, event: AuditEvent) -> bool:
        """Whether the principal may see the event."""
        return any(grant.admits(event) for grant in self._read_grants())

    def redacted(self, event: AuditEvent) -> AuditEvent:
        """The event as the principal sees it. Raises `AccessDeniedError` for an event that is not admitted."""
        grants = [grant for grant in self._read_grants() if grant.admits(event)]
        if not grants:
            raise AccessDeniedError(Operation.READ_EVENTS)
        hidden = frozenset.intersection(*(grant.hidden for grant in grants))
        found = redacted(event, hidden, self.own_patients)
        showing = {grant.role for grant in grants if Part.FREE_TEXT not in grant.hidden}
        if showing <= ALERTS_OF_OTHERS and not self._is_actor(event.actor):
            found = without_case_queries(found)
        if event.type == QUESTIONED and self._is_actor(event.actor):
            # The words of the person who reads them.
            return replace(found, actor=event.actor, reason=event.reason)
        return found

    def hidden(self, operation: Operation, subject: str | None = None) -> frozenset[Part]:
        """The parts that are hidden in the summary of a subject.

        Raises `AccessDeniedError` when the summary itself is hidden.

        A summary covers all events of its subject, so it needs a role that sees all of them. `subject` None means rows
        without a subject: they need a role that sees all events.
        """
        found = [grant.hidden for grant in self._grants if self._covers(grant, operation, subject)]
        if not found:
            raise self._denied(operation)
        return frozenset.intersection(*found)

    def require_report(self, event: AuditEvent) -> None:
        """Raise `AccessDeniedError` unless the principal may publish `event`.

        The principal must report as one of its services. Without configured services, it must not report under the
        trail's name or a name that looks like it. Nobody may publish the trail's own event types or access records:
        anyone could invent a denied access.
        """
        self.require(Operation.PUBLISH)
        sources = self.principal.sources
        service = event.source.service
        allowed = service in sources if sources else not _is_the_trail(service)
        own = category_of(event.type) is Category.TRAIL or any(r.type == AUDIT_LOG for r in event.resources)
        if not allowed or own:
            raise AccessDeniedError(Operation.PUBLISH)

    @property
    def sees_all(self) -> bool:
        """Whether the principal sees every event in full, so that no redaction is needed."""
        return any(ALL in grant.rows and not grant.hidden for grant in self._read_grants())

    @property
    def sees_alerts(self) -> bool:
        """Whether events that report alerts are visible. A reviewer reads alerts by the queries for these."""
        return any(ALL in grant.rows for grant in self._read_grants())

    def hides_somewhere(self, parts: Collection[Part]) -> bool:
        """Whether one of `parts` is hidden in at least one visible event."""
        grants = self._read_grants()
        return not any(ALL in grant.rows and grant.hidden.isdisjoint(parts) for grant in grants) and any(
            not grant.hidden.isdisjoint(parts) for grant in grants
        )

    def rows_with(self, parts: Collection[Part]) -> tuple[tuple[Rows, ...], ...] | None:
        """The events in which none of `parts` is hidden: those that are in a set of every returned tuple.

        ``()`` is all visible events, and None is no event.
        """
        found: list[tuple[Rows, ...]] = []
        visible = {rows for grant in self._read_grants() for rows in grant.rows}
        for part in parts:
            rows = dict.fromkeys(
                rows for grant in self._read_grants() if part not in grant.hidden for rows in grant.rows
            )
            if not rows:
                return None
            if ALL not in rows and not visible <= set(rows):
                found.append(tuple(rows))
        return tuple(dict.fromkeys(found))

    def hides_in_every_row(self) -> frozenset[Part]:
        """The parts that are hidden in every event. An export can omit their columns."""
        hidden = [grant.hidden for grant in self._read_grants()]
        return frozenset.intersection(*hidden) if hidden else frozenset(Part)

    def _is_actor(self, actor: Actor) -> bool:
        return actor.kind is self.principal.kind and actor.id == self.principal.id

    def _denied(self, operation: Operation) -> AccessDeniedError:
        """The error names roles only if the principal has none of them: then data has no influence on it."""
        return AccessDeniedError(operation, () if self.may(operation) else roles_with(operation))

    def _read_grants(self) -> list[Grant]:
        return [grant for grant in self._grants if Operation.READ_EVENTS in grant.operations]

    @staticmethod
    def _covers(grant: Grant, operation: Operation, subject: str | None) -> bool:
        if operation not in grant.operations:
            return False
        if grant.has_summaries:
            return True
        if subject is None:
            return False
        if operation is Operation.READ_DEVICE:
            return grant.role is Role.DEVICE_MANAGER
        name = _SUBJECTS.get(operation)
        return name is not None and any(subject in getattr(rows, name) for rows in grant.rows)


def _is_the_trail(service: str) -> bool:
    """Whether a name, or a part of one such as ``Device/audit-trail``, could be mistaken for the trail's own."""
    return any(is_like(part, TRAIL_SERVICE) for part in (service, *normalize("NFKC", service).split("/")))
