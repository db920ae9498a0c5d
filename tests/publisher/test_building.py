"""A call builds the event that it says, with what the context adds, and refuses what the trail would reject."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

import domain.catalogue
import domain.event
import domain.validation
from audit_trail_publisher import (
    UNKNOWN_ACTOR,
    Actor,
    ActorKind,
    AuditEvent,
    Change,
    Client,
    Device,
    Disclosure,
    Outcome,
    Patient,
    Publisher,
    Request,
    Resource,
    field_changes,
)
from audit_trail_publisher.errors import ConfigurationError, InvalidEventError, MissingActorError
from audit_trail_publisher.messages import message_of
from audit_trail_publisher.testing import CapturedTrail
from audit_trail_publisher.values import MASKED
from domain.errors import InvalidEventError as RejectedByTrail

NEEDED = {
    "resource": ("Observation", "o-1"),
    "patient": "17",
    "device": "pump-4",
    "reason": "resuscitation",
    "disclosure": Disclosure(recipient="Court"),
}


@pytest.fixture
def trail() -> CapturedTrail:
    return CapturedTrail("patient-service")


def test_short_forms_stand_for_patients_resources_devices_and_actors(trail: CapturedTrail) -> None:
    trail.record.read(
        patient=["17", Patient(id="18", name="Eve")],
        resource=[("Observation", "o-1"), Resource(type="Patient", id="17", version="3")],
        device="pump-4",
        actor="dr-smith",
    )
    (event,) = trail.events
    assert event.patients == (Patient(id="17"), Patient(id="18", name="Eve"))
    assert event.resources == (
        Resource(type="Observation", id="o-1"),
        Resource(type="Patient", id="17", version="3"),
    )
    assert event.device == Device(id="pump-4")
    assert event.actor == Actor(id="dr-smith")
    assert event.source.service == "patient-service"
    assert event.event_id.version == 7
    assert abs((datetime.now(UTC) - event.occurred_at).total_seconds()) < 60


def test_event_ids_sort_by_time_and_never_repeat(trail: CapturedTrail) -> None:
    for _ in range(300):
        trail.user.logged_in(actor="dr-smith")
    ids = [event.event_id for event in trail.events]
    assert len(set(ids)) == 300
    milliseconds = [each.int >> 80 for each in ids]
    assert milliseconds == sorted(milliseconds)


def test_before_and_after_become_the_changes_of_fields(trail: CapturedTrail) -> None:
    trail.record.updated(
        resource=("Observation", "o-1"),
        before={"status": "draft", "value": {"code": "a", "unit": "mg"}, "same": [1], "gone": 1},
        after={"status": "final", "value": {"code": "a", "unit": "g"}, "same": [1], "new": True},
        changes=[Change(path="note", after="given by hand")],
        actor="dr-smith",
    )
    assert [(change.path, change.before, change.after) for change in trail.only().changes] == [
        ("status", "draft", "final"),
        ("value.unit", "mg", "g"),
        ("gone", 1, None),
        ("new", None, True),
        ("note", None, "given by hand"),
    ]


def test_changes_of_objects_masks_and_types() -> None:
    class Record(msgspec.Struct):
        name: str
        born: datetime
        ssn: str | None = None

    then = datetime(1990, 1, 1, tzinfo=UTC)
    old, new = Record("Eve", then), Record("Eva", then, ssn="123")
    assert field_changes(old, new, mask={"ssn"}) == (
        Change(path="name", before="Eve", after="Eva"),
        Change(path="ssn", before=None, after=MASKED),
    )
    assert field_changes(old, new, leave_out={"ssn", "name"}) == ()
    assert field_changes(None, {"a": None, "b": 1}) == (Change(path="b", after=1),)
    assert field_changes({"a": 1}, {"a": True}) == (Change(path="a", before=1, after=True),)
    assert field_changes({"a": {"b": 1}}, {"a": {"b": 2}}, mask={"a"}) == (
        Change(path="a", before=MASKED, after=MASKED),
    )
    with pytest.raises(TypeError, match="mappings"):
        field_changes([1], [2])


def test_masked_paths_of_a_trail_keep_their_values_out_of_every_event() -> None:
    trail = CapturedTrail("patient-service", mask=["ssn"])
    trail.record.created(resource=("Patient", "17"), after={"ssn": "123-45", "name": "Eve"}, actor="dr-smith")
    assert [(change.path, change.after) for change in trail.only().changes] == [
        ("ssn", MASKED),
        ("name", "Eve"),
    ]


@pytest.mark.parametrize("before", [None, {"address": None}, {"address": "unknown"}, {"address": {"zip": 1}}])
def test_a_mask_holds_within_a_value_that_appears_or_disappears_as_a_whole(before: Any) -> None:
    after = {"address": {"city": "Ghent", "zip": 1}, "names": [{"family": "Doe", "use": "old"}]}
    there = field_changes(before, after, mask={"address.city", "names.family"})
    back = field_changes(after, before, mask={"address.city", "names.family"})
    for changes in (there, back):
        text = repr(changes)
        assert "Ghent" not in text
        assert "Doe" not in text
        assert text.count(MASKED) == 2
        assert "old" in text


def test_a_single_name_to_mask_is_that_name_and_not_its_letters() -> None:
    trail = CapturedTrail(mask="comment")
    trail.record.created(resource=("Note", "1"), actor="ada", after={"comment": "private"})
    [change] = field_changes({}, {"comment": "private"}, mask="comment")
    assert change.after == trail.events[0].changes[0].after == MASKED


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"when_full": "wait"}, "'raise' or 'block', not 'wait'"),
        ({"on_missing_actor": "ignore"}, "'raise' or 'unknown', not 'ignore'"),
        ({"promise": "durabel"}, "'durable' or 'transactional' or 'confirmed', not 'durabel'"),
    ],
)
def test_a_word_that_no_option_has_is_refused(tmp_path: Path, options: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Publisher("patient-service", url="http://127.0.0.1:1", spool=tmp_path, **options)


def test_a_mask_holds_within_a_change_that_the_caller_gives() -> None:
    trail = CapturedTrail("patient-service", mask=["address.city"])
    given = Change(path="address", before={"city": "Ghent", "zip": 1}, after=None)
    trail.record.updated(resource=("Patient", "17"), changes=[given], actor="dr-smith")
    [change] = trail.only().changes
    assert (change.before, change.after) == ({"city": MASKED, "zip": 1}, None)


def test_the_context_gives_what_the_call_does_not(trail: CapturedTrail) -> None:
    client = Client(address="10.0.0.7")
    with (
        trail.actor("dr-smith", name="Dr Smith", roles=("physician",)),
        trail.context(session="s-1", client=client, correlation_id="c-1", attributes={"ward": "3"}),
        trail.context(purpose_of_use=("TREAT",), attributes={"bed": "1"}),
    ):
        trail.record.read(resource=("Observation", "o-1"))
        trail.record.read(
            resource=("Observation", "o-2"), actor="other", session="s-2", attributes={"bed": "2"}
        )
    first, second = trail.events
    assert first.actor == Actor(id="dr-smith", name="Dr Smith", roles=("physician",))
    assert (first.session, first.client, first.correlation_id) == ("s-1", client, "c-1")
    assert (first.purpose_of_use, first.attributes) == (("TREAT",), {"ward": "3", "bed": "1"})
    assert (second.actor.id, second.session, second.attributes) == ("other", "s-2", {"ward": "3", "bed": "2"})
    with pytest.raises(MissingActorError):
        trail.record.read(resource=("Observation", "o-1"))


def test_a_missing_actor_is_an_error_unless_declared_otherwise(trail: CapturedTrail) -> None:
    with pytest.raises(MissingActorError, match=r"record\.searched needs an actor"):
        trail.record.searched()
    assert trail.events == []
    trail.user.login_failed(actor=UNKNOWN_ACTOR)
    trail.record.searched(actor=trail.itself)
    assert [event.actor for event in trail.events] == [
        Actor(kind=ActorKind.UNKNOWN),
        Actor(kind=ActorKind.SERVICE, id="patient-service"),
    ]
    lax = CapturedTrail(on_missing_actor="unknown")
    lax.record.searched()
    assert lax.only().actor == UNKNOWN_ACTOR


def test_a_service_is_the_actor_of_its_own_events(trail: CapturedTrail) -> None:
    trail.health_check.failed(reason="disk is full")
    with trail.actor("operator"):
        trail.service.restarted()
    assert [event.actor.id for event in trail.events] == ["patient-service", "operator"]


def test_events_of_failures_do_not_say_success(trail: CapturedTrail) -> None:
    trail.user.login_failed(actor="dr-smith")
    trail.access.denied(actor="dr-smith", outcome=Outcome.SERIOUS_FAILURE)
    trail.user.logged_in(actor="dr-smith")
    assert [event.outcome for event in trail.events] == [
        Outcome.MINOR_FAILURE,
        Outcome.SERIOUS_FAILURE,
        Outcome.SUCCESS,
    ]


def test_what_a_client_chooses_can_not_make_an_event_invalid(trail: CapturedTrail) -> None:
    with trail.context(
        client=Client(address="10.0.0.7", user_agent="\0" + "x" * 5000),
        request=Request(method="M" * 100, path="/" + "p" * 10_000),
    ):
        trail.access.denied(actor="dr-smith")
    event = trail.only()
    assert event.client is not None
    assert event.request is not None
    assert len(event.client.user_agent or "") == 1024
    assert len(event.request.path or "") == 8192
    assert len(event.request.method or "") == 32


def every_type() -> list[str]:
    return [
        name
        for name, entry in domain.catalogue.CATALOGUE.items()
        if entry.category is not domain.catalogue.Category.TRAIL
    ]


@pytest.mark.parametrize("type", every_type())
def test_the_event_of_every_builder_is_valid_for_the_trail(trail: CapturedTrail, type: str) -> None:
    group, _, name = type.partition(".")
    builder = getattr(getattr(trail.build, group), name)
    parameters = inspect.signature(builder).parameters
    given = {
        each: NEEDED[each] for each, one in parameters.items() if each in NEEDED and one.default is one.empty
    }
    with trail.actor("dr-smith"), trail.context(session="s-1", request=Request(method="GET", path="/")):
        event = builder(**given)
    decoded = domain.validation.decode_event(message_of(event).body)
    assert decoded.type == type
    assert msgspec.to_builtins(decoded) == msgspec.to_builtins(event)


def test_the_events_of_the_trail_itself_are_not_offered(trail: CapturedTrail) -> None:
    groups = {name for name, value in vars(trail).items() if type(value).__name__.endswith("Events")}
    assert groups == {type.partition(".")[0] for type in every_type()}
    assert not hasattr(trail, "audit_log")


MINIMAL: dict[str, Any] = {
    "event_id": "01927d1c-0000-7000-8000-000000000001",
    "type": "record.read",
    "occurred_at": "2026-03-01T08:00:00Z",
    "source": {"service": "patient-service"},
    "actor": {"id": "dr-smith"},
    "resources": [{"type": "Observation", "id": "o-1"}],
}
FAULTS: list[tuple[dict[str, Any], str | None]] = [
    ({"type": "record.reed"}, "type"),
    ({"type": ""}, "type"),
    ({"resources": []}, "resources"),
    ({"resources": [{"type": "Observation", "id": " o-1"}]}, "resources[0].id"),
    ({"patients": [{"id": "Patient/17"}]}, "patients[0].id"),
    ({"patients": [{"id": "x" * 257}]}, "patients[0].id"),
    ({"actor": {"id": ""}}, "actor.id"),
    ({"actor": {"id": "a", "kind": "robot"}}, "actor.kind"),
    ({"occurred_at": "1970-01-01T00:00:00Z"}, "occurred_at"),
    ({"request": {"status": 99}}, "request.status"),
    ({"reason": "secret\0value"}, ""),
    ({"attributes": {"a": [[[]]] * 70}}, None),
    ({"attributes": {"deep": msgspec.json.decode(b"[" * 70 + b"]" * 70)}}, ""),
    ({"attributes": {"many": [[]] * 50_001}}, ""),
    ({"attributes": {"large": "x" * (1 << 20)}}, ""),
]


@pytest.mark.parametrize(("fault", "field"), FAULTS, ids=lambda value: str(value)[:40])
def test_a_publisher_refuses_what_the_trail_would_reject(
    trail: CapturedTrail, fault: dict[str, Any], field: str | None
) -> None:
    """And it accepts what the trail accepts: the case without a field."""
    values = MINIMAL | fault
    body = msgspec.json.encode(values)
    event = _unchecked(values)
    if field is None:
        domain.validation.decode_event(body)
        trail.publish(event)
        return
    if len(body) <= 1 << 20:  # the limit of bytes is checked before
        with pytest.raises(RejectedByTrail) as theirs:
            domain.validation.decode_event(body)
        assert theirs.value.field == field
    with pytest.raises(InvalidEventError) as ours:
        trail.publish(event)
    assert ours.value.field == field
    assert "secret" not in str(ours.value)
    assert trail.events == []


def _unchecked(values: dict[str, Any]) -> AuditEvent:
    """A struct of values that its types do not allow: msgspec checks nothing when Python makes one."""
    made = dict(values)
    made["event_id"] = UUID(made["event_id"])
    made["occurred_at"] = datetime.fromisoformat(made["occurred_at"])
    return AuditEvent(**made)


def test_values_that_json_does_not_have_are_refused_without_their_text(trail: CapturedTrail) -> None:
    class Secret:
        def __repr__(self) -> str:
            return "the patient's name"

    with pytest.raises(InvalidEventError) as caught:
        trail.record.searched(actor="dr-smith", attributes={"a": Secret()})
    assert "patient's name" not in str(caught.value)
    with pytest.raises(InvalidEventError):
        trail.record.searched(actor="dr-smith", reason="\ud800")
