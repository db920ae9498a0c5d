"""A Django project records requests, sign-ins and the rows of its models, with its real handlers and databases."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import django
import pytest
from django.apps import apps
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.db.models import F
from django.test import AsyncClient, Client

from audit_trail_publisher import Actor, ActorKind, AuditEvent, Outcome, Promise, Publisher
from audit_trail_publisher.context import bound
from audit_trail_publisher.django import patient_paths
from audit_trail_publisher.django import settings as audit_settings
from audit_trail_publisher.django.audited_models import audited_model
from audit_trail_publisher.django.outbox.writer import DjangoOutbox
from audit_trail_publisher.errors import BulkOperationError, ConfigurationError, MissingActorError
from audit_trail_publisher.record_rule import recorded_by_hand
from audit_trail_publisher.testing import CapturedTrail
from tests.databases import EMPTY, Databases
from tests.publisher.integrations import clinic
from tests.publisher.integrations.leaving import leave
from tests.publisher.integrations.serving import serving
from tests.waiting import eventually

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PASSWORD = "correct horse"
LEFT = "the client left before the response was complete"


def clinic_module(name: str) -> Any:
    """A module of the project; Django loads models when the settings are made, and not before."""
    return import_module(f"tests.publisher.integrations.clinic.{name}")


@pytest.fixture(scope="module")
def project(databases: Databases) -> Iterator[None]:
    """The project, with its tables."""
    with databases.copy(EMPTY) as url:
        settings.configure(**clinic.settings_for(url))
        django.setup()

        for name in ("default", "other"):
            call_command("migrate", database=name, run_syncdb=True, verbosity=0)
        with bound(actor=Actor(id="setup")):
            clinic_module("models").User.objects.create_user(
                "ada", password=PASSWORD, first_name="Ada", last_name="Example"
            )
        yield
        connections.close_all()


@pytest.fixture
def trail(project: None) -> CapturedTrail:  # noqa: ARG001
    clinic.trail.clear()
    return clinic.trail


@pytest.fixture
def client(trail: CapturedTrail) -> Any:  # noqa: ARG001

    return Client(raise_request_exception=False)


@pytest.fixture
def models(trail: CapturedTrail) -> Iterator[Any]:  # noqa: ARG001
    """The models, with empty tables, and somebody who acts."""
    models = clinic_module("models")
    with bound(actor=Actor(id="ada")):
        yield models

        for using in ("default", "other"):
            with recorded_by_hand():
                for model in (models.Observation.tags.through, models.Part, models.Observation, models.Tag):
                    model.objects.using(using).all()._raw_delete(using)
            assert not connections[using].in_atomic_block


def sign_in(client: Any, password: str = PASSWORD, username: str = "ada") -> int:
    return int(client.post("/sign-in", {"username": username, "password": password}).status_code)


def request_of(event: AuditEvent) -> tuple[str | None, str | None, int | None]:
    assert event.request is not None
    return event.request.method, event.request.path, event.request.status


def changes(event: AuditEvent) -> dict[str, tuple[Any, Any]]:
    return {each.path: (each.before, each.after) for each in event.changes}


def what(event: AuditEvent) -> tuple[str, str]:
    return event.type, event.resources[0].type


def test_all_events_of_a_request_share_its_actor_session_client_and_trace(
    client: Any, trail: CapturedTrail
) -> None:
    sign_in(client)
    trail.clear()
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Forwarded-For": "6.6.6.6, 203.0.113.9"}
    assert client.get("/patients/17?q=secret", headers=headers).content == b"17"
    record, call = trail.only("record.read", patient="17"), trail.only("api.called")
    for event in (record, call):
        assert (event.actor.id, event.actor.name, event.correlation_id) == ("ada", "Ada Example", TRACE)
        assert event.client is not None
        assert event.client.address == "203.0.113.9"
    assert record.session == call.session
    assert request_of(call) == ("GET", "/patients/17", 200)
    assert "secret" not in repr(trail.events)


def test_an_async_view_records_the_same(client: Any, trail: CapturedTrail) -> None:

    sign_in(client)
    trail.clear()
    asynchronous = AsyncClient()
    asynchronous.cookies = client.cookies
    assert asyncio.run(asynchronous.get("/async/patients/17")).status_code == 200
    record, call = trail.only("record.read", patient="17"), trail.only("api.called")
    assert (record.actor, record.session, record.correlation_id) == (
        call.actor,
        call.session,
        call.correlation_id,
    )
    assert call.actor.id == "ada"
    assert request_of(call) == ("GET", "/async/patients/17", 200)


def test_sign_ins_and_sign_outs_are_recorded_under_one_session(client: Any, trail: CapturedTrail) -> None:
    sign_in(client)
    key = client.session.session_key
    client.get("/sign-out")
    signed_in, signed_out = trail.only("user.logged_in"), trail.only("user.logged_out")
    assert signed_in.actor == signed_out.actor == Actor(id="ada", name="Ada Example")
    assert signed_in.session == signed_out.session
    assert key not in repr(trail.events)  # who knows it is signed in
    # The requests themselves name the user too, who is unknown before the one and after the other.
    assert [event.actor.id for event in trail.matching("api.called")] == ["ada", "ada"]
    client.get("/patients/17")
    assert trail.events[-1].actor.kind is ActorKind.UNKNOWN


@pytest.mark.parametrize(("name", "recorded"), [("ada", "ada"), ("correct horse", None)])
def test_a_failed_sign_in_names_a_user_but_not_what_is_perhaps_a_password(
    client: Any, trail: CapturedTrail, name: str, recorded: str | None
) -> None:
    assert sign_in(client, "wrong", name) == 401
    failed = trail.only("user.login_failed")
    assert (failed.actor.id, failed.outcome) == (recorded, Outcome.MINOR_FAILURE)
    assert failed.client is not None
    assert "correct horse" not in repr(trail.events)
    assert trail.only("access.denied").correlation_id == failed.correlation_id


def test_denied_and_failed_requests_are_recorded(client: Any, trail: CapturedTrail) -> None:
    for path in ("/denied", "/defect", "/nowhere"):
        client.get(path)
    assert [(event.type, event.outcome_reason) for event in trail.events] == [
        ("access.denied", "PermissionDenied"),
        ("api.called", "LookupError"),
        ("api.called", "HTTP 404"),
    ]
    assert "patient 4711" not in repr(trail.events)


def test_a_visitor_who_is_sent_to_the_sign_in_page_was_not_denied(client: Any, trail: CapturedTrail) -> None:
    assert [client.get(path).status_code for path in ("/for-users", "/for-clerks")] == [302, 403]
    sent_away, denied = trail.events
    assert (sent_away.type, sent_away.outcome) == ("api.called", Outcome.SUCCESS)
    assert (denied.type, denied.outcome) == ("access.denied", Outcome.MINOR_FAILURE)
    assert {sent_away.actor.kind, denied.actor.kind} == {ActorKind.UNKNOWN}


def test_a_public_page_stays_cacheable_and_a_skipped_one_is_not_recorded(
    client: Any, trail: CapturedTrail
) -> None:
    assert "Vary" not in client.get("/patients/x").headers
    trail.clear()
    client.get("/healthz")
    assert trail.events == []


def test_a_stream_that_breaks_off_gets_a_second_event(client: Any, trail: CapturedTrail) -> None:
    with pytest.raises(LookupError):
        list(client.get("/stream").streaming_content)
    assert [event.outcome_reason for event in trail.events] == [None, "LookupError"]


def test_a_client_that_leaves_does_not_cost_the_event(trail: CapturedTrail) -> None:

    urls = clinic_module("urls")
    with serving(get_asgi_application(), lifespan="off") as client:
        leave(client, "/async/slow", urls.held)
        eventually(lambda: bool(trail.events))
        assert request_of(trail.only()) == ("GET", "/async/slow", None)
        assert trail.only().outcome_reason == LEFT
        trail.clear()
        urls.held.clear()
        leave(client, "/async/stream", urls.held)
        eventually(lambda: len(trail.events) == 2)
        assert [event.outcome_reason for event in trail.events] == [None, LEFT]


def test_a_response_whose_event_can_not_be_kept_is_refused(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Publisher("clinic", url="http://127.0.0.1:1", spool=tmp_path, max_spool_bytes=1)) as full:
        monkeypatch.setattr(clinic, "trail", full)
        refused = client.get("/denied")
    assert (refused.status_code, refused.content, refused.headers["Retry-After"]) == (503, b"", "5")


@pytest.mark.parametrize("path", ["/patients/17", "/async/patients/17"])
def test_a_view_whose_own_event_can_not_be_kept_is_refused(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def ask() -> Any:
        if "async" not in path:
            return client.get(path)
        return asyncio.run(AsyncClient(raise_request_exception=False).get(path))

    with closing(Publisher("clinic", url="http://127.0.0.1:1", spool=tmp_path, max_spool_bytes=1)) as full:
        monkeypatch.setattr(clinic, "trail", full)
        monkeypatch.setattr(clinic_module("urls"), "trail", full)
        with bound(actor=Actor(id="ada")):
            refused = ask()
    assert (refused.status_code, refused.content, refused.headers["Retry-After"]) == (503, b"", "5")


def test_each_row_that_is_saved_or_deleted_is_an_event_with_both_values(
    models: Any, trail: CapturedTrail
) -> None:

    with transaction.atomic():
        observation = models.Observation.objects.create(
            patient_id="17", status="preliminary", comment="private"
        )
        observation.status, observation.comment, observation.value = "final", "more private", Decimal("1.50")
        observation.save()
        observation.seen = 1
        observation.save()
        key = observation.pk
        observation.delete()
    created, updated, deleted = trail.events
    assert [what(event) for event in trail.events] == [
        ("record.created", "Observation"),
        ("record.updated", "Observation"),
        ("record.deleted", "Observation"),
    ]
    assert {event.resources[0].id for event in trail.events} == {str(key)}
    assert {event.patients[0].id for event in trail.events} == {"17"}
    assert changes(created)["status"] == (None, "preliminary")
    assert changes(updated) == {
        "status": ("preliminary", "final"),
        "comment": ("[masked]", "[masked]"),
        "value": (None, "1.50"),
    }
    assert changes(deleted)["status"] == ("final", None)
    assert set(trail.promises) == {Promise.TRANSACTIONAL}


def test_a_partial_save_an_expression_and_a_move_are_recorded_as_the_database_has_them(
    models: Any, trail: CapturedTrail
) -> None:

    with transaction.atomic():
        observation = models.Observation.objects.create(patient_id="17", status="final", value=1)
        observation.status, observation.value = "lost", F("value") + 1
        observation.save(update_fields=["value"])
        observation = models.FinalObservation.objects.get(pk=observation.pk)
        observation.patient_id = "18"
        observation.save()
    _, value, moved = trail.events
    assert changes(value) == {"value": ("1.00", "2.00")}
    assert [each.id for each in moved.patients] == ["17", "18"]
    assert what(moved) == ("record.updated", "Observation")


def test_bulk_operations_relations_and_what_they_touch_are_recorded_row_by_row(
    models: Any, trail: CapturedTrail
) -> None:

    manager = models.Observation.objects
    with transaction.atomic():
        a, b = manager.bulk_create(
            [models.Observation(patient_id="17", status="x"), models.Observation(patient_id="18", status="x")]
        )
        manager.filter(status="x").update(status="y")
        a.status = "z"
        manager.bulk_update([a], ["status"])
        a.observation_set.add(b)
        models.Part.objects.create(observation=a, code="c")
        a.delete()  # deletes the part, and clears `previous` of b
    seen = [(*what(event), event.patients[0].id, sorted(changes(event))) for event in trail.events]
    every = ["comment", "id", "patient_id", "seen", "status"]
    assert seen[:2] == [
        ("record.created", "Observation", "17", [name for name in every if name != "seen"]),
        ("record.created", "Observation", "18", [name for name in every if name != "seen"]),
    ]
    assert seen[2:6] == [
        ("record.updated", "Observation", "17", ["status"]),
        ("record.updated", "Observation", "18", ["status"]),
        ("record.updated", "Observation", "17", ["status"]),
        ("record.updated", "Observation", "18", ["previous"]),
    ]
    assert sorted(each[:3] for each in seen[6:]) == [
        ("record.created", "Part", "17"),
        ("record.deleted", "Observation", "17"),
        ("record.deleted", "Part", "17"),
        ("record.updated", "Observation", "18"),
    ]


def test_many_to_many_relations_are_recorded_from_both_sides(models: Any, trail: CapturedTrail) -> None:

    with transaction.atomic():
        one = models.Observation.objects.create(patient_id="17", status="x")
        other = models.Observation.objects.create(patient_id="18", status="x")
        tags = [models.Tag.objects.create(name=name) for name in "ab"]
        trail.clear()
        one.tags.set(tags)
        one.tags.remove(tags[0])
        tags[1].observation_set.add(other)
        tags[1].observation_set.clear()
    assert [(event.patients[0].id, changes(event)["tags"]) for event in trail.events] == [
        ("17", ([], ["a", "b"])),
        ("17", (["a", "b"], ["b"])),
        ("18", ([], ["b"])),
        ("17", (["b"], [])),
        ("18", (["b"], [])),
    ]


Operation = Callable[[Any], Any]


@pytest.mark.parametrize(
    "operation",
    [
        lambda models: models.Observation.objects.update(status="y"),
        lambda models: models.Observation.objects.filter(pk=0).update(pk=1),
        lambda models: models.Observation.objects.bulk_create(
            [models.Observation(patient_id="1", status="x")], ignore_conflicts=True
        ),
        lambda models: models.Observation.objects.bulk_create([models.Observation(status="x")] * 4),
    ],
    ids=["too many rows", "primary keys", "conflicts", "too many objects"],
)
def test_a_bulk_operation_that_can_not_be_recorded_is_refused_and_not_executed(
    models: Any, trail: CapturedTrail, operation: Operation
) -> None:

    with transaction.atomic():
        for patient in ("1", "2", "3", "4"):
            models.Observation.objects.create(patient_id=patient, status="x")
    trail.clear()
    with pytest.raises(BulkOperationError, match="refused"), transaction.atomic():
        operation(models)
    assert list(models.Observation.objects.values_list("status", flat=True)) == ["x"] * 4
    assert trail.events == []
    with recorded_by_hand():
        assert models.Observation.objects.update(status="y") == 4
    assert trail.events == []


def test_without_an_outbox_events_are_durable_after_the_commit(models: Any, trail: CapturedTrail) -> None:

    manager = models.Observation.objects.using("other")
    with transaction.atomic(using="other"):
        manager.create(patient_id="17", status="x")
        transaction.set_rollback(True, using="other")
    with transaction.atomic(using="other"):
        manager.create(patient_id="18", status="x")
        assert trail.events == []
    assert [event.patients[0].id for event in trail.events] == ["18"]
    manager.create(patient_id="19", status="x")  # a transaction of its own
    assert set(trail.promises) == {Promise.DURABLE}


@pytest.mark.parametrize("using", ["default", "other"])
def test_a_change_by_nobody_is_an_error_and_is_not_made(
    models: Any, trail: CapturedTrail, using: str
) -> None:
    with bound(actor=None), pytest.raises(MissingActorError):
        models.Observation.objects.using(using).create(patient_id="17", status="x")
    assert not models.Observation.objects.using(using).exists()
    assert trail.events == []


@pytest.mark.usefixtures("models")
def test_rows_of_the_outbox_are_in_the_transaction(tmp_path: Path) -> None:

    def rows() -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT type, aggregateid FROM audit_outbox")
            return list(cursor.fetchall())

    with closing(Publisher("clinic", url="http://127.0.0.1:1", spool=tmp_path)) as publisher:
        for fails in (True, False):
            with transaction.atomic():
                publisher.within(DjangoOutbox()).record.read(patient="17", resource=("Page", "1"))
                assert len(rows()) == 1
                transaction.set_rollback(fails)
            assert len(rows()) == (not fails)
        assert rows() == [("record.read", "17")]
        with pytest.raises(ConfigurationError, match="atomic"):
            publisher.within(DjangoOutbox()).record.read(patient="17", resource=("Page", "1"))


def test_wrong_settings_fields_and_managers_are_refused_at_the_start(
    models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:

    with pytest.raises(ImproperlyConfigured, match="passwort"):
        audited_model(mask=["passwort"], bulk="unseen")(models.User)
    for model, path, message in (
        (models.Observation, "patient_idd", "Observation has no attribute patient_idd"),
        (models.Part, "observatoin.patient_id", "Part has no attribute observatoin"),
        (models.Part, "observation.patient_idd", "Observation has no attribute patient_idd"),
    ):
        with pytest.raises(ImproperlyConfigured, match=message):
            audited_model(patient=path)(model)
    with monkeypatch.context() as loading:
        loading.setattr(apps, "models_ready", False)
        patient_paths.check(models.Part, "observatoin.patient_id")
    with pytest.raises(ImproperlyConfigured, match="observatoin"):
        patient_paths.check_waiting()
    wrong: Any = "unsean"
    with pytest.raises(ConfigurationError, match="'recorded' or 'unseen', not 'unsean'"):
        audited_model(bulk=wrong)
    with pytest.raises(ImproperlyConfigured, match=r"User\.objects would not be recorded"):
        audited_model()(models.User)
    for wrong, message in (({"trail": "x", "proxy": []}, "proxy"), (None, "set AUDIT_TRAIL")):
        monkeypatch.setattr(settings, "AUDIT_TRAIL", wrong)
        audit_settings.load.cache_clear()
        with pytest.raises(ImproperlyConfigured, match=message):
            audit_settings.load()
    audit_settings.load.cache_clear()


def test_a_third_partys_model_is_watched_with_its_own_manager(models: Any, trail: CapturedTrail) -> None:

    with transaction.atomic():
        user = models.User.objects.create_user("bob", password="secret")
        user.delete()
    created = trail.only("record.created")
    assert created.resources[0].type == "Account"
    assert changes(created)["password"] == (None, "[masked]")
