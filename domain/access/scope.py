"""What one principal may do and see: the union of what the roles give, each within its own rows."""

from __future__ import annotations

from collections.abc import Collection
from unicodedata import normalize

from domain.access.grants import ALL, Grant, Operation, Part, Rows, category_of, grants_of
from domain.access.person_names import is_like
from domain.access.principal import Principal, Role
from domain.access.redaction import shown
from domain.access.staff_disclosure import SERVICE
from domain.catalogue import Category
from domain.errors import AccessDeniedError
from domain.event import AuditEvent
from domain.read_audit.events import LOG

_SUBJECTS = {
    Operation.READ_PATIENT: "patients",
    Operation.READ_USER: "users",
    Operation.READ_SERVICE: "sources",
}
"""All events of a subject are within rows that are given by it."""


class Scope:
    """Answers every question of access. Raises `AccessDeniedError`, which tells nothing of what there is."""

    def __init__(self, principal: Principal, *, sees_staff: Collection[str] = ()) -> None:
        self.principal = principal
        self._grants = grants_of(principal, sees_staff=sees_staff)
        self._own = principal.patients if Role.PATIENT in principal.roles else ()

    def may(self, operation: Operation) -> bool:
        """Whether any role gives it."""
        return any(operation in grant.operations for grant in self._grants)

    def require(self, operation: Operation) -> None:
        """Raise unless any role gives it."""
        if not self.may(operation):
            raise AccessDeniedError(operation)

    def rows(self, operation: Operation, asked: Collection[Part] = ()) -> tuple[Rows, ...]:
        """The events that `operation` may use when the question itself is about the parts `asked`.

        A condition on a part that a role does not see would show it after all: such a role's rows are left out.
        `(ALL,)` when everything may be used. Raises when nothing may.
        """
        grants = [
            grant
            for grant in self._grants
            if operation in grant.operations and not grant.hidden & frozenset(asked)
        ]
        found = tuple(dict.fromkeys(rows for grant in grants for rows in grant.rows))
        if not found:
            raise AccessDeniedError(operation)
        return (ALL,) if ALL in found else found

    def admits(self, event: AuditEvent) -> bool:
        """Whether the event may be seen at all."""
        return any(grant.admits(event) for grant in self._reading())

    def shown(self, event: AuditEvent) -> AuditEvent:
        """The event as the principal sees it. Only of an event that is admitted: of any other nothing is left."""
        hidden = [grant.hidden for grant in self._reading() if grant.admits(event)]
        if not hidden:
            raise AccessDeniedError(Operation.READ_EVENTS)
        return shown(event, frozenset.intersection(*hidden), self._own)

    def hidden(self, operation: Operation, subject: str | None = None) -> frozenset[Part]:
        """What is hidden in the summary of a subject. Raises when the subject's summary may not be seen at all.

        A summary is of all the subject's events, so it needs a role that sees all of these. With `subject` None it is
        what is hidden in rows that belong to nobody in particular: only a role that sees all events gives that.
        """
        found = [grant.hidden for grant in self._grants if self._covers(grant, operation, subject)]
        if not found:
            raise AccessDeniedError(operation)
        return frozenset.intersection(*found)

    def require_report(self, event: AuditEvent) -> None:
        """Raise unless the principal may publish `event`: as its own service, and nothing of the trail itself.

        Nor in its name, or in one that looks like it, unless that is one of the principal's own; nor of looks into the
        trail: a denied access would be anybody's to invent.
        """
        self.require(Operation.PUBLISH)
        sources = self.principal.sources
        service = event.source.service
        allowed = service in sources if sources else not _is_the_trail(service)
        own = category_of(event.type) is Category.TRAIL or any(r.type == LOG for r in event.resources)
        if not allowed or own:
            raise AccessDeniedError(Operation.PUBLISH)

    @property
    def sees_all(self) -> bool:
        """Whether every event is seen whole, so that nothing need be looked at for it."""
        return any(ALL in grant.rows and not grant.hidden for grant in self._reading())

    def hides_somewhere(self, parts: Collection[Part]) -> bool:
        """Whether one of `parts` is hidden in any event that is seen."""
        grants = self._reading()
        return not any(ALL in grant.rows and grant.hidden.isdisjoint(parts) for grant in grants) and any(
            not grant.hidden.isdisjoint(parts) for grant in grants
        )

    def hides_in_every_row(self) -> frozenset[Part]:
        """What no role shows of any event: a column of an export that need not be there."""
        hidden = [grant.hidden for grant in self._reading()]
        return frozenset.intersection(*hidden) if hidden else frozenset(Part)

    def _reading(self) -> list[Grant]:
        return [grant for grant in self._grants if Operation.READ_EVENTS in grant.operations]

    @staticmethod
    def _covers(grant: Grant, operation: Operation, subject: str | None) -> bool:
        if operation not in grant.operations:
            return False
        if ALL in grant.rows:
            return True
        if subject is None:
            return False
        if operation is Operation.READ_DEVICE:
            return grant.role is Role.DEVICE_MANAGER
        name = _SUBJECTS.get(operation)
        return name is not None and any(subject in getattr(rows, name) for rows in grant.rows)


def _is_the_trail(service: str) -> bool:
    """Whether a name, or a part of one such as ``Device/audit-trail``, could be taken for the trail's own."""
    return any(is_like(part, SERVICE) for part in (service, *normalize("NFKC", service).split("/")))
