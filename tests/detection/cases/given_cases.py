"""Alerts, people and commands for the tests of cases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from detection.cases.alerts import AlertFacts
from domain.access.principal import Principal, Role
from domain.alert_level import Level
from domain.cases.commands import Body, CaseCommand, Person

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
RULE = UUID("6f0e7c52-0000-4000-8000-000000000001")
RITA = Principal(id="rita", name="Rita Reviewer", roles=frozenset({Role.REVIEWER}), actors=("rita",))
PAUL = Principal(id="paul", roles=frozenset({Role.PRIVACY_OFFICER}))
ADA = Principal(id="sub-ada", roles=frozenset({Role.CLINICIAN}), actors=("ada",))
PERSON_ADA = Person(id="ada")


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def an_alert(days: float = 0, **fields: Any) -> AlertFacts:
    given: dict[str, Any] = {
        "id": uuid4(),
        "rule_id": RULE,
        "title": "Mass access",
        "level": Level.HIGH,
        "raised_at": day(days),
    }
    return AlertFacts(**given | fields)


def command(target: UUID, body: Body, by: Principal = RITA, days: float = 0, **fields: Any) -> CaseCommand:
    given: dict[str, Any] = {
        "id": uuid4(),
        "target": target,
        "body": body,
        "by": by,
        "requested_at": day(days),
    }
    return CaseCommand(**given | fields)
