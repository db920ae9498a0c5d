"""Who may do what: every role and every operation, as one table."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from domain.access.grants import ALL, WITHOUT_ALERTS, Operation, Part, Rows
from domain.access.principal import LinkUse, Principal, Role
from domain.access.scope import Scope
from domain.errors import AccessDeniedError
from domain.event import Source
from tests.domain.access.knowing import somebody
from tests.hospital import event

COLUMNS = (
    Operation.READ_EVENTS,
    Operation.COUNT_EVENTS,
    Operation.FOLLOW_EVENTS,
    Operation.EXPORT,
    Operation.READ_PATIENT,
    Operation.READ_USER,
    Operation.READ_DEVICE,
    Operation.READ_SERVICE,
    Operation.READ_RESOURCE,
    Operation.READ_TABLES,
    Operation.READ_STATUS,
    Operation.READ_PROOFS,
    Operation.READ_METRICS,
    Operation.PUBLISH,
    Operation.DECIDE,
    Operation.SHARE,
    Operation.REVOKE,
    Operation.READ_DEAD_LETTERS,
    Operation.READ_MESSAGES,
    Operation.DECIDE_DEAD_LETTERS,
    Operation.REBUILD,
    Operation.READ_CASES,
    Operation.HANDLE_CASES,
    Operation.DECIDE_CASES,
    Operation.SUPPRESS_ALERTS,
    Operation.RUN_REVIEWS,
)
MATRIX = """
                 evt cnt fol exp pat usr dev srv res tab sta prf met pub dec shr rev let msg set reb cas hnd dcd sup run
