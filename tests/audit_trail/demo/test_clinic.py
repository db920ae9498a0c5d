"""The simulated hour: complete, repeatable, and its stories hold together."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from audit_trail.demo.clinic import DEVICE, PATIENT, USER, BrokenMessage, broken_messages, simulate
from domain.catalogue import CATALOGUE
from domain.errors import Reason, RejectedError
from domain.event import ActorKind, AuditEvent, Outcome
from domain.validation import check, decode_event, encode_event

START = datetime(2026, 1, 31, 8, tzinfo=UTC)
HOUR = list(simulate(1, START))


def _of_type(type: str) -> list[AuditEvent]:
    return [event for event in HOUR if event.type == type]


def test_every_event_passes_validation_as_a_message() -> None:
    for event in HOUR:
        assert decode_event(encode_event(check(event))) == event


def test_every_type_of_the_catalogue_occurs() -> None:
    # Decisions about projections, context, patients and lost records, a wrong clock, a blind watcher, and what people
    # keep in the dashboard, are no part of a clinic's hour.
    others = {
        "alert.raised",
        "context.loaded",
        "dead_letters.risen",
        "detection_rules.activated",
        "employee.asked",
        "projection.event_skipped",
        "projection.removed",
        "recording.gap",
        "recording_clock.ahead",
        "recording_clock.recovered",
        "link.revoked",
        "link.shared",
        "observation.gap",
        "operation.completed",
        "operation.requested",
        "recording_clock.set_back",
        "staff_disclosure.decided",
        "view.changed",
        "view.deleted",
        "view.saved",
    }
    assert {event.type for event in HOUR} == set(CATALOGUE) - others


@pytest.mark.parametrize("events", [200, 1001, 3000])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_hour_has_as_many_events_as_asked_for_in_order_with_ids_of_their_own(
    seed: int, events: int
) -> None:
    hour = list(simulate(seed, START, events))
    assert len(hour) == events
    assert len({event.event_id for event in hour}) == events
    assert all(first.occurred_at <= second.occurred_at for first, second in pairwise(hour))
    assert hour[0].occurred_at >= START
    assert hour[-1].occurred_at < START + timedelta(hours=1)


def test_same_arguments_give_the_same_events_and_another_hour_shares_no_id() -> None:
    ids = {event.event_id for event in HOUR}
    assert list(simulate(1, START)) == HOUR
    assert ids.isdisjoint(event.event_id for event in simulate(2, START))
    assert ids.isdisjoint(event.event_id for event in simulate(1, START + timedelta(hours=1)))


def test_nobody_works_outside_of_the_own_session() -> None:
    began = {event.session: event.occurred_at for event in _of_type("session.started")}
    ended = {event.session: event.occurred_at for event in _of_type("session.ended")}
    assert began.keys() == ended.keys()
    for event in HOUR:
        if event.session and not event.type.startswith(("session.", "user.")):
            assert began[event.session] < event.occurred_at < ended[event.session]


def test_each_changed_value_was_the_value_before() -> None:
    last: dict[tuple[str, str], object] = {}
    changed = 0
    for event in HOUR:
        subject = event.device.id if event.type == "configuration.changed" and event.device else None
        if event.resources and event.resources[0].data_category == "vitals":
            subject = event.patients[0].id
        for change in event.changes if subject else ():
            assert subject
            assert change.before == last.get((subject, change.path), change.before)
            assert change.before != change.after
            last[subject, change.path] = change.after
            changed += 1
    assert changed > 500


def test_the_user_had_failed_log_ins_then_logged_in_then_broke_the_glass() -> None:
    hers = [event for event in HOUR if event.actor.id == USER]
    types = [event.type for event in hers]
    assert types[:7] == ["user.login_failed"] * 7
    assert hers[6].occurred_at - hers[0].occurred_at < timedelta(minutes=1)
    assert all(event.outcome != Outcome.SUCCESS for event in hers[:8])
    assert (
        types.index("user.logged_in")
        < types.index("emergency_access.started")
        < types.index("user.logged_out")
    )


def test_the_user_saw_the_patient_in_the_emergency_only_and_said_why() -> None:
    seen = [
        event
        for event in HOUR
        if event.actor.id == USER and PATIENT in {patient.id for patient in event.patients}
    ]
    assert [event.type for event in seen] == [
        "access.denied",
        "emergency_access.started",
        "record.read",
        "record.read",
        "record.updated",
        "emergency_access.ended",
    ]
    assert all(event.emergency for event in seen[1:])
    assert seen[1].reason


def test_the_patient_was_seen_by_many_and_disclosed_once() -> None:
    about = [event for event in HOUR if PATIENT in {patient.id for patient in event.patients}]
    assert len({event.actor.id for event in about if event.type == "record.read"}) >= 5
    assert len([event for event in about if event.disclosure]) == 1
    assert any(event.type == "record.exported" for event in about)


def test_the_devices_settings_changed_with_old_and_new_values_and_its_software_was_upgraded() -> None:
    of_it = [event for event in HOUR if event.device and event.device.id == DEVICE]
    changes = [change for event in of_it if event.type == "configuration.changed" for change in event.changes]
    assert {change.path for change in changes} >= {
        "alarm.heart_rate.high",
        "alarm.spo2.low",
        "software_version",
    }
    versions = [event.device.software_version for event in of_it if event.device]
    assert sorted(set(versions), key=versions.index) == ["4.1.2", "4.2.0"]
    assert versions == sorted(v for v in versions if v)


def test_a_device_writes_only_while_it_is_connected() -> None:
    connected: dict[str, bool] = defaultdict(bool)
    wrote = set()
    for event in HOUR:
        if event.type in {"device.connected", "device.disconnected"} and event.device:
            connected[event.device.id] = event.type == "device.connected"
        elif event.actor.kind is ActorKind.DEVICE and event.type == "record.created":
            assert connected[event.actor.id or ""]
            wrote.add(event.actor.id)
    assert len(wrote) == 8


def test_a_service_fails_its_health_check_restarts_recovers_and_writes_nothing_meanwhile() -> None:
    of_it = [event for event in HOUR if event.source.service == "vitals-service"]
    failed = [event for event in of_it if event.type == "health_check.failed"]
    restarted = [event for event in of_it if event.type == "service.restarted"]
    (recovered,) = (event for event in of_it if event.type == "health_check.recovered")
    assert (
        failed[0].occurred_at < restarted[0].occurred_at < restarted[-1].occurred_at < recovered.occurred_at
    )
    assert restarted[-1].outcome is Outcome.SUCCESS
    away = [event for event in of_it if failed[0].occurred_at < event.occurred_at < recovered.occurred_at]
    work = [event for event in away if event.type.startswith("record.")]
    assert work
    assert all(event.outcome is Outcome.SERIOUS_FAILURE and not event.changes for event in work)


def test_calls_and_the_reads_behind_them_share_a_correlation_id() -> None:
    calls = {event.correlation_id for event in _of_type("api.called")}
    assert len([event for event in _of_type("record.read") if event.correlation_id in calls]) > 100


def test_the_broken_messages_cover_every_reason() -> None:
    reasons = [message.reason for message in broken_messages() if message.reason]
    of_no_one_message = {Reason.BROKEN_BATCH, Reason.UNSTORABLE}
    assert sorted(reasons) == sorted(set(Reason) - of_no_one_message)


def test_an_oversized_message_is_as_large_as_asked_for() -> None:
    assert [len(m.value or b"") for m in broken_messages(5000) if m.reason is Reason.OVERSIZED] == [5000]


_BY_THE_BODY_ALONE = [
    message
    for message in broken_messages()
    if message.reason
    not in {None, Reason.CONFLICT, Reason.OVERSIZED, Reason.TOMBSTONE, Reason.UNKNOWN_FORMAT}
]


@pytest.mark.parametrize("message", _BY_THE_BODY_ALONE, ids=lambda message: message.name)
def test_a_broken_message_is_rejected_for_the_reason_that_it_names(message: BrokenMessage) -> None:
    with pytest.raises(RejectedError) as caught:
        decode_event(message.value or b"")
    assert caught.value.reason is message.reason


def test_the_conflict_repeats_an_id_with_other_content() -> None:
    first, duplicate, conflict = (m.value or b"" for m in broken_messages()[:3])
    assert first == duplicate
    assert decode_event(conflict).event_id == decode_event(first).event_id
    assert decode_event(conflict) != decode_event(first)
