"""The read models within a scope: what is refused, what is hidden, what is noted for the record of reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.access.principal import Principal, Role
from domain.access.scope import Scope
from domain.access.staff_disclosure import Decision, decision_event
from domain.errors import AccessDeniedError
from domain.event import AuditEvent, Source
from domain.read_audit.query_log import QueryLog
from queries.export.pipeline import Exports
from queries.export.request import ExportRequest, Format
from queries.export.stream import stream
from queries.filters.event_filter import CountBy, EventFilter, PageRequest
from queries.live_tables.pages import RowRequest
from queries.scoped.export import ScopedExport
from queries.scoped.read_models import ScopedModels
from queries.staff_disclosures import StaffDisclosures
from tests.domain.access.knowing import somebody
from tests.projections.custom.analyst import HEAD, PYTHON, project, write
from tests.trail import START, Trail, an_event

P17, P18 = {"id": "17", "name": "Paul"}, {"id": "18", "name": "Olga"}
PAGE = PageRequest(first=10)


@pytest.fixture
def told(trail: Trail) -> Trail:
    """Two patients, a change of a phone number, a device's change, and what somebody was told before."""
    change: dict[str, Any] = {"path": "phone", "before": "1", "after": "2"}
    trail.given(
        an_event(patients=[P17]),
        an_event(patients=[P18], actor={"id": "bob", "name": "Bob"}),
        an_event(
            "record.updated", 2, patients=[P17], resources=[{"type": "Patient", "id": "17"}], changes=[change]
        ),
        an_event("configuration.changed", 3, device={"id": "pump-1"}, changes=[change]),
        an_event(
            "audit_log.read",
            4,
            source={"service": "audit-trail"},
            patients=[P17],
            attributes={"via": "subscription"},
        ),
    )
    return trail


def models_of(trail: Trail, principal: Principal, **seeing: Any) -> tuple[ScopedModels, QueryLog]:
    query_log = QueryLog()
    return ScopedModels(trail.read, Scope(principal, **seeing), query_log), query_log


def test_what_was_asked_is_noted_with_whom_the_answer_told_of(told: Trail) -> None:
    models, query_log = models_of(told, somebody(Role.PATIENT))
    models.events(models.prepare(EventFilter(types=("record.read",))), PAGE)
    models.event_counts(models.prepare(EventFilter(), CountBy.DAY))
    models.patient("17")
    models.event(uuid4())
    assert [(each.operation, each.returned) for each in query_log.queries] == [
        ("events", 1),
        ("event_counts", 1),
        ("patient", 1),
        ("event", 0),
    ]
    assert query_log.queries[0].parameters == {"filter": {"type": ["record.read"]}, "page": {"first": 10}}
    assert query_log.patients == ("17",)


def test_a_count_of_the_events_of_a_patient_tells_of_that_patient(told: Trail) -> None:
    for asked, patients in (
        (EventFilter(patient="17"), ("17",)),
        (EventFilter(or_=(EventFilter(patient="17"), EventFilter(patient_in=("18",)))), ("17", "18")),
        (EventFilter(and_=(EventFilter(patient="17"),), not_=EventFilter(patient="18")), ("17",)),
        (EventFilter(patient="nobody"), ()),
    ):
        models, query_log = models_of(told, somebody(Role.ANALYST))
        models.event_counts(models.prepare(asked, CountBy.ACTOR))
        assert query_log.patients == patients


@pytest.mark.parametrize(("id", "patients"), [("17", ("17",)), ("nobody", ())])
def test_the_summary_of_a_resource_that_is_a_patient_tells_of_that_patient(
    told: Trail, id: str, patients: tuple[str, ...]
) -> None:
    models, query_log = models_of(told, somebody(Role.AUDITOR))
    models.resource("Patient", id)
    assert query_log.patients == patients