auditor          x   x   x   x   x   x   x   x   x   x   x   x   -   -   -   x   -   x   x   -   -   x   -   -   -   -
privacy_officer  x   x   x   x   x   x   x   x   x   x   x   x   -   -   x   x   x   x   x   -   -   x   x   x   x   x
security_officer x   x   x   x   x   x   x   x   x   -   x   x   -   -   -   -   -   -   -   -   -   x   x   x   x   x
reviewer         x   x   x   x   x   x   x   x   x   -   -   x   -   -   -   -   -   -   -   -   -   x   x   x   -   -
analyst          x   x   x   x   x   x   x   x   x   x   x   x   -   -   -   -   -   -   -   -   -   -   -   -   -   -
service_owner    x   x   x   x   -   -   -   x   -   -   -   x   -   -   -   -   -   -   -   -   -   -   -   -   -   -
clinician        x   x   x   x   -   x   -   -   -   -   -   x   -   -   -   -   -   -   -   -   -   -   -   -   -   -
patient          x   x   x   x   x   -   -   -   -   -   -   x   -   -   -   -   -   -   -   -   -   -   -   -   -   -
device_manager   x   x   x   x   -   -   x   -   -   -   -   x   -   -   -   -   -   -   -   -   -   -   -   -   -   -
publisher        -   -   -   -   -   -   -   -   -   -   -   -   -   x   -   -   -   -   -   -   -   -   -   -   -   -
operator         -   -   -   -   -   -   -   -   -   -   x   x   x   -   -   -   -   x   -   x   x   -   -   -   -   -
admin            x   x   x   x   x   x   x   x   x   x   x   x   x   x   x   x   x   x   x   x   x   x   x   x   x   x
"""
TABLE = {line.split()[0]: line.split()[1:] for line in MATRIX.splitlines()[2:]}


def test_the_table_has_every_role_and_every_operation() -> None:
    assert set(TABLE) == set(Role)
    assert set(COLUMNS) == set(Operation)
    assert all(len(marks) == len(COLUMNS) for marks in TABLE.values())


@pytest.mark.parametrize("role", Role)
def test_a_role_may_do_what_the_table_says_and_nothing_else(role: Role) -> None:
    scope = Scope(somebody(role))
    for operation, mark in zip(COLUMNS, TABLE[role], strict=True):
        assert scope.may(operation) is (mark == "x"), operation
        if mark == "-":
            with pytest.raises(AccessDeniedError):
                scope.require(operation)


def test_who_may_share_sees_every_event_in_full() -> None:
    """The reader of a link has the roles of its maker, so that a link could show more than they see together."""
    for role in Role:
        scope = Scope(somebody(role))
        assert scope.sees_all or not scope.may(Operation.SHARE)


@pytest.mark.parametrize("role", Role)
def test_the_reader_of_a_link_may_read_and_count_events_and_nothing_else(role: Role) -> None:
    scope = Scope(replace(somebody(role), link=LinkUse("5e", "ada")))
    for operation in Operation:
        wanted = operation in {Operation.READ_EVENTS, Operation.COUNT_EVENTS, Operation.READ_PROOFS}
        assert scope.may(operation) is (wanted and Scope(somebody(role)).may(operation)), operation


def test_who_has_no_role_may_do_nothing() -> None:
    scope = Scope(Principal(id="nobody", roles=frozenset(), patients=("17",), actors=("ada",)))
    assert not any(map(scope.may, Operation))
    for operation in Operation:
        with pytest.raises(AccessDeniedError):
            scope.rows(operation)


@pytest.mark.parametrize(
    ("role", "rows"),
    [
        (Role.AUDITOR, (ALL,)),
        (Role.SECURITY_OFFICER, (ALL,)),
        (Role.REVIEWER, (WITHOUT_ALERTS,)),
        (Role.ANALYST, (ALL,)),
        (Role.SERVICE_OWNER, (Rows(sources=("patient-service",)),)),
        (Role.CLINICIAN, (Rows(users=("ada",)),)),
        (Role.PATIENT, (Rows(patients=("17",)),)),
    ],
)
def test_a_role_sees_the_events_of_its_own(role: Role, rows: tuple[Rows, ...]) -> None:
    assert Scope(somebody(role)).rows(Operation.READ_EVENTS) == rows


@pytest.mark.parametrize("role", [Role.SERVICE_OWNER, Role.CLINICIAN, Role.PATIENT])
def test_a_role_without_anything_of_its_own_sees_no_event(role: Role) -> None:
    scope = Scope(Principal(id="x", roles=frozenset({role})))
    assert not scope.admits(event("record.read", 0))
    with pytest.raises(AccessDeniedError):
        scope.rows(Operation.READ_EVENTS)


def test_a_claim_without_its_role_gives_nothing() -> None:
    roles = frozenset({Role.PUBLISHER, Role.OPERATOR})
    scope = Scope(
        Principal(id="x", roles=roles, patients=("17",), actors=("ada",), sources=("patient-service",))
    )
    assert not scope.admits(event("record.read", 0))


@pytest.mark.parametrize(
    ("role", "part"),
    [
        (Role.PATIENT, Part.STAFF_IDS),
        (Role.PATIENT, Part.CLIENT),
        (Role.PATIENT, Part.OTHER_PATIENTS),
    ],
)
def test_what_is_hidden_can_not_be_asked_about(role: Role, part: Part) -> None:
    with pytest.raises(AccessDeniedError):
        Scope(somebody(role)).rows(Operation.READ_EVENTS, {part})


def test_a_question_leaves_the_rows_of_the_roles_that_hide_what_it_is_about() -> None:
    both = Principal(
        id="ada", roles=frozenset({Role.PATIENT, Role.CLINICIAN}), patients=("17",), actors=("ada",)
    )
    assert Scope(both).rows(Operation.READ_EVENTS) == (Rows(users=("ada",)), Rows(patients=("17",)))
    assert Scope(both).rows(Operation.READ_EVENTS, {Part.STAFF_IDS}) == (Rows(users=("ada",)),)


@pytest.mark.parametrize(
    ("role", "operation", "own", "other"),
    [
        (Role.PATIENT, Operation.READ_PATIENT, "17", "18"),
        (Role.CLINICIAN, Operation.READ_USER, "ada", "bob"),
        (Role.SERVICE_OWNER, Operation.READ_SERVICE, "patient-service", "other"),
    ],
)
def test_a_summary_is_for_its_own_subject(role: Role, operation: Operation, own: str, other: str) -> None:
    scope = Scope(somebody(role))
    scope.hidden(operation, own)
    for subject in (other, None):
        with pytest.raises(AccessDeniedError):
            scope.hidden(operation, subject)


def test_nobody_reports_events_of_the_trail_itself_or_of_a_service_that_is_not_theirs() -> None:
    own = Scope(Principal(id="p", roles=frozenset({Role.PUBLISHER}), sources=("patient-service",)))
    own.require_report(event("record.read", 0))
    for refused in (
        event("record.read", 0, source=Source(service="other")),
        event("audit_log.read", 0),
        event("staff_disclosure.decided", 0),
        event("subject.erased", 0),
    ):
        with pytest.raises(AccessDeniedError):
            own.require_report(refused)
    any_service = Scope(somebody(Role.PUBLISHER))
    any_service.require_report(event("record.read", 0, source=Source(service="other")))
    with pytest.raises(AccessDeniedError):
        any_service.require_report(event("staff_disclosure.decided", 0))
    with pytest.raises(AccessDeniedError):
        Scope(somebody(Role.AUDITOR)).require_report(event("record.read", 0))


def test_a_decision_shows_staff_of_that_record_and_of_no_other_and_to_no_other_role() -> None:
    parent = somebody(Role.PATIENT, patients=("17", "18"))
    scope = Scope(parent, sees_staff=("17", "99"))
    assert Part.STAFF_NAMES not in scope.hidden(Operation.READ_PATIENT, "17")
    assert Part.STAFF_NAMES in scope.hidden(Operation.READ_PATIENT, "18")
    with pytest.raises(AccessDeniedError):
        scope.hidden(Operation.READ_PATIENT, "99")
    assert scope.rows(Operation.READ_EVENTS, {Part.STAFF_IDS}) == (Rows(patients=("17",)),)
    analyst = somebody(Role.ANALYST, patients=("17",))
    assert Part.STAFF_NAMES in Scope(analyst, sees_staff=("17",)).hidden(Operation.READ_PATIENT, "17")


def test_who_may_follow_or_count_events_may_read_them_and_the_other_way_round() -> None:
    for role in Role:
        scope = Scope(somebody(role))
        events = {Operation.READ_EVENTS, Operation.COUNT_EVENTS, Operation.FOLLOW_EVENTS, Operation.EXPORT}
        assert len({scope.may(each) for each in events}) == 1
