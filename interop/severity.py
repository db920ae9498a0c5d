"""How severe an event is, on the scales of syslog, CEF and OCSF.

The type gives the severity, as `_OF_TYPES` lists it; a failure raises it. Each row has syslog's number (RFC 5424, table
2: 1 alert to 6 informational) and CEF's (0 to 10). OCSF's follows from CEF's.
"""

from __future__ import annotations

from typing import NamedTuple

from domain.catalogue import CATALOGUE, GENERIC_TYPE, Category
from domain.event import AuditEvent, Outcome


class Severity(NamedTuple):
    """`syslog`: 0 emergency to 7 debug. `cef`: 0 to 10, 10 the most severe."""

    syslog: int
    cef: int

    @property
    def ocsf(self) -> int:
        """OCSF's severity_id: 1 informational, 2 low, 3 medium, 4 high, 5 critical."""
        return _OCSF[self.cef]

    def raised_to(self, floor: Severity) -> Severity:
        """The more severe of the two on each scale."""
        return Severity(min(self.syslog, floor.syslog), max(self.cef, floor.cef))


_OCSF = (1, 1, 1, 1, 2, 3, 3, 4, 4, 5, 5)
"""The index is CEF's severity: its bounds of low, medium, high and very high are 3, 6, 8 and 10."""

_OF_CATEGORIES = {
    Category.DATA: Severity(6, 3),
    Category.USER: Severity(6, 2),
    Category.SERVICE: Severity(6, 3),
    Category.DEVICE: Severity(6, 3),
    Category.TRAIL: Severity(5, 5),
    Category.OTHER: Severity(6, 3),
}
_OF_TYPES = {
    "record.deleted": Severity(5, 5),
    "record.exported": Severity(5, 6),
    "record.disclosed": Severity(5, 6),
    "user.login_failed": Severity(4, 6),
    "access.denied": Severity(4, 6),
    "privilege.used": Severity(5, 6),
    "role.changed": Severity(5, 7),
    "emergency_access.started": Severity(4, 8),
    "emergency_access.ended": Severity(4, 8),
    "configuration.changed": Severity(5, 6),
    "service.started": Severity(5, 3),
    "service.stopped": Severity(5, 3),
    "service.restarted": Severity(5, 4),
    "health_check.failed": Severity(3, 7),
    "health_check.recovered": Severity(5, 3),
    "observation.gap": Severity(4, 6),
    "dead_letters.risen": Severity(4, 6),
    "node.authentication_failed": Severity(4, 7),
    "audit_log.read": Severity(6, 4),
    "audit_recording.started": Severity(4, 8),
    "audit_recording.stopped": Severity(4, 8),
    "integrity_check.failed": Severity(1, 10),
    "integrity_check.unconfirmed": Severity(2, 9),
    "integrity_check.recovered": Severity(5, 4),
    "integrity_check.answered": Severity(5, 6),
    "recording.gap": Severity(2, 9),
    "recording_clock.set_back": Severity(3, 7),
    "recording_clock.ahead": Severity(3, 7),
    "recording_clock.recovered": Severity(5, 3),
    "subject.erased": Severity(5, 7),
    "link.shared": Severity(5, 6),
}
_OF_FAILURES = {
    Outcome.SUCCESS: Severity(7, 0),
    Outcome.MINOR_FAILURE: Severity(4, 6),
    Outcome.SERIOUS_FAILURE: Severity(3, 7),
    Outcome.MAJOR_FAILURE: Severity(2, 9),
}
"""The least that an event with this outcome has."""


def severity_of(event: AuditEvent) -> Severity:
    """The severity of `event`. A type that is not listed has that of its category."""
    row = CATALOGUE.get(event.type, CATALOGUE[GENERIC_TYPE])
    usual = _OF_TYPES.get(row.name, _OF_CATEGORIES[row.category])
    return usual.raised_to(_OF_FAILURES[event.outcome])
