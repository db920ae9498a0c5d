"""Rights of today include earlier ones, or they do not."""

from __future__ import annotations

from typing import Any

import pytest

from domain.access.coverage import covers
from domain.access.grants import Operation
from domain.access.principal import Principal, Role
from domain.access.scope import Scope


def may(*roles: str, sees_staff: tuple[str, ...] = (), **claims: Any) -> Scope:
    principal = Principal(id="somebody", roles=frozenset(map(Role, roles)), **claims)
    return Scope(principal, sees_staff=sees_staff)


def includes(now: Scope, before: Scope) -> bool:
    return covers(now.grants(Operation.EXPORT), before.grants(Operation.EXPORT))


@pytest.mark.parametrize("role", Role)
def test_the_same_rights_and_those_of_an_admin_include_each_role(role: Role) -> None:
    claims: Any = {"actors": ("a",), "patients": ("17", "18"), "sources": ("s",), "devices": ("d",)}
    before = may(role, **claims)
    assert includes(before, before)
    assert includes(may("admin"), before)
    assert includes(may(role, "service_owner", **claims), before)
    assert not before.may(Operation.EXPORT) or not includes(may("operator"), before)


@pytest.mark.parametrize(
    ("now", "before"),
    [
        (may("analyst"), may("auditor")),
        (may("security_officer"), may("privacy_officer")),
        (may("clinician", actors=("a",)), may("auditor")),
        (may("patient", patients=("17",)), may("patient", patients=("17", "18"))),
        (may("service_owner", sources=("s",)), may("service_owner", sources=("s", "t"))),
        (may("device_manager"), may("device_manager", devices=("d",))),
        # The decision that the patient sees the names of staff was taken back.
        (may("patient", patients=("17",)), may("patient", patients=("17",), sees_staff=("17",))),
    ],
)
def test_what_is_lost_is_not_included_and_what_is_gained_is_no_loss(now: Scope, before: Scope) -> None:
    assert not includes(now, before)
    assert includes(before, now) or now.principal.roles != before.principal.roles


def test_a_decision_about_one_of_two_records_loses_nothing() -> None:
    before = may("patient", patients=("17", "18"))
    assert includes(may("patient", patients=("17", "18"), sees_staff=("18",)), before)
