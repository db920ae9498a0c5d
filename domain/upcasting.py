"""Upcast an old payload to the current schema version, one pure step for each version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from domain.errors import InvalidEventError, Reason
from domain.event import SCHEMA_VERSION

Payload = dict[str, Any]
Step = Callable[[Payload], Payload]

STEPS: dict[int, Step] = {}
"""`STEPS[n]` converts a payload of version n to version n + 1. Version 1 is the first published one."""


def upcast(payload: Payload, version: int, steps: Mapping[int, Step] = STEPS) -> Payload:
    """`payload` of `version` in the current version; unchanged when it is current.

    Raises `InvalidEventError` when a step from that version is missing.
    """
    for number in range(version, SCHEMA_VERSION):
        if number not in steps:
            raise InvalidEventError(
                Reason.UNSUPPORTED_VERSION, f"send schema version {SCHEMA_VERSION}", field="schema_version"
            )
        payload = steps[number](dict(payload)) | {"schema_version": number + 1}
    return payload
