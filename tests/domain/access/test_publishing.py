"""In whose name a publisher may report."""

from __future__ import annotations

import pytest

from domain.access.principal import Role
from domain.access.scope import Scope
from domain.errors import AccessDeniedError
from domain.event import Source
from tests.domain.access.knowing import somebody
from tests.graphql_api.trail import event


@pytest.mark.parametrize("role", [Role.PUBLISHER, Role.ADMIN])
def test_a_publisher_for_any_service_does_not_report_as_the_trail_itself(role: Role) -> None:
    denied = event("access.denied", 0, source=Source(service="audit-trail"))
    with pytest.raises(AccessDeniedError):
        Scope(somebody(role)).require_report(denied)
    Scope(somebody(role, sources=("audit-trail",))).require_report(denied)
