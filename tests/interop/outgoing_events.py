"""Recorded events for the tests of outgoing formats: one of every type of the catalogue, and any with hostile text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import msgspec
from hypothesis import strategies as st

from domain.catalogue import AUDIT_LOG, CATALOGUE
from domain.event import Action, ActorKind, AuditEvent, Outcome, RecordedEvent
from interop.leaf import LeafFacts

WHEN = datetime(2026, 3, 1, 9, 30, 15, 123456, tzinfo=UTC)
LEAF = LeafFacts("trail.example/log", 41, bytes(range(32)), 39, 64)
FULL: dict[str, Any] = {
    "event_id": "0b6a1f4e-95f7-4c1b-8f2c-0a3d5e6f7a8b",
    "occurred_at": "2026-03-01T10:30:00.5+01:00",
    "source": {"service": "patient-service", "site": "North", "instance": "pod-1"},
    "actor": {
        "id": "dr-smith",
        "name": "Jo Smith",
        "roles": ["physician", "admin"],
        "on_behalf_of": "clinic",
    },
    "outcome_reason": "as asked",
    "session": "s-1",
    "client": {"address": "10.0.0.7", "user_agent": "curl/8"},
    "patients": [{"id": "17", "name": "Ann"}, {"id": "lab|18"}],
    "device": {"id": "pump-3", "name": "Pump", "software_version": "2.1", "configuration_version": "7"},
    "resources": [{"type": "Observation", "id": "o-1", "version": "2", "data_category": "laboratory"}],
    "changes": [{"path": "value", "before": 1, "after": {"a": None}}, {"path": "status", "after": "final"}],
    "purpose_of_use": ["TREAT"],
    "reason": "ward round",
    "emergency": True,
    "correlation_id": "c-1",
    "request": {"method": "GET", "path": "/Observation?x=1", "status": 200, "duration_ms": 3.5},
    "disclosure": {
        "recipient": "Registry",
        "recipient_address": "1 Road",
        "description": "labs",
        "purpose": "law",
    },
    "codes": [{"system": "urn:x", "code": "y", "display": "Why"}],
    "attributes": {"shift": "night", "n": 1},
}
LEAST: dict[str, Any] = {name: FULL[name] for name in ("event_id", "occurred_at")} | {
    "source": {"service": "s"},
    "actor": {},
}  # fmt: skip


def recorded(type: str, given: dict[str, Any] = FULL, *, position: int = 41) -> RecordedEvent:
    event = msgspec.convert(given | {"type": type}, AuditEvent, strict=False)
    return RecordedEvent(
        position=position, recorded_at=WHEN, stream=UUID(int=7), stream_position=3, event=event
    )


EVERY_TYPE = [recorded(name, given) for given in (FULL, LEAST) for name in CATALOGUE]
"""With every field, and with no more than an event must have: a receiver of either must cope."""


_TEXTS = st.text(max_size=40) | st.sampled_from(
    [
        "a|b\\|c", "x=1 suid=root", "line\nCEF:0|x|y|1|2|3|4|suid=evil", "]\"\\", "a" * 1024, "ß€𝄞", "\x00\x1b[31m",
        '"><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>&x;', "<a/>&amp;]]>", "\u2028\u0085\ufeff", " ", "",
        "\ufffe\uffff", "2026-01-01T00:00:00Z", "127.0.0.1", "::1", "fe80::1%eth0", "\r\n", "=", "\\",
    ]
)  # fmt: skip
_MAYBE = st.none() | _TEXTS
_IDS = _TEXTS.map(lambda text: text[:256]).filter(bool)
_MAYBE_ID = st.none() | _IDS
_JSON = st.none() | st.booleans() | st.integers(-5, 5) | _TEXTS | st.lists(_TEXTS, max_size=2)
_MOMENTS = st.integers(86_400 * 2, 7_258_000_000).map(
    lambda second: datetime.fromtimestamp(second, timezone(timedelta(hours=-5, minutes=-30)))
)


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(fields).map(_present)


_EVENTS = _objects(
    type=st.sampled_from(sorted(CATALOGUE)),
    event_id=st.uuids().map(str),
    occurred_at=_MOMENTS,
    source=_objects(service=_IDS, site=_MAYBE, instance=_MAYBE),
    actor=_objects(
        kind=st.sampled_from(ActorKind),
        id=_MAYBE_ID,
        name=_MAYBE,
        roles=st.lists(_TEXTS, max_size=3),
        on_behalf_of=_MAYBE_ID,
    ),
    action=st.none() | st.sampled_from(Action),
    outcome=st.sampled_from(Outcome),
    outcome_reason=_MAYBE,
    session=_MAYBE_ID,
    client=st.none() | _objects(address=_MAYBE_ID, user_agent=_MAYBE),
    patients=st.lists(_objects(id=_IDS, name=_MAYBE), max_size=3),
    device=st.none() | _objects(id=_IDS, name=_MAYBE, software_version=_MAYBE, configuration_version=_MAYBE),
    resources=st.lists(
        _objects(type=_IDS | st.just(AUDIT_LOG), id=_IDS, version=_MAYBE, data_category=_MAYBE), max_size=3
    ),
    changes=st.lists(_objects(path=_IDS, before=_JSON, after=_JSON), max_size=2),
    purpose_of_use=st.lists(_TEXTS, max_size=2),
    reason=_MAYBE,
    emergency=st.booleans(),
    correlation_id=_MAYBE_ID,
    request=st.none()
    | _objects(
        method=_MAYBE.map(lambda text: text and text[:32]),
        path=_MAYBE,
        status=st.none() | st.integers(100, 599),
        duration_ms=st.none() | st.floats(0, 1e9),
    ),
    disclosure=st.none()
    | _objects(recipient=_MAYBE, recipient_address=_MAYBE, description=_MAYBE, purpose=_MAYBE),
    codes=st.lists(_objects(system=_MAYBE, code=_MAYBE, display=_MAYBE), max_size=2),
    attributes=st.dictionaries(_TEXTS, _JSON, max_size=2),
)


def _record(fields: dict[str, Any], at: datetime) -> RecordedEvent:
    event = msgspec.convert(fields, AuditEvent, strict=False)
    return RecordedEvent(
        position=5, recorded_at=at.astimezone(UTC), stream=UUID(int=7), stream_position=3, event=event
    )


HOSTILE = st.builds(_record, _EVENTS, _MOMENTS)
LEAVES = st.builds(
    LeafFacts,
    _TEXTS.filter(bool),
    st.integers(0, 2**62),
    st.binary(min_size=32, max_size=32),
    st.none() | st.integers(0, 2**62),
    st.none() | st.integers(1, 2**62),
)


def huge(type: str = "record.read", filling: str = "ü") -> RecordedEvent:
    """An event in which every text is as long as it may be, and every list is long."""
    name, text, id = filling * 1024, filling * 65536, filling * 256
    return recorded(
        type,
        FULL
        | {
            "outcome_reason": text,
            "reason": text,
            "patients": [{"id": f"{n}{id}"[:256], "name": name} for n in range(500)],
            "resources": [{"type": id, "id": f"{n}{id}"[:256], "data_category": name} for n in range(500)],
            "changes": [{"path": id, "before": text, "after": text}] * 50,
            "session": id,
            "correlation_id": id,
            "client": {"address": id, "user_agent": name},
            "source": {"service": id, "site": name, "instance": name},
            "actor": {"id": id, "name": name, "roles": [name] * 50, "on_behalf_of": id},
            "device": {"id": id, "name": name},
            "request": {"method": filling * 32, "path": filling * 8192, "status": 200},
            "disclosure": {
                "recipient": name,
                "recipient_address": name,
                "description": text,
                "purpose": text,
            },
            "codes": [{"system": name, "code": name, "display": name}] * 50,
            "purpose_of_use": [name] * 50,
            "attributes": {"a": text},
        },
    )