def test_patients_that_are_hidden_are_not_noted_as_told(told: Trail) -> None:
    told.given(an_event(minute=9, patients=[P17, P18]))
    models, query_log = models_of(told, somebody(Role.PATIENT))
    assert len(models.events(models.prepare(EventFilter()), PAGE).events) == 4
    assert query_log.patients == ("17",)


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.ANALYST])
def test_what_subscribers_were_given_is_noted_as_such_though_its_text_is_hidden(
    told: Trail, role: Role
) -> None:
    models, query_log = models_of(told, somebody(role))
    models.events(models.prepare(EventFilter(types=("audit_log.read",))), PAGE)
    assert [(each.returned, each.echoes) for each in query_log.queries] == [(1, 1)]


def test_who_sees_everything_gets_the_very_events_of_the_read_models(told: Trail) -> None:
    models, _ = models_of(told, somebody(Role.AUDITOR))
    page = models.events(models.prepare(EventFilter()), PAGE)
    assert page == told.events(EventFilter(), PAGE)


def test_a_refused_question_is_not_noted_and_asks_no_database(told: Trail) -> None:
    models, query_log = models_of(told, somebody(Role.PATIENT))
    for ask in (
        lambda: models.events(models.prepare(EventFilter(actor="dr-smith")), PAGE),
        lambda: models.events(models.prepare(EventFilter(not_=EventFilter(patient_in=("17", "18")))), PAGE),
        lambda: models.event_counts(models.prepare(EventFilter(), CountBy.ACTOR)),
        lambda: models.patient("18"),
        lambda: models.user("dr-smith"),
        lambda: models.resource("Patient", "17"),
        lambda: models.resource_changes("Patient", "17", None, 10),
        lambda: models.table_rows(RowRequest("user", "user_action", 10)),
        models.projections,
    ):
        with pytest.raises(AccessDeniedError):
            ask()
    assert not query_log


def test_a_denied_query_is_on_record_with_its_filter_whether_or_not_that_is_valid(told: Trail) -> None:
    models, query_log = models_of(told, somebody(Role.PATIENT))
    for filter in (EventFilter(actor="x" * 300), EventFilter(actor="dr-smith", purposes=("BTG",))):
        with pytest.raises(AccessDeniedError):
            models.prepare(filter, max_days=1)
        [denied] = query_log.take_denied().queries
        assert (denied.operation, denied.parameters["filter"]["actor"]) == ("events", filter.actor)


def test_a_patient_asks_about_their_own_record_by_its_id(told: Trail) -> None:
    models, _ = models_of(told, somebody(Role.PATIENT))
    asked = EventFilter(or_=(EventFilter(patient="17"), EventFilter(patient_in=("17",))))
    assert [each.position for each in models.events(models.prepare(asked), PAGE).events] == [4, 2, 0]


def test_the_history_of_a_resource_shows_paths_without_values(told: Trail) -> None:
    models, query_log = models_of(told, somebody(Role.ANALYST))
    [change] = models.resource_changes("Patient", "17", None, 10).changes
    assert (change.path, change.before, change.after, change.actor.id, change.actor.name) == (
        "phone",
        None,
        None,
        "dr-smith",
        None,
    )
    assert query_log.patients == ("17",)
    models, _ = models_of(told, somebody(Role.AUDITOR))
    [whole] = models.resource_changes("Patient", "17", None, 10).changes
    assert (whole.before, whole.after, whole.actor.name) == ("1", "2", "Dr Smith")


def test_summaries_hide_what_events_hide(told: Trail) -> None:
    patient, _ = models_of(told, somebody(Role.PATIENT))
    found = patient.patient("17")
    assert found is not None
    assert {(row.actor_id, row.actor_name) for row in found.accesses} == {(None, None)}
    analyst, _ = models_of(told, somebody(Role.ANALYST))
    found, user, device = analyst.patient("17"), analyst.user("dr-smith"), analyst.device("pump-1")
    assert found is not None
    assert user is not None
    assert device is not None
    assert {(row.actor_id, row.actor_name) for row in found.accesses} == {("dr-smith", None)}
    assert user.name is None
    [change] = device.configuration
    assert (change.path, change.before, change.after) == ("phone", None, None)


