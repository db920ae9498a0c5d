"""In whose name a publisher may report."""

from __future__ import annotations

import pytest

from domain.access.principal import Role
from domain.access.scope import Scope
from domain.errors import AccessDeniedError
from domain.event import Resource, Source
from tests.domain.access.knowing import somebody
from tests.hospital import event


@pytest.mark.parametrize("role", [Role.PUBLISHER, Role.ADMIN])
def test_a_publisher_for_any_service_does_not_report_as_the_trail_itself(role: Role) -> None:
    denied = event("access.denied", 0, source=Source(service="audit-trail"))
    with pytest.raises(AccessDeniedError):
        Scope(somebody(role)).require_report(denied)
    Scope(somebody(role, sources=("audit-trail",))).require_report(denied)


@pytest.mark.parametrize(
    "service",
    [
        "audit-trail ",
        " audit-trail",
        "Audit-Trail",
        "audit\u2010trail",
        "audit-trail\u200b",
        "audit trail",
        "audit-traiI",
        "audit-tra1l",
        "\u0430udit-trail",
        "aud\u0456t-tr\u0430il",
        "aud\u00edt-trail",
        "Device/audit-trail",
        "Device\uff0faudit-trail",
        "audit-trail/",
        "audit-trail/\u200b",
    ],
)
def test_nor_in_a_name_that_looks_like_its_own(service: str) -> None:
    with pytest.raises(AccessDeniedError):
        Scope(somebody(Role.PUBLISHER)).require_report(
            event("access.denied", 0, source=Source(service=service))
        )
    for other in ("audit-service", "audit-train", "audit-trails", "\u0430\u0443\u0434\u0438\u0442"):
        Scope(somebody(Role.PUBLISHER)).require_report(
            event("access.denied", 0, source=Source(service=other))
        )


def test_nor_of_looks_into_the_trail() -> None:
    look = event("access.denied", 0, resources=(Resource(type="AuditLog", id="/v1/events"),))
    with pytest.raises(AccessDeniedError):
        Scope(somebody(Role.PUBLISHER)).require_report(look)
