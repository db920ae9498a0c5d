"""What is left of an event: no word that is hidden, whatever the event says and wherever it says it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.access.grants import HIDDEN, Part
from domain.access.principal import Principal, Role
from domain.access.redaction import redacted
from domain.access.scope import Scope
from domain.access.staff_disclosure import Decision, decision_event, decision_of
from domain.errors import AccessDeniedError
from domain.event import Actor, ActorKind, AuditEvent, Change, Patient, Source
from domain.validation import decode_event, encode_event
from tests.domain.access.knowing import SECRETS, WHOLE, somebody
from tests.hospital import at, event


def said(event: AuditEvent) -> str:
    """All that an event says."""
    return encode_event(event).decode()


@pytest.mark.parametrize("part", Part)
def test_a_hidden_part_is_absent_and_the_rest_is_there(part: Part) -> None:
    left = said(redacted(WHOLE, frozenset({part}), ("17",)))
    assert not [secret for secret in SECRETS[part] if secret in left]
    hidden_too = SECRETS[part] | {
        # Whatever an event about several patients says may be of any of them, and a request's path is its text.
        Part.OTHER_PATIENTS: SECRETS[Part.VALUES] | SECRETS[Part.DISCLOSURE] | {"code in words"},
        Part.CLIENT: {"path-secret"},
        Part.FREE_TEXT: {"/records/path-secret"},
        Part.PATIENT_NAMES: set(),
    }.get(part, set())
    others = frozenset[str]().union(*SECRETS.values()) - hidden_too
    assert [secret for secret in sorted(others) if secret not in left] == []


def test_the_event_itself_says_every_secret() -> None:
    assert all(secret in said(WHOLE) for secrets in SECRETS.values() for secret in secrets)


@given(st.frozensets(st.sampled_from(Part)))
def test_no_hidden_word_is_left_whatever_else_is_hidden(hidden: frozenset[Part]) -> None:
    left = said(redacted(WHOLE, hidden, ("17",)))
    assert not [secret for part in hidden for secret in SECRETS[part] if secret in left]


@given(st.frozensets(st.sampled_from(Part)))
def test_what_is_left_is_an_event_still(hidden: frozenset[Part]) -> None:
    left = redacted(WHOLE, hidden, ("17",))
    assert (left.event_id, left.type, left.occurred_at) == (WHOLE.event_id, WHOLE.type, WHOLE.occurred_at)
    assert redacted(left, hidden, ("17",)) == left
    assert msgspec.json.decode(encode_event(left), type=AuditEvent) == left


@given(st.frozensets(st.sampled_from(Role), min_size=1))
def test_several_roles_hide_what_each_of_them_hides_of_the_event(roles: frozenset[Role]) -> None:
    principal = Principal(id="x", roles=roles, patients=("17",), actors=("nobody",), sources=("none",))
    scope = Scope(principal)
    if not scope.admits(WHOLE):
        with pytest.raises(AccessDeniedError):
            scope.redacted(WHOLE)
        return
    seeing = [
        role
        for role in roles
        if role
        not in {Role.CLINICIAN, Role.SERVICE_OWNER, Role.DEVICE_MANAGER, Role.PUBLISHER, Role.OPERATOR}
    ]
    hidden = frozenset.intersection(*(HIDDEN.get(role, frozenset()) for role in seeing))
    left = said(scope.redacted(WHOLE))
    assert not [secret for part in hidden for secret in SECRETS[part] if secret in left]
    if not hidden:
        assert scope.redacted(WHOLE) is WHOLE


def test_a_patient_is_told_when_why_and_by_what_kind_of_staff() -> None:
    left = Scope(somebody(Role.PATIENT)).redacted(WHOLE)
    assert left.actor == Actor(roles=("nurse",))
    assert left.attributes == {"department": "cardiology"}
    assert left.purpose_of_use == ("TREAT",)
    assert left.patients == (Patient(id="17", name="Paul Patientname"),)
    words = SECRETS.keys() - {Part.PATIENT_NAMES, Part.DISCLOSURE}
    assert not [secret for part in words for secret in SECRETS[part] if secret in said(left)]


def test_a_patient_sees_what_they_did_themselves_as_theirs() -> None:
    own = replace(
        WHOLE, actor=Actor(kind=ActorKind.PATIENT, id="17", name="Paul Patientname"), session="mine"
    )
    left = Scope(somebody(Role.PATIENT)).redacted(own)
    assert (left.actor.id, left.actor.name, left.session) == ("17", "Paul Patientname", "mine")


def test_another_patient_who_acted_is_no_staff_that_a_decision_could_show() -> None:
    proxy = Actor(kind=ActorKind.PATIENT, id="other-patient-18", name="Olga Othername", on_behalf_of="x-18")
    left = Scope(somebody(Role.PATIENT), sees_staff=("17",)).redacted(replace(WHOLE, actor=proxy))
    assert left.actor == Actor(kind=ActorKind.PATIENT)


@pytest.mark.parametrize("role", [Role.SECURITY_OFFICER, Role.DEVICE_MANAGER])
def test_the_name_of_a_patient_who_acted_is_a_patients_name(role: Role) -> None:
    acted = event(
        "device.connected", 0, actor=Actor(kind=ActorKind.PATIENT, id="17", name="Paul Patientname")
    )
    assert Scope(somebody(role)).redacted(acted).actor == Actor(kind=ActorKind.PATIENT, id="17")


def test_a_device_manager_sees_what_a_device_did_by_itself() -> None:
    acted = event("record.read", 0, actor=Actor(kind=ActorKind.DEVICE, id="pump-1"))
    assert Scope(somebody(Role.DEVICE_MANAGER)).admits(acted)
    assert not Scope(somebody(Role.DEVICE_MANAGER)).admits(event("record.read", 0, actor=Actor(id="pump-1")))


def test_a_device_manager_sees_how_a_device_is_set_and_not_what_it_measured() -> None:
    scope = Scope(somebody(Role.DEVICE_MANAGER))
    device = Actor(kind=ActorKind.DEVICE, id="pump-1")
    changes = (Change(path="rate", before=1, after=2),)
    measured = scope.redacted(event("record.created", 0, actor=device, changes=changes, reason="2 at once"))
    assert (measured.changes, measured.reason) == ((Change(path="rate"),), None)
    set_up = scope.redacted(event("configuration.changed", 0, actor=device, changes=changes))
    assert set_up.changes == changes


def test_a_decision_is_read_as_it_was_written() -> None:
    source = Source(service="audit-trail")
    until = at(60)
    for decision in (Decision(names=True), Decision(names=True, until=until), Decision(names=False)):
        written = decision_event(
            "17", decision, by=somebody(Role.PRIVACY_OFFICER), reason="asked", at=at(0), source=source
        )
        assert decision_of(decode_event(encode_event(written))) == decision
    assert Decision(names=True, until=until).holds(until - timedelta(seconds=1))
    assert not Decision(names=True, until=until).holds(until)
    assert not Decision(names=False).holds(datetime.now(UTC))


@pytest.mark.parametrize(
    "attributes",
    [{}, {"names": "yes"}, {"names": True, "until": "soon"}, {"names": True, "until": "2026-01-01T00:00:00"}],
)
def test_a_decision_that_can_not_be_understood_shows_nothing(attributes: dict[str, object]) -> None:
    source = Source(service="audit-trail")
    decided = event("staff_disclosure.decided", 0, source=source, attributes=attributes)
    assert decision_of(decided) == Decision(names=False)


def test_a_decision_counts_only_from_the_trail_itself() -> None:
    names = {"names": True}
    assert decision_of(event("staff_disclosure.decided", 0, attributes=names)) is None
    assert (
        decision_of(event("record.read", 0, source=Source(service="audit-trail"), attributes=names)) is None
    )


def test_who_asked_a_question_reads_the_own_words_and_nobody_elses() -> None:
    words = "Who was that?"
    asked = event(
        "access.questioned",
        0,
        actor=Actor(kind=ActorKind.PATIENT, id="patty", name="Patty"),
        patients=(Patient(id="17"),),
        reason=words,
    )
    patient = Principal(id="patty", roles=frozenset({Role.PATIENT}), kind=ActorKind.PATIENT, patients=("17",))
    own = Scope(patient).redacted(asked)
    assert (own.reason, own.actor) == (words, asked.actor)
    for other in (
        replace(asked, actor=replace(asked.actor, id="somebody")),
        replace(asked, actor=replace(asked.actor, kind=ActorKind.USER)),
        replace(asked, type="record.read"),
    ):
        left = Scope(patient).redacted(other)
        assert (left.reason, left.actor.id) == (None, None)