@pytest.mark.parametrize("role", [Role.ANALYST, Role.SECURITY_OFFICER])
@pytest.mark.parametrize("name", ["DOE^JANE", "No Body"])
def test_who_sees_no_names_can_not_guess_one_by_asking_for_its_summary(
    told: Trail, role: Role, name: str
) -> None:
    told.given(an_event(minute=9, actor={"id": "DOE^JANE"}, patients=[{"id": "DOE^JANE"}]))
    models, query_log = models_of(told, somebody(role))
    for ask in (
        lambda: models.user(name),
        lambda: models.patient(name),
        lambda: models.device(name),
        lambda: models.resource("Practitioner", name),
        lambda: models.events(models.prepare(EventFilter(actor=name)), PAGE),
        lambda: models.events(models.prepare(EventFilter(actor_prefix=name[:3])), PAGE),
    ):
        with pytest.raises(AccessDeniedError):
            ask()
    assert not query_log
    auditor, _ = models_of(told, somebody(Role.AUDITOR))
    assert (auditor.user(name) is not None) is (name == "DOE^JANE")


def test_a_security_officer_sees_the_names_of_users_and_not_those_of_patients_who_are_users(
    told: Trail,
) -> None:
    told.given(an_event(minute=9, actor={"kind": "patient", "id": "17", "name": "Paul"}, patients=[P17]))
    models, _ = models_of(told, somebody(Role.SECURITY_OFFICER))
    staff, patient = models.user("dr-smith"), models.user("17")
    assert staff is not None
    assert patient is not None
    assert (staff.name, patient.name) == ("Dr Smith", None)


def test_a_security_officer_does_not_read_in_a_summary_which_named_patients_a_user_dealt_with(
    told: Trail,
) -> None:
    told.given(an_event(minute=9, patients=[{"id": "Paul Patientname"}]))
    models, query_log = models_of(told, somebody(Role.SECURITY_OFFICER))
    staff = models.user("dr-smith")
    assert staff is not None
    assert (staff.name, [row.patient_id for row in staff.patients]) == ("Dr Smith", ["17"])
    assert query_log.patients == ("17",)


def test_tables_of_analysts_are_for_analysts_and_built_in_ones_for_those_who_see_everything(
    told: Trail, tmp_path: Path
) -> None:
    project(told, write(tmp_path, HEAD + PYTHON))
    own, built_in = RowRequest("mine", "mine", 10), RowRequest("user", "user_action", 10)
    for role in (Role.AUDITOR, Role.PRIVACY_OFFICER, Role.ADMIN):
        models, query_log = models_of(told, somebody(role))
        assert models.table_rows(own).rows
        assert models.table_rows(built_in).rows
        assert [each.operation for each in query_log.queries] == ["table_rows"] * 2
        assert set(query_log.patients) == {"17", "18"}
    analyst, _ = models_of(told, somebody(Role.ANALYST))
    assert analyst.table_rows(own).rows
    assert analyst.projection("mine") is not None
    assert analyst.projection("nothing") is None
    for ask in (lambda: analyst.table_rows(built_in), lambda: analyst.projection("user")):
        with pytest.raises(AccessDeniedError):
            ask()
    officer, _ = models_of(told, somebody(Role.SECURITY_OFFICER))
    with pytest.raises(AccessDeniedError):
        officer.table_rows(own)


def exported(trail: Trail, principal: Principal, **request: Any) -> str:
    scoped = ScopedExport(ExportRequest(format=Format.NDJSON, **request), Scope(principal), QueryLog())
    with Exports(trail.reader).open(scoped.request, access=scoped) as opened:
        return b"".join(stream(opened, manifest=True)).decode()


