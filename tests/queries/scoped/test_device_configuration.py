"""The configuration of a device for each role: what is hidden, refused, and recorded."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.access.principal import Principal, Role
from domain.access.scope import Scope
from domain.errors import AccessDeniedError
from domain.read_audit.query_log import QueryLog
from queries.scoped.read_models import ScopedModels
from queries.summaries.configuration import ChangePlace
from tests.domain.access.knowing import somebody
from tests.trail import START, Trail, an_event

LATER = START + timedelta(hours=1)
WITH_VALUES = {Role.AUDITOR, Role.PRIVACY_OFFICER, Role.DEVICE_MANAGER, Role.ADMIN}
WITHOUT = {Role.SECURITY_OFFICER, Role.REVIEWER, Role.ANALYST}
WITH_NAMES = {Role.AUDITOR, Role.PRIVACY_OFFICER, Role.REVIEWER, Role.ADMIN}


@pytest.fixture
def told(trail: Trail) -> Trail:
    """Changes by two people, of which one path and one actor are a person's name."""
    trail.given(
        *(
            an_event(
                "configuration.changed",
                minute,
                device={"id": "pump-1"},
                actor={"id": actor},
                changes=[{"path": path, "before": None, "after": minute}],
            )
            for minute, (path, actor) in enumerate(
                [("alarm", "t.technician"), ("owner.DOE^JANE", "t.technician"), ("rate", "DOE^JANE")]
            )
        )
    )
    return trail


def models_of(trail: Trail, principal: Principal) -> tuple[ScopedModels, QueryLog]:
    query_log = QueryLog()
    return ScopedModels(trail.read, Scope(principal), query_log), query_log


@pytest.mark.parametrize("role", sorted(WITH_VALUES | WITHOUT))
def test_each_role_sees_the_paths_and_the_values_that_it_may_see(told: Trail, role: Role) -> None:
    models, query_log = models_of(told, somebody(role))
    found = models.device_configuration("pump-1", LATER, 10)
    assert found is not None
    values = {each.path: (each.value, each.changed_by) for each in found.values}
    seen = role in WITH_VALUES
    expected = {
        "alarm": (0 if seen else None, "t.technician"),
        "owner.DOE^JANE": (1 if seen else None, "t.technician"),
        "rate": (2 if seen else None, "DOE^JANE" if role in WITH_NAMES else None),
    }
    if role not in WITH_NAMES:
        del expected["owner.DOE^JANE"]
    assert values == expected
    [query] = query_log.queries
    assert (query.operation, query.returned) == ("device_configuration", len(expected))
    assert query.parameters == {"id": "pump-1", "as_of": LATER.isoformat(), "limit": 10}
    device = models.device("pump-1")
    assert device is not None
    assert {each.path for each in device.configuration} == expected.keys()


@pytest.mark.parametrize("role", sorted(set(Role) - WITH_VALUES - WITHOUT))
def test_for_all_others_it_is_refused_and_the_attempt_is_on_record(told: Trail, role: Role) -> None:
    models, query_log = models_of(told, somebody(role))
    with pytest.raises(AccessDeniedError):
        models.device_configuration("pump-1", LATER, 10, ChangePlace(0, 0))
    assert query_log.queries == []
    [denied] = query_log.take_denied().queries
    assert denied.operation == "device_configuration"
    assert denied.parameters["id"] == "pump-1"


def test_a_hidden_path_is_left_out_of_its_page_and_the_next_one_goes_on(told: Trail) -> None:
    models, _ = models_of(told, somebody(Role.DEVICE_MANAGER))
    pages = []
    place = None
    for _ in range(3):
        page = models.device_configuration("pump-1", LATER, 1, place)
        assert page is not None
        pages.append(([each.path for each in page.values], page.places))
        place = page.end
    assert [paths for paths, _ in pages] == [["alarm"], [], ["rate"]]
    assert [len(places) for _, places in pages] == [1, 0, 1]
    assert place is None


def test_a_name_may_not_be_confirmed_as_the_id_of_a_device(told: Trail) -> None:
    models, _ = models_of(told, somebody(Role.ANALYST))
    with pytest.raises(AccessDeniedError):
        models.device_configuration("DOE^JANE", LATER, 10)
