"""Logs of OpenTelemetry over HTTP (OTLP 1.x), in the JSON encoding of its protobuf.

It is written here, and not by OpenTelemetry's exporter: that one drops what its queue does not hold, and does not look
whether the collector rejected records of a request that it answered with 200.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from domain.catalogue import TRAIL_SERVICE
from domain.errors import UnavailableError
from forwarding.errors import RecordsRefusedError
from forwarding.receivers.http import HttpReceiver, authorization
from forwarding.records import Encoded, Record
from forwarding.settings import Otlp
from interop.severity import severity_of

_SEVERITIES = (
    (21, "FATAL"), (19, "ERROR3"), (18, "ERROR2"), (17, "ERROR"),
    (13, "WARN"), (10, "INFO2"), (9, "INFO"), (5, "DEBUG"),
)  # fmt: skip
"""By syslog's severity, as the logs data model maps it (appendix B)."""
_TRACE_ID = re.compile(r"[0-9a-f]{32}")
_INT64 = 2**63


class OtlpLogs(HttpReceiver):
    """A collector. Each event is one log record, and its body is the event itself."""

    def __init__(self, settings: Otlp, field: str) -> None:
        """Raises `ConfigurationError`."""
        super().__init__(settings, field, "otlp")
        self._headers = {"Content-Type": "application/json"} | authorization(
            settings.authorization_file, field
        )

    def encode(self, record: Record) -> Encoded:
        """A `LogRecord`, as JSON."""
        return Encoded(record.leaf.position, msgspec.json.encode(log_record(record)))

    def send(self, records: Sequence[Encoded]) -> str:
        """POST an `ExportLogsServiceRequest`. A collector that rejects one of the records refuses them."""
        body = _BEFORE + b",".join(each.data for each in records) + _AFTER
        answer = self.post(self.target, body, self._headers)
        self.require_success(answer)
        if not answer.complete:
            raise UnavailableError(f"{self.where} did not finish its answer, which may name rejected records")
        rejected = _rejected(answer.body)
        if rejected:
            raise RecordsRefusedError(f"{self.where} rejects {rejected} of {len(records)} records")
        return f"it answered {answer.status}"


def log_record(record: Record) -> dict[str, Any]:
    """The record in the logs data model: `timeUnixNano` by the source's clock, `observedTimeUnixNano` by the log's."""
    event, leaf = record.recorded.event, record.leaf
    number, name = _SEVERITIES[severity_of(event).syslog]
    attributes: dict[str, Any] = {
        "audit_trail.follower": record.follower,
        "audit_trail.position": leaf.position,
        "audit_trail.log": leaf.origin,
        "audit_trail.leaf_hash": leaf.leaf_hash.hex(),
        "audit_trail.redacted": record.redacted,
    }
    if leaf.previous_position is not None:
        attributes["audit_trail.previous_position"] = leaf.previous_position
    if leaf.tree_head_size is not None:
        attributes["audit_trail.tree_size"] = leaf.tree_head_size
    if record.test:
        attributes["audit_trail.test"] = True
    found: dict[str, Any] = {
        "timeUnixNano": _nanoseconds(event.occurred_at),
        "observedTimeUnixNano": _nanoseconds(record.recorded.recorded_at),
        "severityNumber": number,
        "severityText": name,
        "eventName": f"audit_trail.{event.type}",
        "body": any_value(msgspec.to_builtins(event)),
        "attributes": _key_values(attributes),
    }
    if event.correlation_id is not None and _TRACE_ID.fullmatch(event.correlation_id):
        found["traceId"] = event.correlation_id
    return found


def any_value(value: Any) -> dict[str, Any]:  # noqa: PLR0911 - one for each kind
    """A value of JSON as an `AnyValue`. 64-bit integers are strings, as protobuf's JSON has them."""
    if value is None:
        return {}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)} if -_INT64 <= value < _INT64 else {"stringValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value} if math.isfinite(value) else {"stringValue": str(value)}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": _key_values(value)}}
    if isinstance(value, list | tuple):
        return {"arrayValue": {"values": [any_value(each) for each in value]}}
    return {"stringValue": str(value)}


def _key_values(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": any_value(value)} for name, value in values.items()]


def _nanoseconds(moment: datetime) -> str:
    return str(int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000)


def _rejected(answer: bytes) -> int:
    """How many records the collector rejected: `partialSuccess` of its answer."""
    try:
        said = msgspec.json.decode(answer) if answer else {}
        return int(said.get("partialSuccess", {}).get("rejectedLogRecords", 0))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, AttributeError, TypeError, ValueError):
        return 0


_RESOURCE = msgspec.json.encode({"attributes": _key_values({"service.name": TRAIL_SERVICE})})
_BEFORE = b'{"resourceLogs":[{"resource":%s,"scopeLogs":[{"scope":{"name":"%s"},"logRecords":[' % (
    _RESOURCE,
    b"audit_trail.forwarding",
)
_AFTER = b"]}]}]}"