def test_an_export_is_of_the_scope_and_says_so(told: Trail, tmp_path: Path) -> None:
    lines = exported(told, somebody(Role.PATIENT)).splitlines()
    assert len(lines) == 4
    assert '"scope":{"patient":"17"}' in lines[-1]
    assert '"staff_names"' in lines[-1]
    whole = exported(told, somebody(Role.AUDITOR)).splitlines()
    assert len(whole) == 6
    assert '"scope":null,"hidden":[]' in whole[-1]
    project(told, write(tmp_path, HEAD + PYTHON))
    assert "dr-smith" in exported(told, somebody(Role.ANALYST), table="mine")
    for role, table in (
        (Role.ANALYST, "user_action"),
        (Role.SECURITY_OFFICER, "mine"),
        (Role.PATIENT, "mine"),
    ):
        with pytest.raises(AccessDeniedError):
            exported(told, somebody(role), table=table)


def decided(names: bool, patient: str = "17", service: str = "audit-trail") -> AuditEvent:
    return decision_event(
        patient,
        Decision(names),
        by=somebody(Role.PRIVACY_OFFICER),
        reason="asked",
        at=START,
        source=Source(service=service),
    )


def test_the_newest_decision_shows_staff_of_that_patient(told: Trail) -> None:
    def seeing() -> set[str]:
        return set(StaffDisclosures(told.read).seen_by(("17", "18")))

    assert seeing() == set()
    told.given(decided(True), decided(True, "18", service="somebody-else"))
    assert seeing() == {"17"}
    models, _ = models_of(told, somebody(Role.PATIENT), sees_staff=seeing())
    query = models.prepare(EventFilter(types=("record.read",)))
    names = [each.event.actor.name for each in models.events(query, PAGE).events]
    assert names == ["Dr Smith"]
    assert models.events(models.prepare(EventFilter(actor="dr-smith")), PAGE).events
    told.given(decided(False))
    assert seeing() == set()


def test_a_decision_is_kept_for_some_seconds(told: Trail) -> None:
    told.given(decided(True))
    disclosures = StaffDisclosures(told.read)
    assert disclosures.known(("17",)) is None
    assert disclosures.seen_by(("17",)) == {"17"}
    told.given(decided(False))
    assert disclosures.known(("17",)) == {"17"}
    assert StaffDisclosures(told.read, seconds=0).seen_by(("17",)) == set()


def test_nobody_finds_an_event_by_an_id_that_is_out_of_scope(told: Trail) -> None:
    ids = [each.event.event_id for each in told.events(EventFilter(), PAGE).events][::-1]
    models, _ = models_of(told, somebody(Role.DEVICE_MANAGER))
    found = [models.event(id) for id in (*ids, UUID(int=0))]
    assert [None if each is None else each.position for each in found] == [None, None, None, 3, None, None]


def test_a_patient_who_sees_staff_does_not_see_other_patients_who_acted(told: Trail) -> None:
    told.given(
        an_event(minute=5, patients=[P17], actor={"id": "18", "name": "Olga", "kind": "patient"}),
        an_event(minute=6, patients=[P17], actor={"id": "17", "name": "Paul", "kind": "patient"}),
    )
    patient = Principal(id="p", roles=frozenset({Role.PATIENT}), patients=("17",))
    models, _ = models_of(told, patient, sees_staff={"17"})
    found = models.patient("17")
    assert found is not None
    assert {(row.actor_id, row.actor_name) for row in found.accesses} == {
        ("17", "Paul"),
        (None, None),
        ("dr-smith", "Dr Smith"),
    }
    officer, _ = models_of(told, Principal(id="o", roles=frozenset({Role.PRIVACY_OFFICER})))
    seen = officer.patient("17")
    assert seen is not None
    assert {"17", "18", "dr-smith"} <= {row.actor_id for row in seen.accesses}
