"""Each read model, from events to the answer."""

from __future__ import annotations

from datetime import datetime, timedelta

from queries.filters.event_filter import EventFilter, PageRequest
from queries.summaries.patient import Between
from queries.summaries.results import PatientAccess, UserAction, UserPatient, UserSession
from tests.trail import START, Trail, an_event

ANNA = {"id": "anna", "name": "Anna A."}
BERT = {"id": "bert"}


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def test_a_patient_shows_who_accessed_how_often_last_and_why(trail: Trail) -> None:
    resources = [{"type": "Observation", "id": "o1"}]
    positions = trail.given(
        an_event(
            minute=0,
            patients=[ANNA],
            resources=resources,
            purpose_of_use=["TREAT"],
            emergency=True,
            actor={"id": "dr-smith", "name": "Dr Smith", "roles": ["physician", "consultant"]},
        ),
        an_event(minute=5, patients=[ANNA, BERT], resources=resources, purpose_of_use=["HPAYMT", "TREAT"]),
        an_event(minute=9, patients=[ANNA], actor={"id": "nurse"}, resources=resources),
        an_event("access.denied", 10, patients=[ANNA], actor={"id": "nurse"}, outcome="serious_failure"),
        an_event(minute=11, patients=[ANNA], actor={"name": "nobody"}, resources=resources),
        an_event(minute=12, resources=resources),
    )
    patient = trail.read.patient("anna")
    assert patient is not None
    assert (patient.first_seen, patient.last_seen, patient.events) == (at(0), at(11), 5)
    assert patient.as_of_position == positions[-1]
    assert patient.accesses == [
        PatientAccess(None, None, 1, 1, at(11), at(11), (), without_purpose=1),
        # A denied attempt is no access without a purpose.
        PatientAccess("nurse", None, 1, 2, at(9), at(10), (), without_purpose=1),
        PatientAccess(
            "dr-smith",
            "Dr Smith",
            2,
            2,
            at(0),
            at(5),
            ("HPAYMT", "TREAT"),
            ("consultant", "physician"),
            emergencies=1,
        ),
    ]
    always = trail.read.patient("anna", between=Between(at(-1000), at(1000)))
    assert always == patient  # counted from the events, it is the same
    between = trail.read.patient("anna", between=Between(at(5), at(10)))
    assert between is not None
    assert [
        (each.actor_id, each.accesses, each.events, each.purposes, each.roles) for each in between.accesses
    ] == [
        ("nurse", 1, 1, (), ()),
        # The roles are those of all times.
        ("dr-smith", 1, 1, ("HPAYMT", "TREAT"), ("consultant", "physician")),
    ]
    for nothing in (Between(at(-1000), at(0)), Between(at(12), at(1000)), Between(at(6), at(9))):
        found = trail.read.patient("anna", between=nothing)
        assert found is not None
        assert found.accesses == []
    bert = trail.read.patient("bert")
    assert bert is not None
    assert bert.events == 1


def test_who_read_the_trail_about_a_patient_did_not_deal_with_the_patient(trail: Trail) -> None:
    look = an_event("audit_log.read", actor={"id": "auditor"}, patients=[{"id": "anna"}])
    trail.given(look)
    assert trail.read.patient("anna") is None
    trail.given(an_event(patients=[{"id": "anna"}]))
    patient = trail.read.patient("anna")
    assert patient is not None
    assert (patient.events, [row.actor_id for row in patient.accesses]) == (1, ["dr-smith"])
    found = trail.events(EventFilter(patient="anna", types=("audit_log.read",)), PageRequest(first=9))
    assert [each.event.event_id for each in found.events] == [look.event_id]


def test_a_patient_that_no_event_names_is_unknown(trail: Trail) -> None:
    assert trail.read.patient("anna") is None
    trail.given(an_event(patients=[BERT]))
    assert trail.read.patient("anna") is None


def test_the_latest_name_stays_when_a_later_event_has_none(trail: Trail) -> None:
    trail.given(an_event(patients=[ANNA], actor={"id": "u", "name": "Old"}))
    trail.given(
        an_event(patients=[ANNA], actor={"id": "u", "name": "New"}),
        an_event(patients=[ANNA], actor={"id": "u"}),
    )
    patient, user = trail.read.patient("anna"), trail.read.user("u")
    assert patient is not None
    assert patient.accesses[0].actor_name == "New"
    assert user is not None
    assert user.name == "New"


def test_a_user_shows_actions_sessions_failed_logins_and_patients(trail: Trail) -> None:
    trail.given(
        an_event("user.login_failed", 0, outcome="minor_failure", actor={"id": "u", "kind": "unknown"}),
        an_event("user.logged_in", 1, actor={"id": "u"}, outcome="serious_failure"),
        an_event("user.logged_in", 2, actor={"id": "u", "name": "Uma"}, session="s1"),
        an_event("record.read", 3, actor={"id": "u"}, session="s1", patients=[ANNA, BERT]),
        an_event("record.read", 4, actor={"id": "u"}, session="s1", patients=[ANNA]),
        an_event("user.logged_out", 5, actor={"id": "u"}, session="s1"),
        an_event("record.read", 6, actor={"id": "u"}, session="s2"),
        an_event("user.login_failed", 7, actor={}),
        an_event("record.read", 8, actor={"id": "robot", "kind": "service"}),
    )
    user = trail.read.user("u")
    assert user is not None
    assert (user.name, user.events, user.failed_logins, user.logins) == ("Uma", 7, 2, 1)
    assert (user.first_seen, user.last_seen) == (at(0), at(6))
    assert user.sessions == [
        UserSession("s2", None, None, at(6), 1),
        UserSession("s1", at(2), at(5), at(5), 4),
    ]
    assert user.patients == [UserPatient("anna", 2, at(3), at(4)), UserPatient("bert", 1, at(3), at(3))]
    assert user.actions == [
        UserAction("record.read", 3),
        UserAction("user.logged_in", 2),
        UserAction("user.logged_out", 1),
        UserAction("user.login_failed", 1),
    ]
    assert trail.read.user("robot") is None


