"""The bodies of records, declared once: what a follower's `body` names, and the function that writes it."""

from __future__ import annotations

import base64
from collections.abc import Callable

import msgspec

from forwarding.records import Record
from interop import cef, dicom, ocsf


def json_body(record: Record) -> bytes:
    """The event in the trail's own JSON, with its place in the log and in the follower's sequence."""
    leaf = record.leaf
    place = {
        "follower": record.follower,
        "position": leaf.position,
        "previous_position": leaf.previous_position,
        "recorded_at": record.recorded.recorded_at,
        "log": leaf.origin,
        "leaf_hash": base64.b64encode(leaf.leaf_hash).decode(),
        "tree_size": leaf.tree_head_size,
        "redacted": record.redacted,
    }
    marks = {name: True for name in ("test", "requeued") if getattr(record, name)}
    return msgspec.json.encode(place | marks | {"event": record.recorded.event})


Body = Callable[[Record], bytes]
BODIES: dict[str, Body] = {
    "json": json_body,
    "cef": lambda record: cef.message(record.recorded, record.leaf).encode(),
    "dicom": lambda record: dicom.message(record.recorded, record.leaf),
    "ocsf": lambda record: msgspec.json.encode(ocsf.event(record.recorded, record.leaf)),
}
"""By the name that the settings give."""
JSON_BODIES = frozenset({"json", "ocsf"})
"""The bodies that are JSON."""
