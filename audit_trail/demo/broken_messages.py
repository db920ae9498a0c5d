"""Messages that ingest must refuse, one for each reason, for the demonstration and for the tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from domain.errors import Reason
from domain.event import SCHEMA_VERSION
from domain.validation import MAX_DEPTH

_KEY = b"broken"
"""One key, so one partition: the duplicate and the conflict come after the message that they repeat."""

_ACTOR = b',"actor":{"kind":"user","id":"n.nobody","name":"Nobody"}'
_ID = "00000000-0000-4000-8000-00000000000{}"


class BrokenMessage(NamedTuple):
    """A message for Kafka, and its expected result.

    `name` says what is wrong. `reason` is that of the dead letter, or None when there is none: the first message with
    an id is accepted, and its duplicate is dropped and counted.
    """

    name: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    reason: Reason | None


def broken_messages(oversized: int = (1 << 20) + 1) -> list[BrokenMessage]:
    """About a dozen messages in the order of sending. The oversized one has `oversized` bytes.

    The default is one byte over ingest's own default limit. A producer gets it past a broker only with compression
    and a `max_request_size` above it.
    """
    return [
        BrokenMessage(name, _KEY, value, headers, reason) for name, reason, value, headers in _rows(oversized)
    ]


_Row = tuple[str, Reason | None, bytes | None, list[tuple[str, bytes]]]


def _rows(oversized: int) -> Iterable[_Row]:
    first = _event(1)
    deep = b'{"attributes":' + b'{"a":' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH + b"}"
    xml = [("content-type", b"application/xml")]
    yield "first of its event id", None, first, []
    yield "duplicate", None, first, []
    yield "conflict", Reason.CONFLICT, _event(1, outcome="minor_failure"), []
    yield "cut off", Reason.INVALID_JSON, first[: len(first) // 2], []
    yield "not UTF-8", Reason.INVALID_ENCODING, first.replace(b"Nobody", b"Nob\xf6dy"), []
    yield "time without offset", Reason.INVALID_FIELD, _event(2, occurred_at="2026-01-31T08:00:00"), []
    yield "actor missing", Reason.MISSING_FIELD, _event(3).replace(_ACTOR, b""), []
    yield "position claimed", Reason.UNKNOWN_FIELD, _event(4, position=17), []
    yield "type misspelt", Reason.UNKNOWN_TYPE, _event(5, type="user.loged_in"), []
    yield "schema of the future", Reason.UNSUPPORTED_VERSION, _event(6, schema_version=SCHEMA_VERSION + 8), []
    yield "nested too deep", Reason.TOO_DEEP, deep, []
    yield "too large", Reason.OVERSIZED, _event(7, reason="").replace(b'"reason":""', _padding(oversized)), []
    yield "XML", Reason.UNKNOWN_FORMAT, b'<AuditEvent xmlns="http://hl7.org/fhir"/>', xml
    yield "tombstone", Reason.TOMBSTONE, None, []


def _padding(oversized: int) -> bytes:
    empty = len(_event(7, reason="")) - len(b'"reason":""')
    return b'"reason":"' + b"x" * (oversized - empty - len(b'"reason":""')) + b'"'


def _event(number: int, **fields: Any) -> bytes:
    return msgspec.json.encode(
        {
            "event_id": _ID.format(number),
            "type": "user.logged_in",
            "occurred_at": "2026-01-31T08:00:00Z",
            "source": {"service": "authentication-service", "site": "Clinic of Nowhere"},
            "actor": {"kind": "user", "id": "n.nobody", "name": "Nobody"},
            **fields,
        }
    )