def test_a_device_shows_versions_connection_and_configuration_over_time(trail: Trail) -> None:
    pump = {"id": "pump", "name": "Pump 3", "software_version": "1.0", "configuration_version": "c1"}
    changes = [
        {"path": "rate.max", "before": 10, "after": {"limit": 12.5, "unit": "ml/h"}},
        {"path": "alarm", "before": None, "after": "on ☂ \U0001f600"},
    ]
    positions = trail.given(
        an_event("device.connected", 0, device=pump),
        an_event("configuration.changed", 1, device=pump, changes=changes),
        an_event("device.disconnected", 2, device={"id": "pump", "software_version": "2.0"}),
        an_event("record.created", 3, actor={"id": "pump", "kind": "device"}),
    )
    device = trail.read.device("pump")
    assert device is not None
    assert (device.name, device.events, device.connected) == ("Pump 3", 4, False)
    assert (device.first_seen, device.last_seen) == (at(0), at(3))
    assert [(each.version, each.first_at, each.last_at) for each in device.software_versions] == [
        ("2.0", at(2), at(2)),
        ("1.0", at(0), at(1)),
    ]
    assert [each.version for each in device.configuration_versions] == ["c1"]
    assert [
        (each.position, each.actor_id, each.path, each.before, each.after) for each in device.configuration
    ] == [
        (positions[1], "dr-smith", "alarm", None, "on ☂ \U0001f600"),
        (positions[1], "dr-smith", "rate.max", 10, {"limit": 12.5, "unit": "ml/h"}),
    ]


def test_a_service_shows_periods_restarts_and_api_use(trail: Trail) -> None:
    trail.given(
        an_event("service.started", 0, source={"service": "vitals"}),
        an_event(
            "api.called",
            1,
            source={"service": "vitals"},
            request={"method": "GET", "status": 200, "duration_ms": 1.5},
        ),
        an_event(
            "api.called",
            2,
            source={"service": "vitals"},
            request={"method": "GET", "status": 503, "duration_ms": 2},
        ),
        an_event(
            "health_check.failed",
            61,
            source={"service": "monitor"},
            resources=[{"type": "Service", "id": "vitals"}],
        ),
        an_event("service.restarted", 70, source={"service": "vitals"}),
    )
    service = trail.read.service("vitals")
    assert service is not None
    assert (service.state, service.restarts, service.health_failures, service.events) == ("up", 1, 1, 5)
    assert [(each.state, each.from_at, each.until_at) for each in service.periods] == [
        ("up", at(70), None),
        ("failing", at(61), at(70)),
        ("up", at(0), at(61)),
    ]
    assert [
        (each.hour, each.method, each.calls, each.failures, each.duration_ms) for each in service.api_use
    ] == [(START, "GET", 2, 1, 3.5)]
    monitor = trail.read.service("monitor")
    assert monitor is not None
    assert (monitor.events, monitor.state) == (1, None)


def test_transitions_that_arrive_late_fall_into_their_place(trail: Trail) -> None:
    trail.given(an_event("service.stopped", 10))
    trail.given(an_event("service.started", 0))
    service = trail.read.service("patient-service")
    assert service is not None
    assert [(each.state, each.until_at) for each in service.periods] == [("down", None), ("up", at(10))]


def test_a_resource_shows_when_it_was_touched(trail: Trail) -> None:
    touched = [{"type": "Observation", "id": "o1"}, {"type": "Observation", "id": "o1", "version": "2"}]
    trail.given(*(an_event(minute=minute, resources=touched) for minute in (0, 3)), an_event(minute=9))
    resource = trail.read.resource("Observation", "o1")
    assert resource is not None
    assert (resource.first_seen, resource.last_seen, resource.as_of_position) == (at(0), at(3), 2)
    assert trail.read.resource("Observation", "o2") is None


def test_odd_text_the_longest_keys_and_the_ends_of_time_go_through(trail: Trail) -> None:
    longest = "\U0001f600" * 256
    version = "".join(chr(0x4E00 + number) for number in range(1024))
    event = an_event(
        occurred_at="0001-01-01T00:00:00+14:00",
        actor={"id": longest, "name": "\u202e\ufeff\x01'\"\\"},
        patients=[{"id": longest}],
        device={"id": longest, "software_version": version},
        session=longest,
        correlation_id=longest,
        client={"address": longest},
        resources=[{"type": longest, "id": longest}],
        request={"method": "\U0001f600" * 32, "duration_ms": 1e300},
        purpose_of_use=[version[:1000] + str(number) for number in range(50)],
    )
    last = an_event(occurred_at="9999-12-31T23:59:59-12:00", actor={"id": longest})
    trail.given(event, last)
    patient, user, device = trail.read.patient(longest), trail.read.user(longest), trail.read.device(longest)
    assert patient is not None
    assert len(patient.accesses[0].purposes) == 32
    assert user is not None
    assert (user.name, user.events) == ("\u202e\ufeff\x01'\"\\", 2)
    assert device is not None
    assert device.software_versions[0].version == version
    assert trail.read.resource(longest, longest) is not None
    assert {each.state for each in trail.read.projections()} == {"running"}
